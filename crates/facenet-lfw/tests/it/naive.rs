//! The protocol by its definition: every threshold against every pair, nothing shared or sorted.

use std::cmp::Ordering;

use facenet_lfw::Exact;

/// A pair: its distance and whether it is of one person.
pub(crate) type Scored = (f64, bool);

pub(crate) struct Naive {
    pub(crate) accuracy: Vec<f64>,
    pub(crate) best_thresholds: Vec<f64>,
    pub(crate) val_thresholds: Vec<f64>,
    pub(crate) val_per_fold: Vec<Option<f64>>,
    pub(crate) far_per_fold: Vec<Option<f64>>,
    pub(crate) roc_val: Vec<f64>,
    pub(crate) roc_far: Vec<f64>,
}

/// VAL and FAR of the folds are those at `given` thresholds: where one is meant to fall on a
/// distance, as 5 / 8 of the way from 0.140 to 0.141 on 9 / 64, a rounding decides who is accepted.
pub(crate) fn protocol(pairs: &[Scored], folds: &[u32], far_target: f64, given: &[f64]) -> Naive {
    let mut ids = folds.to_vec();
    ids.sort_unstable();
    ids.dedup();
    let part = |id: u32, is_test: bool| -> Vec<Scored> {
        pairs
            .iter()
            .zip(folds)
            .filter(|&(_, &f)| (f == id) == is_test)
            .map(|(&p, _)| p)
            .collect()
    };
    let parts: Vec<_> = ids
        .iter()
        .map(|&id| (part(id, false), part(id, true)))
        .collect();
    let best: Vec<f64> = parts
        .iter()
        .map(|(train, _)| best_of(train, &grid(400, 0.01)))
        .collect();
    let at: Vec<f64> = parts
        .iter()
        .map(|(train, _)| val_threshold(train, far_target))
        .collect();
    let on_test =
        |rates: fn(&[Scored], f64) -> Option<f64>, thresholds: &[f64]| -> Vec<Option<f64>> {
            parts
                .iter()
                .zip(thresholds)
                .map(|((_, test), &t)| rates(test, t))
                .collect()
        };
    let mean = |rates: fn(&[Scored], f64) -> Option<f64>, t: f64| {
        parts
            .iter()
            .map(|(_, test)| rates(test, t).unwrap_or(0.0))
            .sum::<f64>()
            / parts.len() as f64
    };
    Naive {
        accuracy: parts
            .iter()
            .zip(&best)
            .map(|((_, test), &t)| accuracy(test, t))
            .collect(),
        val_per_fold: on_test(val, given),
        far_per_fold: on_test(far, given),
        roc_val: grid(400, 0.01).iter().map(|&t| mean(val, t)).collect(),
        roc_far: grid(400, 0.01).iter().map(|&t| mean(far, t)).collect(),
        best_thresholds: best,
        val_thresholds: at,
    }
}

fn grid(len: u32, step: f64) -> Vec<f64> {
    (0..len).map(|i| f64::from(i) * step).collect()
}

pub(crate) fn accuracy(pairs: &[Scored], threshold: f64) -> f64 {
    let right = pairs
        .iter()
        .filter(|(d, is_same)| (*d < threshold) == *is_same)
        .count();
    right as f64 / pairs.len() as f64
}

fn rate(pairs: &[Scored], kind: bool, threshold: f64) -> Option<f64> {
    let of_kind: Vec<f64> = pairs
        .iter()
        .filter(|(_, s)| *s == kind)
        .map(|(d, _)| *d)
        .collect();
    let accepted = of_kind.iter().filter(|&&d| d < threshold).count();
    (!of_kind.is_empty()).then(|| accepted as f64 / of_kind.len() as f64)
}

pub(crate) fn val(pairs: &[Scored], threshold: f64) -> Option<f64> {
    rate(pairs, true, threshold)
}

pub(crate) fn far(pairs: &[Scored], threshold: f64) -> Option<f64> {
    rate(pairs, false, threshold)
}

/// The first of the thresholds with the most right decisions.
fn best_of(train: &[Scored], thresholds: &[f64]) -> f64 {
    let mut best = (f64::NEG_INFINITY, f64::NAN);
    for &threshold in thresholds {
        let accuracy = accuracy(train, threshold);
        if accuracy > best.0 {
            best = (accuracy, threshold);
        }
    }
    best.1
}

