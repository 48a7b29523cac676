//! What is watched at every step, so that a run that has gone wrong says so while it is cheap.

mod distances;
mod spread;

use std::collections::VecDeque;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::rollback::ROLLBACK_FACTOR;
pub(crate) use distances::Distances;
pub use distances::QUANTILES;
pub(crate) use spread::spread;

/// Steps that a collapse is judged by: half of the 50 within which it is to be found.
pub(crate) const COLLAPSE_STEPS: usize = 25;
/// How near, as a share of it, their mean loss then is to that of embeddings that are all the same.
const NEAR: f64 = 0.01;
/// The same for each of their losses. Where embeddings have all but met, no triplet's distances
/// differ by more than a little; a mean may be near by chance.
const EACH_NEAR: f64 = 0.1;
/// The share of its highest that their spread has then fallen below.
const FALLEN: f64 = 0.5;
/// Rise of the spread from half to half of these steps that still counts as noise.
const RISEN: f64 = 1.01;

/// What a step shows of the embeddings' health; a step of a classifier has no triplets, and one on
/// triplets no classifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Health {
    /// Share of the round's pairs that had an admissible negative when they were mined.
    pub mined_active_share: Option<f64>,
    /// Share of the step's triplets that violate the margin as it uses them.
    pub active_share: Option<f64>,
    /// [`QUANTILES`] of the triplets' squared L2, anchor to positive.
    pub d_ap: Option<[f64; 3]>,
    /// The same, anchor to negative.
    pub d_an: Option<[f64; 3]>,
    /// Share of the images whose own identity has the classifier's largest output.
    pub accuracy: Option<f64>,
    /// Root of the embeddings' mean squared L2 to their mean, from 0 for one point to 1
    /// (`sqrt(dim)` times the standard deviation of a channel in `SimSiam`, arXiv:2011.10566).
    pub spread: f64,
    /// L2 norm of the loss's whole gradient, before it is clipped.
    pub gradient_norm: f64,
}

/// What is remembered of earlier steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Watch {
    /// [`Health::mined_active_share`] of the last round.
    pub mined_active_share: f64,
    /// Highest spread of a step so far.
    pub highest_spread: f64,
    /// Triplet loss and spread of the last steps, 25 at most.
    pub last: VecDeque<[f64; 2]>,
    /// With `on_collapse` of `rollback`, step of the last checkpoint without signs of a collapse.
    pub last_good: Option<u64>,
    /// Times that the run has gone back.
    pub rollbacks: u32,
}

/// Embeddings that have become one point, or are about to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Collapse {
    /// Loss where all embeddings are the same.
    pub(crate) level: f64,
    pub(crate) highest_spread: f64,
    pub(crate) spread: f64,
}

impl Watch {
    /// Notes a step; gives a collapse where over the last [`COLLAPSE_STEPS`] the mean loss is
    /// within 1 % of that of equal embeddings, each loss within 10 %, and the spread, below half
    /// of its highest, has not risen again.
    ///
    /// - `loss`: mean over the step's triplets, without regularisation
    /// - `level`: that loss where all embeddings are the same
    pub(crate) fn note(&mut self, loss: f64, level: f64, spread: f64) -> Option<Collapse> {
        self.highest_spread = self.highest_spread.max(spread);
        if self.last.len() == COLLAPSE_STEPS {
            self.last.pop_front();
        }
        self.last.push_back([loss, spread]);
        self.has_collapsed(level).then_some(Collapse {
            level,
            highest_spread: self.highest_spread,
            spread,
        })
    }

    /// What the rate is multiplied by after so many rollbacks.
    pub(crate) fn rate_factor(&self) -> f64 {
        ROLLBACK_FACTOR.powi(self.rollbacks as i32)
    }

    /// Whether the last step's spread is not below half of the highest, or none was made.
    pub(crate) fn is_good(&self) -> bool {
        let is_wide = |[_, spread]: &[f64; 2]| *spread >= FALLEN * self.highest_spread;
        self.last.back().is_none_or(is_wide)
    }

