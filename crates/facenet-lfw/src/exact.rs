use serde::Serialize;

use crate::distance::Distances;
use crate::folds::Assignment;
use crate::roc::{equal_error_rate, share};

/// The same figures from every threshold that the data can tell apart, found by sorting.
///
/// A threshold here is one of the distances, which accepts all pairs strictly below it, or the
/// next number above the largest. The figures over folds take the threshold from the training
/// part; the others are pooled over all pairs, each with its distance as its own fold sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exact {
    /// Mean over folds of the test accuracy at the fold's best training threshold.
    pub accuracy_mean: f64,
    /// Population standard deviation of the folds' accuracies.
    pub accuracy_std: f64,
    /// Test accuracy per fold.
    pub accuracy: Vec<f64>,
    /// Per fold, the smallest of the thresholds with the best training accuracy.
    pub best_thresholds: Vec<f64>,
    /// Share of same pairs accepted at `val_threshold`, pooled; none without same pairs.
    pub val: Option<f64>,
    /// Share of different pairs accepted there, at most the target; none without any.
    pub far: Option<f64>,
    /// The largest threshold whose FAR is not above the target; none without different pairs.
    pub val_threshold: Option<f64>,
    /// Same pairs accepted at `val_threshold`.
    pub accepted_same: usize,
    /// Different pairs accepted at `val_threshold`.
    pub accepted_different: usize,
    /// Probability that a same pair is nearer than a different one, ties counting half
    /// (Mann–Whitney); none unless both kinds are there.
    pub auc: Option<f64>,
    /// Where FAR = 1 − VAL, tied distances joined by a straight piece; none as for `auc`.
    pub eer: Option<f64>,
}

/// What a threshold accepts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    pub(crate) threshold: f64,
    pub(crate) same: usize,
    pub(crate) different: usize,
}

impl Exact {
    pub(crate) fn measure(
        distances: &Distances,
        is_same: &[bool],
        folds: &Assignment,
        far_target: f64,
    ) -> Self {
        let (best_thresholds, accuracy) = over_folds(distances, is_same, folds);
        let (accuracy_mean, accuracy_std) = mean_and_std(&accuracy);
        let own = |i: usize| distances.of_fold(folds.of[i])[i];
        let mut pooled: Vec<_> = is_same
            .iter()
            .enumerate()
            .map(|(i, &s)| (own(i), s))
            .collect();
        pooled.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let steps = steps(pooled.into_iter());
        let total = steps
            .last()
            .map_or((0, 0), |last| (last.same, last.different));
        let at_target = at_far(&steps, total.1, far_target);
        let accepted = |of: fn(Step) -> usize| at_target.map_or(0, of);
        Self {
            accuracy_mean,
            accuracy_std,
            accuracy,
            best_thresholds,
            val: at_target
                .filter(|_| total.0 > 0)
                .map(|s| share(s.same, total.0)),
            far: at_target.map(|s| share(s.different, total.1)),
            val_threshold: at_target.map(|s| s.threshold),
            accepted_same: accepted(|s| s.same),
            accepted_different: accepted(|s| s.different),
            auc: auc(&steps, total),
            eer: eer(&steps, total),
        }
    }
}

/// Mean and population standard deviation; of nothing, NaN.
pub(crate) fn mean_and_std(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

/// Best training threshold and its test accuracy, per fold.
fn over_folds(d: &Distances, is_same: &[bool], folds: &Assignment) -> (Vec<f64>, Vec<f64>) {
    let mut order = ascending(d.of_fold(0));
    let fold = |fold: usize| {
        let distances = d.of_fold(fold);
        if !d.are_common() {
            order = ascending(distances);
        }
        let train = order.iter().filter(|&&i| folds.of[i] != fold);
        let threshold = best(&steps(train.map(|&i| (distances[i], is_same[i]))));
        let test = || (0..is_same.len()).filter(|&i| folds.of[i] == fold);
        let right = test()
            .filter(|&i| (distances[i] < threshold) == is_same[i])
            .count();
        (threshold, share(right, test().count()))
    };
    (0..folds.ids.len()).map(fold).unzip()
}

fn ascending(distances: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..distances.len()).collect();
    order.sort_unstable_by(|&i, &j| distances[i].total_cmp(&distances[j]));
    order
}

