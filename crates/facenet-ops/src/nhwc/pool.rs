//! Max pooling and the mean over an image.

use rayon::prelude::*;

use crate::nhwc::plan::ConvShape;
use crate::own::element::wide;

/// Maximum of each window of a shape without padding, channel by channel; a NaN is the maximum.
pub(crate) fn max_pool(shape: &ConvShape, x: &[f32]) -> Vec<f32> {
    let row = shape.out.1 * shape.c_in;
    let mut y = vec![0.0; shape.n * shape.out_image()];
    y.par_chunks_mut(row.max(1))
        .enumerate()
        .for_each(|(at, y)| {
            let x = &x[at / shape.out.0 * shape.image()..][..shape.image()];
            wide(|| max_row(shape, x, at % shape.out.0, y));
        });
    y
}

/// First element of the window's tap below output pixel `(y, x)`.
#[inline]
fn tap(shape: &ConvShape, (y, x): (usize, usize), tap: usize) -> usize {
    let stride = shape.config.stride;
    let row = y * stride.0 + tap / shape.kernel.1;
    (row * shape.size.1 + x * stride.1 + tap % shape.kernel.1) * shape.c_in
}

#[inline]
fn max_row(shape: &ConvShape, x: &[f32], row: usize, y: &mut [f32]) {
    let c = shape.c_in;
    for (column, y) in y.chunks_exact_mut(c).enumerate() {
        y.copy_from_slice(&x[tap(shape, (row, column), 0)..][..c]);
        for number in 1..shape.taps() {
            let x = &x[tap(shape, (row, column), number)..][..c];
            for (y, &x) in y.iter_mut().zip(x) {
                *y = if y.is_nan() || x <= *y { *y } else { x };
            }
        }
    }
}

/// The input's gradient: the output's goes to the first of equal maxima.
pub(crate) fn max_pool_gradient(shape: &ConvShape, x: &[f32], y: &[f32], grad: &[f32]) -> Vec<f32> {
    let (image, out) = (shape.image().max(1), shape.out_image().max(1));
    let mut dx = vec![0.0; x.len()];
    let outputs = y.par_chunks_exact(out).zip(grad.par_chunks_exact(out));
    let images = dx
        .par_chunks_exact_mut(image)
        .zip(x.par_chunks_exact(image));
    images.zip(outputs).for_each(|((dx, x), (y, grad))| {
        let c = shape.c_in;
        let mut is_open = vec![true; c];
        let pixels = y.chunks_exact(c).zip(grad.chunks_exact(c)).enumerate();
        for (pixel, (y, grad)) in pixels {
            is_open.fill(true);
            for number in 0..shape.taps() {
                let at = tap(shape, (pixel / shape.out.1, pixel % shape.out.1), number);
                let inputs = dx[at..][..c].iter_mut().zip(&x[at..][..c]);
                let outputs = y.iter().zip(grad).zip(&mut is_open);
                for ((dx, x), ((y, grad), is_open)) in inputs.zip(outputs) {
                    let is_it = *is_open && (x == y || (x.is_nan() && y.is_nan()));
                    *dx += if is_it { *grad } else { 0.0 };
                    *is_open &= !is_it;
                }
            }
        }
    });
    dx
}

/// Mean over the pixels, `[n, h, w, c]` to `[n, c]`, summed in f64.
pub(crate) fn mean(x: &[f32], pixels: usize, c: usize) -> Vec<f32> {
    let of_image = |image: &[f32]| {
        let mut sums = vec![0.0; c];
        for row in image.chunks_exact(c) {
            sums.iter_mut()
                .zip(row)
                .for_each(|(sum, &x)| *sum += f64::from(x));
        }
        sums.into_iter()
            .map(|sum| (sum / pixels as f64) as f32)
            .collect::<Vec<_>>()
    };
    x.par_chunks_exact((pixels * c).max(1))
        .flat_map_iter(of_image)
        .collect()
}

/// The gradient of [`mean`].
pub(crate) fn mean_gradient(grad: &[f32], pixels: usize, c: usize) -> Vec<f32> {
    let share = (1.0 / pixels as f64) as f32;
    let rows = grad
        .chunks_exact(c)
        .flat_map(|row| std::iter::repeat_n(row, pixels));
    rows.flatten().map(|g| g * share).collect()
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
        let y = max_pool(&shape(1), &x);
        assert_eq!(y, [5.0, 5.0]);
        let dx = max_pool_gradient(&shape(1), &x, &y, &[1.0, 2.0]);
        let mut expected = vec![0.0; 15];
        expected[2] = 3.0;
        assert_eq!(dx, expected);
    }

    #[test]
    fn a_nan_is_the_maximum_and_has_the_gradient() {
        let mut x = vec![1.0; 15];
        x[6] = f32::NAN;
        let y = max_pool(&shape(1), &x);
        assert!(y[0].is_nan() && y[1] == 1.0);
        assert_eq!(max_pool_gradient(&shape(1), &x, &y, &[1.0, 0.0])[6], 1.0);
    }

    #[test]
    fn a_mean_is_over_pixels_and_its_gradient_is_shared() {
        assert_eq!(mean(&[1.0, 2.0, 3.0, 6.0], 2, 2), [2.0, 4.0]);
        assert_eq!(mean_gradient(&[1.0, 2.0], 2, 2), [0.5, 1.0, 0.5, 1.0]);
    }
}
