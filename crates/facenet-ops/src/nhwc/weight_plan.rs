//! A weight gradient as tables of the pixels that each tap multiplies.

use std::ops::Range;

use crate::microkernels::weights::AHEAD;
use crate::nhwc::plan::ConvShape;

/// Output pixels of a chunk, about: their packed gradient stays in the cache while all rows of
/// the result pass.
const PIXELS: usize = 320;

/// Consecutive rows of the result, `[tap, channel in]`, that are consecutive in the input for
/// every output pixel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit {
    /// First row.
    pub(crate) row: usize,
    pub(crate) rows: usize,
    /// Its first element in the input, beyond the table's.
    pub(crate) element: usize,
    /// Which of a chunk's tables.
    pub(crate) table: usize,
}

/// Output rows of an image, or of [`WeightPlan::images`] whole ones.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// Output rows.
    pub(crate) out_rows: Range<usize>,
    /// First input row; tables count from there.
    pub(crate) first_row: usize,
    /// Input rows that any output row reads.
    pub(crate) in_rows: usize,
    /// Each table's first entry, and entries of an image.
    pub(crate) tables: Vec<(usize, usize)>,
}

/// The units and tables of a weight gradient. Each entry's element, plus a unit's, lies in the
/// chunk's images and input rows, and its row among the chunk's pixels.
#[derive(Clone, Debug)]
pub(crate) struct WeightPlan {
    units: Vec<Unit>,
    chunks: Vec<Chunk>,
    entries: Vec<[i32; 2]>,
    images: usize,
}

impl WeightPlan {
    /// - `pack`: images whose elements are side by side in a step; such count as one image
    pub(crate) fn new(shape: &ConvShape, pack: usize) -> Self {
        let (oh, ow) = shape.out;
        let rows = (PIXELS / ow).clamp(1, oh);
        let images = if rows == oh {
            (PIXELS / shape.pixels()).clamp(1, shape.n.div_ceil(pack).max(1))
        } else {
            1
        };
        let parts = oh.div_ceil(rows);
        let mut entries = Vec::new();
        let chunks = (0..parts)
            .map(|part| {
                let out_rows = oh * part / parts..oh * (part + 1) / parts;
                chunk(shape, out_rows, images, &mut entries)
            })
            .collect();
        entries.extend([[0; 2]; AHEAD]);
        Self {
            units: units(shape),
            chunks,
            entries,
            images,
        }
    }

    pub(crate) fn units(&self) -> &[Unit] {
        &self.units
    }

    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Images of a chunk: more than one where all rows of an image fit.
    pub(crate) fn images(&self) -> usize {
        self.images
    }

    /// A table's entries for `images` images, and [`AHEAD`] entries or more behind them.
    pub(crate) fn table(&self, (first, per_image): (usize, usize), images: usize) -> &[[i32; 2]] {
        let end = first + per_image * images;
        &self.entries[first..end + AHEAD]
    }
}

fn is_padded(shape: &ConvShape) -> bool {
    shape.config.padding != (0, 0)
}

/// With padding each tap has pixels of its own; without, a kernel row is one stretch.
fn units(shape: &ConvShape) -> Vec<Unit> {
    let c = shape.c_in;
    if is_padded(shape) {
        let unit = |tap| Unit {
            row: tap * c,
            rows: c,
            element: 0,
            table: tap,
        };
        return (0..shape.taps()).map(unit).collect();
    }
    let rows = shape.kernel.1 * c;
    let unit = |y| Unit {
        row: y * rows,
        rows,
        element: y * shape.size.1 * c,
        table: 0,
    };
    (0..shape.kernel.0).map(unit).collect()
}

fn chunk(
    shape: &ConvShape,
    out_rows: Range<usize>,
    images: usize,
    entries: &mut Vec<[i32; 2]>,
) -> Chunk {
    let first_row = (out_rows.start * shape.config.stride.0)
        .saturating_sub(shape.config.padding.0)
        .min(shape.size.0 - 1);
    let end = (out_rows.end - 1) * shape.config.stride.0 + shape.kernel.0;
    let end = end.saturating_sub(shape.config.padding.0).min(shape.size.0);
    let taps = if is_padded(shape) { shape.taps() } else { 1 };
    let tables = (0..taps)
        .map(|tap| {
            let start = entries.len();
            let tap = (tap / shape.kernel.1, tap % shape.kernel.1);
            for image in 0..images {
                add_entries(shape, (&out_rows, first_row), image, tap, entries);
            }
            (start, (entries.len() - start) / images)
        })
        .collect();
    Chunk {
        out_rows,
        first_row,
        in_rows: end.saturating_sub(first_row),
        tables,
    }
}

/// The pixels of one image whose tap lies inside: element from `first_row` on, packed row.
fn add_entries(
    shape: &ConvShape,
    (out_rows, first_row): (&Range<usize>, usize),
    image: usize,
    tap: (usize, usize),
    entries: &mut Vec<[i32; 2]>,
) {
    let ((h, w), (stride, padding)) = (shape.size, (shape.config.stride, shape.config.padding));
    let inside = |at: usize, tap: usize, stride: usize, padding: usize, size: usize| {
        let at = (at * stride + tap).checked_sub(padding)?;
        (at < size).then_some(at)
    };
    for (row, y) in out_rows.clone().enumerate() {
        let Some(from_y) = inside(y, tap.0, stride.0, padding.0, h) else {
            continue;
        };
        for x in 0..shape.out.1 {
            let Some(from_x) = inside(x, tap.1, stride.1, padding.1, w) else {
                continue;
            };
            let element = ((image * h + from_y - first_row) * w + from_x) * shape.c_in;
            let packed = (image * out_rows.len() + row) * shape.out.1 + x;
            let small = |value| i32::try_from(value).expect("a chunk has less than 2^31 elements");
            entries.push([small(element), small(packed)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConvConfig;

    #[test]
    fn a_tap_over_the_edge_leaves_its_pixel_out() {
        let config = ConvConfig {
            stride: (1, 1),
            padding: (0, 1),
        };
        let shape = ConvShape {
            n: 2,
            size: (1, 3),
            c_in: 2,
            c_out: 1,
            kernel: (1, 3),
            out: (1, 3),
            config,
        };
        let plan = WeightPlan::new(&shape, 1);
        assert_eq!((plan.images(), plan.units().len()), (2, 3));
        let entries = |tap: usize| {
            let table = plan.table(plan.chunks()[0].tables[tap], 2);
            table[..table.len() - AHEAD].to_vec()
        };
        // The left tap misses the first pixel of each image of three.
        assert_eq!(entries(0), [[0, 1], [2, 2], [6, 4], [8, 5]]);
        assert_eq!(entries(2), [[2, 0], [4, 1], [8, 3], [10, 4]]);
        assert_eq!(WeightPlan::new(&shape, 2).images(), 1);
    }
}
