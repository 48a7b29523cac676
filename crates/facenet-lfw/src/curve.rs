use serde::Serialize;

use crate::error::LfwError;
use crate::exact::{Step, steps};
use crate::roc::share;

/// A threshold and the shares that it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Distances below it are accepted.
    pub threshold: f64,
    /// Share of different pairs accepted.
    pub far: f64,
    /// Share of same pairs accepted.
    pub val: f64,
}

/// The ROC curve of all pairs pooled: for each FAR that a threshold can have, the highest VAL and the
/// threshold of it, by rising FAR. A step function, which holds from one FAR up to the next.
///
/// Of more than `most` points those that are next to even steps of `ln FAR` are given, the first (no
/// false accept) and the last (all accepted) among them. Without pairs of both kinds there is no
/// point.
///
/// - `distances`: finite, one a pair
/// - `is_same`: whether each pair is of one person
///
/// # Errors
/// [`LfwError::Shape`] where lengths disagree.
pub fn roc_curve(
    distances: &[f64],
    is_same: &[bool],
    most: usize,
) -> Result<Vec<CurvePoint>, LfwError> {
    if distances.len() != is_same.len() {
        return Err(LfwError::Shape {
            what: "distances",
            found: distances.len(),
            expected: is_same.len(),
        });
    }
    let n_same = is_same.iter().filter(|&&same| same).count();
    let n_different = is_same.len() - n_same;
    if n_same == 0 || n_different == 0 {
        return Ok(Vec::new());
    }
    let mut pairs: Vec<_> = distances
        .iter()
        .copied()
        .zip(is_same.iter().copied())
        .collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let steps = steps(pairs.into_iter());
    let point = |step: &Step| CurvePoint {
        threshold: step.threshold,
        far: share(step.different, n_different),
        val: share(step.same, n_same),
    };
    // The last of the steps of one FAR accepts the most same pairs.
    let best = steps.chunk_by(|a, b| a.different == b.different);
    let points: Vec<_> = best.filter_map(<[Step]>::last).map(point).collect();
    Ok(thinned(&points, most.max(2)))
}

/// At most `most` of the points: the first, and of each even step of `ln FAR` the last.
fn thinned(points: &[CurvePoint], most: usize) -> Vec<CurvePoint> {
    if points.len() <= most {
        return points.to_vec();
    }
    // The first has no FAR to take the logarithm of, but the second has.
    let lowest = points[1].far.ln();
    let cells = (most - 1) as f64;
    let cell = |point: &CurvePoint| {
        let at = (point.far.ln() - lowest) / -lowest * cells;
        (at as usize).min(most - 2)
    };
    let kept = points[1..].chunk_by(|a, b| cell(a) == cell(b));
    let kept = kept.filter_map(<[CurvePoint]>::last);
    points[..1].iter().chain(kept).copied().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pairs: &[(f64, bool)], most: usize, expected: &[(f64, f64)]) {
        let (distances, is_same): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        let points = roc_curve(&distances, &is_same, most).expect("as many of both");
        let found: Vec<_> = points.iter().map(|p| (p.far, p.val)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_far_has_its_highest_val() {
        let pairs = [
            (0.9, false),
            (0.1, true),
            (0.2, true),
            (0.3, false),
            (0.5, true),
            (0.6, true),
        ];
        check(&pairs, 10, &[(0.0, 0.5), (0.5, 1.0), (1.0, 1.0)]);
    }

    #[test]
    fn tied_pairs_are_accepted_together() {
        let pairs = [(0.5, true), (0.5, false)];
        check(&pairs, 10, &[(0.0, 0.0), (1.0, 1.0)]);
    }

    #[test]
    fn one_kind_alone_has_no_curve() {
        check(&[], 10, &[]);
        check(&[(0.5, true)], 10, &[]);
        check(&[(0.5, false)], 10, &[]);
        assert!(roc_curve(&[0.5], &[], 10).is_err());
    }

    proptest! {
        #[test]
        fn fewer_points_are_some_of_all(
            pairs in prop::collection::vec((0.0f64..4.0, any::<bool>()), 2..300),
            most in 2usize..40,
        ) {
            let (distances, is_same): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let all = roc_curve(&distances, &is_same, usize::MAX)?;
            let few = roc_curve(&distances, &is_same, most)?;
            prop_assert!(few.len() <= most && few.iter().all(|point| all.contains(point)));
            prop_assert_eq!((few.first(), few.last()), (all.first(), all.last()));
            prop_assert!(few.windows(2).all(|two| two[0].far < two[1].far));
            for CurvePoint { threshold, far, val } in all {
                let accepted = |kind: bool| {
                    let of_kind = distances.iter().zip(&is_same).filter(|(_, same)| **same == kind);
                    let count = of_kind.clone().filter(|(distance, _)| **distance < threshold).count();
                    share(count, of_kind.count())
                };
                prop_assert_eq!((far, val), (accepted(false), accepted(true)));
            }
        }
    }
}
