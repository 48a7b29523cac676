//! The nearest of many rows to a probe: halves are read, f32 values decide.

use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use crate::half_tile::HalfTile;
use crate::nearest::Nearest;
use crate::problem::sq_norms;
use crate::simd::{Level, fill_half, fill_halves};
use crate::slack::{ALLOWANCE, Slack};
use crate::tile::{BLOCK, PANEL};
use crate::{Embeddings, MineError, Neighbour};

/// Bytes of halves that one task reads: long beside its own cost, and many of them even in a
/// hundred megabytes, so that no thread waits for long.
const PART: usize = 1 << 20;

/// Bytes of halves that all probes of a wave see in turn: half a core's second-level cache.
const TILE: usize = 1 << 19;

/// Probes that share a pass over the rows. Each holds some hundred candidates a task.
const WAVE: usize = 16 * BLOCK;

/// Rows that can be searched for the nearest to a probe, exactly.
///
/// Beside the f32 rows, which stay where the caller has them, it keeps each as halves (IEEE 754
/// binary16): half the bytes to read. Distances to the halves choose the candidates, the f64
/// distances to the f32 rows ([`sq_l2`](crate::sq_l2)) rank them. No row is lost on the way: with
/// `h` the halves of row `y`, and `x` the probe,
///
/// `| (|x|² + |y|² - 2 x·h) - |x - y|² | = 2 |x·(y - h)| ≤ 2 |x| |y - h|`
///
/// by Cauchy-Schwarz; the greatest `|y - h|` is measured when the index is built (at most
/// `2^-11 |y|` where no value is below 2^-14), and f32's own rounding comes on top. A row whose
/// approximate distance is beyond the `k`-th smallest by more than twice that bound is behind `k`
/// others; all other rows are candidates.
///
/// Rows with a NaN or an infinity, and masked ones, are never found. Where a value is beyond what
/// a half holds (65,504) every row is a candidate: slow, and still right.
#[derive(Debug)]
pub struct HalfIndex<'a> {
    embeddings: Embeddings<'a>,
    /// `[panels, dim]`
    panels: Vec<[u16; PANEL]>,
    /// `[panels]`: of the f32 rows; infinite where there is no row to find.
    sq_norms: Vec<[f32; PANEL]>,
    /// For f32's rounding.
    slack: Slack,
    /// The greatest L2 between a row and its halves.
    residual: f64,
}

/// Probes of one block, value `k` of each side by side.
#[derive(Debug)]
struct Block<const N: usize> {
    /// `[dim]`
    values: Vec<[f32; N]>,
    sq_norms: [f32; N],
}

/// The probes of a wave: whole blocks, or one alone.
#[derive(Debug)]
enum Packed {
    One(Block<1>),
    Blocks(Vec<Block<BLOCK>>),
}

impl<'a> HalfIndex<'a> {
    /// Makes the halves, on all threads of the current pool.
    pub fn new(embeddings: Embeddings<'a>) -> Self {
        let dim = embeddings.dim();
        let norms = sq_norms(embeddings);
        let is_there = |row: usize| norms[row].is_finite() && !embeddings.is_masked(row);
        let n_panels = embeddings.len().div_ceil(PANEL);
        let mut panels = vec![[0; PANEL]; n_panels * dim];
        let mut kept_norms = vec![[f32::INFINITY; PANEL]; n_panels];
        let parts = panels.par_chunks_mut(dim).zip(&mut kept_norms).enumerate();
        let residual = parts
            .map(|(panel, (halves, kept))| {
                let first = panel * PANEL;
                let rows = first..embeddings.len().min(first + PANEL);
                for row in rows.clone().filter(|&row| is_there(row)) {
                    kept[row - first] = norms[row] as f32;
                }
                let rows = rows.filter(|&row| is_there(row));
                pack_halves(rows.map(|row| (row - first, embeddings.row(row))), halves)
            })
            .reduce(|| 0.0, f64::max);
        let largest = (0..embeddings.len()).filter(|&row| is_there(row));
        let largest = largest.map(|row| norms[row]).fold(0.0, f64::max);
        Self {
            embeddings,
            panels,
            sq_norms: kept_norms,
            // Halves may be longer than their row, by no more than the residual.
            slack: Slack::new(dim, (largest.sqrt() + residual).powi(2)),
            residual,
        }
    }

