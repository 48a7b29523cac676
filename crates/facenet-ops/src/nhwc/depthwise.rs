//! Depthwise convolution: each channel with a kernel of its own; weights and sums are `f32`.

use rayon::prelude::*;

use crate::nhwc::axis::Group;
use crate::nhwc::plan::ConvShape;
use crate::number::Number;
use crate::own::element::wide;

/// Channels whose sums stay in registers.
const LANES: usize = 32;
/// Parts that the weight gradient is summed in: fixed, so that no bit depends on the threads.
const PARTS: usize = 8;

/// One pass: every target pixel sums its taps.
struct Pass {
    groups: [Vec<Group>; 2],
    /// Which vertical group, and which of its places, each target row is.
    rows: Vec<(usize, usize)>,
    channels: usize,
    kernel_width: usize,
    /// Rows and columns of the source.
    source: (usize, usize),
    target_width: usize,
}

impl Pass {
    fn new(
        shape: &ConvShape,
        groups: [Vec<Group>; 2],
        source: (usize, usize),
        target: (usize, usize),
    ) -> Self {
        let mut rows = vec![(0, 0); target.0];
        for (number, group) in groups[0].iter().enumerate() {
            for (at, place) in group.places.iter().enumerate() {
                rows[place.target] = (number, at);
            }
        }
        Self {
            groups,
            rows,
            channels: shape.c_in,
            kernel_width: shape.kernel.1,
            source,
            target_width: target.1,
        }
    }

    /// All rows of all images in parallel.
    ///
    /// - `weights`: `[tap][channel]`
    fn run<T: Number>(&self, source: &[T], weights: &[f32], target: &mut [T]) {
        let (row, rows) = (self.target_width * self.channels, self.rows.len());
        let image = self.source.0 * self.source.1 * self.channels;
        target
            .par_chunks_mut(row.max(1))
            .enumerate()
            .for_each(|(at, target)| {
                let source = &source[at / rows * image..][..image];
                wide(|| self.row(at % rows, source, weights, target));
            });
    }

    #[inline]
    fn row<T: Number>(&self, row: usize, source: &[T], weights: &[f32], target: &mut [T]) {
        let (group, at) = self.rows[row];
        let vertical = &self.groups[0][group];
        let first = vertical.places[at].source * self.source.1;
        let c = self.channels;
        for horizontal in &self.groups[1] {
            for place in &horizontal.places {
                let pixel = (first + place.source) * c;
                let target = &mut target[place.target * c..][..c];
                self.pixel(
                    (&vertical.taps, &horizontal.taps),
                    pixel,
                    source,
                    weights,
                    target,
                );
            }
        }
    }

    /// Channels in stretches whose sums stay in registers.
    #[inline]
    fn pixel<T: Number>(
        &self,
        (vertical, horizontal): (&[usize], &[usize]),
        pixel: usize,
        source: &[T],
        weights: &[f32],
        target: &mut [T],
    ) {
        let c = self.channels;
        for (stretch, target) in target.chunks_mut(LANES).enumerate() {
            let mut sums = [0.0; LANES];
            for (y, tap_y) in vertical.iter().enumerate() {
                for (x, tap_x) in horizontal.iter().enumerate() {
                    let from = pixel + (y * self.source.1 + x) * c + stretch * LANES;
                    let tap = (tap_y * self.kernel_width + tap_x) * c + stretch * LANES;
                    let n = target.len();
                    add_products(&mut sums, &source[from..][..n], &weights[tap..][..n]);
                }
            }
            let sums = target.iter_mut().zip(sums);
            sums.for_each(|(target, sum)| *target = T::of(sum));
        }
    }
}

/// `sums += a b`; a whole stretch has a length that the compiler knows.
#[inline]
fn add_products<A: Number, B: Number>(sums: &mut [f32; LANES], a: &[A], b: &[B]) {
    if let (Ok(a), Ok(b)) = (<&[A; LANES]>::try_from(a), <&[B; LANES]>::try_from(b)) {
        for lane in 0..LANES {
            sums[lane] += a[lane].widened() * b[lane].widened();
        }
    } else {
        let products = a.iter().zip(b).map(|(a, b)| a.widened() * b.widened());
        sums.iter_mut()
            .zip(products)
            .for_each(|(sum, product)| *sum += product);
    }
}

/// `[c, 1, kh, kw]` as `[tap][channel]`, taps from the kernel's end where `is_turned`.
fn by_tap(shape: &ConvShape, weight: &[f32], is_turned: bool) -> Vec<f32> {
    let (taps, c) = (shape.taps(), shape.c_in);
    let tap = |tap| if is_turned { taps - 1 - tap } else { tap };
    let places = (0..taps * c).map(|at| (at / c, at % c));
    places
        .map(|(at, channel)| weight[channel * taps + tap(at)])
        .collect()
}

