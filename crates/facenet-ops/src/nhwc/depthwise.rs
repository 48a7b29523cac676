//! Depthwise convolution: each channel with a kernel of its own; weights and sums are `f32`.

use rayon::prelude::*;

use crate::isa::Isa;
use crate::microkernels::depthwise::{Stretch, Tap};
use crate::nhwc::axis::{Group, Place};
use crate::nhwc::plan::ConvShape;
use crate::number::Number;

/// Parts that the weight gradient is summed in: fixed, so that no bit depends on the threads.
const PARTS: usize = 8;

/// One pass: every target pixel sums its taps.
struct Pass {
    /// Of each vertical group, a row's pixels by the taps that they read.
    stretches: Vec<Vec<Stretch>>,
    /// Of each target row, its vertical group and where in a source image its first tap's row
    /// begins.
    rows: Vec<(usize, usize)>,
    /// Elements of a source image and of a target row.
    sizes: (usize, usize),
    isa: Isa,
}

impl Pass {
    /// - `source`, `target`: rows and columns
    fn new(
        shape: &ConvShape,
        groups: &[Vec<Group>; 2],
        source: (usize, usize),
        target: (usize, usize),
    ) -> Self {
        let (c, [vertical, horizontal]) = (shape.c_in, groups);
        let mut rows = vec![(0, 0); target.0];
        for (number, group) in vertical.iter().enumerate() {
            for place in &group.places {
                rows[place.target] = (number, place.source * source.1 * c);
            }
        }
        let of_row = |v: &Group| -> Vec<_> {
            let stretch = |h: &Group| Stretch {
                taps: taps((&v.taps, &h.taps), shape.kernel.1, source.1, c),
                places: places(&h.places, c),
                channels: c,
            };
            horizontal.iter().map(stretch).collect()
        };
        Self {
            stretches: vertical.iter().map(of_row).collect(),
            rows,
            sizes: (source.0 * source.1 * c, target.1 * c),
            isa: Isa::current(),
        }
    }

    /// The stretches of row `row`, counted through all images, and the source from its first
    /// tap's row on.
    fn row<'a, T>(&self, row: usize, source: &'a [T]) -> (&[Stretch], &'a [T]) {
        let (image, row) = (row / self.rows.len(), row % self.rows.len());
        let (group, first) = self.rows[row];
        let image = &source[image * self.sizes.0..][..self.sizes.0];
        (&self.stretches[group], &image[first..])
    }

    /// All rows of all images in parallel.
    ///
    /// - `weights`: `[tap][channel]`
    fn run<T: Number>(&self, source: &[T], weights: &[f32], target: &mut [T]) {
        let rows = target.par_chunks_mut(self.sizes.1.max(1)).enumerate();
        rows.for_each(|(row, target)| {
            let (stretches, source) = self.row(row, source);
            for stretch in stretches {
                stretch.sum(self.isa, source, weights, target);
            }
        });
    }
}

/// All pairs of vertical and horizontal taps; a tap further reads a source pixel further.
fn taps(
    (vertical, horizontal): (&[usize], &[usize]),
    kernel_width: usize,
    source_width: usize,
    c: usize,
) -> Vec<Tap> {
    let pairs = vertical.iter().enumerate();
    let pairs = pairs.flat_map(|v| horizontal.iter().enumerate().map(move |h| (v, h)));
    let tap = |((y, tap_y), (x, tap_x))| Tap {
        source: (y * source_width + x) * c,
        weight: (tap_y * kernel_width + tap_x) * c,
    };
    pairs.map(tap).collect()
}

/// The same places in elements of pixels of `c`.
fn places(places: &[Place], c: usize) -> Vec<Place> {
    let scaled = |place: &Place| Place {
        source: place.source * c,
        target: place.target * c,
    };
    places.iter().map(scaled).collect()
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
    let pass = Pass::new(shape, &groups, shape.size, shape.out);
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
    let pass = Pass::new(shape, &groups, shape.out, shape.size);
    pass.run(grad, &by_tap(shape, weight, true), dx);
}

