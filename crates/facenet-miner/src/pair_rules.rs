//! `violating` and `semi-hard`: for every pair at most one negative.

use crate::admission::Admission;
use crate::draw::choose;
use crate::problem::Problem;
use crate::row::Row;
use crate::scan::scan;
use crate::statistics::{Tally, sample_stride};
use crate::{Draw, MinerConfig, NegativeChoice, Triplet};

/// What one strip of anchors gives.
#[derive(Default)]
struct Found {
    triplets: Vec<Triplet>,
    tally: Tally,
}

/// Gives the triplets of every pair, by anchor, then positive, the smaller index being the anchor.
pub(crate) fn visit(
    problem: &Problem<'_>,
    config: &MinerConfig,
    draw: Draw,
    visitor: &mut dyn FnMut(Triplet),
) -> Tally {
    if let (Some(device), NegativeChoice::Random) = (problem.session(), config.negative) {
        return device.draw_negatives(problem, config, draw, visitor);
    }
    let admission = Admission::new(config.rule, config.margin);
    let rng = draw.pairs();
    let first_pairs = first_pairs(problem);
    let stride = sample_stride(first_pairs[problem.len()]);
    let negative_of = |row: &mut Row<'_>, pair: u64, d_ap: f64| match config.negative {
        NegativeChoice::Random => row.chosen(admission, d_ap, |n| choose(&rng, pair, n)),
        NegativeChoice::Closest => row.closest(admission, d_ap),
    };
    let per_row = |row: &mut Row<'_>, found: &mut Found| {
        let anchor = row.anchor();
        for (pair, &positive) in (first_pairs[anchor]..).zip(problem.later(anchor)) {
            let d_ap = row.exact(positive);
            let negative = negative_of(row, pair, d_ap);
            found.tally.see(pair, stride, d_ap, negative.is_some());
            let Some(negative) = negative else { continue };
            found.tally.give();
            found.triplets.push(Triplet {
                anchor: problem.original(anchor),
                positive: problem.original(positive as usize),
                negative: problem.original(negative as usize),
            });
        }
    };
    let mut tally = Tally::default();
    scan(problem, per_row, |found: Found| {
        tally.absorb(found.tally);
        found.triplets.into_iter().for_each(&mut *visitor);
    });
    tally
}

/// Index of each anchor's first pair, and at the end their number.
fn first_pairs(problem: &Problem<'_>) -> Vec<u64> {
    let mut first_pairs = vec![0];
    let mut n_pairs = 0;
    for anchor in 0..problem.len() {
        n_pairs += problem.later(anchor).len() as u64;
        first_pairs.push(n_pairs);
    }
    first_pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Embeddings, Rule};

    #[track_caller]
    fn check(config: MinerConfig, points: &[f32], labels: &[u32], expected: &[[u32; 3]]) {
        let embeddings = Embeddings::new(points, 1).expect("points on a line");
        let problem = Problem::new(embeddings, labels).expect("a label a row");
        let mut found = Vec::new();
        visit(&problem, &config, Draw::default(), &mut |t| {
            found.push([t.anchor, t.positive, t.negative]);
        });
        assert_eq!(found, expected, "{config:?}");
    }

    #[test]
    fn closest_negatives_by_hand() {
        let closest = MinerConfig {
            negative: NegativeChoice::Closest,
            ..Default::default()
        };
        let semi_hard = MinerConfig {
            rule: Rule::SemiHard,
            ..closest
        };
        // Pair (0, 1) at 0.25 has negatives at 0.36 (twice) and 0.0625; pair (2, 4) at 0.1225 has
        // them at 0.36, beyond the margin, and 0.01.
        let (points, labels) = ([0.0, 0.5, 0.6, -0.6, 0.25], [7, 7, 8, 9, 8]);
        check(closest, &points, &labels, &[[0, 1, 4], [2, 4, 1]]);
        check(semi_hard, &points, &labels, &[[0, 1, 2]]);
    }

    #[test]
    fn a_single_admissible_negative_is_the_one_drawn() {
        check(
            MinerConfig::default(),
            &[0.0, 0.5, 0.6, 3.0],
            &[7, 7, 8, 9],
            &[[0, 1, 2]],
        );
        check(MinerConfig::default(), &[0.0, 0.5, 3.0], &[7, 7, 8], &[]);
        check(MinerConfig::default(), &[], &[], &[]);
    }
}
