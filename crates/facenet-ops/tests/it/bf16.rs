//! The `bf16` convolutions of each instruction set against the native route in `f64`.

use candle_core::{DType, Device, Result, Tensor, Var};
use facenet_ops::{Bf16, ConvConfig, NhwcConv, Route, with_isa};
use proptest::prelude::*;

use crate::kernels::{
    ROUNDINGS, Shape4, arb_shape, config, kinds, layers, passes, sets, shared_out, tails, units,
};
use crate::tensors::{assert_same_on_any_threads, numbers};

/// Half a unit in the last of 8 bits of mantissa: what a sum, off by no more than those of
/// `f32`, is rounded by when it is stored.
const STORED: f64 = 1.0 / 256.0;

/// Of the values of each pass, output and data gradient are stored in `bf16`.
const STORED_IN_PASS: [f64; 3] = [STORED, STORED, 0.0];

fn rounded(values: impl IntoIterator<Item = f64>) -> Vec<Bf16> {
    let values = values.into_iter();
    values.map(|v| Bf16::from_f32(v as f32)).collect()
}

fn f64s(values: &[Bf16]) -> Vec<f64> {
    values.iter().map(|v| f64::from(v.to_f32())).collect()
}

/// `[n, c, h, w]` as `[n, h, w, c]`, or back by the permuted dimensions.
fn permuted(values: Vec<f64>, dims: Shape4, order: [usize; 4]) -> Result<Vec<f64>> {
    let tensor = Tensor::from_vec(values, &dims[..], &Device::Cpu)?;
    tensor.permute(order)?.flatten_all()?.to_vec1()
}

const TO_NHWC: [usize; 4] = [0, 2, 3, 1];
const TO_NCHW: [usize; 4] = [0, 3, 1, 2];

/// Output and both gradients, NCHW, of numbers that are `bf16` already.
fn found(
    (x, w): (&[f64], &[f64]),
    (xs, ws): (Shape4, Shape4),
    config: ConvConfig,
) -> Result<[Vec<f64>; 3]> {
    let ([n, c_in, h, width], [c_out, _, kh, kw]) = (xs, ws);
    let conv = NhwcConv::new(n, (h, width), (c_in, c_out), (kh, kw), config)?;
    let (oh, ow) = conv.output();
    let grad = f64s(&rounded(numbers(99, n * c_out * oh * ow)));
    let grad = rounded(permuted(grad, [n, c_out, oh, ow], TO_NHWC)?);
    let x = rounded(permuted(x.to_vec(), xs, TO_NHWC)?);
    let w: Vec<_> = w.iter().map(|&v| v as f32).collect();
    let y = f64s(&conv.forward_bf16(&x, &w)?);
    let dx = f64s(&conv.data_gradient_bf16(&w, &grad)?);
    let dw = conv.weight_gradient_bf16(&x, &grad)?;
    Ok([
        permuted(y, [n, oh, ow, c_out], TO_NCHW)?,
        permuted(dx, [n, h, width, c_in], TO_NCHW)?,
        dw.into_iter().map(f64::from).collect(),
    ])
}

/// Numbers of a tensor in `f64`, rounded to `bf16`.
fn variable(values: Vec<f64>, dims: Shape4) -> Result<Var> {
    let values = f64s(&rounded(values));
    Var::from_tensor(&Tensor::from_vec(values, &dims[..], &Device::Cpu)?)
}

fn flat(var: &Var) -> Result<Vec<f64>> {
    var.flatten_all()?.to_vec1()
}

/// What the output is weighted by before its gradients are taken.
fn output_weights(y: &Tensor) -> Result<Tensor> {
    let weights = f64s(&rounded(numbers(99, y.elem_count())));
    Tensor::from_vec(weights, y.shape(), &Device::Cpu)?.to_dtype(DType::F64)
}

#[track_caller]
fn check(xs: Shape4, ws: Shape4, config: ConvConfig) {
    let run = || -> Result<()> {
        let x = variable(numbers(1, xs.iter().product()), xs)?;
        let w = variable(numbers(2, ws.iter().product()), ws)?;
        let expected = passes(&x, &w, config, Route::Native, output_weights)?;
        let units = units(&x, &w, config, output_weights)?;
        let (x, w) = (flat(&x)?, flat(&w)?);
        for isa in sets() {
            let found = with_isa(isa, || found((&x, &w), (xs, ws), config))?;
            for (pass, what) in ["y", "dx", "dw"].into_iter().enumerate() {
                let what = format!("{isa:?} {what} {xs:?} {ws:?} {config:?}");
                let (found, expected) = (&found[pass], &expected[pass]);
                assert_eq!(found.len(), expected.len(), "{what}");
                for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
                    let sum = ROUNDINGS * units[pass][at];
                    let bound = sum + STORED_IN_PASS[pass] * (expected.abs() + sum);
                    assert!(
                        (found - expected).abs() <= bound,
                        "{what}[{at}]: {found}, expected {expected} within {bound}"
                    );
                }
            }
        }
        Ok(())
    };
    run().expect("valid shapes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_set_agrees_with_f64((xs, ws, config) in arb_shape()) {
        check(xs, ws, config);
    }
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

#[test]
fn nan_and_infinity_go_where_f64_takes_them_and_nowhere_else() -> Result<()> {
    let (xs, ws) = ([3, 19, 7, 6], [37, 19, 3, 3]);
    for (value, config) in [
        (f64::NAN, config(1, (1, 1))),
        (f64::NAN, config(2, (0, 0))),
        (f64::INFINITY, config(1, (1, 0))),
        (f64::NEG_INFINITY, config(2, (1, 1))),
    ] {
        let mut values = numbers(3, xs.iter().product());
        // In the first image of a pair, its second, and one without a partner.
        for at in [0, 24 * 42 + 17, 3 * 19 * 42 - 1] {
            values[at] = value;
        }
        let x = variable(values, xs)?;
        let w = variable(numbers(2, ws.iter().product()), ws)?;
        let expected = passes(&x, &w, config, Route::Native, output_weights)?;
        assert!(kinds(&expected[0]).iter().any(Option::is_some));
        assert!(kinds(&expected[0]).iter().any(Option::is_none));
        for isa in sets() {
            let found = with_isa(isa, || found((&flat(&x)?, &flat(&w)?), (xs, ws), config))?;
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(kinds(found), kinds(expected), "{isa:?} {config:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_weight_that_is_no_number_stays_none() -> Result<()> {
    let conv = NhwcConv::new(1, (1, 1), (1, 1), (1, 1), ConvConfig::default())?;
    // A NaN whose upper half alone would be infinite.
    let weight = [f32::from_bits(0x7f80_0001)];
    for isa in sets() {
        let y = with_isa(isa, || conv.forward_bf16(&rounded([1.0]), &weight))?;
        assert!(y[0].to_f32().is_nan(), "{isa:?}");
    }
    Ok(())
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    for isa in sets() {
        assert_same_on_any_threads(&format!("{isa:?}"), || {
            let mut bits = Vec::new();
            for (xs, ws, config) in shared_out() {
                let x = flat(&variable(numbers(4, xs.iter().product()), xs)?)?;
                let w = flat(&variable(numbers(5, ws.iter().product()), ws)?)?;
                let passes = with_isa(isa, || found((&x, &w), (xs, ws), config))?;
                bits.extend(passes.into_iter().flatten().map(f64::to_bits));
            }
            Ok(bits)
        });
    }
}
