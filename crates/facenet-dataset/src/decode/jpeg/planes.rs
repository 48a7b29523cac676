//! The samples of components, as far as a window of the picture needs them.

use std::ops::Range;

use super::header::Frame;
use crate::picture::Area;

/// Some blocks of a component.
pub(super) struct Plane {
    samples: Vec<u8>,
    /// Which blocks these are the samples of.
    rows: Range<usize>,
    columns: Range<usize>,
    /// All samples that the picture has of the component, by blocks not padded.
    pub(super) width: usize,
    pub(super) height: usize,
    /// Pixels a sample, across and down: 1 or 2.
    pub(super) across: usize,
    pub(super) down: usize,
}

impl Plane {
    /// What `window` needs of a component, zeros as yet.
    ///
    /// - `index`: of the component
    pub(super) fn new(frame: &Frame, index: usize, window: Area) -> Self {
        let (component, (h, v)) = (&frame.components[index], frame.most());
        let (across, down) = (h / component.h, v / component.v);
        let (width, height) = (frame.width.div_ceil(across), frame.height.div_ceil(down));
        let rows = needed(window.top, window.height, down, height);
        let columns = needed(window.left, window.width, across, width);
        Self {
            samples: vec![0; 64 * rows.len() * columns.len()],
            rows,
            columns,
            width,
            height,
            across,
            down,
        }
    }

    /// Blocks of the component by itself, across and down.
    pub(super) fn blocks(&self) -> (usize, usize) {
        (self.width.div_ceil(8), self.height.div_ceil(8))
    }

    /// Whether the samples of a block are kept.
    #[inline(always)]
    pub(super) fn keeps(&self, row: usize, column: usize) -> bool {
        self.rows.contains(&row) && self.columns.contains(&column)
    }

    /// Whether the samples of any of some blocks are kept.
    pub(super) fn keeps_any(&self, rows: Range<usize>, columns: Range<usize>) -> bool {
        let meet = |x: &Range<usize>, y: &Range<usize>| x.start < y.end && y.start < x.end;
        meet(&self.rows, &rows) && meet(&self.columns, &columns)
    }

    /// Puts the samples of a block that is kept.
    ///
    /// - `samples`: its row `y`
    #[inline(always)]
    pub(super) fn put(&mut self, row: usize, column: usize, samples: impl Fn(usize) -> [u8; 8]) {
        let stride = 8 * self.columns.len();
        let at = 8 * ((row - self.rows.start) * stride + column - self.columns.start);
        let block = &mut self.samples[at..][..7 * stride + 8];
        for y in 0..8 {
            block[y * stride..][..8].copy_from_slice(&samples(y));
        }
    }

    /// The samples of row `y` that are kept, and the column of the first.
    pub(super) fn row(&self, y: usize) -> (&[u8], usize) {
        let stride = 8 * self.columns.len();
        let row = &self.samples[(y - 8 * self.rows.start) * stride..][..stride];
        (row, 8 * self.columns.start)
    }
}

/// Blocks that hold the samples of some pixels, and their neighbours where pixels lie between
/// samples.
///
/// - `pixels`: a sample
/// - `len`: samples of the component
fn needed(from: usize, n: usize, pixels: usize, len: usize) -> Range<usize> {
    let beside = pixels - 1;
    let first = (from / pixels).saturating_sub(beside);
    let last = ((from + n - 1) / pixels + beside).min(len - 1);
    first / 8..last / 8 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: usize, n: usize, pixels: usize, len: usize, expected: Range<usize>) {
        assert_eq!(needed(from, n, pixels, len), expected);
    }

    #[test]
    fn blocks_of_a_window_are_those_of_its_samples() {
        check(0, 8, 1, 100, 0..1);
        check(8, 1, 1, 100, 1..2);
        check(7, 2, 1, 100, 0..2);
        check(0, 100, 1, 100, 0..13);
    }

    #[test]
    fn samples_beside_a_window_are_needed_where_pixels_lie_between() {
        check(16, 2, 2, 100, 0..2); // sample 8 and its neighbour 7
        check(18, 12, 2, 100, 1..2); // 8 to 15
        check(18, 14, 2, 100, 1..3); // 8 to 16
        check(18, 14, 2, 16, 1..2); // there is no 16
    }
}
