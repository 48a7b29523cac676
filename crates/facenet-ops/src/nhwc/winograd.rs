//! Winograd's F(4 x 4, 3 x 3): 3 x 3 convolutions of stride 1 by a quarter of the products.
//!
//! Tiles of 4 x 4 outputs read windows of 6 x 6 inputs; both are turned into 36 points, at each of
//! which a tile costs one product of a row of channels and a matrix, 36 instead of 144. Results
//! are off by 4e-6 of the largest value with 32 channels, 1.3e-5 with 256, ten times as much as the
//! direct ones: the transforms take differences of larger numbers.
//!
//! What is not finite in a window, or in a weight, makes all outputs that depend on it infinite
//! or NaN, and may make others of the same tile so. Inputs above 1e36 may overflow on the way.

mod gradient;
pub(crate) mod grid;
mod tiles;
pub(crate) mod weights;

use std::ops::Range;

use rayon::prelude::*;

use crate::isa::Isa;
use crate::microkernels::buffer::Buffer;
use crate::microkernels::lanes;
use crate::microkernels::winograd::gather::{Target, gather};
use crate::microkernels::winograd::square::Square;
use crate::microkernels::winograd::{Points, multiply};
use crate::microkernels::{Activation, Epilogue, Kernels};
use crate::nhwc::plan::ConvShape;
use crate::number::Number;
pub(crate) use gradient::weight_gradient;
use grid::Grid;
use tiles::{Source, TILES_AHEAD};
use weights::PointWeights;

/// Tiles that go through all steps together: two calls of the widest kernel.
const CHUNK: usize = 24;
/// Items that each thread should find.
const ITEMS: usize = 4;

/// The passes by this algorithm.
#[derive(Clone, Copy, Debug)]
pub struct Passes<T: Number> {
    pub(crate) forward: Forward<T>,
    pub(crate) forward_packed: ForwardPacked<T>,
    pub(crate) data_gradient: DataGradient<T>,
    pub(crate) weight_gradient: fn(&ConvShape, &[T], &[T]) -> Vec<f32>,
}

