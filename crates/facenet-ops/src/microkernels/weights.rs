//! The weight gradient.
#![expect(unsafe_code, reason = "kernels take pointers")]

use std::ops::Range;

use rayon::prelude::*;

pub(crate) use super::kernels::AHEAD;
use super::kernels::{Kernels, WeightTile};
use crate::isa::Isa;
use crate::microkernels::buffer::Buffer;
use crate::nhwc::plan::ConvShape;
use crate::nhwc::weight_plan::{Chunk, WeightPlan};
use crate::number::Number;
use crate::own::element::wide;

/// Parts that a small result is summed in: fixed, so that no bit depends on the threads.
const PARTS: usize = 4;
/// Bytes of a small result.
const SMALL: usize = 320 * 1024;
/// Bytes of packed gradient that stay in L2 while all tiles pass.
const PACKED: usize = 384 * 1024;
/// Output channels that are unpacked together.
const CHANNELS: usize = 16;

/// Rows of the result, `[tap, channel in]`, that one call of a kernel makes.
#[derive(Clone, Copy, Debug)]
struct Rows {
    first: usize,
    len: usize,
    element: usize,
    table: usize,
}

/// All that the parts of one weight gradient share. Of pairs of numbers, a pair is the same
/// element of two images, and two images count as one: so every tap, stride and padding finds
/// whole pairs.
struct Pass<'a, T: Number> {
    shape: &'a ConvShape,
    plan: &'a WeightPlan,
    kernels: &'static Kernels<T>,
    x: &'a [T],
    grad: &'a [T],
    tiles: Vec<Rows>,
    /// Channels of the result as packed.
    width: usize,
}

/// `Σ x grad` over all pixels for each weight, `[c_out, c_in, kh, kw]`.
///
/// A small result is summed in four parts of the pixels, which are added in order; of a large one
/// each thread makes its own rows.
///
/// # Panics
/// Where lengths disagree with the shape.
pub(crate) fn gradient<T: Number>(
    shape: &ConvShape,
    plan: &WeightPlan,
    x: &[T],
    grad: &[T],
    isa: Isa,
) -> Vec<f32> {
    assert_eq!(
        x.len(),
        shape.n * shape.image(),
        "the input holds the images"
    );
    assert_eq!(
        grad.len(),
        shape.n * shape.out_image(),
        "the gradient holds the images"
    );
    let kernels = T::kernels(isa);
    let blocks = shape.c_out.div_ceil(kernels.width());
    let width = (blocks - 1) * kernels.width() + kernels.packed(blocks - 1, shape.c_out);
    let tiles = tiles(plan, kernels.pixels);
    let pass = Pass {
        shape,
        plan,
        kernels,
        x,
        grad,
        tiles,
        width,
    };
    let (size, jobs) = (shape.taps() * shape.c_in * width, pass.jobs());
    let parts = if size * 4 <= SMALL && jobs >= 2 * PARTS {
        PARTS
    } else {
        1
    };
    let mut sums = Buffer::<f32>::take(parts * size);
    if parts > 1 {
        sums.par_chunks_mut(size)
            .enumerate()
            .for_each(|(part, sums)| {
                pass.add_up(
                    jobs * part / parts..jobs * (part + 1) / parts,
                    &pass.tiles,
                    sums,
                );
            });
    } else {
        pass.by_rows(jobs, &mut sums);
    }
    let dw = unpacked(shape, &sums, width);
    sums.give_back();
    dw
}

/// The units' rows, shared out evenly among as few tiles as can be.
fn tiles(plan: &WeightPlan, most: usize) -> Vec<Rows> {
    let mut tiles = Vec::new();
    for unit in plan.units() {
        let n = unit.rows.div_ceil(most);
        for tile in 0..n {
            let (first, end) = (unit.rows * tile / n, unit.rows * (tile + 1) / n);
            tiles.push(Rows {
                first: unit.row + first,
                len: end - first,
                element: unit.element + first,
                table: unit.table,
            });
        }
    }
    tiles
}

