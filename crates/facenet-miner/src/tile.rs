//! Tiles of f32 squared distances: some anchors against a panel of rows at a time.

use std::ops::Range;

use rayon::prelude::*;

use crate::problem::Problem;
use crate::simd::{Level, fill_tile};

/// Rows of a panel: a bit each in one word, four AVX-512 vectors.
pub(crate) const PANEL: usize = 64;

/// Anchors of a block. 6 x 4 sums, 4 vectors of a panel and an anchor's value fill 29 of the 32
/// registers of AVX-512; 6 x 2 sums fill 15 of the 16 of AVX2.
pub(crate) const BLOCK: usize = 6;

/// Operands of one tile. The sums run over `k` ascending, in f32.
#[derive(Debug)]
pub(crate) struct Tile<'a> {
    /// `[dim]`: value `k` of every anchor.
    anchors: &'a [[f32; BLOCK]],
    /// `[dim]`: value `k` of every row.
    rows: &'a [[f32; PANEL]],
    anchor_sq_norms: &'a [f32; BLOCK],
    row_sq_norms: &'a [f32; PANEL],
}

/// Rows of a problem, packed for tiles in panels. Places beyond the last row are at infinity.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    dim: usize,
    len: usize,
    /// `[panels, dim]`
    panels: Vec<[f32; PANEL]>,
    /// `[panels]`
    sq_norms: Vec<[f32; PANEL]>,
}

impl Columns {
    /// Packs a range of rows, on all threads of the current pool.
    pub(crate) fn pack(&mut self, problem: &Problem<'_>, range: Range<usize>) {
        self.pack_by(problem, range, |row| row);
    }

    /// Packs the rows at a range of places.
    pub(crate) fn pack_by(
        &mut self,
        problem: &Problem<'_>,
        range: Range<usize>,
        row_of: impl Fn(usize) -> usize + Copy + Sync,
    ) {
        self.dim = problem.dim();
        self.len = range.len();
        let n_panels = range.len().div_ceil(PANEL);
        self.panels.resize(n_panels * self.dim, [0.0; PANEL]);
        self.sq_norms.resize(n_panels, [0.0; PANEL]);
        let panels = self.panels.par_chunks_mut(self.dim);
        let starts = range.clone().into_par_iter().step_by(PANEL);
        let panels = panels.zip(&mut self.sq_norms).zip(starts);
        panels.for_each(|((panel, sq_norms), start)| {
            let rows = (start..range.end.min(start + PANEL)).map(row_of);
            pack(problem, rows, panel, sq_norms);
        });
    }

    pub(crate) fn n_panels(&self) -> usize {
        self.sq_norms.len()
    }

    /// Values of one row of distances: whole panels.
    pub(crate) fn stride(&self) -> usize {
        self.sq_norms.len() * PANEL
    }
}

/// Anchors packed for tiles, in blocks.
#[derive(Debug, Default)]
pub(crate) struct Anchors {
    dim: usize,
    len: usize,
    /// `[blocks, dim]`
    blocks: Vec<[f32; BLOCK]>,
    /// `[blocks]`
    sq_norms: Vec<[f32; BLOCK]>,
}

impl Anchors {
    /// Packs a range of rows.
    pub(crate) fn pack(&mut self, problem: &Problem<'_>, range: Range<usize>) {
        self.pack_by(problem, range, |row| row);
    }

    /// Packs the rows at a range of places.
    pub(crate) fn pack_by(
        &mut self,
        problem: &Problem<'_>,
        range: Range<usize>,
        row_of: impl Fn(usize) -> usize + Copy,
    ) {
        self.dim = problem.dim();
        self.len = range.len();
        let n_blocks = range.len().div_ceil(BLOCK);
        self.blocks.resize(n_blocks * self.dim, [0.0; BLOCK]);
        self.sq_norms.resize(n_blocks, [0.0; BLOCK]);
        let blocks = self.blocks.chunks_exact_mut(self.dim);
        let starts = range.clone().step_by(BLOCK);
        for ((block, sq_norms), start) in blocks.zip(&mut self.sq_norms).zip(starts) {
            let rows = (start..range.end.min(start + BLOCK)).map(row_of);
            pack(problem, rows, block, sq_norms);
        }
    }

    /// Operands of the tile of a block and a panel.
    pub(crate) fn against<'a>(
        &'a self,
        block: usize,
        columns: &'a Columns,
        panel: usize,
    ) -> Tile<'a> {
        Tile {
            anchors: &self.blocks[block * self.dim..][..self.dim],
            rows: &columns.panels[panel * columns.dim..][..columns.dim],
            anchor_sq_norms: &self.sq_norms[block],
            row_sq_norms: &columns.sq_norms[panel],
        }
    }
}

