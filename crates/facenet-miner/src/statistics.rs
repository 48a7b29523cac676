//! What a call considered and found.

use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Draw;
use crate::draw::below;
use crate::lanes::sq_l2_of_pairs;
use crate::problem::Problem;

/// Most distances that quantiles are taken over.
const SAMPLE: u64 = 4096;

/// Distances of the sample that one task computes.
const SAMPLE_SHARE: usize = 512;

/// Statistics of one call.
///
/// A *pair* is an anchor with a positive that the rule looked for negatives for: with `violating`
/// and `semi-hard` every two finite rows of one label, once, the smaller index being the anchor;
/// with `batch-all` the same in both directions; with `batch-hard` every anchor that has both
/// sides, with its farthest positive; with `distance-weighted` as with `violating`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Rows given.
    pub rows: u64,
    /// Rows left out: those that hold a NaN or an infinity, and those that the caller has masked.
    pub masked_rows: u64,
    /// Pairs considered.
    pub pairs: u64,
    /// Share of `pairs` with at least one admissible negative: `d_an - d_ap < margin`, and
    /// `d_ap < d_an` with `semi-hard`. With `distance-weighted` share of pairs whose drawn negative
    /// has `d_an - d_ap < margin`. 0 without pairs.
    pub active_share: f64,
    /// Triplets given.
    pub triplets: u64,
    /// Squared L2 of the pairs considered: all while there are 4,096 or fewer, else every s-th,
    /// s being the smallest power of two that leaves no more.
    pub d_ap: Quantiles,
    /// Squared L2 of rows of different labels, whatever the rule: all while there are 4,096 or
    /// fewer such pairs, else 4,096 drawn with replacement by (seed, "minequan", epoch, step).
    pub d_an: Quantiles,
}

/// Quantiles of a sample: the sorted value of rank `round(q (count - 1))`, so each is a value of
/// the sample. All 0 when `count` is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Values in the sample.
    pub count: u64,
    /// Smallest value.
    pub min: f64,
    /// 5 %.
    pub q05: f64,
    /// 25 %.
    pub q25: f64,
    /// 50 %.
    pub median: f64,
    /// 75 %.
    pub q75: f64,
    /// 95 %.
    pub q95: f64,
    /// Largest value.
    pub max: f64,
}

impl Quantiles {
    fn of(mut values: Vec<f64>) -> Self {
        let Some(last) = values.len().checked_sub(1) else {
            return Self::default();
        };
        let mut start = 0;
        // Ranks ascend, and what lies before the one found is no greater.
        let mut at = |q: f64| {
            let rank = (q * last as f64).round() as usize;
            let rest = &mut values[start..];
            let (_, &mut found, _) = rest.select_nth_unstable_by(rank - start, f64::total_cmp);
            start = rank;
            found
        };
        Self {
            count: last as u64 + 1,
            min: at(0.0),
            q05: at(0.05),
            q25: at(0.25),
            median: at(0.5),
            q75: at(0.75),
            q95: at(0.95),
            max: at(1.0),
        }
    }
}

/// Pairs seen so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pairs: u64,
    active: u64,
    triplets: u64,
    d_ap: Vec<f64>,
}

/// Every how many pairs one goes into the sample, when at most `n_pairs` come.
pub(crate) fn sample_stride(n_pairs: u64) -> u64 {
    n_pairs.div_ceil(SAMPLE).max(1).next_power_of_two()
}

impl Tally {
    /// Counts a pair; its distance is kept if its index is a multiple of `stride`.
    pub(crate) fn see(&mut self, index: u64, stride: u64, d_ap: f64, is_active: bool) {
        self.pairs += 1;
        self.active += u64::from(is_active);
        if index.is_multiple_of(stride) {
            self.d_ap.push(d_ap);
        }
    }

    /// Counts a triplet given.
    pub(crate) fn give(&mut self) {
        self.triplets += 1;
    }

    pub(crate) fn absorb(&mut self, other: Self) {
        self.pairs += other.pairs;
        self.active += other.active;
        self.triplets += other.triplets;
        self.d_ap.extend(other.d_ap);
    }

    pub(crate) fn finish(self, problem: &Problem<'_>, draw: Draw) -> Statistics {
        let share = self.active as f64 / self.pairs.max(1) as f64;
        let (d_ap, d_an) = rayon::join(
            || Quantiles::of(self.d_ap),
            || Quantiles::of(sampled_d_an(problem, &mut draw.quantiles())),
        );
        Statistics {
            rows: (problem.len() + problem.n_masked()) as u64,
            masked_rows: problem.n_masked() as u64,
            pairs: self.pairs,
            active_share: share,
            triplets: self.triplets,
            d_ap,
            d_an,
        }
    }
}

fn sampled_d_an(problem: &Problem<'_>, rng: &mut ChaCha8Rng) -> Vec<f64> {
    // ends[i]: ordered pairs of different labels whose first row is i or before.
    let counts = (0..problem.len()).map(|row| problem.n_negatives(row) as u64);
    let ends: Vec<u64> = counts
        .scan(0, |end, n| {
            *end += n;
            Some(*end)
        })
        .collect();
    let total = ends.last().copied().unwrap_or(0);
    let ordered = |index: u64| {
        let row = ends.partition_point(|&end| end <= index);
        let before = if row == 0 { 0 } else { ends[row - 1] };
        (
            row,
            problem.negative_by_rank(row, (index - before) as usize),
        )
    };
    let is_all = total / 2 <= SAMPLE; // then each pair comes in both orders
    let indices: Vec<u64> = if is_all {
        (0..total).collect()
    } else {
        (0..SAMPLE).map(|_| below(rng, total)).collect()
    };
    let is_all = total / 2 <= SAMPLE; // then each pair comes in both orders
    let shares = indices.par_chunks(SAMPLE_SHARE).map(|indices| {
        let pairs = indices.iter().copied().map(ordered);
        let once = pairs.filter(|(row, other)| !is_all || row < other);
        sq_l2_of_pairs(once.map(|(row, other)| (problem.row(row), problem.row(other))))
    });
    shares.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Embeddings;

    #[test]
    fn quantiles_are_values_of_the_sample() {
        let quantiles = Quantiles::of((0..=100).rev().map(f64::from).collect());
        let expected = Quantiles {
            count: 101,
            min: 0.0,
            q05: 5.0,
            q25: 25.0,
            median: 50.0,
            q75: 75.0,
            q95: 95.0,
            max: 100.0,
        };
        assert_eq!(quantiles, expected);
        assert_eq!(Quantiles::of(vec![]), Quantiles::default());
    }

    #[test]
    fn the_stride_leaves_no_more_than_the_sample() {
        let strides = [0, 1, 4096, 4097, 8192, 8193, 35_100].map(sample_stride);
        assert_eq!(strides, [1, 1, 1, 2, 2, 4, 16]);
    }

    #[test]
    fn few_negatives_are_all_taken_and_many_are_sampled() {
        let check = |n: u32, expected_count: usize| {
            let points: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let labels: Vec<u32> = (0..n).map(|i| i % 2).collect();
            let embeddings = Embeddings::new(&points, 1).expect("points on a line");
            let problem = Problem::new(embeddings, &labels).expect("a label a row");
            let found = sampled_d_an(&problem, &mut Draw::default().quantiles());
            assert_eq!(found.len(), expected_count);
            // Different labels: an odd number of steps apart, so an odd square.
            assert!(found.iter().all(|d_an| *d_an as u64 % 2 == 1));
        };
        check(6, 9);
        check(400, 4096);
    }
}
