use std::fmt;

use serde::{Deserialize, Serialize};

use crate::roc::{Accepted, VAL_GRID};

/// Impostors that chance may accept on the test parts although the threshold keeps the target:
/// with few training impostors each fold's nearest one still gets through.
const CHANCE_IMPOSTORS: usize = 5;
/// How many times the target the FAR may be before VAL says nothing about the target.
const FAR_ABOVE: f64 = 10.0;

/// Whether the validation rate means what its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValStatus {
    /// VAL was measured near the FAR asked for.
    Ok,
    /// In some fold no threshold below 4 accepts enough training impostors, so the reference takes
    /// the threshold 0 and reports a VAL of 0, however good the separation.
    TargetNeverReached,
    /// The FAR measured on the test parts is far above the target, as with a collapsed model: more
    /// than ten times (or than half way from it to 1) and more than five impostors, or all.
    FarAboveTarget,
    /// Some fold has no same or no different pair to measure with.
    NoPairs,
}

impl fmt::Display for ValStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::TargetNeverReached => "target_never_reached",
            Self::FarAboveTarget => "far_above_target",
            Self::NoPairs => "no_pairs",
        })
    }
}

/// VAL and FAR of one fold at the threshold that its training part sets.
pub(crate) struct FoldVal {
    /// None where no training FAR reaches the target, or there is none to measure.
    pub(crate) threshold: Option<f64>,
    /// None without same pairs.
    pub(crate) val: Option<f64>,
    /// None without different pairs.
    pub(crate) far: Option<f64>,
    pub(crate) accepted_different: usize,
    pub(crate) n_different: usize,
    /// Whether the training part had different pairs.
    pub(crate) is_trained: bool,
}

impl FoldVal {
    /// The threshold from `train`; VAL and FAR of the `test` pairs below it.
    pub(crate) fn measure(
        train: impl Iterator<Item = (f64, bool)>,
        test: impl Iterator<Item = (f64, bool)>,
        far_target: f64,
    ) -> Self {
        let train = Accepted::count(VAL_GRID, train);
        let threshold = threshold_at(&train, far_target);
        let (mut accepted, mut all) = ([0usize; 2], [0usize; 2]);
        for (distance, is_same) in test {
            let kind = usize::from(is_same);
            all[kind] += 1;
            accepted[kind] += usize::from(distance < threshold.unwrap_or(0.0));
        }
        let rate = |kind: usize| (all[kind] > 0).then(|| accepted[kind] as f64 / all[kind] as f64);
        Self {
            threshold,
            val: rate(1),
            far: rate(0),
            accepted_different: accepted[0],
            n_different: all[0],
            is_trained: train.n_different > 0,
        }
    }
}

/// What the folds' rates amount to.
pub(crate) fn status(folds: &[&FoldVal], far_target: f64) -> ValStatus {
    if folds
        .iter()
        .any(|f| f.val.is_none() || f.far.is_none() || !f.is_trained)
    {
        return ValStatus::NoPairs;
    }
    if folds.iter().any(|f| f.threshold.is_none()) {
        return ValStatus::TargetNeverReached;
    }
    let far = folds.iter().filter_map(|f| f.far).sum::<f64>() / folds.len() as f64;
    let accepted: usize = folds.iter().map(|f| f.accepted_different).sum();
    let all: usize = folds.iter().map(|f| f.n_different).sum();
    let bound = (FAR_ABOVE * far_target).min(f64::midpoint(far_target, 1.0));
    if far > bound && (accepted > CHANCE_IMPOSTORS || accepted == all) {
        return ValStatus::FarAboveTarget;
    }
    ValStatus::Ok
}

/// The threshold at which the training FAR is `far_target`, by linear interpolation.
///
/// FAR is a step function with many equal values: the piece taken is that from the **last**
/// threshold whose FAR is not above the target to the next one. A target that is the largest
/// FAR gives the last threshold. None where no FAR reaches the target.
fn threshold_at(train: &Accepted, far_target: f64) -> Option<f64> {
    if train.n_different == 0 {
        return None;
    }
    let far = |i: usize| train.different[i] as f64 / train.n_different as f64;
    let last = VAL_GRID.len - 1;
    if far(last) < far_target {
        return None;
    }
    // The target is above 0 and nothing is below the threshold 0, so there is always one.
    let i = (0..=last).rev().find(|&i| far(i) <= far_target)?;
    if i == last {
        return Some(VAL_GRID.threshold(last));
    }
    let slope = (VAL_GRID.threshold(i + 1) - VAL_GRID.threshold(i)) / (far(i + 1) - far(i));
    Some(slope * (far_target - far(i)) + VAL_GRID.threshold(i))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn impostors(distances: &[f64]) -> impl Iterator<Item = (f64, bool)> {
        distances.iter().map(|&d| (d, false))
    }

    #[track_caller]
    fn check(distances: &[f64], far_target: f64, expected: Option<f64>) {
        let found = threshold_at(&Accepted::count(VAL_GRID, impostors(distances)), far_target);
        let is_near = |a: f64, b: f64| (a - b).abs() < 1e-12; // a few roundings of values near 1
        let agree = found
            .zip(expected)
            .map_or(found == expected, |(a, b)| is_near(a, b));
        assert!(agree, "{found:?} {expected:?}");
    }

    #[test]
    fn the_last_of_a_plateau_begins_the_piece() {
        // FAR is 0 up to 0.5, a half up to 1.5, 1 from 1.501 on.
        let two = [0.5, 1.5];
        check(&two, 0.25, Some(0.5005));
        check(&two, 0.5, Some(1.5));
        check(&two, 0.75, Some(1.5005));
        check(&two, 1.0, Some(3.999));
    }

    #[test]
    fn a_target_beyond_all_thresholds_is_never_reached() {
        check(&[0.5, 5.0], 0.6, None);
        check(&[0.5, 5.0], 0.5, Some(3.999));
        check(&[], 0.5, None);
    }

    #[track_caller]
    fn check_status(folds: &[(&[f64], &[f64])], expected: ValStatus) {
        let measured: Vec<_> = folds
            .iter()
            .map(|(train, test)| {
                let test = impostors(test).chain([(0.1, true)]);
                FoldVal::measure(impostors(train), test, 0.001)
            })
            .collect();
        assert_eq!(
            status(&measured.iter().collect::<Vec<_>>(), 0.001),
            expected
        );
    }

    #[test]
    fn a_status_tells_what_undid_the_rate() {
        let near: &[f64] = &[0.0; 6];
        check_status(&[(&[1.0], &[2.0]), (&[1.0], &[2.0])], ValStatus::Ok);
        check_status(&[(&[1.0], &[0.5, 2.0]), (&[1.0], &[2.0])], ValStatus::Ok);
        check_status(
            &[(&[5.0], &[2.0]), (&[1.0], &[2.0])],
            ValStatus::TargetNeverReached,
        );
        check_status(&[(near, near), (near, near)], ValStatus::FarAboveTarget);
        check_status(
            &[(&[0.0], &[0.0]), (&[0.0], &[0.0])],
            ValStatus::FarAboveTarget,
        );
        check_status(&[(&[1.0], &[]), (&[1.0], &[2.0])], ValStatus::NoPairs);
        check_status(&[(&[], &[1.0]), (&[1.0], &[2.0])], ValStatus::NoPairs);
    }
}
