//! Rows of channels, walked in blocks of rows and a few vectors of channels at a time.

use std::ops::Range;

use crate::isa::Isa;
use crate::microkernels::lanes::{self, Lanes, Work, load};

/// Rows whose sums are taken in f32 before they are added in f64: 16 roundings, a millionth of
/// what is summed.
const ROWS: usize = 16;

/// Vectors of channels at a time: as many as AVX2 has registers for.
const GROUP: usize = 2;

/// What is done with a block of rows and a few vectors of channels.
pub(super) trait OnRows {
    /// `G` whole vectors of each row, or one of fewer channels where not `WHOLE`.
    ///
    /// # Safety
    /// The machine has the set of `V`, and the rows and channels are there.
    unsafe fn block<V: Lanes, const G: usize, const WHOLE: bool>(
        &mut self,
        rows: Range<usize>,
        at: Columns,
    );
}

/// Where a few vectors lie in rows.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    /// Of a row.
    pub(super) channels: usize,
    first: usize,
    /// Channels of the last vector.
    pub(super) n: usize,
}

impl Columns {
    /// The vector `g` of `values`, one a channel.
    ///
    /// # Safety
    /// It is inside.
    #[inline(always)]
    pub(super) unsafe fn of<V: Lanes, const WHOLE: bool>(self, values: &[f32], g: usize) -> V {
        // SAFETY: the caller's promise.
        unsafe {
            load::<_, V, WHOLE>(
                values.as_ptr().wrapping_add(self.first + g * V::LANES),
                self.n,
            )
        }
    }

    /// Where the vector `g` begins in a row.
    #[inline(always)]
    pub(super) fn at<V: Lanes>(self, row: usize, g: usize) -> usize {
        // Rows that are there do not wrap; a check would be one for every vector.
        let of_row = row.wrapping_mul(self.channels);
        of_row.wrapping_add(self.first).wrapping_add(g * V::LANES)
    }

    /// Adds a vector to the sums of its channels.
    ///
    /// # Safety
    /// The machine has the set of `V`.
    #[inline(always)]
    pub(super) unsafe fn add<V: Lanes>(self, vector: V, g: usize, sums: &mut [f64]) {
        let mut values = [0.0_f32; lanes::MOST];
        // SAFETY: there is room for the most lanes, and the set is the caller's promise.
        unsafe { vector.store(values.as_mut_ptr()) };
        let n = V::LANES.min(self.channels - self.first - g * V::LANES);
        let sums = &mut sums[self.first + g * V::LANES..][..n];
        let pairs = sums.iter_mut().zip(&values);
        pairs.for_each(|(sum, &value)| *sum += f64::from(value));
    }
}

/// [`OnRows`] over all rows.
struct Walk<W> {
    rows: usize,
    channels: usize,
    on_rows: W,
}

/// # Safety
/// `len` numbers, in rows of `channels`, are there for `on_rows`.
pub(super) unsafe fn walk(isa: Isa, len: usize, channels: usize, on_rows: impl OnRows) {
    let rows = len / channels.max(1);
    // SAFETY: the caller's promise.
    unsafe {
        lanes::on(
            isa,
            Walk {
                rows,
                channels,
                on_rows,
            },
        );
    }
}

impl<W: OnRows> Work for Walk<W> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        let channels = self.channels;
        let mut row = 0;
        while row < self.rows {
            let rows = row..self.rows.min(row + ROWS);
            row = rows.end;
            let mut first = 0;
            while first < channels {
                let n = V::LANES.min(channels - first);
                let at = Columns { channels, first, n };
                // SAFETY: the caller's promise; these rows and channels are some of all.
                unsafe {
                    if first + GROUP * V::LANES <= channels {
                        self.on_rows.block::<V, GROUP, true>(rows.clone(), at);
                        first += GROUP * V::LANES;
                    } else if n == V::LANES {
                        self.on_rows.block::<V, 1, true>(rows.clone(), at);
                        first += n;
                    } else {
                        self.on_rows.block::<V, 1, false>(rows.clone(), at);
                        first += n;
                    }
                }
            }
        }
    }
}