/// Writes `[n, out_h, out_w, c]` from `[n, h, w, c]` and `[c, 1, kh, kw]`.
pub(crate) fn forward<T: Number>(shape: &ConvShape, x: &[T], weight: &[f32], y: &mut [T]) {
    let groups = shape.axes().map(|axis| axis.forward());
    let pass = Pass::new(shape, groups, shape.size, shape.out);
    pass.run(x, &by_tap(shape, weight, false), y);
}

/// Writes the input's gradient of the output's.
pub(crate) fn data_gradient<T: Number>(
    shape: &ConvShape,
    weight: &[f32],
    grad: &[T],
    dx: &mut [T],
) {
    let groups = shape.axes().map(|axis| axis.gradient());
    let pass = Pass::new(shape, groups, shape.out, shape.size);
    pass.run(grad, &by_tap(shape, weight, true), dx);
}

/// The weight's gradient, `[c, 1, kh, kw]`, of the output's.
pub(crate) fn weight_gradient<T: Number>(shape: &ConvShape, x: &[T], grad: &[T]) -> Vec<f32> {
    let (taps, c) = (shape.taps(), shape.c_in);
    let groups = shape.axes().map(|axis| axis.forward());
    let pass = Pass::new(shape, groups, shape.size, shape.out);
    let rows = shape.n * shape.out.0;
    let part = |part: usize| {
        let mut sums = vec![0.0; taps * c];
        for row in rows * part / PARTS..rows * (part + 1) / PARTS {
            let (image, y) = (row / shape.out.0, row % shape.out.0);
            let x = &x[image * shape.image()..][..shape.image()];
            let grad = &grad[row * shape.out.1 * c..][..shape.out.1 * c];
            wide(|| pass.add_row(y, x, grad, &mut sums));
        }
        sums
    };
    let parts: Vec<_> = (0..PARTS).into_par_iter().map(part).collect();
    let sum = |at: usize| {
        let (channel, tap) = (at / taps, at % taps);
        parts.iter().map(|part| part[tap * c + channel]).sum()
    };
    (0..c * taps).map(sum).collect()
}

impl Pass {
    /// Adds the products of one row of the output's gradient to each tap's sums.
    #[inline]
    fn add_row<T: Number>(&self, row: usize, x: &[T], grad: &[T], sums: &mut [f32]) {
        let (group, at) = self.rows[row];
        let vertical = &self.groups[0][group];
        let first = vertical.places[at].source;
        let c = self.channels;
        for (y, tap_y) in vertical.taps.iter().enumerate() {
            let x = &x[(first + y) * self.source.1 * c..][..self.source.1 * c];
            for horizontal in &self.groups[1] {
                for (column, tap_x) in horizontal.taps.iter().enumerate() {
                    let tap = (tap_y * self.kernel_width + tap_x) * c;
                    self.add_tap(horizontal, column, x, grad, &mut sums[tap..][..c]);
                }
            }
        }
    }

    #[inline]
    fn add_tap<T: Number>(
        &self,
        group: &Group,
        column: usize,
        x: &[T],
        grad: &[T],
        sums: &mut [f32],
    ) {
        let c = self.channels;
        for (stretch, sums) in sums.chunks_mut(LANES).enumerate() {
            let (first, n) = (stretch * LANES, sums.len());
            let mut products = [0.0; LANES];
            for place in &group.places {
                let x = &x[(place.source + column) * c + first..][..n];
                add_products(&mut products, x, &grad[place.target * c + first..][..n]);
            }
            sums.iter_mut()
                .zip(&products)
                .for_each(|(sum, product)| *sum += product);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConvConfig;

    #[test]
    fn each_channel_has_its_own_kernel() {
        let config = ConvConfig {
            stride: (1, 1),
            padding: (0, 1),
        };
        let shape = ConvShape::new(1, (1, 3), (2, 2), (1, 2), config).expect("it fits");
        // Channels 1, 2, 3 and 10, 20, 30; kernels (1, 2) and (3, 4).
        let x = [1.0, 10.0, 2.0, 20.0, 3.0, 30.0];
        let (mut y, mut dx) = ([f32::NAN; 8], [f32::NAN; 6]);
        forward(&shape, &x, &[1.0, 2.0, 3.0, 4.0], &mut y);
        assert_eq!(y, [2.0, 40.0, 5.0, 110.0, 8.0, 180.0, 3.0, 90.0]);
        data_gradient(&shape, &[1.0, 2.0, 3.0, 4.0], &[1.0; 8], &mut dx);
        assert_eq!(dx, [3.0, 7.0, 3.0, 7.0, 3.0, 7.0]);
        let dw = weight_gradient(&shape, &x, &[1.0; 8]);
        assert_eq!(dw, [6.0, 6.0, 60.0, 60.0]);
    }
}
