//! `violating` and `semi-hard`: for every pair at most one negative.

use crate::admission::Admission;
use crate::choice::PAIRS;
use crate::draw::FirstWords;
use crate::problem::Problem;
use crate::row::Row;
use crate::scan::{Keep, scan};
use crate::statistics::{Tally, sample_stride};
use crate::{Draw, MinerConfig, NegativeChoice, Rule, Triplet, closest};

/// What one strip of anchors gives.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) triplets: Vec<Triplet>,
    pub(crate) tally: Tally,
    pub(crate) words: FirstWords,
    /// Distances of the pairs of one anchor.
    pub(crate) d_aps: Vec<f64>,
}

impl Found {
    pub(crate) fn give(&mut self, problem: &Problem<'_>, triplet: [usize; 3]) {
        let [anchor, positive, negative] = triplet.map(|row| problem.original(row));
        self.tally.give();
        self.triplets.push(Triplet {
            anchor,
            positive,
            negative,
        });
    }

    pub(crate) fn hand_over(self, tally: &mut Tally, visitor: &mut dyn FnMut(Triplet)) {
        tally.absorb(self.tally);
        self.triplets.into_iter().for_each(visitor);
    }
}

/// Gives the triplets of every pair, by anchor, then positive, the smaller index being the anchor.
pub(crate) fn visit(
    problem: &Problem<'_>,
    config: &MinerConfig,
    draw: Draw,
    keep: &mut Keep,
    visitor: &mut dyn FnMut(Triplet),
) -> Tally {
    if let (Some(device), true) = (problem.session(), keep.is_empty()) {
        return device.pair_rule(problem, config, draw, visitor);
    }
    let one_serves_all = (Rule::Violating, NegativeChoice::Closest);
    if (config.rule, config.negative) == one_serves_all && keep.is_empty() {
        return closest::visit(problem, config, visitor);
    }
    let admission = Admission::new(config.rule, config.margin);
    let draws = draw.pairs();
    let first_pairs = first_pairs(problem);
    let stride = sample_stride(first_pairs[problem.len()]);
    let per_row = |row: &mut Row<'_>, found: &mut Found| {
        let (anchor, positives) = (row.anchor(), problem.later(row.anchor()));
        row.exact_each(positives, &mut found.d_aps);
        let d_aps = std::mem::take(&mut found.d_aps);
        let mut choice = std::mem::take(row.choice());
        let parts = d_aps.chunks(PAIRS).zip(positives.chunks(PAIRS));
        let first_pairs = (first_pairs[anchor]..).step_by(PAIRS);
        for ((d_aps, positives), first_pair) in parts.zip(first_pairs) {
            if config.negative == NegativeChoice::Random {
                choice.compare(row, admission, d_aps);
            }
            for (place, (&positive, &d_ap)) in positives.iter().zip(d_aps).enumerate() {
                let pair = first_pair + place as u64;
                let negative = match config.negative {
                    NegativeChoice::Random => {
                        choice.chosen(place, |n| draws.choose(&mut found.words, pair, n))
                    }
                    NegativeChoice::Closest => row.closest(admission, d_ap),
                };
                found.tally.see(pair, stride, d_ap, negative.is_some());
                if let Some(negative) = negative {
                    found.give(problem, [anchor, positive as usize, negative as usize]);
                }
            }
        }
        found.d_aps = d_aps;
        *row.choice() = choice;
    };
    let mut tally = Tally::default();
    let anchors = keep.anchors(problem, |row| !problem.later(row).is_empty());
    scan((problem, &anchors), keep, per_row, |found: Found| {
        found.hand_over(&mut tally, visitor);
    });
    tally
}

/// Index of each anchor's first pair, and at the end their number.
pub(crate) fn first_pairs(problem: &Problem<'_>) -> Vec<u64> {
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
    use crate::Embeddings;

    #[track_caller]
    fn check(config: MinerConfig, points: &[f32], labels: &[u32], expected: &[[u32; 3]]) {
        let embeddings = Embeddings::new(points, 1).expect("points on a line");
        let problem = Problem::new(embeddings, labels).expect("a label a row");
        let mut found = Vec::new();
        visit(
            &problem,
            &config,
            Draw::default(),
            &mut Keep::default(),
            &mut |t| {
                found.push([t.anchor, t.positive, t.negative]);
            },
        );
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

    /// Two labels of 80 rows: the later anchors' pairs are more than are compared at once.
    #[test]
    fn pairs_beyond_those_of_one_comparison_draw_from_their_own_lists() {
        let points: Vec<f32> = (0..160).map(|i| (i * 37 % 101) as f32 / 64.0).collect();
        let labels: Vec<u32> = (0..160).map(|i| i % 2).collect();
        let embeddings = Embeddings::new(&points, 1).expect("points on a line");
        let problem = Problem::new(embeddings, &labels).expect("a label a row");
        for rule in [Rule::Violating, Rule::SemiHard] {
            let (admission, config) = (Admission::new(rule, 0.25), MinerConfig::default());
            let config = MinerConfig {
                rule,
                margin: 0.25,
                ..config
            };
            let (mut expected, mut pair) = (vec![], 0);
            for anchor in 0..points.len() {
                for &positive in problem.later(anchor) {
                    let d_ap = problem.exact(anchor, positive as usize);
                    let admits = |&j: &usize| admission.admits(d_ap, problem.exact(anchor, j));
                    let others = (0..points.len()).filter(|j| labels[*j] != labels[anchor]);
                    let list: Vec<usize> = others.filter(admits).collect();
                    if !list.is_empty() {
                        let draws = Draw::default().pairs();
                        let rank = draws.choose(&mut FirstWords::default(), pair, list.len());
                        expected.push([anchor as u32, positive, list[rank] as u32]);
                    }
                    pair += 1;
                }
            }
            assert!(expected.len() > 4000, "{rule}: {}", expected.len());
            check(config, &points, &labels, &expected);
        }
    }
}
