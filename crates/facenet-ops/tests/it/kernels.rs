//! The `f32` convolutions of each instruction set against the native route in `f64`.

use candle_core::{DType, Device, Result, Tensor, Var};
use facenet_ops::{ConvConfig, Isa, Route, conv2d, with_isa};
use proptest::prelude::*;

use crate::tensors::{assert_same_on_any_threads, numbers, var};

/// What an `f32` sum of `k` products may be off by, in units of `2^-24 √k ‖products‖₂`: the sums
/// before each of its roundings are of the order of `√k` products. Measured over 6,400 shapes:
/// 4.6 at most. A bound per value: the largest of a few values may itself be near zero.
pub(crate) const ROUNDINGS: f64 = 16.0;

pub(crate) type Shape4 = [usize; 4];

/// The sets that this machine has.
pub(crate) fn sets() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available())
}

/// The same numbers in `f32`, as `f32` rounds them.
fn rounded(var: &Var) -> Result<Var> {
    Var::from_tensor(&var.to_dtype(DType::F32)?)
}

/// What the output is weighted by before its gradients are taken, in `f32` numbers.
fn output_weights(y: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(numbers(99, y.elem_count()), y.shape(), &Device::Cpu)?
        .to_dtype(DType::F32)?
        .to_dtype(y.dtype())
}

/// Output and both gradients, as `f64`, of the output weighted by `weights`.
pub(crate) fn passes(
    x: &Var,
    w: &Var,
    config: ConvConfig,
    route: Route,
    weights: fn(&Tensor) -> Result<Tensor>,
) -> Result<[Vec<f64>; 3]> {
    let y = conv2d(x, w, config, route)?;
    let weights = weights(&y)?;
    gradients(&y, &weights, [x, w])
}

fn gradients(y: &Tensor, weights: &Tensor, [x, w]: [&Var; 2]) -> Result<[Vec<f64>; 3]> {
    let grads = (y * weights)?.sum_all()?.backward()?;
    let flat = |t: &Tensor| t.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>();
    let of = |var: &Var| flat(grads.get(var).expect("every variable is in the graph"));
    Ok([flat(y)?, of(x)?, of(w)?])
}

/// For each value of [`passes`], `2^-24 √k ‖products‖₂` of the `k` products that it sums.
pub(crate) fn units(
    x: &Var,
    w: &Var,
    config: ConvConfig,
    weights: fn(&Tensor) -> Result<Tensor>,
) -> Result<[Vec<f64>; 3]> {
    let squared = |var: &Var| Var::from_tensor(&var.sqr()?);
    let (x, w) = (squared(x)?, squared(w)?);
    let y = conv2d(&x, &w, config, Route::Native)?;
    let mut sums = gradients(&y, &weights(&y)?.sqr()?, [&x, &w])?;
    let (c_out, c_in, kh, kw) = w.dims4()?;
    let terms = [c_in * kh * kw, c_out * kh * kw, y.elem_count() / c_out];
    for (sums, k) in sums.iter_mut().zip(terms) {
        for sum in sums {
            *sum = f64::from(f32::EPSILON) / 2.0 * (k as f64 * *sum).sqrt();
        }
    }
    Ok(sums)
}

#[track_caller]
fn assert_near(found: &[f64], expected: &[f64], units: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(
            difference <= ROUNDINGS * units[at],
            "{what}[{at}]: {found}, expected {expected}, in units of {}",
            units[at]
        );
    }
}

#[track_caller]
fn check(xs: Shape4, ws: Shape4, config: ConvConfig) {
    let run = || -> Result<()> {
        let (x, w) = (rounded(&var(1, &xs)?)?, rounded(&var(2, &ws)?)?);
        let wide = |var: &Var| Var::from_tensor(&var.to_dtype(DType::F64)?);
        let (wide_x, wide_w) = (wide(&x)?, wide(&w)?);
        let expected = passes(&wide_x, &wide_w, config, Route::Native, output_weights)?;
        let units = units(&wide_x, &wide_w, config, output_weights)?;
        for isa in sets() {
            let found = with_isa(isa, || passes(&x, &w, config, Route::Own, output_weights))?;
            for (place, pass) in ["y", "dx", "dw"].into_iter().enumerate() {
                let what = format!("{isa:?} {pass} {xs:?} {ws:?} {config:?}");
                assert_near(&found[place], &expected[place], &units[place], &what);
            }
        }
        Ok(())
    };
    run().expect("valid shapes");
}

