//! A tape's layers in `bf16` against compositions in `f64` that round what the tape stores.

use candle_core::{DType, Result, Tensor, Var};
use facenet_ops::{Arithmetic, Bf16, Isa, KeptWeights, Precision, Setting, run_nhwc, with_isa};
use proptest::prelude::*;

use crate::net::{Kept, NET, Net, composed, flat, layers, results, variables};
use crate::tensors::assert_same_on_any_threads;

/// The composition rounds where the tape does: outputs differ where sums of `f32` and `f64` fall
/// on either side of a tie, rarely and by a unit in the last place of one value.
const OUTPUT: f64 = 1.0 / 256.0;
/// Gradients are rounded by up to `1 / 512` of each at eight places of the way back. Over 6,000
/// networks that adds up to 4e-3 of their length in the middle, where sums over a few channels
/// cancel to 0.04 at most.
const GRADIENT: f64 = 1.0 / 16.0;
/// Of a gradient whose own sums cancel.
const LEAST_SHARE: f64 = 1.0 / 8.0;

fn setting(is_tracked: bool) -> Setting {
    Setting {
        is_tracked,
        arithmetic: Arithmetic {
            precision: Precision::Bf16,
            ..Arithmetic::default()
        },
        ..Setting::default()
    }
}

fn taped(net: &Net, v: &[Var], setting: &Setting) -> Result<Tensor> {
    run_nhwc::<Bf16>(&v[0], setting, |tape, x| layers(net, v, tape, &x))
}

/// Numbers that `bf16` has, so that images and weights are those that the tape reads.
fn rounded(net: &Net, dtype: DType) -> Result<Vec<Var>> {
    let round = |var: Var| {
        let values = flat(&var)?.into_iter();
        let values: Vec<_> = values.map(|v| Bf16::from_f32(v as f32).to_f32()).collect();
        let tensor = Tensor::from_vec(values, var.shape(), var.device())?;
        Var::from_tensor(&tensor.to_dtype(dtype)?)
    };
    let all = variables(net, DType::F32)?.into_iter();
    all.map(round).collect()
}

fn length(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// Length of the difference.
fn distance(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    length(found.iter().zip(expected).map(|(a, b)| a - b))
}

/// Compares an output, relative to its length, and the gradients, relative to theirs or to the
/// least share of all of them: where a sum cancels, what it was made of tells its error.
#[track_caller]
fn assert_near(found: &[Vec<f64>], expected: &[Vec<f64>], what: &str) {
    let lengths: Vec<_> = expected.iter().map(|v| length(v.iter().copied())).collect();
    let whole = length(lengths[1..].iter().copied());
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = distance(found, expected);
        let bound = match place {
            0 => OUTPUT * lengths[0],
            _ => GRADIENT * lengths[place].max(LEAST_SHARE * whole),
        };
        assert!(
            off <= bound,
            "{what}, result {place}: off by {off}, bound {bound}"
        );
    }
}

#[track_caller]
fn check(net: &Net) {
    let run = || -> Result<()> {
        let exact = rounded(net, DType::F64)?;
        let expected = results(&composed(net, &exact, Kept::InBf16)?.0, &exact)?;
        let fused = [flat(&composed(net, &exact, Kept::InBf16Fused)?.0)?];
        let v = rounded(net, DType::F32)?;
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let what = format!("{isa:?} {net:?}");
            let found = with_isa(isa, || results(&taped(net, &v, &setting(true))?, &v))?;
            assert_near(&found, &expected, &what);
            let untracked = with_isa(isa, || flat(&taped(net, &v, &setting(false))?))?;
            assert_near(&[untracked], &fused, &format!("{what} untracked"));
        }
        Ok(())
    };
    run().expect("valid shapes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn layers_agree_with_compositions_that_round(
        n in 1_usize..5, channels in (1_usize..7, 1_usize..70, 1_usize..40),
        size in (8_usize..12, 8_usize..12), stride in 1_usize..3, padding in 0_usize..2,
        is_batch: bool,
    ) {
        check(&Net { n, channels, size, stride, padding, is_batch });
    }
}

#[test]
fn bits_depend_neither_on_threads_nor_on_kept_weights() {
    assert_same_on_any_threads("a tape", || {
        let v = rounded(&NET, DType::F32)?;
        let mut all = results(&taped(&NET, &v, &setting(true))?, &v)?;
        let kept = Setting {
            kept_weights: Some(KeptWeights::default()),
            ..setting(false)
        };
        let [first, again] = [taped(&NET, &v, &kept)?, taped(&NET, &v, &kept)?];
        all.extend([flat(&first)?, flat(&again)?]);
        assert!(all[0] == all[all.len() - 2] && all[0] == all[all.len() - 1]);
        Ok(all.into_iter().flatten().map(f64::to_bits).collect())
    });
}

#[test]
fn one_memory_serves_both_precisions() -> Result<()> {
    let (v, both) = (rounded(&NET, DType::F32)?, setting(true));
    let exact = Setting {
        arithmetic: Arithmetic::default(),
        ..both.clone()
    };
    let step = || results(&taped(&NET, &v, &both)?, &v);
    let first = step()?;
    let kept = both.memory.kept_bytes();
    run_nhwc::<f32>(&v[0], &exact, |tape, x| layers(&NET, &v, tape, &x))?;
    assert!(first == step()? && kept > 0);
    Ok(())
}

#[test]
fn a_nan_in_one_image_reaches_that_image_only() -> Result<()> {
    let net = Net {
        is_batch: false,
        ..NET
    };
    let v = rounded(&net, DType::F32)?;
    let mut values = v[0].flatten_all()?.to_vec1::<f32>()?;
    values[4] = f32::NAN;
    v[0].set(&Tensor::from_vec(values, v[0].shape(), v[0].device())?)?;
    for is_tracked in [false, true] {
        let rows = taped(&net, &v, &setting(is_tracked))?.to_vec2::<f32>()?;
        assert!(rows[0].iter().any(|v| v.is_nan()));
        assert!(rows[1..].iter().flatten().all(|v| v.is_finite()));
    }
    Ok(())
}

#[test]
fn a_tape_of_another_precision_is_an_error() {
    let v = rounded(&NET, DType::F32).expect("tensors");
    let run = taped(&NET, &v, &Setting::default());
    let message = run.expect_err("f32 is asked for").to_string();
    assert!(message.contains("does not compute"), "{message}");
}