/// The weight's gradient, `[c, 1, kh, kw]`, of the output's.
pub(crate) fn weight_gradient<T: Number>(shape: &ConvShape, x: &[T], grad: &[T]) -> Vec<f32> {
    let (taps, c) = (shape.taps(), shape.c_in);
    let groups = shape.axes().map(|axis| axis.forward());
    let pass = Pass::new(shape, &groups, shape.size, shape.out);
    let rows = shape.n * shape.out.0;
    let part = |part: usize| {
        let mut sums = vec![0.0; taps * c];
        for row in rows * part / PARTS..rows * (part + 1) / PARTS {
            let (stretches, x) = pass.row(row, x);
            let grad = &grad[row * pass.sizes.1..][..pass.sizes.1];
            for stretch in stretches {
                stretch.add_products(pass.isa, x, grad, &mut sums);
            }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::ConvConfig;
    use crate::isa::with_isa;
    use crate::nhwc::axis::Axis;
    use crate::number::{Bf16, Format};

    /// Output, input's gradient, weight's gradient.
    type Three = [Vec<f64>; 3];

    /// Odd sixteenths in `(-1, 1)`: sums of up to 65,536 products are exact in `f32`.
    fn numbers(seed: u32, n: usize) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 28) as f32 * 2.0 - 15.0) / 16.0
        };
        (0..n).map(|_| next()).collect()
    }

    /// The source position of a tap of an output along one axis, where it is inside.
    fn source(axis: &Axis, out: usize, tap: usize) -> Option<usize> {
        let at = (out * axis.stride + tap).checked_sub(axis.padding)?;
        (at < axis.size).then_some(at)
    }

    /// The passes by their definition.
    fn naive(shape: &ConvShape, x: &[f32], weight: &[f32], grad: &[f32]) -> Three {
        let (c, [vertical, horizontal]) = (shape.c_in, shape.axes());
        let mut sums = [grad.len(), x.len(), weight.len()].map(|n| vec![0.0; n]);
        let taps = (0..grad.len()).flat_map(|at| (0..shape.taps()).map(move |tap| (at, tap)));
        for (at, tap) in taps {
            let (pixel, channel) = (at / c, at % c);
            let (row, column) = (pixel / shape.out.1, pixel % shape.out.1);
            let (image, row) = (row / shape.out.0, row % shape.out.0);
            let row = source(&vertical, row, tap / shape.kernel.1);
            let column = source(&horizontal, column, tap % shape.kernel.1);
            let (Some(row), Some(column)) = (row, column) else {
                continue;
            };
            let from = ((image * shape.size.0 + row) * shape.size.1 + column) * c + channel;
            let tap = channel * shape.taps() + tap;
            let [x, weight, grad] = [x[from], weight[tap], grad[at]].map(f64::from);
            sums[0][at] += x * weight;
            sums[1][from] += weight * grad;
            sums[2][tap] += x * grad;
        }
        sums
    }

    fn found<T: Number>(shape: &ConvShape, x: &[f32], weight: &[f32], grad: &[f32]) -> Three {
        let narrow = |values: &[f32]| values.iter().map(|&v| T::of(v)).collect::<Vec<_>>();
        let (x, grad) = (narrow(x), narrow(grad));
        let (mut y, mut dx) = (
            vec![T::of(f32::NAN); grad.len()],
            vec![T::of(f32::NAN); x.len()],
        );
        forward(shape, &x, weight, &mut y);
        data_gradient(shape, weight, &grad, &mut dx);
        let dw = weight_gradient(shape, &x, &grad);
        let wide = |values: &[T]| values.iter().map(|v| f64::from(v.widened())).collect();
        [wide(&y), wide(&dx), dw.into_iter().map(f64::from).collect()]
    }

    /// Whether it is the number that the sum is stored as.
    fn is_rounded<T: Number>(found: f64, sum: f64) -> bool {
        found == f64::from(T::of(sum as f32).widened()) || (found.is_nan() && sum.is_nan())
    }

    #[track_caller]
    fn check<T: Format>(shape: &ConvShape, odd_one: Option<(prop::sample::Index, f32)>) {
        let mut x = numbers(1, shape.n * shape.image());
        if let Some((at, value)) = odd_one {
            x[at.index(shape.n * shape.image())] = value;
        }
        let weight = numbers(2, shape.c_in * shape.taps());
        let grad = numbers(3, shape.n * shape.out_image());
        let [y, dx, dw] = naive(shape, &x, &weight, &grad);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let found = with_isa(isa, || Ok(found::<T>(shape, &x, &weight, &grad)));
            let found = found.expect("it is available");
            let all = |found: &[f64], sums: &[f64], is_it: fn(f64, f64) -> bool| {
                found.len() == sums.len() && found.iter().zip(sums).all(|(&a, &b)| is_it(a, b))
            };
            let are_they = [
                all(&found[0], &y, is_rounded::<T>),
                all(&found[1], &dx, is_rounded::<T>),
                all(&found[2], &dw, is_rounded::<f32>),
            ];
            let precision = T::PRECISION;
            assert_eq!(are_they, [true; 3], "{isa:?} {precision:?} {shape:?}");
        }
    }

    /// Kernels of the networks and larger ones.
    fn arb_shape() -> impl Strategy<Value = ConvShape> {
        let kernels = vec![(1, 1), (1, 7), (7, 1), (2, 3), (3, 3), (5, 5), (7, 7)];
        let channels = prop_oneof![3 => 1_usize..20, 1 => 20_usize..300];
        let parts = (
            (1_usize..6, 1_usize..21, 1_usize..21),
            channels,
            prop::sample::select(kernels),
            ((1_usize..4, 1_usize..4), (0_usize..5, 0_usize..5)),
        );
        parts.prop_filter_map(
            "it fits, and is not too large",
            |(images, c, kernel, steps)| {
                let config = ConvConfig {
                    stride: steps.0,
                    padding: steps.1,
                };
                let shape =
                    ConvShape::new(images.0, (images.1, images.2), (c, c), kernel, config).ok()?;
                let products = shape.n * shape.out_image() * shape.taps();
                (products < 400_000).then_some(shape)
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn every_set_gives_the_sums_that_f64_does(
            shape in arb_shape(),
            odd_one in prop::option::weighted(0.2, (
                any::<prop::sample::Index>(),
                prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
            )),
        ) {
            check::<f32>(&shape, odd_one);
            check::<Bf16>(&shape, odd_one);
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let config = ConvConfig {
            stride: (2, 1),
            padding: (2, 1),
        };
        let shape = ConvShape::new(3, (19, 17), (37, 37), (5, 3), config).expect("it fits");
        let (x, weight) = (
            numbers(1, shape.n * shape.image()),
            numbers(2, 37 * shape.taps()),
        );
        let grad = numbers(3, shape.n * shape.out_image());
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let [one, two, four] = [1, 2, 4].map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let run = || with_isa(isa, || Ok(found::<f32>(&shape, &x, &weight, &grad)));
                pool.expect("threads")
                    .install(run)
                    .expect("it is available")
            });
            assert!(one == two && one == four, "{isa:?}");
        }
    }

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