impl<T: Number> Pass<'_, T> {
    /// Images as the plan counts them.
    fn images(&self) -> usize {
        self.shape.n.div_ceil(T::PACK)
    }

    /// Chunks of all groups of images.
    fn jobs(&self) -> usize {
        self.images().div_ceil(self.plan.images()) * self.plan.chunks().len()
    }

    /// The whole sum, rows shared out among the threads.
    fn by_rows(&self, jobs: usize, sums: &mut [f32]) {
        let shares = rayon::current_num_threads().min(self.tiles.len());
        let mut rest = sums;
        let mut parts = Vec::with_capacity(shares);
        for share in 0..shares {
            let n = self.tiles.len();
            let tiles = &self.tiles[n * share / shares..n * (share + 1) / shares];
            let rows: usize = tiles.iter().map(|rows| rows.len).sum();
            let (own, others) = rest.split_at_mut(rows * self.width);
            rest = others;
            parts.push((tiles, own));
        }
        parts
            .into_par_iter()
            .for_each(|(tiles, sums)| self.add_up(0..jobs, tiles, sums));
    }

    /// The sum over `jobs` for the rows of `tiles`, which are those of `sums`.
    fn add_up(&self, jobs: Range<usize>, tiles: &[Rows], sums: &mut [f32]) {
        if jobs.is_empty() {
            return sums.fill(0.0);
        }
        let chunks = self.plan.chunks();
        let first = jobs.start;
        for job in jobs {
            let chunk = &chunks[job % chunks.len()];
            let image = job / chunks.len() * self.plan.images();
            let images = self.plan.images().min(self.images() - image);
            self.add_chunk(chunk, image..image + images, tiles, job != first, sums);
        }
    }

    fn add_chunk(
        &self,
        chunk: &Chunk,
        images: Range<usize>,
        tiles: &[Rows],
        is_added: bool,
        sums: &mut [f32],
    ) {
        let pixels = chunk.out_rows.len() * self.shape.out.1 * images.len();
        let mut packed = Buffer::take(pixels * self.width);
        self.pack(chunk, images.clone(), &mut packed);
        let mut pairs = Buffer::take(0);
        let input = self.input(chunk, images.clone(), &mut pairs);
        let blocks = self.shape.c_out.div_ceil(self.kernels.width());
        let group = (PACKED / (pixels * self.kernels.width() * 4)).clamp(1, blocks);
        let first_row = tiles.first().map_or(0, |rows| rows.first);
        for first in (0..blocks).step_by(group) {
            for rows in tiles {
                let table = self.plan.table(chunk.tables[rows.table], images.len());
                let (table, _) = table.split_at(table.len() - AHEAD);
                for block in first..blocks.min(first + group) {
                    let channel = block * self.kernels.width();
                    let place = (rows.first - first_row) * self.width + channel;
                    self.run_tile(
                        *rows,
                        block,
                        table,
                        (&packed[channel * pixels..], input),
                        &mut sums[place..],
                        is_added,
                    );
                }
            }
        }
        packed.give_back();
        pairs.give_back();
    }

    /// The chunk's images from its first row on; pairs are made in a buffer.
    fn input<'a>(
        &'a self,
        chunk: &Chunk,
        images: Range<usize>,
        pairs: &'a mut Buffer<T::Step>,
    ) -> &'a [T::Step] {
        let (image, row) = (self.shape.image(), self.shape.size.1 * self.shape.c_in);
        let (first, len) = (chunk.first_row * row, chunk.in_rows * row);
        if let Some(steps) = T::in_place(self.x) {
            return &steps[images.start * image + first..];
        }
        pairs.resize(images.len() * image);
        for (place, number) in images.enumerate() {
            let (own, partner) = self.both(self.x, image, number);
            let partner = partner.map(|partner| &partner[first..][..len]);
            let steps = &mut pairs[place * image..][..len];
            wide(|| T::pair(&own[first..][..len], partner, steps));
        }
        pairs
    }

    /// The images that image `number`, as the plan counts, is made of.
    fn both<'a>(&self, values: &'a [T], image: usize, number: usize) -> (&'a [T], Option<&'a [T]>) {
        let all = values[number * T::PACK * image..].split_at(image);
        let is_pair = T::PACK > 1 && number * T::PACK + 1 < self.shape.n;
        (all.0, is_pair.then_some(all.1))
    }

    fn run_tile(
        &self,
        rows: Rows,
        block: usize,
        table: &[[i32; 2]],
        (panel, input): (&[T::Step], &[T::Step]),
        sums: &mut [f32],
        is_added: bool,
    ) {
        let ends = table.as_ptr_range();
        let tile = WeightTile {
            panel: panel.as_ptr(),
            input: input.as_ptr().wrapping_add(rows.element),
            table: ends.start,
            table_end: ends.end,
            output: sums.as_mut_ptr(),
            row: self.width,
            is_added,
        };
        let vectors = self.kernels.packed(block, self.shape.c_out) / self.kernels.lanes;
        assert!(sums.len() >= (rows.len - 1) * self.width + vectors * self.kernels.lanes);
        // SAFETY: the plan's entries, with the rows' element, lie in the chunk's images, its
        // rows in the packed pixels; entries to prefetch by follow the table; the sums hold the
        // rows, as was just seen.
        unsafe { self.kernels.weight_tiles[vectors - 1][rows.len - 1](&tile) };
    }

    /// The gradient of a chunk's pixels as panels `[pixel][channel]`; zeros fill the last one up.
    fn pack(&self, chunk: &Chunk, images: Range<usize>, packed: &mut [T::Step]) {
        let (c, per_image) = (self.shape.c_out, chunk.out_rows.len() * self.shape.out.1);
        let pixels = per_image * images.len();
        for (block, first) in (0..c).step_by(self.kernels.width()).enumerate() {
            let width = self.kernels.packed(block, c);
            let there = width.min(c - first);
            let panel = &mut packed[first * pixels..][..width * pixels];
            let panels = panel.chunks_exact_mut(per_image * width);
            for (image, panel) in images.clone().zip(panels) {
                let (own, partner) = self.both(self.grad, self.shape.out_image(), image);
                let from = chunk.out_rows.start * self.shape.out.1 * c + first;
                wide(|| {
                    for (pixel, row) in panel.chunks_exact_mut(width).enumerate() {
                        let at = from + pixel * c..from + pixel * c + there;
                        let partner = partner.map(|grad| &grad[at.clone()]);
                        T::pair(&own[at], partner, &mut row[..there]);
                        row[there..].fill(T::Step::default());
                    }
                });
            }
        }
    }
}