/// Puts value `k` of every row side by side; places without a row are zeros at infinity.
fn pack<const N: usize>(
    problem: &Problem<'_>,
    rows: impl ExactSizeIterator<Item = usize>,
    packed: &mut [[f32; N]],
    sq_norms: &mut [f32; N],
) {
    *sq_norms = [f32::INFINITY; N];
    if rows.len() < N {
        packed.fill([0.0; N]);
    }
    for (place, row) in rows.enumerate() {
        sq_norms[place] = problem.sq_norms()[row];
        for (values, &value) in packed.iter_mut().zip(problem.row(row)) {
            values[place] = value;
        }
    }
}

/// Squared distances of `anchors` to `columns`, each within the problem's slack, infinite beyond
/// the last row.
///
/// - `out`: `[anchors, columns.stride()]`
pub(crate) fn distances(
    problem: &Problem<'_>,
    anchors: &Anchors,
    columns: &Columns,
    out: &mut [f32],
) {
    let stride = columns.stride();
    if !problem.slack().is_finite() {
        for row in out.chunks_exact_mut(stride) {
            row[..columns.len].fill(0.0); // any value is within an infinite slack, but no NaN
            row[columns.len..].fill(f32::INFINITY);
        }
        return;
    }
    let level = Level::best();
    let mut filled = [[0.0; PANEL]; BLOCK];
    let panels = columns.panels.chunks_exact(columns.dim);
    for (n_panel, (rows, row_sq_norms)) in panels.zip(&columns.sq_norms).enumerate() {
        let blocks = anchors.blocks.chunks_exact(anchors.dim);
        let strips = out.chunks_mut(BLOCK * stride);
        for ((block, anchor_sq_norms), strip) in blocks.zip(&anchors.sq_norms).zip(strips) {
            let tile = Tile {
                anchors: block,
                rows,
                anchor_sq_norms,
                row_sq_norms,
            };
            fill_tile(level, &tile, &mut filled);
            for (row, filled) in strip.chunks_exact_mut(stride).zip(&filled) {
                row[n_panel * PANEL..][..PANEL].copy_from_slice(filled);
            }
        }
    }
}

/// Rows and columns that the plain version sums at a time: few enough for 16 registers of four.
const PLAIN: (usize, usize) = (3, 16);

/// `out[i, j] = (|x_i|^2 + |y_j|^2) - 2 x_i.y_j`.
pub(crate) fn fill_plain(tile: &Tile<'_>, out: &mut [[f32; PANEL]; BLOCK]) {
    for first in (0..BLOCK).step_by(PLAIN.0) {
        for start in (0..PANEL).step_by(PLAIN.1) {
            let mut dots = [[0.0f32; PLAIN.1]; PLAIN.0];
            for (anchors, rows) in tile.anchors.iter().zip(tile.rows) {
                let rows = &rows[start..start + PLAIN.1];
                for (dots, &anchor) in dots.iter_mut().zip(&anchors[first..]) {
                    for (dot, &row) in dots.iter_mut().zip(rows) {
                        *dot += anchor * row;
                    }
                }
            }
            for (i, dots) in (first..).zip(dots) {
                for (j, dot) in (start..).zip(dots) {
                    out[i][j] = (tile.anchor_sq_norms[i] + tile.row_sq_norms[j]) - 2.0 * dot;
                }
            }
        }
    }
}

