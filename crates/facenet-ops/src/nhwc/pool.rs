//! Max pooling and the mean over an image.

use rayon::prelude::*;

use crate::isa::Isa;
use crate::microkernels::max_pool::Windows;
use crate::nhwc::plan::ConvShape;
use crate::number::Number;

/// Most taps of a window whose winners are kept: every number up to there is a `bf16`.
pub(crate) const MOST_TAPS: usize = 256;

/// Writes the maximum of each window of a shape without padding, channel by channel, and where
/// asked for, all that [`max_pool_gradient`] needs: which tap holds it first. A NaN is the maximum.
pub(crate) fn max_pool<T: Number>(
    shape: &ConvShape,
    x: &[T],
    y: &mut [T],
    winners: Option<&mut [T]>,
) {
    let (isa, windows) = (Isa::current(), windows(shape));
    let row = (shape.out.1 * shape.c_in).max(1);
    let of_row = |at: usize| {
        let image = &x[at / shape.out.0 * shape.image()..][..shape.image()];
        &image[at % shape.out.0 * row_step(shape)..]
    };
    let rows = y.par_chunks_mut(row).enumerate();
    match winners {
        Some(winners) => rows
            .zip(winners.par_chunks_mut(row))
            .for_each(|((at, y), winners)| windows.max(isa, of_row(at), y, Some(winners))),
        None => rows.for_each(|(at, y)| windows.max(isa, of_row(at), y, None)),
    }
}

/// Elements from a row of windows to the next.
fn row_step(shape: &ConvShape) -> usize {
    shape.config.stride.0 * shape.size.1 * shape.c_in
}

/// The windows of every row of outputs.
fn windows(shape: &ConvShape) -> Windows {
    let (width, c) = (shape.kernel.1, shape.c_in);
    let tap = |tap: usize| (tap / width * shape.size.1 + tap % width) * c;
    Windows {
        taps: (0..shape.taps()).map(tap).collect(),
        step: shape.config.stride.1 * c,
        columns: shape.out.1,
        channels: c,
    }
}

/// Writes the input's gradient: the output's goes to the winners, and each sum of two is rounded.
pub(crate) fn max_pool_gradient<T: Number>(
    shape: &ConvShape,
    winners: &[T],
    grad: &[T],
    dx: &mut [T],
) {
    let (isa, windows) = (Isa::current(), windows(shape));
    let (image, out) = (shape.image().max(1), shape.out_image().max(1));
    let row = (shape.out.1 * shape.c_in).max(1);
    let outputs = winners
        .par_chunks_exact(out)
        .zip(grad.par_chunks_exact(out));
    let images = dx.par_chunks_exact_mut(image).zip(outputs);
    images.for_each(|(dx, (winners, grad))| {
        dx.fill(T::default());
        let rows = winners.chunks_exact(row).zip(grad.chunks_exact(row));
        for (number, (winners, grad)) in rows.enumerate() {
            windows.give(isa, winners, grad, &mut dx[number * row_step(shape)..]);
        }
    });
}

/// Writes the mean over the pixels, `[n, h, w, c]` to `[n, c]`, summed in f64.
pub(crate) fn mean<T: Number>(x: &[T], pixels: usize, c: usize, y: &mut [T]) {
    let of_image = |(image, y): (&[T], &mut [T])| {
        let mut sums = vec![0.0; c];
        for row in image.chunks_exact(c) {
            sums.iter_mut()
                .zip(row)
                .for_each(|(sum, x)| *sum += f64::from(x.widened()));
        }
        let means = sums.iter().map(|sum| (sum / pixels as f64) as f32);
        y.iter_mut()
            .zip(means)
            .for_each(|(y, mean)| *y = T::of(mean));
    };
    let images = x.par_chunks_exact((pixels * c).max(1));
    images
        .zip(y.par_chunks_exact_mut(c.max(1)))
        .for_each(of_image);
}

