//! Batch normalisation with the activation that follows, forward and backward.

use std::ops::Range;

use rayon::prelude::*;

use crate::isa::Isa;
use crate::microkernels::Activation;
use crate::microkernels::norm::{self as kernels, Bends};
use crate::nhwc::rows::{item, sum_in_parts};
use crate::number::Number;

/// Sums over rows, `[k, c]`, where `add` adds those of some rows.
fn sums_of(rows: usize, len: usize, add: impl Fn(Range<usize>, &mut [f64]) + Sync) -> Vec<f64> {
    sum_in_parts(rows, |range| {
        let mut sums = vec![0.0; len];
        add(range, &mut sums);
        sums
    })
}

/// Mean and biased variance of each of `c` channels, summed from the first row on, so that a
/// large mean takes nothing from a small variance.
pub(crate) fn moments<T: Number>(x: &[T], c: usize) -> Vec<(f64, f64)> {
    let (isa, rows) = (Isa::current(), x.len() / c);
    let pivot: Vec<_> = x[..c].iter().map(|x| x.widened()).collect();
    let sums = sums_of(rows, 2 * c, |rows, sums| {
        kernels::moments(isa, &x[rows.start * c..rows.end * c], &pivot, sums);
    });
    let (sum, squares) = sums.split_at(c);
    let of_channel = |((sum, squares), &pivot): ((&f64, &f64), &f32)| {
        let mean = sum / rows as f64;
        let variance = squares / rows as f64 - mean * mean;
        // Rounding may leave less than nothing; NaN stays.
        let variance = if variance < 0.0 { 0.0 } else { variance };
        (f64::from(pivot) + mean, variance)
    };
    sum.iter()
        .zip(squares)
        .zip(&pivot)
        .map(of_channel)
        .collect()
}

/// `scale (x - mean) + bias` of each channel.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    pub(crate) scale: Vec<f32>,
    pub(crate) mean: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl Lines {
    /// `weight (x - mean) / sqrt(variance + eps) + bias`, from mean and variance.
    pub(crate) fn new(weight: &[f32], bias: &[f32], moments: &[(f64, f64)], eps: f64) -> Self {
        let scale = |(&weight, moments): (&f32, &(f64, f64))| {
            (f64::from(weight) / (moments.1 + eps).sqrt()) as f32
        };
        Self {
            scale: weight.iter().zip(moments).map(scale).collect(),
            mean: moments.iter().map(|moments| moments.0 as f32).collect(),
            bias: bias.to_vec(),
        }
    }

    fn channels(&self) -> usize {
        self.scale.len()
    }

    /// The same line as `scale x + shift`: the shift.
    pub(crate) fn shifts(&self) -> Vec<f32> {
        let lines = self.scale.iter().zip(&self.mean).zip(&self.bias);
        lines
            .map(|((&scale, &mean), &bias)| {
                (f64::from(bias) - f64::from(scale) * f64::from(mean)) as f32
            })
            .collect()
    }

    fn bent<'a>(&'a self, activation: &Activation<'a>) -> Bends<'a> {
        Bends {
            scale: &self.scale,
            mean: &self.mean,
            bias: &self.bias,
            activation: *activation,
        }
    }
}

/// Writes `activation(line(x))` of each channel.
pub(crate) fn normalise<T: Number>(
    x: &[T],
    lines: &Lines,
    activation: &Activation<'_>,
    z: &mut [T],
) {
    let (isa, c, bends) = (Isa::current(), lines.channels(), lines.bent(activation));
    let items = x.par_chunks(item(c)).zip(z.par_chunks_mut(item(c)));
    items.for_each(|(x, z)| kernels::normalise(isa, x, bends, z));
}

/// What the backward pass gives for the parameters; the input's gradient is left in place.
#[derive(Debug)]
pub(crate) struct Gradients {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    /// Of the slopes; zeros where there are none.
    pub(crate) slopes: Vec<f32>,
}

/// Turns the output's gradient into the input's.
///
/// - `inverse_std`: `1 / sqrt(variance + eps)`, `[c]`
/// - `is_batch`: whether the gradient goes through mean and variance too
pub(crate) fn gradient<T: Number>(
    x: &[T],
    lines: &Lines,
    inverse_std: &[f64],
    is_batch: bool,
    activation: &Activation<'_>,
    grad: &mut [T],
) -> Gradients {
    let (isa, c, bends) = (Isa::current(), lines.channels(), lines.bent(activation));
    let sums = sums_of(x.len() / c, 3 * c, |rows, sums| {
        let rows = rows.start * c..rows.end * c;
        kernels::gradient_sums(isa, (&x[rows.clone()], &grad[rows]), bends, sums);
    });
    let share = if is_batch {
        c as f64 / x.len() as f64
    } else {
        0.0
    };
    let factor = |i: usize, sum: f64| (-f64::from(lines.scale[i]) * sum * share) as f32;
    let shifts: Vec<_> = (0..c).map(|i| factor(i, sums[i])).collect();
    let slopes: Vec<_> = (0..c)
        .map(|i| factor(i, sums[c + i] * inverse_std[i] * inverse_std[i]))
        .collect();
    let items = x.par_chunks(item(c)).zip(grad.par_chunks_mut(item(c)));
    items.for_each(|(x, grad)| kernels::gradient(isa, x, bends, (&slopes, &shifts), grad));
    let f32s = |sums: &[f64]| sums.iter().map(|&sum| sum as f32).collect();
    let weight = sums[c..2 * c]
        .iter()
        .zip(inverse_std)
        .map(|(sum, inverse)| sum * inverse);
    Gradients {
        weight: weight.map(|sum| sum as f32).collect(),
        bias: f32s(&sums[..c]),
        slopes: f32s(&sums[2 * c..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_mean_and_biased_variance_and_a_constant_has_none() {
        let moments = moments(&[1.0, 1e6, 3.0, 1e6], 2);
        assert_eq!(moments, [(2.0, 1.0), (1e6, 0.0)]);
    }

    #[test]
    fn moments_of_what_is_no_number_are_none() {
        for (mean, variance) in moments(&[f32::NAN, 1.0, 0.0, f32::INFINITY], 2) {
            assert!(!mean.is_finite() && variance.is_nan());
        }
    }

    #[test]
    fn a_line_and_its_shift_are_one() {
        let lines = Lines::new(&[2.0], &[1.0], &[(3.0, 0.75)], 0.25);
        assert_eq!((lines.scale[0], lines.shifts()[0]), (2.0, -5.0));
        let mut z = [0.0; 2];
        for (activation, expected) in [
            (Activation::Identity, [1.0, -3.0]),
            (Activation::Relu, [1.0, 0.0]),
            (Activation::Prelu(&[0.5]), [1.0, -1.5]),
        ] {
            normalise(&[3.0, 1.0], &lines, &activation, &mut z);
            assert_eq!(z, expected);
        }
    }
}
