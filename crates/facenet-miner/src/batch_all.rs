//! `batch-all`, and the visit of every pair's admissible negatives.

use crate::admission::Admission;
use crate::problem::Problem;
use crate::row::Row;
use crate::scan::{Keep, scan, scan_in_order};
use crate::statistics::{Tally, sample_stride};
use crate::{MinerConfig, Pair, Triplet};

/// Number of triplets that [`visit`] gives, exactly.
pub(crate) fn count(problem: &Problem<'_>, config: &MinerConfig) -> u64 {
    let mut total = 0u64;
    if !config.only_violating {
        for anchor in 0..problem.len() {
            let n_positives = problem.group(anchor).len() as u64 - 1;
            total = total.saturating_add(n_positives * problem.n_negatives(anchor) as u64);
        }
        return total;
    }
    let admission = Admission::new(config.rule, config.margin);
    let per_row = |row: &mut Row<'_>, found: &mut u64| {
        for positive in positives(row) {
            let d_ap = row.exact(positive);
            *found += row.count(admission, d_ap) as u64;
        }
    };
    let mut keep = Keep::default();
    let anchors = keep.anchors(problem, |row| problem.group(row).len() > 1);
    scan((problem, &anchors), &mut keep, per_row, |found: u64| {
        total = total.saturating_add(found);
    });
    total
}

/// Gives every triplet, or every violating one, by anchor, then positive, then negative.
pub(crate) fn visit(
    problem: &Problem<'_>,
    config: &MinerConfig,
    keep: &mut Keep,
    visitor: &mut dyn FnMut(Triplet),
) -> Tally {
    let admission = Admission::new(config.rule, config.margin);
    let stride = sample_stride(n_ordered_pairs(problem));
    let (mut tally, mut index) = (Tally::default(), 0);
    let anchors = keep.anchors(problem, |row| problem.group(row).len() > 1);
    scan_in_order((problem, &anchors), keep, |row| {
        let anchor = row.anchor();
        let negatives = negatives(problem, anchor);
        for positive in positives(row) {
            let d_ap = row.exact(positive);
            let mut give = |&negative: &u32| {
                tally.give();
                visitor(Triplet {
                    anchor: problem.original(anchor),
                    positive: problem.original(positive as usize),
                    negative: problem.original(negative as usize),
                });
            };
            let is_active = if config.only_violating {
                let violating = row.list(admission, d_ap);
                violating.iter().for_each(&mut give);
                !violating.is_empty()
            } else {
                negatives.iter().for_each(&mut give);
                row.count(admission, d_ap) > 0
            };
            tally.see(index, stride, d_ap, is_active);
            index += 1;
        }
    });
    tally
}

/// Shows every pair (the smaller index being the anchor) with its admissible negatives, ascending.
pub(crate) fn visit_admissible(
    problem: &Problem<'_>,
    config: &MinerConfig,
    visitor: &mut dyn FnMut(Pair, &[u32]),
) {
    let admission = Admission::new(config.rule, config.margin);
    let (mut keep, mut originals) = (Keep::default(), Vec::new());
    let anchors = keep.anchors(problem, |row| !problem.later(row).is_empty());
    scan_in_order((problem, &anchors), &mut keep, |row| {
        let anchor = row.anchor();
        for &positive in problem.later(anchor) {
            let d_ap = row.exact(positive);
            let negatives = row.list(admission, d_ap);
            originals.clear();
            originals.extend(negatives.iter().map(|&row| problem.original(row as usize)));
            let (anchor, positive) = (
                problem.original(anchor),
                problem.original(positive as usize),
            );
            visitor(
                Pair {
                    anchor,
                    positive,
                    d_ap,
                },
                &originals,
            );
        }
    });
}

/// Rows of the anchor's label without the anchor, ascending.
fn positives<'a>(row: &Row<'a>) -> impl Iterator<Item = u32> + use<'a> {
    let (problem, anchor) = (row.problem(), row.anchor());
    problem
        .group(anchor)
        .iter()
        .copied()
        .filter(move |&member| member as usize != anchor)
}

/// Rows of other labels, ascending.
fn negatives(problem: &Problem<'_>, anchor: usize) -> Vec<u32> {
    let group = problem.group(anchor);
    (0..problem.len() as u32)
        .filter(|row| group.binary_search(row).is_err())
        .collect()
}

fn n_ordered_pairs(problem: &Problem<'_>) -> u64 {
    (0..problem.len())
        .map(|anchor| problem.group(anchor).len() as u64 - 1)
        .sum()
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
            rule: Rule::BatchAll,
            only_violating,
            ..Default::default()
        };
        let mut found = Vec::new();
        visit(&problem, &config, &mut Keep::default(), &mut |t| {
            found.push([t.anchor, t.positive, t.negative]);
        });
        assert_eq!(found, expected);
        assert_eq!(count(&problem, &config), expected.len() as u64);
    }

    #[test]
    fn every_ordered_pair_meets_every_negative() {
        let (points, labels) = ([0.0, 0.5, 0.6, 0.0, 2.0], [1, 1, 2, 1, 3]);
        let mut expected = Vec::new();
        for (anchor, positive) in [(0, 1), (0, 3), (1, 0), (1, 3), (3, 0), (3, 1)] {
            expected.extend([[anchor, positive, 2], [anchor, positive, 4]]);
        }
        check(false, &points, &labels, &expected);
        // From 0 and 3, row 2 is at 0.36: within the margin of the pair at 0.25, not of 0.
        let violating = [[0, 1, 2], [1, 0, 2], [1, 3, 2], [3, 1, 2]];
        check(true, &points, &labels, &violating);
    }

    #[test]
    fn no_pair_or_no_negative_gives_nothing() {
        check(false, &[0.0, 1.0], &[1, 1], &[]);
        check(true, &[0.0, 1.0], &[1, 2], &[]);
        check(false, &[], &[], &[]);
    }
}
