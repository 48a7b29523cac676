//! How near to the golden values is near enough.

use candle_core::DType;

use crate::case::Run;

/// Times the stored difference of torch's float32 from its float64 that ours may differ in
/// float32: other orders of summation, and rectifiers that flip elsewhere.
const TIMES: f64 = 8.0;
/// Float32's last place a few times over, relative, where torch happened to hit the f64 value.
const F32_FLOOR: f64 = 8.0 * f32::EPSILON as f64;
/// Two f64 programs that sum in different orders through 100 layers, relative.
pub(crate) const F64_FORWARD: f64 = 1e-11;
/// The same for gradients, which a batch normalisation of few values makes larger.
pub(crate) const F64_BACKWARD: f64 = 1e-9;

/// L2 norm.
pub(crate) fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// L2 norm of the difference.
pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "as many values");
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).powi(2))
        .sum::<f64>()
        .sqrt()
}

/// Asserts that `ours` is near `reference`, `(f64, f32)`, in L2.
///
/// - `relative_f64`: what an f64 run may differ, relative to the norm
#[track_caller]
pub(crate) fn check(
    what: &str,
    run: Run,
    ours: &[f64],
    (f64s, f32s): (&[f64], &[f64]),
    relative_f64: f64,
) {
    let (found, scale) = (distance(ours, f64s), norm(f64s));
    let bound = match run.dtype {
        DType::F64 => relative_f64 * scale,
        _ => TIMES * distance(f64s, f32s) + F32_FLOOR * scale,
    };
    assert_near(what, run, found, scale, bound);
}

/// [`check`] for one number.
#[track_caller]
pub(crate) fn check_number(
    what: &str,
    run: Run,
    ours: f64,
    (in_f64, in_f32): (f64, f64),
    relative_f64: f64,
) {
    check(what, run, &[ours], (&[in_f64], &[in_f32]), relative_f64);
}

/// Asserts that a distance is within its bound, and prints it for who asks with `--nocapture`.
#[track_caller]
pub(crate) fn assert_near(what: &str, run: Run, found: f64, scale: f64, bound: f64) {
    let Run { dtype, route } = run;
    let line =
        format!("{what} {dtype:?} {route:?}: off by {found:e} of {scale:e}, bound {bound:e}");
    println!("{line}");
    assert!(found <= bound, "{line}");
}