    fn has_collapsed(&self, level: f64) -> bool {
        let is_near = |loss: f64, share: f64| (loss - level).abs() <= share * level;
        let mean = |steps: Range<usize>, which: usize| {
            let count = steps.len() as f64;
            self.last.range(steps).map(|step| step[which]).sum::<f64>() / count
        };
        let (all, half) = (0..COLLAPSE_STEPS, COLLAPSE_STEPS / 2);
        self.last.len() == COLLAPSE_STEPS
            && self.last.iter().all(|[loss, _]| is_near(*loss, EACH_NEAR))
            && is_near(mean(all.clone(), 0), NEAR)
            && mean(all, 1) < FALLEN * self.highest_spread
            && mean(half..COLLAPSE_STEPS, 1) <= RISEN * mean(0..half, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The step, from 1, at which a collapse is found among `(loss, spread)`, for a margin of 0.2.
    fn found_at(steps: impl IntoIterator<Item = (f64, f64)>) -> Option<usize> {
        let mut watch = Watch::default();
        let found = steps
            .into_iter()
            .position(|(loss, spread)| watch.note(loss, 0.2, spread).is_some());
        found.map(|index| index + 1)
    }

    /// A step before, with another loss.
    const WIDE: [(f64, f64); 1] = [(1.0, 0.9)];

    fn steps(count: usize, loss: f64, spread: f64) -> impl Iterator<Item = (f64, f64)> {
        std::iter::repeat_n((loss, spread), count)
    }

    #[test]
    fn a_collapse_is_found_25_steps_after_it_begins() {
        let found = found_at(steps(10, 0.1, 0.9).chain(steps(50, 0.2, 0.001)));
        assert_eq!(found, Some(10 + 25));
        // The mean of 25 powers from the k-th on is below 0.5 for k = 12 and not for 11.
        let creeping = (0..100).map(|step| (0.2, 0.97f64.powi(step)));
        assert_eq!(found_at(creeping), Some(12 + 25));
    }

    #[test]
    fn a_loss_at_the_margin_alone_is_no_collapse() {
        assert_eq!(found_at(steps(200, 0.2, 0.9)), None);
        assert_eq!(
            found_at(WIDE.into_iter().chain(steps(200, 0.2, 0.46))),
            None
        );
        assert_eq!(
            found_at(WIDE.into_iter().chain(steps(200, 0.2, 0.44))),
            Some(26)
        );
    }

    #[test]
    fn a_narrow_spread_with_another_loss_is_no_collapse() {
        let wide_first = |loss| WIDE.into_iter().chain(steps(200, loss, 0.1));
        for loss in [0.1, 0.197, 0.203, 1.0] {
            assert_eq!(found_at(wide_first(loss)), None, "{loss}");
        }
        for loss in [0.1981, 0.2019] {
            assert_eq!(found_at(wide_first(loss)), Some(26), "{loss}");
        }
    }

    #[test]
    fn noise_of_a_few_percent_hides_nothing_and_a_mean_by_chance_is_no_collapse() {
        let around = |swing: f64| {
            let loss = move |step: i32| 0.2 + if step % 2 == 0 { swing } else { -swing };
            let after = (0..200).map(move |step| (loss(step), 0.1));
            WIDE.into_iter().chain(after)
        };
        assert_eq!(found_at(around(0.01)), Some(26));
        assert_eq!(found_at(around(0.03)), None);
    }

    #[test]
    fn a_spread_that_rises_again_is_no_collapse() {
        let recovering = (0..40).map(|step| (0.2, 0.1 + 0.005 * f64::from(step)));
        assert_eq!(found_at(WIDE.into_iter().chain(recovering)), None);
    }

    #[test]
    fn a_step_is_good_until_its_spread_has_fallen_by_half() {
        let mut watch = Watch::default();
        assert!(watch.is_good(), "nothing is wrong before the first");
        let good = [0.4, 0.8, 0.4, 0.39, 0.5].map(|spread| {
            watch.note(0.2, 0.2, spread);
            watch.is_good()
        });
        assert_eq!(good, [true, true, true, false, true]);
    }

    #[test]
    fn each_rollback_quarters_the_rate() {
        let factor = |rollbacks| {
            let watch = Watch {
                rollbacks,
                ..Watch::default()
            };
            watch.rate_factor()
        };
        assert_eq!([0, 1, 2, 3].map(factor), [1.0, 0.25, 0.0625, 0.015_625]);
    }

    #[test]
    fn it_goes_on_after_json() {
        let mut watch = Watch::default();
        for step in 0..24 {
            assert_eq!(watch.note(0.2, 0.2, 0.9 / f64::from(step * step + 1)), None);
        }
        let json = serde_json::to_string(&watch).expect("plain fields");
        let mut back: Watch = serde_json::from_str(&json).expect("as written");
        assert_eq!(back, watch);
        let found = back.note(0.2, 0.2, 0.001).expect("the 25th");
        assert_eq!((found.highest_spread, found.spread), (0.9, 0.001));
    }
}