type Forward<T> = fn(&ConvShape, &[T], &[f32], &Epilogue<'_, T>, &mut [T]);
type ForwardPacked<T> = fn(&ConvShape, &[T], &PointWeights, &Epilogue<'_, T>, &mut [T]);
type DataGradient<T> = fn(&ConvShape, &[f32], &[T], &Epilogue<'_, T>, &mut [T]);

/// Of `f32`, the only numbers that the transforms are exact enough in.
pub(crate) const PASSES: Passes<f32> = Passes {
    forward,
    forward_packed,
    data_gradient,
    weight_gradient,
};

/// Whether this algorithm is for such a convolution.
pub(crate) fn is_possible(shape: &ConvShape) -> bool {
    let padding = shape.config.padding;
    shape.kernel == (3, 3) && shape.config.stride == (1, 1) && padding.0 <= 2 && padding.1 <= 2
}

/// Writes the output with its epilogue, `[n, out_h, out_w, c_out]`.
///
/// # Panics
/// Unless [`is_possible`], or where lengths disagree with the shape.
pub(crate) fn forward(
    shape: &ConvShape,
    x: &[f32],
    weight: &[f32],
    epilogue: &Epilogue<'_, f32>,
    y: &mut [f32],
) {
    assert!(is_possible(shape), "3 x 3, stride 1, padding up to 2");
    let weights = PointWeights::forward(shape, weight, Isa::current());
    forward_packed(shape, x, &weights, epilogue, y);
    weights.give_back();
}

/// [`forward`] with its weights packed.
///
/// # Panics
/// As [`forward`], and where the weights are not of this shape.
pub(crate) fn forward_packed(
    shape: &ConvShape,
    x: &[f32],
    weights: &PointWeights,
    epilogue: &Epilogue<'_, f32>,
    y: &mut [f32],
) {
    assert!(is_possible(shape), "3 x 3, stride 1, padding up to 2");
    run(&Grid::forward(shape), x, weights, epilogue, y);
}

/// Writes the input's gradient, `[n, h, w, c_in]`, of the output's, with an epilogue.
///
/// # Panics
/// As [`forward`].
pub(crate) fn data_gradient(
    shape: &ConvShape,
    weight: &[f32],
    grad: &[f32],
    epilogue: &Epilogue<'_, f32>,
    dx: &mut [f32],
) {
    assert!(is_possible(shape), "3 x 3, stride 1, padding up to 2");
    let weights = PointWeights::gradient(shape, weight, Isa::current());
    run(&Grid::gradient(shape), grad, &weights, epilogue, dx);
    weights.give_back();
}

/// A convolution, threaded by rows of tiles. A tile is computed by itself, so no bit depends on
/// the threads.
fn run(
    grid: &Grid,
    source: &[f32],
    weights: &PointWeights,
    epilogue: &Epilogue<'_, f32>,
    target: &mut [f32],
) {
    let channels = weights.blocks.channels;
    let pixels = |size: (usize, usize)| grid.n * size.0 * size.1;
    assert_eq!(source.len(), pixels(grid.source) * weights.blocks.rows);
    assert_eq!(target.len(), pixels(grid.target) * channels);
    check(epilogue, channels, target.len());
    let items = items(grid, rayon::current_num_threads());
    let mut rest = target;
    let mut parts = Vec::with_capacity(items.len());
    for rows in items {
        let pixels = grid.pixels_before(rows.end) - grid.pixels_before(rows.start);
        let (own, others) = rest.split_at_mut(pixels * channels);
        rest = others;
        parts.push((rows, own));
    }
    let run = |(rows, target)| run_rows(grid, rows, source, weights, epilogue, target);
    parts.into_par_iter().for_each(run);
}

fn check(epilogue: &Epilogue<'_, f32>, channels: usize, target: usize) {
    let slopes = match epilogue.activation {
        Activation::Prelu(slopes) => Some(slopes),
        _ => None,
    };
    for vector in epilogue.scale.iter().chain(&epilogue.bias).chain(&slopes) {
        assert_eq!(vector.len(), channels, "a value for each channel");
    }
    if let Some(added) = &epilogue.added {
        assert_eq!(added.values.len(), target, "what is added is as the target");
    }
}

/// Stretches of rows of tiles, through all images: several a thread where each still fills a
/// chunk, one a thread otherwise.
fn items(grid: &Grid, threads: usize) -> Vec<Range<usize>> {
    let rows = grid.n * grid.rows();
    let chunks = grid.tiles() / CHUNK;
    let items = chunks.clamp(threads, threads * ITEMS).clamp(1, rows.max(1));
    let item = |item| rows * item / items..rows * (item + 1) / items;
    (0..items).map(item).collect()
}

/// The tiles of some rows in chunks: inputs to points, products, and back.
fn run_rows(
    grid: &Grid,
    rows: Range<usize>,
    source: &[f32],
    weights: &PointWeights,
    epilogue: &Epilogue<'_, f32>,
    target: &mut [f32],
) {
    let (isa, blocks) = (weights.isa, weights.blocks);
    let channels = blocks.channels;
    let kernels = Kernels::of_f32(isa);
    let points = |rows, width| Points { rows, width };
    let widths = (
        blocks.rows.next_multiple_of(lanes::MOST),
        blocks.width(kernels),
    );
    let all = rows.len() * grid.columns();
    let n = all.div_ceil(CHUNK);
    let most = all.div_ceil(n.max(1));
    let mut from = Buffer::<f32>::take(points(most, widths.0).len());
    let mut to = Buffer::<f32>::take(points(most, widths.1).len());
    let (zeros, first) = (vec![0.0; blocks.rows], rows.start * grid.columns());
    let source = Source {
        values: source,
        zeros: &zeros,
    };
    let mut target = Target {
        first: grid.pixels_before(rows.start),
        channels,
        values: target,
    };
    for chunk in 0..n {
        let tiles = first + all * chunk / n..first + all * (chunk + 1) / n;
        let (before, after) = (points(tiles.len(), widths.0), points(tiles.len(), widths.1));
        source.spread(grid, tiles.clone(), isa, before, &mut from);
        multiply(kernels, (before, &from), (blocks, &weights.values), &mut to);
        for (row, tile) in tiles.clone().enumerate() {
            if tile + TILES_AHEAD < tiles.end {
                target.prefetch(&grid.targets(tile + TILES_AHEAD));
            }
            let products = Square::of_rows(&to[after.place(0, row)..], after.stride(), channels);
            gather(isa, &products, epilogue, &grid.targets(tile), &mut target);
        }
    }
    from.give_back();
    to.give_back();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConvConfig;
    use crate::isa::with_isa;
    use crate::microkernels::Added;
    use crate::nhwc::algorithm::Algorithm;
    use crate::nhwc::conv;

    fn numbers(n: usize, step: usize) -> Vec<f32> {
        (0..n)
            .map(|i| (i * step % 31) as f32 / 16.0 - 1.0)
            .collect()
    }

    #[test]
    fn an_epilogue_is_that_of_the_direct_algorithm() {
        let config = ConvConfig {
            stride: (1, 1),
            padding: (1, 0),
        };
        let shape = ConvShape::new(2, (9, 11), (5, 21), (3, 3), config).expect("it fits");
        let [x, weight] = [2 * shape.image(), 21 * 5 * 9].map(|n| numbers(n, 7));
        let [scale, bias, slopes] = [3, 5, 11].map(|step| numbers(21, step));
        let values = numbers(2 * shape.out_image(), 13);
        for activation in [
            Activation::Identity,
            Activation::Relu,
            Activation::Prelu(&slopes),
        ] {
            let epilogue = Epilogue {
                scale: Some(&scale),
                bias: Some(&bias),
                added: Some(Added {
                    values: &values,
                    scale: 0.5,
                }),
                activation,
            };
            for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
                let of = |algorithm| {
                    let mut y = vec![f32::NAN; values.len()];
                    let run = || {
                        let forward = match algorithm {
                            Algorithm::Direct => conv::forward::<f32>,
                            Algorithm::Winograd => forward,
                        };
                        forward(&shape, &x, &weight, &epilogue, &mut y);
                        Ok(())
                    };
                    with_isa(isa, run).expect("it is available");
                    y
                };
                let pairs = of(Algorithm::Winograd)
                    .into_iter()
                    .zip(of(Algorithm::Direct));
                // Sums of 45 products of numbers up to 1: 1e-5 of the largest.
                assert!(
                    pairs
                        .clone()
                        .all(|(found, expected)| (found - expected).abs() < 1e-4)
                );
            }
        }
    }

    #[test]
    fn rows_are_shared_out_once_each() {
        let config = ConvConfig {
            stride: (1, 1),
            padding: (1, 1),
        };
        for (n, threads) in [(0, 2), (1, 4), (30, 2), (3, 16)] {
            let shape = ConvShape::new(n, (17, 17), (3, 3), (3, 3), config).expect("it fits");
            let items = items(&Grid::forward(&shape), threads);
            assert!(items.windows(2).all(|pair| pair[0].end == pair[1].start));
            let ends = (items[0].start, items[items.len() - 1].end);
            assert_eq!(ends, (0, 5 * n));
        }
    }
}
