//! What the kernels of every instruction set have in common.

use crate::isa::Isa;
use crate::number::{Bf16, Number};

/// Most pixels of a tile, whatever the instruction set.
pub(crate) const MOST_PIXELS: usize = 12;

/// A stretch of the reduction that is contiguous in the packed weights and in every pixel's
/// source. It does nothing but for `source < end`, so it holds a step at least.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// First row of the panel.
    pub(crate) step: usize,
    /// First step of the source, from the pixel's.
    pub(crate) source: usize,
    /// One past its last.
    pub(crate) end: usize,
}

/// What follows the sum of a tile, before it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epilogue<'a, T> {
    /// Multiplies each channel, `[c]`.
    pub(crate) scale: Option<&'a [f32]>,
    /// Added to each channel then, `[c]`.
    pub(crate) bias: Option<&'a [f32]>,
    /// `added.values + added.scale y` takes the place of that `y`.
    pub(crate) added: Option<Added<'a, T>>,
    /// Applied last.
    pub(crate) activation: Activation<'a>,
}

impl<T> Epilogue<'_, T> {
    /// Whether a sum is stored as it is.
    #[inline]
    pub(super) fn is_none(&self) -> bool {
        let is_summed = self.scale.is_none() && self.bias.is_none() && self.added.is_none();
        is_summed && matches!(self.activation, Activation::Identity)
    }
}

impl<T> Default for Epilogue<'_, T> {
    fn default() -> Self {
        Self {
            scale: None,
            bias: None,
            added: None,
            activation: Activation::Identity,
        }
    }
}

/// The other summand of a residual block, laid out as the output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Added<'a, T> {
    pub(crate) values: &'a [T],
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
pub(crate) struct Tile<'a, T: Number> {
    /// The block's packed weights, from the first row.
    pub(crate) panel: *const T::Step,
    pub(crate) segments: *const Segment,
    pub(crate) segments_end: *const Segment,
    /// Where each pixel's source begins.
    pub(crate) sources: [*const T::Step; MOST_PIXELS],
    /// The whole output.
    pub(crate) output: *mut T,
    /// Each pixel's first channel, as an element of the output.
    pub(crate) targets: [usize; MOST_PIXELS],
    /// First channel of the block.
    pub(crate) channel: usize,
    /// Channels of the block; lanes beyond are dropped.
    pub(crate) channels: usize,
    pub(crate) epilogue: &'a Epilogue<'a, T>,
}

/// A tile of the weight gradient: rows that are neighbours in the input, by channels.
pub(crate) struct WeightTile<T: Number> {
    /// The chunk's packed gradient, from its first row.
    pub(crate) panel: *const T::Step,
    /// The input from which the table counts, moved to the tile's first row.
    pub(crate) input: *const T::Step,
    /// For each pixel: step of the input, row of the panel. Behind `table_end` lie
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

pub(crate) type TileFn<T> = unsafe fn(&Tile<'_, T>);
pub(crate) type WeightTileFn<T> = unsafe fn(&WeightTile<T>);

/// The kernels of one instruction set.
pub struct Kernels<T: Number> {
    /// Most pixels, or rows of a weight gradient, of a tile.
    pub(crate) pixels: usize,
    /// Channels of a vector; a panel is two wide, or one where no more are left.
    pub(crate) lanes: usize,
    /// By vectors less one, then by pixels less one.
    pub(super) tiles: [&'static [TileFn<T>]; 2],
    /// By vectors less one, then by rows less one.
    pub(super) weight_tiles: [&'static [WeightTileFn<T>]; 2],
}

/// Both kinds of kernels of one instruction set, by pixels; generic ones for a number.
macro_rules! kernels {
    ($lanes:expr, [$($pixels:literal),+]) => {
        Kernels {
            pixels: [$($pixels),+].len(),
            lanes: $lanes,
            tiles: [&[$(tile::<1, $pixels>),+], &[$(tile::<2, $pixels>),+]],
            weight_tiles: [
                &[$(weight_tile::<1, $pixels>),+],
                &[$(weight_tile::<2, $pixels>),+],
            ],
        }
    };
    ($number:ty, $lanes:expr, [$($pixels:literal),+]) => {
        Kernels {
            pixels: [$($pixels),+].len(),
            lanes: $lanes,
            tiles: [
                &[$(tile::<$number, 1, $pixels>),+],
                &[$(tile::<$number, 2, $pixels>),+],
            ],
            weight_tiles: [
                &[$(weight_tile::<$number, 1, $pixels>),+],
                &[$(weight_tile::<$number, 2, $pixels>),+],
            ],
        }
    };
}
pub(super) use kernels;

#[track_caller]
fn check(isa: Isa) {
    let is_available = isa.is_available();
    assert!(is_available, "{isa:?} was checked where it was chosen");
}

impl Kernels<f32> {
    /// The kernels of a set that this machine has.
    ///
    /// # Panics
    /// Where it has not.
    pub(crate) fn of_f32(isa: Isa) -> &'static Self {
        check(isa);
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => &super::avx512::F32,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &super::avx2::F32,
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx512 | Isa::Avx2 => unreachable!("not available, as checked above"),
            Isa::Portable => &super::portable::F32,
        }
    }
}

impl Kernels<Bf16> {
    /// [`Kernels::of_f32`] for pairs: plain loops unless the set multiplies them itself.
    pub(crate) fn of_bf16(isa: Isa) -> &'static Self {
        check(isa);
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if isa.has_bf16() => &super::avx512::BF16,
            _ => &super::portable::BF16,
        }
    }
}

impl<T: Number> Kernels<T> {
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
        let kernels = Kernels::of_f32(Isa::Portable);
        assert_eq!(kernels.width(), 16);
        assert_eq!(kernels.packed(0, 40), 16);
        assert_eq!(kernels.packed(2, 40), 8);
        assert_eq!(kernels.packed(2, 41), 16);
    }

    #[test]
    fn each_set_has_a_kernel_for_each_number_of_pixels() {
        fn check<T: Number>(isa: Isa) {
            let kernels = T::kernels(isa);
            let counts = kernels.tiles.map(<[_]>::len);
            assert_eq!(counts, [kernels.pixels; 2], "{isa:?}");
            let counts = kernels.weight_tiles.map(<[_]>::len);
            assert_eq!(counts, [kernels.pixels; 2], "{isa:?}");
        }
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            check::<f32>(isa);
            check::<Bf16>(isa);
        }
    }
}
