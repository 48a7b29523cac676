//! A tape's layers against compositions of candle operations in `f64`.

use candle_core::{DType, Device, Result, Tensor, Var};
use facenet_ops::{
    Act, Arithmetic, ConvConfig, Filter, Isa, Nhwc, Norm, ParameterGradients, Precision, Route,
    Setting, Tape, batch_norm_train, conv2d, run_nhwc, with_isa,
};
use proptest::prelude::*;

use crate::net::{EPS, Kept, NET, Net, composed, flat, layers, results, variables, weighted};
use crate::tensors::assert_same_on_any_threads;

/// Rounding of `f32` through a convolution, a normalisation and back, relative to the largest
/// value of each result; a channel whose values are nearly equal is scaled up by at most 10.
const F32: f64 = 2e-4;
/// How near to a kink, where a gradient jumps, rounding of `f32` may take a value. Measured over
/// the values of 6,200 networks: they are off by 8.6e-6 at most, in the sums that end a block.
const KINK: f64 = 2e-5;
fn setting(is_tracked: bool) -> Setting {
    Setting {
        is_tracked,
        ..Setting::default()
    }
}

fn taped(net: &Net, v: &[Var], is_tracked: bool) -> Result<Tensor> {
    run_nhwc::<f32>(&v[0], &setting(is_tracked), |tape, x| {
        layers(net, v, tape, &x)
    })
}

#[track_caller]
fn assert_near(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-2_f64, |most, v| most.max(v.abs()));
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(
            difference <= F32 * largest,
            "{what}[{at}]: {found}, expected {expected}"
        );
    }
}

/// Whether the network stays clear of kinks, so that its gradients can be compared.
#[track_caller]
fn check(net: &Net) -> bool {
    let run = || -> Result<bool> {
        let wide = variables(net, DType::F64)?;
        let (y, nearest) = composed(net, &wide, Kept::Exactly)?;
        if nearest < KINK {
            return Ok(false);
        }
        let expected = results(&y, &wide)?;
        let v = variables(net, DType::F32)?;
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let found = with_isa(isa, || results(&taped(net, &v, true)?, &v))?;
            for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_near(
                    found,
                    expected,
                    &format!("{isa:?} result {place} of {net:?}"),
                );
            }
            let untracked = with_isa(isa, || flat(&taped(net, &v, false)?))?;
            assert_near(
                &untracked,
                &expected[0],
                &format!("{isa:?} untracked, {net:?}"),
            );
        }
        Ok(true)
    };
    run().expect("valid shapes")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn layers_agree_with_compositions_in_f64(
        n in 1_usize..5, channels in (1_usize..7, 1_usize..70, 1_usize..40),
        size in (8_usize..12, 8_usize..12), stride in 1_usize..3, padding in 0_usize..2,
        is_batch: bool,
    ) {
        prop_assume!(check(&Net { n, channels, size, stride, padding, is_batch }));
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    assert_same_on_any_threads("a tape", || {
        let v = variables(&NET, DType::F32)?;
        let all = results(&taped(&NET, &v, true)?, &v)?;
        Ok(all.into_iter().flatten().map(f64::to_bits).collect())
    });
}

#[test]
fn a_pass_goes_back_once() -> Result<()> {
    let v = variables(&NET, DType::F32)?;
    let y = taped(&NET, &v, true)?;
    results(&y, &v)?;
    let message = results(&y, &v)
        .expect_err("what was kept is gone")
        .to_string();
    assert!(message.contains("gone back already"), "{message}");
    Ok(())
}

#[test]
fn a_step_in_used_memory_gives_the_same_bits() -> Result<()> {
    let (v, setting) = (variables(&NET, DType::F32)?, setting(true));
    let step = |net: &Net, v: &[Var]| {
        let y = run_nhwc::<f32>(&v[0], &setting, |tape, x| layers(net, v, tape, &x))?;
        results(&y, v)
    };
    let first = step(&NET, &v)?;
    let kept = setting.memory.kept_bytes();
    let other = Net { n: 2, ..NET };
    step(&other, &variables(&other, DType::F32)?)?;
    assert!(first == step(&NET, &v)?);
    assert!(kept > 0 && setting.memory.kept_bytes() <= 2 * kept);
    Ok(())
}

#[test]
fn gradients_left_apart_are_those_that_candle_adds_up() -> Result<()> {
    let v = variables(&NET, DType::F32)?;
    let expected = results(&taped(&NET, &v, true)?, &v)?;
    let apart = ParameterGradients::default();
    let setting = Setting {
        gradients: Some(apart.clone()),
        ..setting(true)
    };
    // Images that nobody asks the gradient of: candle must still come back to the pass.
    let images = v[0].as_detached_tensor();
    let y = run_nhwc::<f32>(&images, &setting, |tape, x| layers(&NET, &v, tape, &x))?;
    let mut store = weighted(&y)?.backward()?;
    assert!(store.get(&v[1]).is_none());
    apart.move_into(&mut store)?;
    for (place, var) in v.iter().enumerate().skip(1) {
        let grad = store.get(var).expect("every parameter is on the tape");
        assert!(flat(grad)? == expected[1 + place], "gradient {place}");
    }
    Ok(())
}

