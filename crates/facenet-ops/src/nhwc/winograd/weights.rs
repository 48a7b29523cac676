//! Weights to points, packed for the kernels.

use std::ops::Range;

use rayon::prelude::*;

use crate::isa::Isa;
use crate::microkernels::Kernels;
use crate::microkernels::buffer::Buffer;
use crate::microkernels::winograd::Blocks;
use crate::microkernels::winograd::square::Square;
use crate::microkernels::winograd::turn::{Places, weight};
use crate::nhwc::panels::{BLOCK, Block};
use crate::nhwc::plan::ConvShape;

/// Channels of the widest panel.
const WIDEST: usize = 32;
const TAPS: usize = 9;
/// Rows whose taps are read together: whole blocks of them.
const ROWS: usize = 16;

/// `G w Gᵀ` of all weights, as panels for [`crate::microkernels::winograd::multiply`].
pub(crate) struct PointWeights {
    pub(super) values: Buffer<f32>,
    pub(super) blocks: Blocks,
    pub(super) isa: Isa,
}

impl PointWeights {
    /// For the forward pass.
    ///
    /// - `weights`: `[c_out, c_in, 3, 3]`
    pub(crate) fn forward(shape: &ConvShape, weights: &[f32], isa: Isa) -> Self {
        let len = shape.c_in * TAPS;
        Self::packed(shape.c_in, shape.c_out, isa, |rows, channels, taps| {
            let own = &weights[channels.start * len..channels.end * len];
            let first = rows.start * TAPS;
            for value in (first..rows.end * TAPS).step_by(BLOCK) {
                for lane in (0..channels.len()).step_by(BLOCK) {
                    let block = Block::read(own, (len, channels.len()), (value, lane));
                    let rows = taps[value - first..].iter_mut().take(BLOCK);
                    for (i, to) in rows.enumerate() {
                        block.write_column(i, &mut to[lane..lane + BLOCK]);
                    }
                }
            }
        })
    }

    /// For the data gradient: taps from the kernel's end, channels swapped.
    pub(super) fn gradient(shape: &ConvShape, weights: &[f32], isa: Isa) -> Self {
        let c_in = shape.c_in;
        Self::packed(shape.c_out, c_in, isa, |rows, channels, taps| {
            for (row, taps) in rows.zip(taps.chunks_exact_mut(TAPS)) {
                let own = row * c_in + channels.start..row * c_in + channels.end;
                let own = &weights[own.start * TAPS..own.end * TAPS];
                for lane in (0..channels.len()).step_by(BLOCK) {
                    let block = Block::read(own, (TAPS, channels.len()), (0, lane));
                    for (i, to) in taps.iter_mut().rev().enumerate() {
                        block.write_column(i, &mut to[lane..lane + BLOCK]);
                    }
                }
            }
        })
    }

    /// `rows` by `channels`: `read(rows, channels, taps)` writes the taps of the channels of each
    /// of some rows.
    fn packed(
        rows: usize,
        channels: usize,
        isa: Isa,
        read: impl Fn(Range<usize>, Range<usize>, &mut [[f32; WIDEST]]) + Sync,
    ) -> Self {
        let (kernels, blocks) = (Kernels::of_f32(isa), Blocks { rows, channels });
        let mut values = Buffer::<f32>::take(blocks.len(kernels));
        let panels = values.par_chunks_mut(blocks.stride(kernels)).enumerate();
        panels.for_each(|(block, panel)| {
            let block = blocks.block(kernels, block);
            let (first, width) = (block.channel, block.points.width);
            let mut taps = vec![[0.0; WIDEST]; ROWS * TAPS];
            for start in (0..rows).step_by(ROWS) {
                let own = start..rows.min(start + ROWS);
                let taps = &mut taps[..own.len() * TAPS];
                read(own.clone(), first..channels.min(first + width), taps);
                for (row, taps) in own.zip(taps.chunks_exact(TAPS)) {
                    let places = Places {
                        first: block.points.place(0, row),
                        stride: block.points.stride(),
                    };
                    let taps = Square::of_rows(taps.as_flattened(), WIDEST, width);
                    weight(isa, &taps, places, panel);
                }
            }
        });
        Self {
            values,
            blocks,
            isa,
        }
    }

    /// Gives the memory back for the next packing.
    pub(super) fn give_back(self) {
        self.values.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConvConfig;

    /// The first point of G is a quarter of the first tap along each axis, the last the last tap.
    #[test]
    fn points_of_a_row_are_those_of_its_channels_and_the_gradients_are_turned_about() {
        let config = ConvConfig::default();
        let shape = ConvShape::new(1, (3, 3), (2, 3), (3, 3), config).expect("it fits");
        let weights: Vec<_> = (0..54).map(|i| 16.0 * i as f32).collect();
        let first_and_last = |packed: PointWeights, row: usize| {
            let points = packed
                .blocks
                .block(Kernels::of_f32(Isa::Portable), 0)
                .points;
            [0, 35].map(|point| packed.values[points.place(point, row)..][..2].to_vec())
        };
        // Row 1 is input 1: taps 9 to 17 of output 0, 27 to 35 of output 1.
        let packed = PointWeights::forward(&shape, &weights, Isa::Portable);
        let expected = [vec![9.0, 27.0], vec![16.0 * 17.0, 16.0 * 35.0]];
        assert_eq!(first_and_last(packed, 1), expected);
        // Row 1 is output 1: taps 26 to 18 of input 0, 35 to 27 of input 1.
        let packed = PointWeights::gradient(&shape, &weights, Isa::Portable);
        let expected = [vec![26.0, 35.0], vec![16.0 * 18.0, 16.0 * 27.0]];
        assert_eq!(first_and_last(packed, 1), expected);
    }
}
