//! Tiles to points.

use std::ops::Range;

use super::grid::{Grid, Pixels};
use crate::isa::Isa;
use crate::microkernels::Kernels;
use crate::microkernels::winograd::turn::{Places, Tile, gradient, input};
use crate::microkernels::winograd::{Blocks, Points};

/// Images whose pixels are read as tiles.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) values: &'a [f32],
    /// A pixel outside: as many zeros as there are channels.
    pub(super) zeros: &'a [f32],
}

impl<'a> Source<'a> {
    /// The channels of each pixel, zeros outside.
    fn pixels<const N: usize>(&self, places: &Pixels<N>) -> Tile<'a, N> {
        let c = self.zeros.len();
        let mut pixels = [[self.zeros; N]; N];
        for (y, pixels) in pixels.iter_mut().enumerate() {
            for (x, pixel) in pixels.iter_mut().enumerate() {
                if let Some(place) = places.get(y, x) {
                    *pixel = &self.values[place * c..][..c];
                }
            }
        }
        pixels
    }

    /// Writes `Bᵀ d B` of each tile's window, `[point][tile][channel]`.
    pub(super) fn spread(
        &self,
        grid: &Grid,
        tiles: Range<usize>,
        isa: Isa,
        points: Points,
        target: &mut [f32],
    ) {
        for (row, tile) in tiles.enumerate() {
            let pixels = self.pixels(&grid.window(tile));
            let places = Places {
                first: points.place(0, row),
                stride: points.stride(),
            };
            input(isa, &pixels, places, target);
        }
    }

    /// Writes `A g Aᵀ` of each tile of an output's gradient, in blocks.
    pub(super) fn spread_gradient(
        &self,
        grid: &Grid,
        tiles: Range<usize>,
        isa: Isa,
        blocks: Blocks,
        target: &mut [f32],
    ) {
        let kernels = Kernels::of_f32(isa);
        for (row, tile) in tiles.enumerate() {
            let pixels = self.pixels(&grid.targets(tile));
            for block in blocks.all(kernels) {
                let end = (block.channel + block.points.width).min(blocks.channels);
                let pixels = pixels.map(|row| row.map(|pixel| &pixel[block.channel..end]));
                let places = Places {
                    first: block.start + block.points.place(0, row),
                    stride: block.points.stride(),
                };
                gradient(isa, &pixels, places, target);
            }
        }
    }
}
