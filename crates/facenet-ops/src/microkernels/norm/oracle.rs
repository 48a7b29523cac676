//! Every set against plain loops. All numbers have few bits, so that every product and sum is
//! exact: not one bit may differ.

use super::*;
use crate::number::Bf16;

/// Vectors of channels, in turn: each of few bits.
struct Vectors {
    scale: Vec<f32>,
    mean: Vec<f32>,
    bias: Vec<f32>,
    slopes: Vec<f32>,
}

fn vectors(c: usize) -> Vectors {
    let of = |f: fn(usize) -> f32| (0..c).map(f).collect();
    Vectors {
        scale: of(|i| [0.5, 1.0, 2.0, -1.0][i % 4]),
        mean: of(|i| (i % 3) as f32 * 0.25),
        bias: of(|i| (i % 5) as f32 * 0.5 - 1.0),
        slopes: of(|i| [0.5, 0.25, -2.0][i % 3]),
    }
}

/// Of both signs; `special` has its place among them.
fn numbers<T: Number>(len: usize, step: usize, special: f32) -> Vec<T> {
    let of = |i: usize| ((i * step) % 31) as f32 / 8.0 - 2.0;
    let value = |i| if i == len / 2 { special } else { of(i) };
    (0..len).map(|i| T::of(value(i))).collect()
}

/// Before the activation, its gradient, and what becomes of both.
fn bent(activation: Activation<'_>, channel: usize, y: f32, grad: f32) -> (f32, f32) {
    let (is_negative, is_positive) = (y < 0.0, y > 0.0);
    match activation {
        Activation::Identity => (y, grad),
        Activation::Relu => (
            if is_negative { 0.0 } else { y },
            if is_positive { grad } else { 0.0 },
        ),
        Activation::Prelu(slopes) => (
            if is_negative { slopes[channel] * y } else { y },
            if is_positive {
                grad
            } else {
                slopes[channel] * grad
            },
        ),
    }
}

#[track_caller]
fn assert_same<N: Number>(found: &[N], expected: &[f32], what: &str) {
    for (i, (found, &expected)) in found.iter().zip(expected).enumerate() {
        let (found, expected) = (found.widened(), N::of(expected).widened());
        let is_same = found == expected || (found.is_nan() && expected.is_nan());
        assert!(is_same, "{what} {i}: {found}, expected {expected}");
    }
}

/// What plain loops give.
#[derive(Default)]
struct Expected {
    moments: Vec<f32>,
    z: Vec<f32>,
    sums: Vec<f32>,
    dx: Vec<f32>,
}

fn expected<T: Number>(x: &[T], grad: &[T], bends: Bends<'_>, own: (&[f32], &[f32])) -> Expected {
    let c = bends.scale.len();
    let mut all = Expected {
        moments: vec![0.0; 2 * c],
        sums: vec![0.0; 3 * c],
        ..Expected::default()
    };
    for (i, (x, grad)) in x.iter().zip(grad).enumerate() {
        let (k, x, grad) = (i % c, x.widened(), grad.widened());
        let d = x - bends.mean[k];
        let y = bends.scale[k] * d + bends.bias[k];
        let (z, g) = bent(bends.activation, k, y, grad);
        all.moments[k] += d;
        all.moments[c + k] += d * d;
        all.z.push(z);
        all.sums[k] += g;
        all.sums[c + k] += g * d;
        let is_sloped = matches!(bends.activation, Activation::Prelu(_));
        all.sums[2 * c + k] += if is_sloped && y < 0.0 { grad * y } else { 0.0 };
        all.dx.push(bends.scale[k] * g + (own.0[k] * d + own.1[k]));
    }
    all
}

fn check<T: Number>(rows: usize, c: usize, special: f32) {
    let all = vectors(c);
    let (x, grad) = (
        numbers::<T>(rows * c, 7, special),
        numbers::<T>(rows * c, 11, 1.0),
    );
    let own = (&all.bias[..], &all.mean[..]);
    for activation in [
        Activation::Identity,
        Activation::Relu,
        Activation::Prelu(&all.slopes),
    ] {
        let bends = Bends {
            scale: &all.scale,
            mean: &all.mean,
            bias: &all.bias,
            activation,
        };
        let expected = expected(&x, &grad, bends, own);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let f32s = |sums: &[f64]| -> Vec<f32> { sums.iter().map(|&s| s as f32).collect() };
            let (mut sums, mut z, mut dx) = (vec![0.0; 3 * c], x.clone(), grad.clone());
            moments(isa, &x, &all.mean, &mut sums[..2 * c]);
            assert_same(&f32s(&sums[..2 * c]), &expected.moments, "moments");
            sums.fill(0.0);
            gradient_sums(isa, (&x, &grad), bends, &mut sums);
            assert_same(&f32s(&sums), &expected.sums, "sums");
            normalise(isa, &x, bends, &mut z);
            assert_same(&z, &expected.z, "z");
            gradient(isa, &x, bends, own, &mut dx);
            assert_same(&dx, &expected.dx, "dx");
        }
    }
}

#[test]
fn every_set_gives_what_plain_loops_give() {
    for rows in [0, 1, 15, 16, 17, 40] {
        for c in [1, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 80] {
            for special in [0.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                check::<f32>(rows, c, special);
                check::<Bf16>(rows, c, special);
            }
        }
    }
}
