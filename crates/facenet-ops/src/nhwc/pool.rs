//! Max pooling and the mean over an image.

use rayon::prelude::*;

use crate::nhwc::plan::ConvShape;
use crate::number::Number;
use crate::own::element::wide;

/// Writes the maximum of each window of a shape without padding, channel by channel; a NaN is the
/// maximum.
pub(crate) fn max_pool<T: Number>(shape: &ConvShape, x: &[T], y: &mut [T]) {
    let row = shape.out.1 * shape.c_in;
    y.par_chunks_mut(row.max(1))
        .enumerate()
        .for_each(|(at, y)| {
            let x = &x[at / shape.out.0 * shape.image()..][..shape.image()];
            wide(|| max_row(shape, x, at % shape.out.0, y));
        });
}

/// First element of the window's tap below output pixel `(y, x)`.
#[inline]
fn tap(shape: &ConvShape, (y, x): (usize, usize), tap: usize) -> usize {
    let stride = shape.config.stride;
    let row = y * stride.0 + tap / shape.kernel.1;
    (row * shape.size.1 + x * stride.1 + tap % shape.kernel.1) * shape.c_in
}

#[inline]
fn max_row<T: Number>(shape: &ConvShape, x: &[T], row: usize, y: &mut [T]) {
    let c = shape.c_in;
    for (column, y) in y.chunks_exact_mut(c).enumerate() {
        y.copy_from_slice(&x[tap(shape, (row, column), 0)..][..c]);
        for number in 1..shape.taps() {
            let x = &x[tap(shape, (row, column), number)..][..c];
            for (y, &x) in y.iter_mut().zip(x) {
                // Widened for both branches, so that the compiler works on vectors; exact.
                let (most, x) = (y.widened(), x.widened());
                let (is_none, is_enough) = (most.is_nan(), x <= most);
                *y = T::of(if is_none | is_enough { most } else { x });
            }
        }
    }
}

/// Writes the first tap of each window that holds its maximum, as [`max_pool`] gave it in `y`: all
/// that [`max_pool_gradient`] needs of them.
pub(crate) fn winners<T: Number>(shape: &ConvShape, x: &[T], y: &[T], winners: &mut [u32]) {
    let (image, out, c) = (shape.image().max(1), shape.out_image().max(1), shape.c_in);
    let outputs = y
        .par_chunks_exact(out)
        .zip(winners.par_chunks_exact_mut(out));
    let images = x.par_chunks_exact(image).zip(outputs);
    images.for_each(|(x, (y, winners))| {
        let pixels = y.chunks_exact(c).zip(winners.chunks_exact_mut(c));
        for (number, (y, winners)) in pixels.enumerate() {
            let pixel = (number / shape.out.1, number % shape.out.1);
            wide(|| first_taps(shape, pixel, x, y, winners));
        }
    });
}

#[inline]
fn first_taps<T: Number>(
    shape: &ConvShape,
    pixel: (usize, usize),
    x: &[T],
    y: &[T],
    winners: &mut [u32],
) {
    winners.fill(0);
    for number in (0..shape.taps()).rev() {
        let x = &x[tap(shape, pixel, number)..][..y.len()];
        for ((winner, &x), &y) in winners.iter_mut().zip(x).zip(y) {
            let (x, y) = (x.widened(), y.widened());
            let is_it = (x == y) | (x.is_nan() & y.is_nan());
            *winner = if is_it { number as u32 } else { *winner };
        }
    }
}

/// Writes the input's gradient: the output's goes to the winners, and each sum of two is rounded.
pub(crate) fn max_pool_gradient<T: Number>(
    shape: &ConvShape,
    winners: &[u32],
    grad: &[T],
    dx: &mut [T],
) {
    let (image, out, c) = (shape.image().max(1), shape.out_image().max(1), shape.c_in);
    let outputs = winners
        .par_chunks_exact(out)
        .zip(grad.par_chunks_exact(out));
    dx.par_chunks_exact_mut(image)
        .zip(outputs)
        .for_each(|(dx, (winners, grad))| {
            dx.fill(T::default());
            let pixels = winners.chunks_exact(c).zip(grad.chunks_exact(c));
            for (number, (winners, grad)) in pixels.enumerate() {
                let pixel = (number / shape.out.1, number % shape.out.1);
                wide(|| give(shape, pixel, winners, grad, dx));
            }
        });
}

/// Adds the gradient of one output pixel to the taps that won.
#[inline]
fn give<T: Number>(
    shape: &ConvShape,
    pixel: (usize, usize),
    winners: &[u32],
    grad: &[T],
    dx: &mut [T],
) {
    for number in 0..shape.taps() {
        let dx = &mut dx[tap(shape, pixel, number)..][..grad.len()];
        for ((dx, &winner), &grad) in dx.iter_mut().zip(winners).zip(grad) {
            let given = if winner == number as u32 {
                grad
            } else {
                T::default()
            };
            *dx = T::of(dx.widened() + given.widened());
        }
    }
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
        let (mut y, mut taps, mut dx) = ([f32::NAN; 2], [9; 2], [f32::NAN; 15]);
        max_pool(&shape(1), &x, &mut y);
        assert_eq!(y, [5.0, 5.0]);
        winners(&shape(1), &x, &y, &mut taps);
        assert_eq!(taps, [2, 0]);
        max_pool_gradient(&shape(1), &taps, &[1.0, 2.0], &mut dx);
        let mut expected = [0.0; 15];
        expected[2] = 3.0;
        assert_eq!(dx, expected);
    }

    #[test]
    fn a_nan_is_the_maximum_and_has_the_gradient() {
        let mut x = vec![1.0; 15];
        x[6] = f32::NAN;
        let (mut y, mut taps, mut dx) = ([0.0; 2], [9; 2], [f32::NAN; 15]);
        max_pool(&shape(1), &x, &mut y);
        assert!(y[0].is_nan() && y[1] == 1.0);
        winners(&shape(1), &x, &y, &mut taps);
        max_pool_gradient(&shape(1), &taps, &[1.0, 0.0], &mut dx);
        assert_eq!((dx[0], dx[6]), (0.0, 1.0));
    }

    #[test]
    fn a_mean_is_over_pixels_and_its_gradient_is_shared() {
        let (mut y, mut dx) = ([0.0; 2], [0.0; 4]);
        mean(&[1.0, 2.0, 3.0, 6.0], 2, 2, &mut y);
        mean_gradient(&[1.0, 2.0], 2, 2, &mut dx);
        assert_eq!((y, dx), ([2.0, 4.0], [0.5, 1.0, 0.5, 1.0]));
    }
}
