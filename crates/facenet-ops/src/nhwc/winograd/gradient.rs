//! The weight gradient: `Gᵀ [Σ (Bᵀ d B) (A g Aᵀ)] G` over all tiles, the transpose of the forward
//! pass.

use std::ops::Range;

use rayon::prelude::*;

use super::grid::Grid;
use super::tiles::Source;
use super::{CHUNK, is_possible};
use crate::isa::Isa;
use crate::microkernels::Kernels;
use crate::microkernels::buffer::Buffer;
use crate::microkernels::lanes;
use crate::microkernels::winograd::square::Square;
use crate::microkernels::winograd::turn::{Places, taps};
use crate::microkernels::winograd::{Blocks, Gradient, Points};
use crate::nhwc::plan::ConvShape;
use crate::nhwc::rows;

/// Parts that small sums are made in: fixed, so that no bit depends on the threads.
const PARTS: usize = 4;
/// Bytes of small sums.
const SMALL: usize = 320 * 1024;
/// Bytes of the points of tiles that are summed together: the sums, which may be as large, are
/// read and written once for all of them.
const TOGETHER: usize = 4 * 1024 * 1024;
/// Most groups of tiles that are summed together.
const GROUPS: usize = 20;
/// Output channels that are folded together.
const CHANNELS: usize = 16;
/// Taps of a kernel.
const TAPS: usize = 9;

/// The weight's gradient, `[c_out, c_in, 3, 3]`, of the output's.
///
/// # Panics
/// Unless [`is_possible`], or where lengths disagree with the shape.
pub(crate) fn weight_gradient(shape: &ConvShape, x: &[f32], grad: &[f32]) -> Vec<f32> {
    assert!(is_possible(shape), "3 x 3, stride 1, padding up to 2");
    assert_eq!(x.len(), shape.n * shape.image());
    assert_eq!(grad.len(), shape.n * shape.out_image());
    let isa = Isa::current();
    let pass = Pass {
        shape,
        grid: Grid::forward(shape),
        kernels: Kernels::of_f32(isa),
        isa,
        x,
        grad,
        zeros: vec![0.0; shape.c_in.max(shape.c_out)],
    };
    let (points, tiles) = (pass.sums(), pass.grid.tiles());
    let is_small = points.len() * 4 <= SMALL && tiles >= 2 * PARTS * CHUNK;
    let parts = if is_small { PARTS } else { 1 };
    let mut sums = Buffer::<f32>::take(parts * points.len());
    let each = sums.par_chunks_mut(points.len()).enumerate();
    each.for_each(|(part, sums)| {
        pass.sum(tiles * part / parts..tiles * (part + 1) / parts, sums);
    });
    let dw = folded(shape, points, &mut sums, isa);
    sums.give_back();
    dw
}

/// All that the parts of one weight gradient share.
struct Pass<'a> {
    shape: &'a ConvShape,
    grid: Grid,
    kernels: &'static Kernels<f32>,
    isa: Isa,
    x: &'a [f32],
    grad: &'a [f32],
    /// A pixel outside.
    zeros: Vec<f32>,
}

impl Pass<'_> {
    /// A group of tiles of the input.
    fn inputs(&self) -> Points {
        Points {
            rows: CHUNK,
            width: self.shape.c_in.next_multiple_of(lanes::MOST),
        }
    }

    /// A group of tiles of the gradient.
    fn grads(&self) -> Blocks {
        Blocks {
            rows: CHUNK,
            channels: self.shape.c_out,
        }
    }

    fn sums(&self) -> Points {
        Points {
            rows: self.shape.c_in,
            width: self.grads().width(self.kernels),
        }
    }

    /// The sums over some tiles, in chunks of groups.
    fn sum(&self, tiles: Range<usize>, sums: &mut [f32]) {
        if tiles.is_empty() {
            return sums.fill(0.0);
        }
        let group = 4 * (self.inputs().len() + self.grads().len(self.kernels));
        let most = CHUNK * (TOGETHER / group).clamp(1, GROUPS);
        let n = tiles.len().div_ceil(most);
        for chunk in 0..n {
            let (first, all) = (tiles.start, tiles.len());
            let tiles = first + all * chunk / n..first + all * (chunk + 1) / n;
            self.sum_chunk(tiles, chunk > 0, sums);
        }
    }

    /// Groups in parallel, then points.
    fn sum_chunk(&self, tiles: Range<usize>, is_added: bool, sums: &mut [f32]) {
        let (inputs, grads) = (self.inputs(), self.grads());
        let (n, group) = (tiles.len().div_ceil(CHUNK), grads.len(self.kernels));
        let mut input = Buffer::<f32>::take(n * inputs.len());
        let mut grad = Buffer::<f32>::take(n * group);
        let both = input
            .par_chunks_mut(inputs.len())
            .zip(grad.par_chunks_mut(group));
        both.enumerate().for_each(|(number, (input, grad))| {
            let first = tiles.start + number * CHUNK;
            self.spread(first..tiles.end.min(first + CHUNK), input, grad);
        });
        let c_in = self.shape.c_in;
        let both = Gradient::new(
            self.kernels,
            tiles.len(),
            c_in,
            (inputs, &input),
            (grads, &grad),
        );
        let points = sums.par_chunks_mut(both.sums().stride()).enumerate();
        points.for_each(|(point, sums)| both.sum(point, is_added, sums));
        input.give_back();
        grad.give_back();
    }

    /// A group's tiles as points.
    fn spread(&self, tiles: Range<usize>, input: &mut [f32], grad: &mut [f32]) {
        let source = |values, channels| Source {
            values,
            zeros: &self.zeros[..channels],
        };
        let (x, grads) = (
            source(self.x, self.shape.c_in),
            source(self.grad, self.shape.c_out),
        );
        x.spread(&self.grid, tiles.clone(), self.isa, self.inputs(), input);
        grads.spread_gradient(&self.grid, tiles, self.isa, self.grads(), grad);
    }
}

/// The parts' sums, first to last, as taps of `[c_out, c_in, 3, 3]`.
fn folded(shape: &ConvShape, points: Points, sums: &mut [f32], isa: Isa) -> Vec<f32> {
    let (sum, others) = sums.split_at_mut(points.len());
    others
        .chunks_exact(points.len())
        .for_each(|part| rows::add(sum, part));
    let row = shape.c_in * TAPS;
    let mut dw = vec![0.0; shape.c_out * row];
    let blocks = dw.par_chunks_mut(CHANNELS * row).enumerate();
    blocks.for_each(|(block, dw)| {
        let (first, n) = (block * CHANNELS, dw.len() / row);
        let mut sums = [[0.0; CHANNELS]; TAPS];
        let places = Places {
            first: 0,
            stride: CHANNELS,
        };
        for c_in in 0..shape.c_in {
            let own = &sum[points.place(0, c_in) + first..];
            let tile = Square::of_rows(own, points.stride(), n);
            taps(isa, &tile, places, sums.as_flattened_mut());
            for (lane, dw) in dw.chunks_exact_mut(row).enumerate() {
                let own = dw[c_in * TAPS..][..TAPS].iter_mut().zip(&sums);
                own.for_each(|(dw, sums)| *dw = sums[lane]);
            }
        }
    });
    dw
}
