//! Tiles to points.

use std::ops::Range;

use super::grid::{Grid, Pixels, TILE};
use crate::isa::Isa;
use crate::microkernels::Kernels;
use crate::microkernels::winograd::square::Square;
use crate::microkernels::winograd::turn::{Places, gradient, input};
use crate::microkernels::winograd::{Blocks, Points};

/// How many tiles before it is read a tile is asked for from memory: its rows lie too far apart
/// for the processor to guess them.
pub(super) const TILES_AHEAD: usize = 2;

/// Images whose pixels are read as tiles.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) values: &'a [f32],
    /// A pixel outside: as many zeros as there are channels.
    pub(super) zeros: &'a [f32],
}

impl<'a> Source<'a> {
    /// The channels of each pixel, zeros outside.
    fn square<const N: usize>(&self, places: &Pixels<N>) -> Square<'a, N> {
        Square::of_pixels(self.values, places, self.zeros)
    }

    /// Calls `turn(row, square)` for each tile, counted from 0, with the pixels that `places` gives
    /// for it, which have been asked for some tiles before.
    fn each<const N: usize>(
        &self,
        tiles: Range<usize>,
        places: impl Fn(usize) -> Pixels<N>,
        mut turn: impl FnMut(usize, &Square<'a, N>),
    ) {
        let mut ahead = [None; TILES_AHEAD];
        for tile in tiles.start..tiles.end + TILES_AHEAD {
            let slot = &mut ahead[tile % TILES_AHEAD];
            if let Some(square) = slot.take() {
                turn(tile - TILES_AHEAD - tiles.start, &square);
            }
            if tile < tiles.end {
                let square = self.square(&places(tile));
                // A window's first columns were the last ones of the tile before.
                square.prefetch(N.saturating_sub(TILE));
                *slot = Some(square);
            }
        }
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
        self.each(
            tiles,
            |tile| grid.window(tile),
            |row, window| {
                let places = Places {
                    first: points.place(0, row),
                    stride: points.stride(),
                };
                input(isa, window, places, target);
            },
        );
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
        self.each(
            tiles,
            |tile| grid.targets(tile),
            |row, pixels| {
                for block in blocks.all(kernels) {
                    let end = (block.channel + block.points.width).min(blocks.channels);
                    let places = Places {
                        first: block.start + block.points.place(0, row),
                        stride: block.points.stride(),
                    };
                    gradient(isa, &pixels.part(block.channel..end), places, target);
                }
            },
        );
    }
}
