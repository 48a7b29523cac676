//! `distance-weighted`: for every pair a negative drawn with a weight by its distance.

use crate::admission::{Admission, above};
use crate::draw::{FirstWords, PairDraws};
use crate::marks::Span;
use crate::pair_rules::{Found, first_pairs};
use crate::problem::Problem;
use crate::row::Row;
use crate::scan::{Keep, scan};
use crate::simd::{Level, exp_all, log_weights};
use crate::statistics::{Tally, sample_stride};
use crate::weights::exponents;
use crate::{Draw, MinerConfig, Triplet};

/// Gives the triplets of every pair, by anchor, then positive, the smaller index being the anchor.
pub(crate) fn visit(
    problem: &Problem<'_>,
    config: &MinerConfig,
    draw: Draw,
    keep: &mut Keep,
    visitor: &mut dyn FnMut(Triplet),
) -> Tally {
    let admission = Admission::new(config.rule, config.margin);
    let (draws, first_pairs) = (draw.pairs(), first_pairs(problem));
    let stride = sample_stride(first_pairs[problem.len()]);
    let per_row = |row: &mut Row<'_>, (found, urn): &mut (Found, Urn)| {
        let anchor = row.anchor();
        let positives = problem.later(anchor);
        if positives.is_empty() {
            return;
        }
        urn.fill(row, config);
        row.exact_each(positives, &mut found.d_aps);
        let d_aps = std::mem::take(&mut found.d_aps);
        let pairs = positives.iter().zip(&d_aps);
        for (pair, (&positive, &d_ap)) in (first_pairs[anchor]..).zip(pairs) {
            let negative = urn.draw(row, &draws, &mut found.words, pair);
            let is_active = negative.is_some_and(|(_, d_an)| admission.admits(d_ap, d_an));
            found.tally.see(pair, stride, d_ap, is_active);
            if let Some((negative, _)) = negative.filter(|_| is_active || !config.only_violating) {
                found.give(problem, [anchor, positive as usize, negative as usize]);
            }
        }
        found.d_aps = d_aps;
    };
    let mut tally = Tally::default();
    let anchors = keep.anchors(problem, |row| !problem.later(row).is_empty());
    scan(
        (problem, &anchors),
        keep,
        per_row,
        |(found, _): (Found, Urn)| {
            found.hand_over(&mut tally, visitor);
        },
    );
    tally
}

/// Negatives of one anchor, to draw from.
#[derive(Debug, Default)]
struct Urn {
    /// Rows nearer than the upper cutoff, ascending.
    rows: Vec<u32>,
    sq_l2: Vec<f64>,
    /// Sums of weights up to each row, in f64, one after the other.
    ends: Vec<f64>,
}

impl Urn {
    fn fill(&mut self, row: &mut Row<'_>, config: &MinerConfig) {
        let square = |cutoff: f32| f64::from(cutoff) * f64::from(cutoff);
        let (least, end) = (square(config.cutoff), square(config.nonzero_loss_cutoff));
        self.rows.clear();
        let span = Span::below(above(end + row.slack()));
        self.rows.extend_from_slice(row.within(span));
        row.exact_each(&self.rows, &mut self.sq_l2);
        let mut distances = self.sq_l2.iter();
        self.rows
            .retain(|_| distances.next().is_some_and(|&d_an| d_an < end));
        self.sq_l2.retain(|&d_an| d_an < end);
        self.ends.clear();
        self.ends
            .extend(self.sq_l2.iter().map(|d_an| d_an.max(least)));
        log_weights(
            Level::best(),
            &mut self.ends,
            exponents(row.problem().dim()),
        );
        let greatest = self.ends.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        exp_all(Level::best(), &mut self.ends, greatest);
        let mut sum = 0.0;
        for end in &mut self.ends {
            sum += *end;
            *end = sum;
        }
    }

    /// A negative and its distance; `None` when there is no negative at all.
    fn draw(
        &self,
        row: &mut Row<'_>,
        draws: &PairDraws,
        words: &mut FirstWords,
        pair: u64,
    ) -> Option<(u32, f64)> {
        let Some(&total) = self.ends.last() else {
            let n_negatives = row.problem().n_negatives(row.anchor());
            let rank = (n_negatives > 0).then(|| draws.choose(words, pair, n_negatives))?;
            let negative = row.problem().nth_negative(row.anchor(), rank);
            return Some((negative, row.exact(negative)));
        };
        let target = draws.share(words, pair) * total;
        let place = self.ends.partition_point(|&end| end <= target);
        // Only where the product was rounded up to the total is there none beyond it.
        let last = || self.ends.partition_point(|&end| end < total);
        let place = if place < self.ends.len() {
            place
        } else {
            last()
        };
        Some((self.rows[place], self.sq_l2[place]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Embeddings, Rule};

    #[track_caller]
    fn check(only_violating: bool, points: &[f32], labels: &[u32], expected: &[[u32; 3]]) {
        let embeddings = Embeddings::new(points, 1).expect("points on a line");
        let problem = Problem::new(embeddings, labels).expect("a label a row");
        let config = MinerConfig {
            rule: Rule::DistanceWeighted,
            only_violating,
            ..Default::default()
        };
        for step in 0..32 {
            let draw = Draw {
                step,
                ..Draw::default()
            };
            let mut found = Vec::new();
            let tally = visit(&problem, &config, draw, &mut Keep::default(), &mut |t| {
                found.push([t.anchor, t.positive, t.negative]);
            });
            assert_eq!(found, expected);
            assert_eq!(tally.finish(&problem, draw).pairs, 1);
        }
    }

    #[test]
    fn the_only_negative_below_the_cutoff_is_drawn_whatever_the_others() {
        // From 0: 2 at 1.3, 3 at 1.5 and 4 at 1.4, of which the f32 is on the cutoff.
        let points = [0.0, 0.1, 1.3, -1.5, 1.4];
        check(false, &points, &[7, 7, 8, 9, 10], &[[0, 1, 2]]);
        check(true, &points, &[7, 7, 8, 9, 10], &[]);
    }

    #[test]
    fn without_one_below_the_cutoff_any_negative_may_come() {
        check(false, &[0.0, 0.1, 1.4], &[7, 7, 8], &[[0, 1, 2]]);
        check(false, &[0.0, 0.1], &[7, 7], &[]);
    }
}
