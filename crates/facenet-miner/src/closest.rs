//! `violating` with the closest negative: the nearest row of another label serves every pair of
//! an anchor, if it is admissible at all.

use rayon::prelude::*;

use crate::admission::Admission;
use crate::batch_hard::each_hardest;
use crate::lanes::sq_l2_to_each;
use crate::pair_rules::{Found, first_pairs};
use crate::problem::Problem;
use crate::scan::Keep;
use crate::statistics::{Tally, sample_stride};
use crate::{MinerConfig, Neighbour, Triplet};

/// Anchors of one task.
const SHARE: usize = 64;

/// Tasks whose results are held at a time.
const SHARES: usize = 64;

/// Gives the triplets of every pair, by anchor, then positive, the smaller index being the anchor.
pub(crate) fn visit(
    problem: &Problem<'_>,
    config: &MinerConfig,
    visitor: &mut dyn FnMut(Triplet),
) -> Tally {
    let admission = Admission::new(config.rule, config.margin);
    let first_pairs = first_pairs(problem);
    let stride = sample_stride(first_pairs[problem.len()]);
    let mut nearest = Vec::with_capacity(problem.len());
    each_hardest(problem, &mut Keep::default(), |_, hardest| {
        nearest.push(hardest.negative);
    });
    let anchors: Vec<usize> = (0..problem.len()).collect();
    let mut tally = Tally::default();
    for wave in anchors.chunks(SHARE * SHARES) {
        let shares = wave.par_chunks(SHARE).map(|anchors| {
            let mut found = Found::default();
            for &anchor in anchors {
                let pairs = Pairs {
                    anchor,
                    first: first_pairs[anchor],
                    nearest: nearest[anchor],
                };
                pairs.see(problem, admission, stride, &mut found);
            }
            found
        });
        for found in shares.collect::<Vec<_>>() {
            found.hand_over(&mut tally, visitor);
        }
    }
    tally
}

/// The pairs of one anchor.
struct Pairs {
    anchor: usize,
    /// Index of the first.
    first: u64,
    /// Nearest row of another label, by the caller's number.
    nearest: Option<Neighbour>,
}

impl Pairs {
    fn see(&self, problem: &Problem<'_>, admission: Admission, stride: u64, found: &mut Found) {
        let positives = problem.later(self.anchor);
        let anchor = problem.row(self.anchor).iter().copied().map(f64::from);
        let rows = positives.iter().map(|&row| problem.row(row as usize));
        found.d_aps.clear();
        sq_l2_to_each(&anchor.collect::<Vec<_>>(), rows, &mut found.d_aps);
        for (pair, (&positive, &d_ap)) in (self.first..).zip(positives.iter().zip(&found.d_aps)) {
            let is_admitted = |negative: &Neighbour| admission.admits(d_ap, negative.sq_l2);
            let negative = self.nearest.filter(is_admitted);
            found.tally.see(pair, stride, d_ap, negative.is_some());
            if let Some(negative) = negative {
                found.tally.give();
                found.triplets.push(Triplet {
                    anchor: problem.original(self.anchor),
                    positive: problem.original(positive as usize),
                    negative: negative.index,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Draw, Embeddings, NegativeChoice, Rule, pair_rules};

    /// Few values, so that distances are equal, and pairs of which only some are sampled. Where lists
    /// are to be kept, every pair is asked for its closest negative.
    #[test]
    fn the_nearest_row_serves_the_pairs_that_admit_it() {
        let label = |i: u32| i * i % 89 % 7;
        let point = |i: u32| (32 * label(i) + i * i % 197 % 23) as f32 / 16.0;
        let points: Vec<f32> = (0..400).map(point).collect();
        let labels: Vec<u32> = (0..400).map(label).collect();
        let embeddings = Embeddings::new(&points, 1).expect("points on a line");
        let problem = Problem::new(embeddings, &labels).expect("a label a row");
        let config = MinerConfig {
            rule: Rule::Violating,
            negative: NegativeChoice::Closest,
            ..Default::default()
        };
        let draw = Draw::default();
        let (mut found, mut expected) = (vec![], vec![]);
        let tally = visit(&problem, &config, &mut |triplet| found.push(triplet));
        let (mut keep, mut expect) = (Keep::new(1), |triplet| expected.push(triplet));
        let asked = pair_rules::visit(&problem, &config, draw, &mut keep, &mut expect);
        assert!(expected.len() > 1000, "{}", expected.len());
        assert_eq!(found, expected);
        let (found, expected) = (tally.finish(&problem, draw), asked.finish(&problem, draw));
        assert!(
            expected.pairs > 4096 && expected.active_share < 1.0,
            "{expected:?}"
        );
        assert_eq!(found, expected);
    }
}