/// Shapes of the networks and their neighbours: few or many channels, odd ones too.
pub(crate) fn arb_shape() -> impl Strategy<Value = (Shape4, Shape4, ConvConfig)> {
    let kernels = vec![
        (1, 1),
        (1, 3),
        (3, 1),
        (1, 7),
        (7, 1),
        (3, 3),
        (5, 5),
        (2, 5),
    ];
    let channels = || prop_oneof![3 => 1_usize..20, 1 => 20_usize..300];
    let images = (1_usize..6, 1_usize..21, 1_usize..21);
    let steps = ((1_usize..3, 1_usize..3), (0_usize..4, 0_usize..4));
    let parts = (
        images,
        channels(),
        channels(),
        prop::sample::select(kernels),
        steps,
    );
    parts.prop_filter_map("it fits, and is not too large", |parts| {
        let ((n, h, w), c_in, c_out, kernel, (stride, padding)) = parts;
        let config = ConvConfig { stride, padding };
        let out = config.output((h, w), kernel).ok()?;
        let products = n * out.0 * out.1 * kernel.0 * kernel.1 * c_in * c_out;
        let shapes = ([n, c_in, h, w], [c_out, c_in, kernel.0, kernel.1], config);
        (products < 8_000_000).then_some(shapes)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_set_agrees_with_f64((xs, ws, config) in arb_shape()) {
        check(xs, ws, config);
    }
}

pub(crate) fn config(stride: usize, padding: (usize, usize)) -> ConvConfig {
    ConvConfig {
        stride: (stride, stride),
        padding,
    }
}

/// One tile and one more, two panels and one more, for 12 x 32, 6 x 16 and 4 x 16; rows of odd
/// channels too.
pub(crate) fn tails() -> impl Iterator<Item = (Shape4, Shape4, ConvConfig)> {
    let sizes = [(12, 32), (13, 33), (6, 16), (7, 17), (4, 48), (25, 65)];
    sizes.into_iter().map(|(pixels, c)| {
        let (xs, ws) = ([1, c, 1, pixels], [c, c, 1, 1]);
        (xs, ws, config(1, (0, 0)))
    })
}

/// Layers of the networks, on smaller images; two have more rows of output than a chunk of a
/// weight gradient holds.
pub(crate) fn layers() -> [(Shape4, Shape4, ConvConfig); 10] {
    [
        ([3, 3, 21, 21], [32, 3, 3, 3], config(2, (0, 0))),
        ([2, 3, 16, 16], [64, 3, 3, 3], config(2, (1, 1))),
        ([2, 128, 8, 8], [128, 128, 1, 7], config(1, (0, 3))),
        ([2, 128, 8, 8], [128, 128, 7, 1], config(1, (3, 0))),
        ([5, 192, 3, 3], [192, 192, 1, 3], config(1, (0, 1))),
        ([2, 64, 9, 9], [80, 64, 1, 1], config(1, (0, 0))),
        ([2, 48, 17, 17], [64, 48, 3, 3], config(2, (0, 0))),
        ([11, 16, 12, 12], [24, 16, 3, 3], config(1, (1, 1))),
        ([1, 4, 40, 40], [20, 4, 3, 3], config(1, (1, 1))),
        ([3, 4, 40, 41], [20, 4, 5, 3], config(2, (2, 0))),
    ]
}

#[test]
fn full_panels_and_their_tails_agree_with_f64() {
    for (xs, ws, config) in tails() {
        check(xs, ws, config);
    }
}

#[test]
fn shapes_of_the_networks_agree_with_f64() {
    for (xs, ws, config) in layers() {
        check(xs, ws, config);
    }
}

/// Which values are NaN, and which infinite with which sign.
pub(crate) fn kinds(values: &[f64]) -> Vec<Option<f64>> {
    let kind = |v: &f64| (!v.is_finite()).then(|| if v.is_nan() { 0.0 } else { v.signum() });
    values.iter().map(kind).collect()
}

#[test]
fn nan_and_infinity_go_where_f64_takes_them_and_nowhere_else() -> Result<()> {
    let (xs, ws) = ([2, 19, 7, 6], [37, 19, 3, 3]);
    for (value, config) in [
        (f32::NAN, config(1, (1, 1))),
        (f32::NAN, config(2, (0, 0))),
        (f32::INFINITY, config(1, (1, 0))),
        (f32::NEG_INFINITY, config(2, (1, 1))),
    ] {
        let mut values: Vec<f32> = numbers(3, 2 * 19 * 42).iter().map(|&v| v as f32).collect();
        (values[0], values[5 * 42 + 17], values[2 * 19 * 42 - 1]) = (value, value, value);
        let x = Var::from_tensor(&Tensor::from_vec(values, &xs[..], &Device::Cpu)?)?;
        let w = rounded(&var(2, &ws)?)?;
        let wide = |var: &Var| Var::from_tensor(&var.to_dtype(DType::F64)?);
        let expected = passes(
            &wide(&x)?,
            &wide(&w)?,
            config,
            Route::Native,
            output_weights,
        )?;
        assert!(kinds(&expected[0]).iter().any(Option::is_some));
        assert!(kinds(&expected[0]).iter().any(Option::is_none));
        for isa in sets() {
            let found = with_isa(isa, || passes(&x, &w, config, Route::Own, output_weights))?;
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(kinds(found), kinds(expected), "{isa:?} {config:?}");
            }
        }
    }
    Ok(())
}

/// A weight gradient in parts, one by rows, and few pixels for the threads.
pub(crate) fn shared_out() -> [(Shape4, Shape4, ConvConfig); 3] {
    [
        ([9, 12, 20, 20], [20, 12, 3, 3], config(1, (1, 1))),
        ([3, 130, 9, 9], [150, 130, 3, 3], config(2, (1, 1))),
        ([1, 70, 3, 3], [200, 70, 1, 3], config(1, (0, 1))),
    ]
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    for isa in sets() {
        assert_same_on_any_threads(&format!("{isa:?}"), || {
            let mut bits = Vec::new();
            for (xs, ws, config) in shared_out() {
                let (x, w) = (rounded(&var(4, &xs)?)?, rounded(&var(5, &ws)?)?);
                let run = || passes(&x, &w, config, Route::Own, output_weights);
                bits.extend(with_isa(isa, run)?.into_iter().flatten().map(f64::to_bits));
            }
            Ok(bits)
        });
    }
}

#[test]
fn a_set_that_the_machine_lacks_is_an_error() {
    for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
        let message = with_isa(isa, || Ok(()))
            .expect_err("it lacks it")
            .to_string();
        assert!(message.contains("has no"), "{message}");
    }
}