fn val_threshold(train: &[Scored], target: f64) -> f64 {
    let thresholds = grid(4000, 0.001);
    let fars: Vec<f64> = thresholds
        .iter()
        .map(|&t| far(train, t).unwrap_or(0.0))
        .collect();
    let highest = fars.iter().copied().fold(0.0, f64::max);
    if highest < target {
        return 0.0;
    }
    if highest <= target {
        return thresholds[3999];
    }
    let next = fars
        .iter()
        .position(|&f| f > target)
        .expect("the highest is above the target");
    let i = next - 1;
    thresholds[i] + (target - fars[i]) / (fars[next] - fars[i]) * (thresholds[next] - thresholds[i])
}

/// Every distance of the data and one beyond them all.
fn distinct(pairs: &[Scored]) -> Vec<f64> {
    let mut all: Vec<f64> = pairs.iter().map(|(d, _)| *d).collect();
    all.sort_by(f64::total_cmp);
    all.push(all.last().expect("some pairs").next_up());
    all
}

/// Checks the figures from all thresholds against their definitions.
pub(crate) fn check_exact(exact: &Exact, pairs: &[Scored], folds: &[u32], far_target: f64) {
    let mut ids = folds.to_vec();
    ids.sort_unstable();
    ids.dedup();
    for (i, &id) in ids.iter().enumerate() {
        let part = |is_test: bool| -> Vec<Scored> {
            let members = pairs
                .iter()
                .zip(folds)
                .filter(|&(_, &f)| (f == id) == is_test);
            members.map(|(&p, _)| p).collect()
        };
        let threshold = best_of(&part(false), &distinct(&part(false)));
        assert_eq!(
            (exact.best_thresholds[i], exact.accuracy[i]),
            (threshold, accuracy(&part(true), threshold))
        );
    }
    let keeps = |&t: &f64| far(pairs, t).is_some_and(|far| far <= far_target);
    let at = distinct(pairs)
        .into_iter()
        .filter(keeps)
        .fold(None, |_, t| Some(t));
    assert_eq!(exact.val_threshold, at);
    assert_eq!(exact.val, at.and_then(|t| val(pairs, t)));
    assert_eq!(exact.far, at.and_then(|t| far(pairs, t)));
    let auc = mann_whitney(pairs);
    assert_eq!(exact.auc.is_some(), auc.is_some());
    let near = |a: f64, b: f64| (a - b).abs() < 1e-12; // both are quotients of whole numbers
    assert!(
        exact.auc.zip(auc).is_none_or(|(a, b)| near(a, b)),
        "{:?} {auc:?}",
        exact.auc
    );
    if let Some(eer) = exact.eer {
        assert!(near(eer, eer_by_bisection(pairs)), "{eer}");
    }
}

fn mann_whitney(pairs: &[Scored]) -> Option<f64> {
    let (mut wins, mut all) = (0.0, 0.0);
    for (same, _) in pairs.iter().filter(|(_, is_same)| *is_same) {
        for (different, _) in pairs.iter().filter(|(_, is_same)| !*is_same) {
            all += 1.0;
            wins += match same.total_cmp(different) {
                Ordering::Less => 1.0,
                Ordering::Equal => 0.5,
                Ordering::Greater => 0.0,
            };
        }
    }
    (all > 0.0).then(|| wins / all)
}

/// The curve is walked by a parameter, thresholds joined by straight pieces; 1 − FAR − VAL falls.
fn eer_by_bisection(pairs: &[Scored]) -> f64 {
    let thresholds = distinct(pairs);
    let point = |i: usize| {
        let t = thresholds[i];
        (
            far(pairs, t).expect("both kinds"),
            val(pairs, t).expect("both kinds"),
        )
    };
    let at = |s: f64| {
        let i = (s as usize).min(thresholds.len() - 2);
        let ((x0, y0), (x1, y1), w) = (point(i), point(i + 1), s - i as f64);
        (x0 + w * (x1 - x0), y0 + w * (y1 - y0))
    };
    let (mut low, mut high) = (0.0, (thresholds.len() - 1) as f64);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        let (x, y) = at(middle);
        if 1.0 - x - y > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    at(high).0
}