#[test]
fn statistics_are_those_of_the_batch() -> Result<()> {
    let v = variables(&NET, DType::F32)?;
    let mut found = None;
    run_nhwc::<f32>(&v[0], &setting(false), |tape, x| {
        let filter = Filter {
            weight: &v[1],
            config: NET.first(),
            is_depthwise: false,
        };
        let norm = Norm {
            weight: &v[2],
            bias: &v[3],
            eps: EPS,
            given: None,
        };
        let (y, batch) = tape.conv_norm(&x, &filter, &norm, Act::Identity)?;
        assert_eq!(y.to_tensor()?.dims(), [3, 33, 9, 10]);
        found = batch;
        Ok(tape.global_average_pool(&y))
    })?;
    let found = found.expect("the batch was its own measure");
    let y = conv2d(&v[0], &v[1], NET.first(), Route::Native)?;
    let (_, expected) = batch_norm_train(&y, &v[2], &v[3], EPS, Route::Native)?;
    assert_eq!(found.count, expected.count);
    assert_near(&flat(&found.mean)?, &flat(&expected.mean)?, "mean");
    assert_near(
        &flat(&found.variance)?,
        &flat(&expected.variance)?,
        "variance",
    );
    Ok(())
}

#[test]
fn a_nan_in_one_image_reaches_that_image_only() -> Result<()> {
    let net = Net {
        is_batch: false,
        ..NET
    };
    let v = variables(&net, DType::F32)?;
    let mut values = v[0].flatten_all()?.to_vec1::<f32>()?;
    values[4] = f32::NAN;
    v[0].set(&Tensor::from_vec(values, v[0].shape(), &Device::Cpu)?)?;
    for is_tracked in [false, true] {
        let rows = taped(&net, &v, is_tracked)?.to_vec2::<f32>()?;
        assert!(rows[0].iter().any(|v| v.is_nan()));
        assert!(rows[1..].iter().flatten().all(|v| v.is_finite()));
    }
    Ok(())
}

#[track_caller]
fn refused(f: impl FnOnce(&mut Tape, Nhwc) -> Result<Nhwc>, expected: &str) {
    let images = Tensor::zeros((1, 3, 4, 4), DType::F32, &Device::Cpu).expect("a tensor");
    let message = run_nhwc::<f32>(&images, &setting(false), f)
        .expect_err("this does not fit")
        .to_string();
    assert!(message.contains(expected), "{message:?} lacks {expected:?}");
}

#[test]
fn a_window_too_large_for_winners_is_refused_on_the_way_back_only() -> Result<()> {
    let images = Tensor::zeros((1, 3, 17, 17), DType::F32, &Device::Cpu)?;
    let pool = |tape: &mut Tape, x: Nhwc| tape.max_pool(&x, 17, 1);
    run_nhwc::<f32>(&images, &setting(false), pool)?;
    let message = run_nhwc::<f32>(&images, &setting(true), pool)
        .expect_err("289 pixels")
        .to_string();
    assert!(
        message.contains("256 pixels at most, found 289"),
        "{message}"
    );
    Ok(())
}

#[test]
fn what_does_not_fit_is_an_error() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).expect("a tensor");
    let (two, four, c) = (zeros(&[5, 2, 1, 1]), zeros(&[4, 3, 4, 4]), zeros(&[4]));
    let norm = Norm {
        weight: &c,
        bias: &c,
        eps: EPS,
        given: None,
    };
    let filter = |weight, is_depthwise| Filter {
        weight,
        config: ConvConfig::default(),
        is_depthwise,
    };
    let conv = |filter: &Filter<'_>, tape: &mut Tape, x: &Nhwc| {
        Ok(tape.conv_norm(x, filter, &norm, Act::Identity)?.0)
    };
    refused(
        |tape, x| conv(&filter(&two, false), tape, &x),
        "does not take 3 channels",
    );
    refused(
        |tape, x| conv(&filter(&two, true), tape, &x),
        "does not take 3 channels",
    );
    refused(
        |tape, x| conv(&filter(&four, false), tape, &x),
        "two values a channel, found 1",
    );
    refused(|tape, x| tape.max_pool(&x, 5, 1), "does not fit");
    refused(|_, x| Ok(x), "expected one pixel");
    refused(
        |tape, x| {
            let y = tape.max_pool(&x, 2, 2)?;
            tape.add(&x, &y)
        },
        "disagree",
    );
    refused(
        |tape, x| {
            let y = tape.max_pool(&x, 2, 2)?;
            tape.concat(&[x, y])
        },
        "disagree",
    );
    refused(|tape, _| tape.concat(&[]), "found none");
    let half = Setting {
        arithmetic: Arithmetic {
            precision: Precision::Bf16,
            ..Arithmetic::default()
        },
        ..setting(false)
    };
    let message = run_nhwc::<f32>(&zeros(&[1, 3, 4, 4]), &half, |_, x| Ok(x))
        .expect_err("not computed")
        .to_string();
    assert!(message.contains("does not compute"), "{message}");
    let f64s = Tensor::zeros((1, 3, 4, 4), DType::F64, &Device::Cpu).expect("a tensor");
    let message = run_nhwc::<f32>(&f64s, &setting(false), |_, x| Ok(x))
        .expect_err("f32 only")
        .to_string();
    assert!(
        message.contains("expected f32 on the CPU, found F64"),
        "{message}"
    );
}
