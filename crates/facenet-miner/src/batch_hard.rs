//! `batch-hard`: for every anchor the farthest positive and the nearest negative.

use crate::admission::Admission;
use crate::halves;
use crate::problem::Problem;
use crate::row::Row;
use crate::scan::{Keep, scan};
use crate::statistics::{Tally, sample_stride};
use crate::{Hardest, MinerConfig, Neighbour, Triplet};

/// Gives one triplet for every anchor that has both sides, by anchor.
pub(crate) fn visit(
    problem: &Problem<'_>,
    config: &MinerConfig,
    keep: &mut Keep,
    visitor: &mut dyn FnMut(Triplet),
) -> Tally {
    let admission = Admission::new(config.rule, config.margin);
    let stride = sample_stride(problem.len() as u64);
    let mut tally = Tally::default();
    each_hardest(problem, keep, |anchor, hardest| {
        let Hardest {
            positive: Some(positive),
            negative: Some(negative),
        } = hardest
        else {
            return;
        };
        let is_active = admission.admits(positive.sq_l2, negative.sq_l2);
        tally.see(anchor as u64, stride, positive.sq_l2, is_active);
        if is_active || !config.only_violating {
            tally.give();
            visitor(Triplet {
                anchor: problem.original(anchor),
                positive: positive.index,
                negative: negative.index,
            });
        }
    });
    tally
}

/// The hardest rows of every row given, masked rows having none.
pub(crate) fn hardest(problem: &Problem<'_>) -> Vec<Hardest> {
    let mut all = vec![Hardest::default(); problem.len() + problem.n_masked()];
    each_hardest(problem, &mut Keep::default(), |anchor, hardest| {
        all[problem.original(anchor) as usize] = hardest;
    });
    all
}

/// Shows the hardest rows of every finite row, in order.
pub(crate) fn each_hardest(
    problem: &Problem<'_>,
    keep: &mut Keep,
    mut consume: impl FnMut(usize, Hardest),
) {
    if let (Some(device), true) = (problem.session(), keep.is_empty()) {
        return device.each_hardest(problem, &mut consume);
    }
    if keep.is_empty() && problem.slack().is_finite() {
        let all = halves::hardest(problem).into_iter().enumerate();
        return all.for_each(|(anchor, hardest)| consume(anchor, hardest));
    }
    let neighbour = |(row, sq_l2): (u32, f64)| Neighbour {
        index: problem.original(row as usize),
        sq_l2,
    };
    let per_row = |row: &mut Row<'_>, found: &mut Vec<(usize, Hardest)>| {
        let positive = row.farthest_positive().map(neighbour);
        let negative = row.nearest_negative().map(neighbour);
        found.push((row.anchor(), Hardest { positive, negative }));
    };
    let anchors = keep.anchors(problem, |_| true);
    scan((problem, &anchors), keep, per_row, |found| {
        for (anchor, hardest) in found {
            consume(anchor, hardest);
        }
    });
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
            rule: Rule::BatchHard,
            only_violating,
            ..Default::default()
        };
        let mut found = Vec::new();
        let tally = visit(&problem, &config, &mut Keep::default(), &mut |t| {
            found.push([t.anchor, t.positive, t.negative]);
        });
        assert_eq!(found, expected);
        let pairs = tally.finish(&problem, crate::Draw::default()).pairs;
        assert_eq!(pairs, if labels.len() == 5 { 4 } else { 0 });
    }

    #[test]
    fn takes_the_farthest_and_the_nearest_with_ties_to_the_smaller_index() {
        // 0 is as far from 1 as from 2; 3 and 4 are another label's, 3 alone in its own.
        let (points, labels) = ([0.0, 1.0, -1.0, 2.0, 4.0], [5, 5, 5, 6, 5]);
        let expected = [[0, 4, 3], [1, 4, 3], [2, 4, 3], [4, 2, 3]];
        check(false, &points, &labels, &expected);
        check(true, &points, &labels, &expected);
        let points = [0.0, 1.0, -1.0, 1.5, 0.5];
        check(
            false,
            &points,
            &labels,
            &[[0, 1, 3], [1, 2, 3], [2, 1, 3], [4, 2, 3]],
        );
        // 0 is 1 from its positive and 2.25 from 3; 2 is 4 from its positive and 6.25 from 3.
        check(true, &points, &labels, &[[1, 2, 3], [4, 2, 3]]);
    }

    #[test]
    fn an_anchor_without_both_sides_gives_nothing() {
        check(false, &[0.0, 1.0, 2.0], &[1, 1, 1], &[]);
        check(false, &[0.0, 1.0, 2.0], &[1, 2, 3], &[]);
    }
}