    /// Bytes of halves and norms that a search for one probe reads.
    pub fn bytes(&self) -> usize {
        size_of_val(self.panels.as_slice()) + size_of_val(self.sq_norms.as_slice())
    }

    /// How far a first distance to a probe of norm 1 may be from the exact one: squared L2.
    pub fn slack(&self) -> f64 {
        self.slack_of(1.0)
    }

    /// The `k` rows nearest to each probe, or as many as there are, the nearest first; ties go to
    /// the smaller index. A probe with a NaN or an infinity, or masked, has none.
    ///
    /// Runs on all threads of the current pool; the answer does not depend on them.
    ///
    /// - `probes`: `[n, dim]`
    ///
    /// # Errors
    /// [`MineError::Shape`] unless the probes are as long as the rows.
    pub fn nearest(
        &self,
        probes: Embeddings<'_>,
        k: usize,
    ) -> Result<Vec<Vec<Neighbour>>, MineError> {
        if probes.dim() != self.embeddings.dim() {
            return Err(MineError::Shape {
                what: "probe",
                found: probes.dim(),
                expected: self.embeddings.dim(),
            });
        }
        let norms = sq_norms(probes);
        let mut lists = vec![vec![]; probes.len()];
        let is_there = |&row: &usize| norms[row].is_finite() && !probes.is_masked(row);
        let there: Vec<usize> = (0..probes.len()).filter(is_there).collect();
        for wave in there.chunks(WAVE) {
            let rows: Vec<(&[f32], f32)> = wave
                .iter()
                .map(|&row| (probes.row(row), norms[row] as f32))
                .collect();
            for (&row, list) in wave.iter().zip(self.search(&rows, k)) {
                lists[row] = list;
            }
        }
        Ok(lists)
    }

    /// The lists of one wave.
    ///
    /// - `probes`: rows with their squared norms
    fn search(&self, probes: &[(&[f32], f32)], k: usize) -> Vec<Vec<Neighbour>> {
        let packed = Packed::new(probes);
        let fresh = || -> Vec<Nearest<'_, Embeddings<'a>>> {
            let nearest = probes.iter().map(|&(probe, sq_norm)| {
                Nearest::new(&self.embeddings, probe, k, self.slack_of(sq_norm))
            });
            nearest.collect()
        };
        let per_part = (PART / (size_of::<[u16; PANEL]>() * self.embeddings.dim())).max(1);
        let starts = (0..self.sq_norms.len()).into_par_iter().step_by(per_part);
        let parts = starts.map(|first| {
            let mut nearest = fresh();
            self.see(&packed, first, per_part, &mut nearest);
            nearest.iter_mut().for_each(Nearest::tidy);
            nearest
        });
        let merged = parts.reduce(fresh, |xs, ys| {
            xs.into_iter().zip(ys).map(|(x, y)| x.merge(y)).collect()
        });
        merged.into_par_iter().map(Nearest::finish).collect()
    }

    /// Shows every probe the panels `first..first + n`, or those that there are.
    fn see(
        &self,
        packed: &Packed,
        first: usize,
        n: usize,
        nearest: &mut [Nearest<'_, Embeddings<'a>>],
    ) {
        let end = self.sq_norms.len().min(first + n);
        let per_tile = (TILE / (size_of::<[u16; PANEL]>() * self.embeddings.dim())).max(1);
        match packed {
            Packed::One(block) => self.see_block(block, first..end, fill_half, nearest),
            Packed::Blocks(blocks) => {
                for start in (first..end).step_by(per_tile) {
                    let panels = start..end.min(start + per_tile);
                    for (block, nearest) in blocks.iter().zip(nearest.chunks_mut(BLOCK)) {
                        self.see_block(block, panels.clone(), fill_halves, nearest);
                    }
                }
            }
        }
    }

