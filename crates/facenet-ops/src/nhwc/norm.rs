//! Batch normalisation with the activation that follows, forward and backward.

use std::ops::Range;

use rayon::prelude::*;

use crate::microkernels::Activation;
use crate::nhwc::rows::{item, sum_in_parts};
use crate::number::Number;
use crate::own::element::wide;

/// Rows whose sums are taken in f32 before they are added in f64: 16 roundings, a millionth of
/// what is summed.
const ROWS: usize = 16;

/// Sums over rows, `[k, c]`: `add` adds some rows to sums in f32, which are added up in f64.
fn sums_of(rows: usize, len: usize, add: impl Fn(Range<usize>, &mut [f32]) + Sync) -> Vec<f64> {
    sum_in_parts(rows, |range| {
        let (mut sums, mut block) = (vec![0.0; len], vec![0.0; len]);
        wide(|| {
            for first in range.clone().step_by(ROWS) {
                block.fill(0.0);
                add(first..range.end.min(first + ROWS), &mut block);
                let pairs = sums.iter_mut().zip(&block);
                pairs.for_each(|(sum, &of_block)| *sum += f64::from(of_block));
            }
        });
        sums
    })
}

/// Mean and biased variance of each of `c` channels, summed from the first row on, so that a
/// large mean takes nothing from a small variance.
pub(crate) fn moments<T: Number>(x: &[T], c: usize) -> Vec<(f64, f64)> {
    let (rows, pivot) = (x.len() / c, &x[..c]);
    let sums = sums_of(rows, 2 * c, |rows, sums| {
        let (sum, squares) = sums.split_at_mut(c);
        let (sum, squares) = (&mut sum[..c], &mut squares[..c]);
        for row in x[rows.start * c..rows.end * c].chunks_exact(c) {
            let row = &row[..c];
            for i in 0..c {
                let d = row[i].widened() - pivot[i].widened();
                sum[i] += d;
                squares[i] += d * d;
            }
        }
    });
    let (sum, squares) = sums.split_at(c);
    let of_channel = |((sum, squares), pivot): ((&f64, &f64), &T)| {
        let mean = sum / rows as f64;
        let variance = squares / rows as f64 - mean * mean;
        // Rounding may leave less than nothing; NaN stays.
        let variance = if variance < 0.0 { 0.0 } else { variance };
        (f64::from(pivot.widened()) + mean, variance)
    };
    sum.iter().zip(squares).zip(pivot).map(of_channel).collect()
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

    /// Calls `f(element, before the activation, channel)` for each of a row.
    #[inline]
    fn row<T: Number>(&self, x: &[T], mut f: impl FnMut(usize, f32)) {
        let c = self.channels();
        let (x, scale, mean, bias) = (&x[..c], &self.scale[..c], &self.mean[..c], &self.bias[..c]);
        for i in 0..c {
            f(i, scale[i] * (x[i].widened() - mean[i]) + bias[i]);
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
    match activation {
        Activation::Identity => map(x, lines, &lines.bias, z, |_, y| y),
        Activation::Relu => map(
            x,
            lines,
            &lines.bias,
            z,
            |_, y| if y < 0.0 { 0.0 } else { y },
        ),
        Activation::Prelu(slopes) => map(
            x,
            lines,
            slopes,
            z,
            |slope, y| if y < 0.0 { slope * y } else { y },
        ),
    }
}

/// Writes `f(value of the channel, line(x))` of each element.
fn map<T: Number>(
    x: &[T],
    lines: &Lines,
    of_channel: &[f32],
    z: &mut [T],
    f: impl Fn(f32, f32) -> f32 + Sync,
) {
    let c = lines.channels();
    let of_channel = &of_channel[..c];
    let items = x.par_chunks(item(c)).zip(z.par_chunks_mut(item(c)));
    items.for_each(|(x, z)| {
        wide(|| {
            for (x, z) in x.chunks_exact(c).zip(z.chunks_exact_mut(c)) {
                let z = &mut z[..c];
                lines.row(x, |i, y| z[i] = T::of(f(of_channel[i], y)));
            }
        });
    });
}

/// What the backward pass gives for the parameters; the input's gradient is left in place.
#[derive(Debug)]
pub(crate) struct Gradients {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    /// Of the slopes, where there are any.
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
    let parts = (x, lines, inverse_std, is_batch);
    match activation {
        Activation::Identity => gradient_by(parts, &lines.bias, grad, |_, _, g| g),
        Activation::Relu => gradient_by(
            parts,
            &lines.bias,
            grad,
            |_, y, g| if y > 0.0 { g } else { 0.0 },
        ),
        Activation::Prelu(slopes) => gradient_by(parts, slopes, grad, |slope, y, g| {
            let scaled = slope * g;
            if y > 0.0 { g } else { scaled }
        }),
    }
}

/// [`gradient`], with `through(value of the channel, before the activation, gradient)`.
fn gradient_by<T: Number>(
    (x, lines, inverse_std, is_batch): (&[T], &Lines, &[f64], bool),
    of_channel: &[f32],
    grad: &mut [T],
    through: impl Fn(f32, f32, f32) -> f32 + Sync,
) -> Gradients {
    let c = lines.channels();
    let of_channel = &of_channel[..c];
    let sums = sums((x, lines), of_channel, grad, &through);
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
    let (shifts, slopes) = (&shifts[..c], &slopes[..c]);
    let (scale, mean) = (&lines.scale[..c], &lines.mean[..c]);
    let items = x.par_chunks(item(c)).zip(grad.par_chunks_mut(item(c)));
    items.for_each(|(x, grad)| {
        wide(|| {
            for (x, grad) in x.chunks_exact(c).zip(grad.chunks_exact_mut(c)) {
                let (x, grad) = (&x[..c], &mut grad[..c]);
                lines.row(x, |i, y| {
                    let g = scale[i] * through(of_channel[i], y, grad[i].widened());
                    let own = slopes[i] * (x[i].widened() - mean[i]) + shifts[i];
                    grad[i] = T::of(g + own);
                });
            }
        });
    });
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

/// Of each channel the sums of the gradient `g` before the activation, of `g (x - mean)`, and of
/// the output's gradient times what is negative before the activation.
fn sums<T: Number>(
    (x, lines): (&[T], &Lines),
    of_channel: &[f32],
    grad: &[T],
    through: &(impl Fn(f32, f32, f32) -> f32 + Sync),
) -> Vec<f64> {
    let c = lines.channels();
    let of_channel = &of_channel[..c];
    let mean = &lines.mean[..c];
    sums_of(x.len() / c, 3 * c, |rows, sums| {
        let (sum, rest) = sums.split_at_mut(c);
        let (product, slope) = rest.split_at_mut(c);
        let (sum, product, slope) = (&mut sum[..c], &mut product[..c], &mut slope[..c]);
        let rows = rows.start * c..rows.end * c;
        let pairs = x[rows.clone()]
            .chunks_exact(c)
            .zip(grad[rows].chunks_exact(c));
        for (x, grad) in pairs {
            let (x, grad) = (&x[..c], &grad[..c]);
            lines.row(x, |i, y| {
                let grad = grad[i].widened();
                let g = through(of_channel[i], y, grad);
                sum[i] += g;
                product[i] += g * (x[i].widened() - mean[i]);
                let scaled = grad * y;
                slope[i] += if y < 0.0 { scaled } else { 0.0 };
            });
        }
    })
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