/// The sum of the parts `[tap, channel in][width]`, first to last, as `[c_out, c_in, kh, kw]`.
fn unpacked(shape: &ConvShape, sums: &[f32], width: usize) -> Vec<f32> {
    let (taps, c_in) = (shape.taps(), shape.c_in);
    let (rows, size) = (taps * c_in, taps * c_in * width);
    // Where the rows lie, by the order of `dw`, so that its lines are written as wholes.
    let place = |row: usize| (row % taps * c_in + row / taps) * width;
    let places: Vec<_> = (0..rows).map(place).collect();
    let mut dw = vec![0.0; shape.c_out * rows];
    let blocks = dw.par_chunks_mut(CHANNELS * rows).enumerate();
    blocks.for_each(|(block, dw)| {
        let first = block * CHANNELS;
        for (step, places) in places.chunks(CHANNELS).enumerate() {
            let mut block = [[0.0; CHANNELS]; CHANNELS];
            for part in sums.chunks_exact(size) {
                for (to, &place) in block.iter_mut().zip(places) {
                    let from = &part[place + first..];
                    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                }
            }
            for (o, dw) in dw.chunks_exact_mut(rows).enumerate() {
                let to = dw[step * CHANNELS..].iter_mut().zip(&block);
                to.for_each(|(to, row)| *to = row[o]);
            }
        }
    });
    dw
}