/// Writes the gradient of [`mean`].
pub(crate) fn mean_gradient<T: Number>(grad: &[T], pixels: usize, c: usize, dx: &mut [T]) {
    let share = (1.0 / pixels as f64) as f32;
    let images = dx.chunks_exact_mut((pixels * c).max(1));
    for (dx, grad) in images.zip(grad.chunks_exact(c.max(1))) {
        for row in dx.chunks_exact_mut(c) {
            let pairs = row.iter_mut().zip(grad);
            pairs.for_each(|(dx, g)| *dx = T::of(g.widened() * share));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConvConfig;
    use crate::isa::with_isa;
    use crate::number::Bf16;

    fn shape(c: usize) -> ConvShape {
        let config = ConvConfig {
            stride: (2, 2),
            padding: (0, 0),
        };
        ConvShape::new(1, (3, 5), (c, c), (3, 3), config).expect("it fits")
    }

    #[test]
    fn the_largest_wins_and_the_first_of_equals_has_the_gradient() {
        let x: Vec<f32> = [0, 1, 5, 1, 0, 2, 2, 5, 0, 0, 3, 1, 0, 0, 4]
            .map(|v| v as f32)
            .into();
        let (mut y, mut taps, mut dx) = ([f32::NAN; 2], [9.0; 2], [f32::NAN; 15]);
        max_pool(&shape(1), &x, &mut y, Some(&mut taps));
        assert_eq!((y, taps), ([5.0, 5.0], [2.0, 0.0]));
        max_pool_gradient(&shape(1), &taps, &[1.0, 2.0], &mut dx);
        let mut expected = [0.0; 15];
        expected[2] = 3.0;
        assert_eq!(dx, expected);
    }

    #[test]
    fn a_nan_is_the_maximum_and_has_the_gradient() {
        let mut x = vec![1.0; 15];
        x[6] = f32::NAN;
        let (mut y, mut taps, mut dx) = ([0.0; 2], [9.0; 2], [f32::NAN; 15]);
        max_pool(&shape(1), &x, &mut y, Some(&mut taps));
        assert!(y[0].is_nan() && y[1] == 1.0);
        max_pool_gradient(&shape(1), &taps, &[1.0, 0.0], &mut dx);
        assert_eq!((dx[0], dx[6]), (0.0, 1.0));
    }

    /// Maximum and first tap that has it, one number at a time; NaN is the maximum.
    fn plain(shape: &ConvShape, x: &[f32], output: usize) -> (f32, usize) {
        let (c, channel) = (shape.c_in, output % shape.c_in);
        let (row, column) = (output / c / shape.out.1, output / c % shape.out.1);
        let mut found = (f32::NEG_INFINITY, 0);
        for tap in 0..shape.taps() {
            let (y, x_at) = (2 * row + tap / 3, 2 * column + tap % 3);
            let value = x[(y * shape.size.1 + x_at) * c + channel];
            let is_more = value > found.0 || value.is_nan();
            if tap == 0 || (is_more && !found.0.is_nan()) {
                found = (value, tap);
            }
        }
        found
    }

    fn check<T: Number>(c: usize) {
        let value = |i: usize| {
            if i % 23 == 7 {
                f32::NAN
            } else {
                (i * 7 % 11) as f32 - 5.0
            }
        };
        let x: Vec<_> = (0..15 * c).map(value).collect();
        let as_t: Vec<_> = x.iter().map(|&x| T::of(x)).collect();
        let (mut y, mut winners) = (vec![T::default(); 2 * c], vec![T::default(); 2 * c]);
        let mut dx = as_t.clone();
        max_pool(&shape(c), &as_t, &mut y, Some(&mut winners));
        let grad: Vec<_> = (0..2 * c).map(|i| T::of((i + 1) as f32 % 8.0)).collect();
        max_pool_gradient(&shape(c), &winners, &grad, &mut dx);
        let mut expected = vec![0.0; dx.len()];
        for output in 0..2 * c {
            let (most, tap) = plain(&shape(c), &x, output);
            let found = y[output].widened();
            assert!(found == most || (found.is_nan() && most.is_nan()));
            assert_eq!(winners[output].widened(), tap as f32);
            let pixel = tap / 3 * 5 + 2 * (output / c) + tap % 3;
            expected[pixel * c + output % c] += grad[output].widened();
        }
        let found: Vec<_> = dx.iter().map(|dx| dx.widened()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_set_gives_what_a_number_at_a_time_gives() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for c in [1, 3, 8, 15, 16, 17, 33, 64] {
                let run = || {
                    check::<f32>(c);
                    check::<Bf16>(c);
                    Ok(())
                };
                with_isa(isa, run).expect("it is available");
            }
        }
    }

    #[test]
    fn a_mean_is_over_pixels_and_its_gradient_is_shared() {
        let (mut y, mut dx) = ([0.0; 2], [0.0; 4]);
        mean(&[1.0, 2.0, 3.0, 6.0], 2, 2, &mut y);
        mean_gradient(&[1.0, 2.0], 2, 2, &mut dx);
        assert_eq!((y, dx), ([2.0, 4.0], [0.5, 1.0, 0.5, 1.0]));
    }
}
