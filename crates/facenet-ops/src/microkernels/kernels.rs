//! What the kernels of every instruction set have in common.

use crate::isa::Isa;

/// Most pixels of a tile, whatever the instruction set.
pub(crate) const MOST_PIXELS: usize = 12;

/// A stretch of the reduction that is contiguous in the packed weights and in every pixel's
/// source. It does nothing but for `source < end`, so it holds a step at least.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// First row of the panel.
    pub(crate) step: usize,
    /// First element, from the pixel's.
    pub(crate) source: usize,
    /// One past its last.
    pub(crate) end: usize,
}

/// What follows the sum of a tile, before it is stored.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Epilogue<'a> {
    /// Multiplies each channel, `[c]`.
    pub(crate) scale: Option<&'a [f32]>,
    /// Added to each channel then, `[c]`.
    pub(crate) bias: Option<&'a [f32]>,
    /// `added.values + added.scale y` takes the place of that `y`.
    pub(crate) added: Option<Added<'a>>,
    /// Applied last.
    pub(crate) activation: Activation<'a>,
}

/// The other summand of a residual block, laid out as the output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Added<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) scale: f32,
}

/// An activation; each keeps NaN.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Activation<'a> {
    /// None.
    #[default]
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// The channel's slope times what is negative, `[c]`.
    Prelu(&'a [f32]),
}

/// A tile of the output: pixels by channels, with all that its kernel reads.
///
/// The kernels' assembly knows the order of the first four fields.
#[repr(C)]
pub(crate) struct Tile<'a> {
    /// The block's packed weights, from the first row.
    pub(crate) panel: *const f32,
    pub(crate) segments: *const Segment,
    pub(crate) segments_end: *const Segment,
    /// Where each pixel's source begins.
    pub(crate) sources: [*const f32; MOST_PIXELS],
    /// The whole output.
    pub(crate) output: *mut f32,
    /// Each pixel's first channel, as an element of the output.
    pub(crate) targets: [usize; MOST_PIXELS],
    /// First channel of the block.
    pub(crate) channel: usize,
    /// Channels of the block; lanes beyond are dropped.
    pub(crate) channels: usize,
    pub(crate) epilogue: &'a Epilogue<'a>,
}

/// A tile of the weight gradient: rows that are neighbours in the input, by channels.
pub(crate) struct WeightTile {
    /// The chunk's packed gradient, from its first row.
    pub(crate) panel: *const f32,
    /// The input from which the table counts, moved to the tile's first row.
    pub(crate) input: *const f32,
    /// For each pixel: element of the input, row of the panel. Behind `table_end` lie
    /// [`AHEAD`] entries more, to prefetch by.
    pub(crate) table: *const [i32; 2],
    pub(crate) table_end: *const [i32; 2],
    /// First row of the result, and elements from row to row.
    pub(crate) output: *mut f32,
    pub(crate) row: usize,
    /// Whether to add to what is there.
    pub(crate) is_added: bool,
}

/// Entries of a [`WeightTile`]'s table that are read, for prefetching only, behind its end.
pub(crate) const AHEAD: usize = 16;

pub(crate) type TileFn = unsafe fn(&Tile<'_>);
pub(crate) type WeightTileFn = unsafe fn(&WeightTile);

/// The kernels of one instruction set.
pub(crate) struct Kernels {
    /// Most pixels, or rows of a weight gradient, of a tile.
    pub(crate) pixels: usize,
    /// Channels of a vector; a panel is two wide, or one where no more are left.
    pub(crate) lanes: usize,
    /// By vectors less one, then by pixels less one.
    pub(super) tiles: [&'static [TileFn]; 2],
    /// By vectors less one, then by rows less one.
    pub(super) weight_tiles: [&'static [WeightTileFn]; 2],
}

impl Kernels {
    /// The kernels of a set that this machine has.
    ///
    /// # Panics
    /// Where it has not.
    pub(crate) fn of(isa: Isa) -> &'static Self {
        assert!(
            isa.is_available(),
            "{isa:?} was checked where it was chosen"
        );
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => &super::avx512::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &super::avx2::KERNELS,
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx512 | Isa::Avx2 => unreachable!("not available, as checked above"),
            Isa::Portable => &super::portable::KERNELS,
        }
    }

    /// Channels of a whole panel.
    pub(crate) fn width(&self) -> usize {
        2 * self.lanes
    }

    /// Channels of block `block` of `channels` as packed: a whole panel, or half of one.
    pub(crate) fn packed(&self, block: usize, channels: usize) -> usize {
        let left = channels - block * self.width();
        if left > self.lanes {
            self.width()
        } else {
            self.lanes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_panel_is_half_as_wide_where_that_is_enough() {
        let kernels = Kernels::of(Isa::Portable);
        assert_eq!(kernels.width(), 16);
        assert_eq!(kernels.packed(0, 40), 16);
        assert_eq!(kernels.packed(2, 40), 8);
        assert_eq!(kernels.packed(2, 41), 16);
    }

    #[test]
    fn each_set_has_a_kernel_for_each_number_of_pixels() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let kernels = Kernels::of(isa);
            for vectors in 0..2 {
                assert_eq!(kernels.tiles[vectors].len(), kernels.pixels, "{isa:?}");
                assert_eq!(
                    kernels.weight_tiles[vectors].len(),
                    kernels.pixels,
                    "{isa:?}"
                );
            }
        }
    }
}