/// All sets of pairs that a threshold can accept, each with the largest such threshold.
pub(crate) fn steps(sorted: impl Iterator<Item = (f64, bool)>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut same, mut different) = (0, 0);
    let mut largest = 0.0f64;
    for (distance, is_same) in sorted {
        if steps.is_empty() || distance > largest {
            steps.push(Step {
                threshold: distance,
                same,
                different,
            });
        }
        largest = distance;
        same += usize::from(is_same);
        different += usize::from(!is_same);
    }
    steps.push(Step {
        threshold: largest.next_up(),
        same,
        different,
    });
    steps
}

/// The smallest threshold with the most right decisions.
fn best(steps: &[Step]) -> f64 {
    let right = |step: &Step| step.same as i64 - step.different as i64;
    let better = |best: Step, step: &Step| {
        if right(step) > right(&best) {
            *step
        } else {
            best
        }
    };
    steps.iter().fold(steps[0], better).threshold
}

fn at_far(steps: &[Step], n_different: usize, far_target: f64) -> Option<Step> {
    let keeps = |step: &&Step| share(step.different, n_different) <= far_target;
    steps
        .iter()
        .rev()
        .find(keeps)
        .copied()
        .filter(|_| n_different > 0)
}

fn auc(steps: &[Step], (n_same, n_different): (usize, usize)) -> Option<f64> {
    let twice_wins: u128 = steps
        .windows(2)
        .map(|w| (w[1].different - w[0].different) as u128 * (w[0].same + w[1].same) as u128)
        .sum();
    let pairs_of_pairs = n_same as u128 * n_different as u128;
    (pairs_of_pairs > 0).then(|| twice_wins as f64 / (2 * pairs_of_pairs) as f64)
}

fn eer(steps: &[Step], (n_same, n_different): (usize, usize)) -> Option<f64> {
    let point = |step: &Step| (share(step.different, n_different), share(step.same, n_same));
    let is_defined = n_same > 0 && n_different > 0;
    equal_error_rate(steps.iter().map(point)).filter(|_| is_defined)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIED: [(f64, bool); 4] = [(0.1, true), (0.5, true), (0.5, false), (0.9, false)];

    #[test]
    fn ties_are_accepted_together() {
        let found: Vec<_> = steps(TIED.into_iter())
            .iter()
            .map(|s| (s.threshold, s.same, s.different))
            .collect();
        assert_eq!(
            found,
            [
                (0.1, 0, 0),
                (0.5, 1, 0),
                (0.9, 2, 1),
                (0.9f64.next_up(), 2, 2)
            ]
        );
    }

    #[test]
    fn the_smallest_of_equally_good_thresholds_wins() {
        let check = |pairs: &[(f64, bool)], expected: f64| {
            assert_eq!(
                best(&steps(pairs.iter().copied())).to_bits(),
                expected.to_bits()
            );
        };
        check(&TIED, 0.5);
        check(&[(0.3, false)], 0.3);
        check(&[(0.3, true)], 0.3f64.next_up());
    }

    #[test]
    fn tied_impostors_pass_the_target_together() {
        let steps = steps(TIED.into_iter());
        let at = |target| at_far(&steps, 2, target).map(|s| (s.threshold, s.different));
        assert_eq!(at(0.4), Some((0.5, 0)));
        assert_eq!(at(0.5), Some((0.9, 1)));
        assert_eq!(at(1.0), Some((0.9f64.next_up(), 2)));
    }

    #[test]
    fn the_area_counts_a_tie_as_half_a_win() {
        // Wins of 0.1: two; of 0.5: one and a half; of four.
        assert_eq!(auc(&steps(TIED.into_iter()), (2, 2)), Some(3.5 / 4.0));
        assert_eq!(auc(&steps(TIED.into_iter()), (4, 0)), None);
    }

    #[test]
    fn the_equal_error_rate_may_lie_within_a_tie() {
        // From (0, 1/2) to (1/2, 1): FAR = 1 - VAL at a quarter.
        assert_eq!(eer(&steps(TIED.into_iter()), (2, 2)), Some(0.25));
    }

    #[test]
    fn the_deviation_is_the_populations() {
        assert_eq!(mean_and_std(&[1.0, 3.0]), (2.0, 1.0));
    }
}
