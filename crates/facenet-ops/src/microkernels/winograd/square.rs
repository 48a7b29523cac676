//! Squares of rows of channels, wherever the rows lie.
#![expect(unsafe_code, reason = "rows are checked once, and read many times")]
#![expect(
    clippy::inline_always,
    reason = "vectors stay in registers only where everything is compiled for the set at once"
)]

use std::marker::PhantomData;
use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use crate::microkernels::lanes::{Lanes, load};
use crate::nhwc::winograd::grid::Pixels;

/// Floats of a line of the cache.
const LINE: usize = 16;

/// `N x N` rows of channels.
#[derive(Clone, Copy)]
pub(crate) struct Square<'a, const N: usize> {
    /// Each holds `channels` floats that nothing writes during `'a`.
    rows: [[*const f32; N]; N],
    channels: usize,
    of: PhantomData<&'a [f32]>,
}

impl<'a, const N: usize> Square<'a, N> {
    /// The channels of pixels; `zeros`, as many as there are channels, stand for a pixel outside.
    ///
    /// # Panics
    /// Where a pixel is not in `values`.
    pub(crate) fn of_pixels(values: &'a [f32], places: &Pixels<N>, zeros: &'a [f32]) -> Self {
        let channels = zeros.len();
        assert!(
            places.end() * channels <= values.len(),
            "the pixels are there"
        );
        let mut rows = [[zeros.as_ptr(); N]; N];
        for (y, rows) in rows.iter_mut().enumerate() {
            for (x, row) in rows.iter_mut().enumerate() {
                if let Some(place) = places.get(y, x) {
                    *row = values.as_ptr().wrapping_add(place * channels);
                }
            }
        }
        Self {
            rows,
            channels,
            of: PhantomData,
        }
    }

    /// Rows that lie `stride` floats apart.
    ///
    /// # Panics
    /// Where they are not in `values`.
    pub(crate) fn of_rows(values: &'a [f32], stride: usize, channels: usize) -> Self {
        assert!((N * N - 1) * stride + channels <= values.len());
        let row = |y, x| values.as_ptr().wrapping_add((y * N + x) * stride);
        Self {
            rows: std::array::from_fn(|y| std::array::from_fn(|x| row(y, x))),
            channels,
            of: PhantomData,
        }
    }

    /// Some of the channels.
    ///
    /// # Panics
    /// Where there are fewer.
    pub(crate) fn part(&self, channels: Range<usize>) -> Self {
        assert!(channels.start <= channels.end && channels.end <= self.channels);
        Self {
            rows: self
                .rows
                .map(|rows| rows.map(|row| row.wrapping_add(channels.start))),
            channels: channels.len(),
            of: PhantomData,
        }
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// Asks for the columns from `first` on, which are to be read soon.
    pub(crate) fn prefetch(&self, first: usize) {
        for &row in self.rows.iter().flat_map(|rows| &rows[first..]) {
            prefetch(row, self.channels);
        }
    }

    /// A vector of channels of each row of column `x` from `at` on, or as many as are left and zeros.
    ///
    /// # Panics
    /// Unless there is a channel.
    #[inline(always)]
    pub(super) fn column<V: Lanes, const IS_WHOLE: bool>(&self, x: usize, at: usize) -> [V; N] {
        let n = if IS_WHOLE {
            V::LANES
        } else {
            self.channels - at
        };
        assert!(at + n <= self.channels && n <= V::LANES);
        let mut column = [V::zero(); N];
        for (value, rows) in column.iter_mut().zip(&self.rows) {
            // SAFETY: the row holds these channels, as was just seen.
            *value = unsafe { load::<f32, V, IS_WHOLE>(rows[x].wrapping_add(at), n) };
        }
        column
    }
}

/// Asks for `n` floats.
pub(super) fn prefetch(from: *const f32, n: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..n).step_by(LINE) {
        // SAFETY: a hint, which reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(line).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (from, n);
}

#[cfg(test)]
mod tests {
    use super::*;

    type Plain = [f32; 8];

    #[test]
    fn a_part_of_a_square_is_of_its_channels_and_ends_in_zeros() {
        let values: Vec<_> = (0..100).map(|i| i as f32).collect();
        let square = Square::<2>::of_rows(&values, 25, 20);
        assert_eq!(square.column::<Plain, true>(1, 4)[1][7], 86.0);
        let rest = square.part(15..20).column::<Plain, false>(0, 1);
        assert_eq!(rest[1][..5], [66.0, 67.0, 68.0, 69.0, 0.0]);
    }
}