    fn see_block<const N: usize>(
        &self,
        block: &Block<N>,
        panels: std::ops::Range<usize>,
        fill: fn(Level, &HalfTile<'_, N>, &mut [[f32; PANEL]; N]),
        nearest: &mut [Nearest<'_, Embeddings<'a>>],
    ) {
        let (level, dim) = (Level::best(), self.embeddings.dim());
        let mut approx = [[0.0; PANEL]; N];
        for panel in panels {
            let row_sq_norms = &self.sq_norms[panel];
            if self.is_bounded() {
                let tile = HalfTile {
                    probes: &block.values,
                    rows: &self.panels[panel * dim..][..dim],
                    probe_sq_norms: &block.sq_norms,
                    row_sq_norms,
                };
                fill(level, &tile, &mut approx);
            } else {
                // Any value is within an infinite slack, but no NaN.
                let unknown = row_sq_norms.map(|norm| if norm.is_infinite() { norm } else { 0.0 });
                approx = [unknown; N];
            }
            for (nearest, approx) in nearest.iter_mut().zip(&approx) {
                nearest.offer(panel * PANEL, std::slice::from_ref(approx));
            }
        }
    }

    /// Whether the first distances are of use at all.
    fn is_bounded(&self) -> bool {
        self.slack.is_finite() && self.residual.is_finite()
    }

    /// Bound of the error of a first distance to a probe of this squared norm.
    fn slack_of(&self, sq_norm: f32) -> f64 {
        if !self.is_bounded() {
            return f64::INFINITY;
        }
        let halves = 2.0 * f64::from(sq_norm).sqrt() * self.residual;
        self.slack.of_row(sq_norm) + ALLOWANCE * halves
    }
}

impl Packed {
    fn new(probes: &[(&[f32], f32)]) -> Self {
        if let [_] = probes {
            return Self::One(Block::new(probes));
        }
        Self::Blocks(probes.chunks(BLOCK).map(Block::new).collect())
    }
}

impl<const N: usize> Block<N> {
    /// Places without a probe are zeros.
    fn new(probes: &[(&[f32], f32)]) -> Self {
        let dim = probes[0].0.len();
        let mut block = Self {
            values: vec![[0.0; N]; dim],
            sq_norms: [0.0; N],
        };
        for (place, &(probe, sq_norm)) in probes.iter().enumerate() {
            block.sq_norms[place] = sq_norm;
            for (values, &value) in block.values.iter_mut().zip(probe) {
                values[place] = value;
            }
        }
        block
    }
}

/// Puts rows at their places of a panel, and gives the greatest L2 between one and its halves.
fn pack_halves<'a>(
    rows: impl Iterator<Item = (usize, &'a [f32])>,
    panel: &mut [[u16; PANEL]],
) -> f64 {
    let mut halves = vec![f16::ZERO; panel.len()];
    let mut greatest: f64 = 0.0;
    for (place, row) in rows {
        halves.convert_from_f32_slice(row);
        let mut sq_residual = 0.0;
        for ((values, &half), &x) in panel.iter_mut().zip(&halves).zip(row) {
            values[place] = half.to_bits();
            sq_residual += (f64::from(x) - half.to_f64()).powi(2);
        }
        greatest = greatest.max(f64::sqrt(sq_residual));
    }
    greatest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sq_l2;

    /// Every distance in f64, sorted: the definition.
    fn naive(rows: Embeddings<'_>, probe: &[f32], k: usize) -> Vec<(u64, u32)> {
        let is_there = |row: &usize| {
            let finite = rows.row(*row).iter().all(|x| x.is_finite());
            finite && !rows.is_masked(*row) && probe.iter().all(|x| x.is_finite())
        };
        let all = (0..rows.len()).filter(is_there);
        let mut all: Vec<(u64, u32)> = all
            .map(|row| (sq_l2(rows.row(row), probe).to_bits(), row as u32))
            .collect();
        all.sort_unstable();
        all.truncate(k);
        all
    }

    #[track_caller]
    fn check(rows: Embeddings<'_>, probes: &[f32], ks: &[usize]) {
        let index = HalfIndex::new(rows);
        let probes = Embeddings::new(probes, rows.dim()).expect("whole rows");
        for &k in ks {
            let found = index.nearest(probes, k).expect("one dimension");
            for (probe, list) in found.into_iter().enumerate() {
                let list: Vec<_> = list.iter().map(|n| (n.sq_l2.to_bits(), n.index)).collect();
                assert_eq!(list, naive(rows, probes.row(probe), k), "{probe} {k}");
            }
        }
    }

    /// Rows that halves cannot tell apart, and more of them than a part and a tile hold.
    #[test]
    fn rows_equal_in_halves_are_told_apart_and_ties_go_by_index() {
        let dim = 64;
        let n = 3 * PART / (2 * dim);
        let value = |at: usize| 0.125 + ((at / dim) % 7) as f32 * f32::EPSILON * ((at % 5) as f32);
        let values: Vec<f32> = (0..n * dim).map(value).collect();
        let rows = Embeddings::new(&values, dim).expect("whole rows");
        let probes: Vec<f32> = (0..8 * dim).map(|at| value(at * 3)).collect();
        check(rows, &probes[..dim], &[1, 300]);
        check(rows, &probes, &[5]);
    }

    #[test]
    fn what_halves_cannot_hold_is_ranked_all_the_same() {
        let values = [1e6, -3.0, 7e4, f32::NAN, 1e6, 1e-9, 65_519.0, 65_520.0];
        let rows = Embeddings::new(&values, 1).expect("rows of one value");
        check(rows, &[1e6, 1e-9, f32::INFINITY, 65_000.0], &[0, 1, 3, 9]);
        let rows = rows.with_mask(&[true, false, false, false, false, true, false, false]);
        check(rows.expect("one a row"), &[1e6], &[2]);
    }

    #[test]
    fn an_empty_index_and_no_probe_give_empty_lists() {
        check(
            Embeddings::new(&[], 3).expect("no row"),
            &[1.0, 2.0, 3.0],
            &[2],
        );
        check(Embeddings::new(&[0.0; 6], 3).expect("two rows"), &[], &[2]);
        let error = HalfIndex::new(Embeddings::new(&[], 3).expect("no row"))
            .nearest(Embeddings::new(&[1.0], 1).expect("a row"), 1)
            .expect_err("1 is not 3");
        assert!(
            error.to_string().contains("length 1, expected 3"),
            "{error}"
        );
    }

    /// 128 values of equal size 1/√128: halves are off by 2^-12 of it or less in each, hence
    /// |y - h| by 2^-12 at most, and the bound is 2 · 2^-12 and f32's 1.7e-5.
    #[test]
    fn unit_rows_have_a_slack_of_halves_rounding() {
        let values = vec![1.0 / 128f32.sqrt(); 128];
        let index = HalfIndex::new(Embeddings::new(&values, 128).expect("a row"));
        assert!(index.slack() < 5.1e-4, "{}", index.slack());
        assert_eq!(index.bytes(), 64 * (2 * 128 + 4));
    }

    proptest! {
        #[test]
        fn the_nearest_are_the_naive_ones(
            dim in 1usize..40,
            values in prop::collection::vec(-1.0f32..1.0, 0..6000),
            scale in -30i32..14,
            coarse in any::<bool>(),
            k in 0usize..12,
        ) {
            let value = |&x: &f32| if coarse { (x * 4.0).round() } else { x } * (scale as f32).exp2();
            let values: Vec<f32> = values.iter().map(value).collect();
            let n = values.len() / dim;
            let rows = Embeddings::new(&values[..n * dim], dim).expect("whole rows");
            let probes = &values[values.len() - n.min(9) * dim..];
            check(rows, probes, &[k]);
            check(rows, &probes[..n.min(1) * dim], &[k]);
        }
    }
}