/// The same with vectors; sums and the last subtraction are fused.
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use std::arch::x86_64::{
        _mm256_add_ps, _mm256_fmadd_ps, _mm256_fnmadd_ps, _mm256_set1_ps, _mm256_setzero_ps,
        _mm512_add_ps, _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_set1_ps, _mm512_setzero_ps,
    };

    use super::{BLOCK, PANEL, Tile};
    use crate::simd::vectors::{floats_of_8, floats_of_16, load_8, load_16};

    /// 6 anchors by 64 rows in registers.
    #[target_feature(enable = "avx512f")]
    pub(crate) fn fill_avx512(tile: &Tile<'_>, out: &mut [[f32; PANEL]; BLOCK]) {
        let mut dots = [[_mm512_setzero_ps(); 4]; BLOCK];
        for (anchors, rows) in tile.anchors.iter().zip(tile.rows) {
            let (rows, _) = rows.as_chunks::<16>();
            let rows = [
                load_16(rows[0]),
                load_16(rows[1]),
                load_16(rows[2]),
                load_16(rows[3]),
            ];
            for (dots, &anchor) in dots.iter_mut().zip(anchors) {
                let anchor = _mm512_set1_ps(anchor);
                for (dot, row) in dots.iter_mut().zip(rows) {
                    *dot = _mm512_fmadd_ps(anchor, row, *dot);
                }
            }
        }
        let (norms, _) = tile.row_sq_norms.as_chunks::<16>();
        let two = _mm512_set1_ps(2.0);
        for ((out, dots), &sq_norm) in out.iter_mut().zip(dots).zip(tile.anchor_sq_norms) {
            let (out, _) = out.as_chunks_mut::<16>();
            for ((out, dot), other) in out.iter_mut().zip(dots).zip(norms) {
                let sum = _mm512_add_ps(_mm512_set1_ps(sq_norm), load_16(*other));
                *out = floats_of_16(_mm512_fnmadd_ps(two, dot, sum));
            }
        }
    }

    /// 6 anchors by 16 rows in registers, four times.
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn fill_avx2(tile: &Tile<'_>, out: &mut [[f32; PANEL]; BLOCK]) {
        fill_quarter::<0>(tile, out);
        fill_quarter::<1>(tile, out);
        fill_quarter::<2>(tile, out);
        fill_quarter::<3>(tile, out);
    }

    #[target_feature(enable = "avx2,fma")]
    fn fill_quarter<const QUARTER: usize>(tile: &Tile<'_>, out: &mut [[f32; PANEL]; BLOCK]) {
        let mut dots = [[_mm256_setzero_ps(); 2]; BLOCK];
        for (anchors, rows) in tile.anchors.iter().zip(tile.rows) {
            let (rows, _) = rows.as_chunks::<8>();
            let rows = [load_8(rows[2 * QUARTER]), load_8(rows[2 * QUARTER + 1])];
            for (dots, &anchor) in dots.iter_mut().zip(anchors) {
                let anchor = _mm256_set1_ps(anchor);
                for (dot, row) in dots.iter_mut().zip(rows) {
                    *dot = _mm256_fmadd_ps(anchor, row, *dot);
                }
            }
        }
        let (norms, _) = tile.row_sq_norms.as_chunks::<8>();
        let two = _mm256_set1_ps(2.0);
        for ((out, dots), &sq_norm) in out.iter_mut().zip(dots).zip(tile.anchor_sq_norms) {
            let (out, _) = out.as_chunks_mut::<8>();
            for (i, dot) in (2 * QUARTER..).zip(dots) {
                let sum = _mm256_add_ps(_mm256_set1_ps(sq_norm), load_8(norms[i]));
                out[i] = floats_of_8(_mm256_fnmadd_ps(two, dot, sum));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Embeddings;

    /// Whole numbers small enough for every sum to be exact in f32: all versions agree.
    #[test]
    fn every_level_gives_the_exact_distances_of_whole_numbers() {
        for dim in [1, 2, 7, 8, 33, 128] {
            let value = |i: usize| (i * 37 % 23) as f32 - 11.0;
            let anchors: Vec<[f32; BLOCK]> = (0..dim)
                .map(|k| std::array::from_fn(|i| value(k * BLOCK + i)))
                .collect();
            let rows: Vec<[f32; PANEL]> = (0..dim)
                .map(|k| std::array::from_fn(|j| value(k * PANEL + j + 5)))
                .collect();
            let sq_norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum();
            let tile = Tile {
                anchors: &anchors,
                rows: &rows,
                anchor_sq_norms: &std::array::from_fn(|i| {
                    sq_norm(&mut anchors.iter().map(|x| x[i]))
                }),
                row_sq_norms: &std::array::from_fn(|j| sq_norm(&mut rows.iter().map(|y| y[j]))),
            };
            let sq_l2 = |i: usize, j: usize| -> f32 {
                anchors
                    .iter()
                    .zip(&rows)
                    .map(|(x, y)| (x[i] - y[j]).powi(2))
                    .sum()
            };
            let expected: [[f32; PANEL]; BLOCK] =
                std::array::from_fn(|i| std::array::from_fn(|j| sq_l2(i, j)));
            for level in Level::available() {
                let mut out = [[f32::NAN; PANEL]; BLOCK];
                fill_tile(level, &tile, &mut out);
                assert_eq!(out, expected, "{level:?} {dim}");
            }
        }
    }

    #[test]
    fn distances_cover_every_anchor_and_are_infinite_beyond_the_rows() {
        for n in [1, 5, 6, 7, 63, 64, 65, 130] {
            let values: Vec<f32> = (0..n * 3).map(|i| (i * i % 17) as f32).collect();
            let embeddings = Embeddings::new(&values, 3).expect("whole rows");
            let problem = Problem::new(embeddings, &vec![0; n]).expect("a label a row");
            let (mut anchors, mut columns) = (Anchors::default(), Columns::default());
            let first = n / 3;
            anchors.pack(&problem, first..n);
            columns.pack(&problem, 0..n);
            let stride = columns.stride();
            let mut out = vec![f32::NAN; (n - first) * stride];
            distances(&problem, &anchors, &columns, &mut out);
            for (at, found) in out.into_iter().enumerate() {
                let (i, j) = (first + at / stride, at % stride);
                let expected = if j < n {
                    problem.exact(i, j) as f32
                } else {
                    f32::INFINITY
                };
                assert_eq!(found.to_bits(), expected.to_bits(), "{n}: {i} {j}");
            }
        }
    }
}
