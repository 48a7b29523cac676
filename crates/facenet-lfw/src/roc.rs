/// Evenly spaced thresholds `i * step` for `i < len`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    pub(crate) step: f64,
    pub(crate) len: usize,
}

/// Thresholds of the accuracy and the ROC: `np.arange(0, 4, 0.01)` of the reference's `lfw.py`.
pub(crate) const ACCURACY_GRID: Grid = Grid {
    step: 0.01,
    len: 400,
};
/// Thresholds of VAL: `np.arange(0, 4, 0.001)` of the reference's `lfw.py`.
pub(crate) const VAL_GRID: Grid = Grid {
    step: 0.001,
    len: 4000,
};

impl Grid {
    pub(crate) fn threshold(self, i: usize) -> f64 {
        i as f64 * self.step
    }

    /// The first threshold that accepts `distance`, which is not NaN; `len` where none does.
    fn first_accepting(self, distance: f64) -> usize {
        // The quotient may be off by one through rounding; the comparison itself decides.
        let mut i = ((distance / self.step) as usize).min(self.len);
        while i > 0 && distance < self.threshold(i - 1) {
            i -= 1;
        }
        while i < self.len && distance >= self.threshold(i) {
            i += 1;
        }
        i
    }
}

/// Pairs accepted at each threshold of a grid.
pub(crate) struct Accepted {
    pub(crate) same: Vec<usize>,
    pub(crate) different: Vec<usize>,
    pub(crate) n_same: usize,
    pub(crate) n_different: usize,
}

impl Accepted {
    /// Counts in one pass over the pairs: each goes to the first threshold that accepts it.
    pub(crate) fn count(grid: Grid, pairs: impl Iterator<Item = (f64, bool)>) -> Self {
        let mut same = vec![0; grid.len + 1];
        let mut different = vec![0; grid.len + 1];
        for (distance, is_same) in pairs {
            let counts = if is_same { &mut same } else { &mut different };
            counts[grid.first_accepting(distance)] += 1;
        }
        let (n_same, n_different) = (accumulate(&mut same), accumulate(&mut different));
        Self {
            same,
            different,
            n_same,
            n_different,
        }
    }

    /// The first threshold with the most right decisions, and how many those are.
    pub(crate) fn best(&self) -> (usize, usize) {
        let right = |i: usize| self.same[i] + self.n_different - self.different[i];
        let better = |best: (usize, usize), i| {
            if right(i) > best.1 {
                (i, right(i))
            } else {
                best
            }
        };
        (1..self.same.len()).fold((0, right(0)), better)
    }

    /// Right decisions at threshold `i`.
    pub(crate) fn right(&self, i: usize) -> usize {
        self.same[i] + self.n_different - self.different[i]
    }
}

/// Turns counts into running totals, drops the cell beyond the last threshold, gives the total.
fn accumulate(counts: &mut Vec<usize>) -> usize {
    let mut total = 0;
    for count in counts.iter_mut() {
        total += *count;
        *count = total;
    }
    counts.pop();
    total
}

/// VAL and FAR at each threshold of the accuracy's grid: means over the folds' test parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Roc {
    /// Thresholds, `i * 0.01` for `i < 400`.
    pub thresholds: Vec<f64>,
    /// Share of same pairs accepted; a fold without same pairs counts 0, as in the reference.
    pub val: Vec<f64>,
    /// Share of different pairs accepted; a fold without different pairs counts 0.
    pub far: Vec<f64>,
}

impl Roc {
    /// The mean over folds, each given by what its test part accepts.
    pub(crate) fn mean(folds: &[&Accepted]) -> Self {
        let n_folds = folds.len() as f64;
        let at = |i: usize, rate: fn(&Accepted, usize) -> f64| {
            folds.iter().map(|fold| rate(fold, i)).sum::<f64>() / n_folds
        };
        let indices = 0..ACCURACY_GRID.len;
        Self {
            thresholds: indices
                .clone()
                .map(|i| ACCURACY_GRID.threshold(i))
                .collect(),
            val: indices
                .clone()
                .map(|i| at(i, |a, i| share(a.same[i], a.n_same)))
                .collect(),
            far: indices
                .map(|i| at(i, |a, i| share(a.different[i], a.n_different)))
                .collect(),
        }
    }

    /// Area under the curve by trapezoids, over the FAR that the thresholds reach.
    pub(crate) fn auc(&self) -> f64 {
        let points = || self.far.iter().zip(&self.val);
        let trapezoids = points().zip(points().skip(1));
        trapezoids
            .map(|((x0, y0), (x1, y1))| (x1 - x0) * (y0 + y1) / 2.0)
            .sum()
    }

    /// The equal error rate; none where FAR does not reach 1, as then the curve has no end.
    pub(crate) fn eer(&self) -> Option<f64> {
        let spans = self.far.last().is_some_and(|&far| far >= 1.0);
        let points = self.far.iter().copied().zip(self.val.iter().copied());
        if spans {
            equal_error_rate(points)
        } else {
            None
        }
    }
}

/// Where FAR = 1 − VAL on the polyline through `(far, val)` points, both ascending.
///
/// A vertical piece crosses at its own FAR. None where the points end before the crossing.
pub(crate) fn equal_error_rate(points: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let mut last = (0.0, 1.0); // FAR and the gap 1 − FAR − VAL where nothing is accepted
    for (far, val) in points {
        let gap = 1.0 - far - val;
        if gap <= 0.0 {
            let (far_0, gap_0) = last;
            return Some(far_0 + (far - far_0) * gap_0 / (gap_0 - gap));
        }
        last = (far, gap);
    }
    None
}

/// `part / whole`, and 0 of nothing.
pub(crate) fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_on_a_threshold_is_accepted_by_the_next() {
        let grid = ACCURACY_GRID;
        for i in 0..grid.len - 1 {
            let on = grid.threshold(i);
            assert_eq!(grid.first_accepting(on), i + 1);
            assert_eq!(grid.first_accepting(on.next_down().max(0.0)), i.max(1));
        }
        assert_eq!(grid.first_accepting(3.99), 400);
        assert_eq!(grid.first_accepting(f64::MAX), 400);
    }

    #[test]
    fn the_first_of_equally_good_thresholds_wins() {
        let pairs = [(0.005, true), (0.105, false)];
        let accepted = Accepted::count(ACCURACY_GRID, pairs.into_iter());
        assert_eq!(accepted.best(), (1, 2));
        assert_eq!(accepted.right(0), 1);
        assert_eq!(accepted.right(11), 1);
    }

    #[track_caller]
    fn check_eer(points: &[(f64, f64)], expected: Option<f64>) {
        assert_eq!(equal_error_rate(points.iter().copied()), expected);
    }

    #[test]
    fn the_equal_error_rate_lies_on_the_diagonal() {
        check_eer(&[(0.0, 0.0), (1.0, 1.0)], Some(0.5));
        check_eer(&[(0.0, 0.0), (0.25, 0.0), (0.25, 1.0)], Some(0.25));
        check_eer(&[(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)], Some(0.0));
        check_eer(&[(0.0, 0.0), (1.0, 0.0)], Some(1.0));
        check_eer(&[(0.0, 0.0), (0.5, 0.0)], None);
    }

    #[test]
    fn a_curve_that_ends_early_has_an_area_but_no_equal_error_rate() {
        let (thresholds, val, far) = (vec![0.0, 0.1], vec![0.0, 1.0], vec![0.0, 0.5]);
        let roc = Roc {
            thresholds,
            val,
            far,
        };
        assert_eq!((roc.auc(), roc.eer()), (0.25, None));
    }
}
