//! Weights packed for the kernels.

use rayon::prelude::*;

use crate::isa::Isa;
use crate::microkernels::buffer::Buffer;
use crate::nhwc::plan::ConvShape;
use crate::number::Number;

/// Panels of output channels, each `[tap, channel in][width]` in steps; zeros fill the last one
/// up.
pub(crate) struct Panels<T: Number> {
    pub(crate) values: Buffer<T::Step>,
    /// Rows of a panel.
    pub(crate) steps: usize,
    /// Channels of all panels.
    pub(crate) channels: usize,
    pub(crate) isa: Isa,
}

impl<T: Number> Panels<T> {
    /// For [`super::plan::Plan::forward`].
    ///
    /// - `weight`: `[c_out, c_in, kh, kw]`
    pub(crate) fn forward(shape: &ConvShape, weight: &[f32], isa: Isa) -> Self {
        let (taps, c_in) = (shape.taps(), shape.c_in);
        let rows = taps * c_in;
        Self::packed(shape.c_out, (taps, c_in), isa, |first, width, panel| {
            let lanes = width.min(shape.c_out - first);
            let weight = &weight[first * rows..][..lanes * rows];
            for_blocks(rows, width, |row, lane| {
                let block = Block::read(weight, (rows, lanes), (row, lane));
                let n = BLOCK.min(width - lane);
                for (i, row) in (row..rows.min(row + BLOCK)).enumerate() {
                    let step = row % taps * c_in + row / taps;
                    block.write_column(i, &mut panel[step * width + lane..][..n]);
                }
            });
        })
    }

    /// For [`super::plan::Plan::gradient`]: taps from the kernel's end, channels swapped.
    pub(crate) fn gradient(shape: &ConvShape, weight: &[f32], isa: Isa) -> Self {
        let (taps, c_in, c_out) = (shape.taps(), shape.c_in, shape.c_out);
        Self::packed(c_in, (taps, c_out), isa, |first, width, panel| {
            let lanes = width.min(c_in - first);
            for o in 0..c_out {
                let weight = &weight[(o * c_in + first) * taps..][..lanes * taps];
                if taps == 1 {
                    let (there, beyond) = panel[o * width..][..width].split_at_mut(lanes);
                    there.copy_from_slice(weight);
                    beyond.fill(0.0);
                    continue;
                }
                for_blocks(taps, width, |tap, lane| {
                    let block = Block::read(weight, (taps, lanes), (tap, lane));
                    let n = BLOCK.min(width - lane);
                    for (i, tap) in (tap..taps.min(tap + BLOCK)).enumerate() {
                        let step = (taps - 1 - tap) * c_out + o;
                        block.write_column(i, &mut panel[step * width + lane..][..n]);
                    }
                });
            }
        })
    }

    /// Panels for `channels`, each by `pack(first channel, width, panel in f32)`.
    ///
    /// - `rows`: taps, and channels that are read
    fn packed(
        channels: usize,
        rows: (usize, usize),
        isa: Isa,
        pack: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) -> Self {
        let kernels = T::kernels(isa);
        let (width, steps) = (kernels.width(), rows.0 * rows.1.div_ceil(T::PACK));
        let blocks = channels.div_ceil(width);
        let len = (blocks - 1) * width + kernels.packed(blocks - 1, channels);
        let mut values = Buffer::take(len * steps);
        let panels = values.par_chunks_mut((width * steps).max(1)).enumerate();
        panels.for_each(|(block, panel)| {
            let own = kernels.packed(block, channels);
            T::panel(panel, (rows.1, own), |panel| {
                pack(block * width, own, panel);
            });
        });
        Self {
            values,
            steps,
            channels,
            isa,
        }
    }

    /// Gives the memory back for the next packing.
    pub(crate) fn give_back(self) {
        self.values.give_back();
    }
}

/// Rows and columns that are turned about together: a cache line of either.
pub(crate) const BLOCK: usize = 16;

/// Calls `f` with the first row and the first column of each block.
fn for_blocks(rows: usize, columns: usize, mut f: impl FnMut(usize, usize)) {
    for row in (0..rows).step_by(BLOCK) {
        for column in (0..columns).step_by(BLOCK) {
            f(row, column);
        }
    }
}

/// A corner of a matrix, to be written column by column.
pub(crate) struct Block([[f32; BLOCK]; BLOCK]);

impl Block {
    /// Of lanes of `len` values, `lanes` of them, from value `at.0` of lane `at.1` on; zeros
    /// beyond.
    pub(crate) fn read(lanes: &[f32], (len, n): (usize, usize), at: (usize, usize)) -> Self {
        let mut block = [[0.0; BLOCK]; BLOCK];
        let values = at.0..len.min(at.0 + BLOCK);
        for (to, lane) in block.iter_mut().zip(at.1..n) {
            let from = &lanes[lane * len..][values.clone()];
            to[..from.len()].copy_from_slice(from);
        }
        Self(block)
    }

    /// Value `i` of each lane.
    pub(crate) fn write_column(&self, i: usize, to: &mut [f32]) {
        to.iter_mut()
            .zip(&self.0)
            .for_each(|(to, lane)| *to = lane[i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConvConfig;

    /// Two inputs, three outputs, two taps: weight `[o][c][tap]` is `100 o + 10 c + tap`.
    #[test]
    fn panels_hold_taps_then_channels_and_the_gradients_are_turned_about() {
        let shape = ConvShape {
            n: 1,
            size: (1, 2),
            c_in: 2,
            c_out: 3,
            kernel: (1, 2),
            out: (1, 1),
            config: ConvConfig::default(),
        };
        let weight: Vec<f32> = (0..12_u8)
            .map(|i| f32::from(i / 4) * 100.0 + f32::from(i / 2 % 2) * 10.0 + f32::from(i % 2))
            .collect();
        let panels = Panels::<f32>::forward(&shape, &weight, Isa::Portable);
        // Half a panel of 8 lanes; row 1 is tap 0 of channel 1.
        assert_eq!(
            panels.values[8..16],
            [10.0, 110.0, 210.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        );
        let panels = Panels::<f32>::gradient(&shape, &weight, Isa::Portable);
        // Row 1 is the last tap of output 1.
        assert_eq!(
            panels.values[8..16],
            [101.0, 111.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        );
    }
}
