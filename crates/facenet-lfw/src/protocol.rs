use rayon::prelude::*;

use crate::distance::{Distances, Metric};
use crate::error::LfwError;
use crate::exact::{Exact, mean_and_std};
use crate::folds::{Assignment, Folds};
use crate::interval::wilson_95;
use crate::report::Report;
use crate::roc::{ACCURACY_GRID, Accepted, Roc};
use crate::val::{FoldVal, ValStatus, status};

/// Folds of LFW's view 2.
pub const DEFAULT_FOLDS: usize = 10;
/// FAR at which the reference's `lfw.py` reports VAL.
pub const DEFAULT_FAR_TARGET: f64 = 1e-3;

/// How pairs are scored.
#[derive(Debug, Clone, PartialEq)]
pub struct ProtocolConfig {
    /// Which pair is tested in which fold.
    pub folds: Folds,
    /// The distance.
    pub metric: Metric,
    /// Whether the mean embedding of a fold's training pairs (both sides) is subtracted from all
    /// before distances are taken. It leaves squared L2 as it is.
    pub subtract_mean: bool,
    /// The share of impostors that VAL is reported at, above 0 and at most 1.
    pub far_target: f64,
}

impl Default for ProtocolConfig {
    fn default() -> Self {
        Self {
            folds: Folds::Contiguous(DEFAULT_FOLDS),
            metric: Metric::default(),
            subtract_mean: false,
            far_target: DEFAULT_FAR_TARGET,
        }
    }
}

/// Scores pairs of embeddings by LFW's protocol, as the reference's `lfw.py` does.
///
/// Each fold in turn is the test part; thresholds come from the pairs of all others. A pair is
/// accepted when its distance is **below** the threshold. [`Report`] says what each figure is.
/// The result does not depend on the number of threads.
///
/// - `embeddings`: `[2n, dim]` row-major; rows `2i` and `2i + 1` are pair `i`
/// - `is_same`: `[n]`, whether a pair is of one person
///
/// # Errors
/// [`LfwError::Shape`] where lengths disagree, [`LfwError::Folds`] unless there are from 2
/// folds up to one per pair, [`LfwError::FarTarget`], and what
/// [`distances`](crate::distances) refuses: a row with NaN is named, never scored.
pub fn evaluate(
    embeddings: &[f32],
    dim: usize,
    is_same: &[bool],
    config: &ProtocolConfig,
) -> Result<Report, LfwError> {
    let far_target = config.far_target;
    if !(far_target > 0.0 && far_target <= 1.0) {
        return Err(LfwError::FarTarget { found: far_target });
    }
    let expected = is_same.len().saturating_mul(2).saturating_mul(dim);
    if embeddings.len() != expected {
        let found = embeddings.len();
        return Err(LfwError::Shape {
            what: "embeddings",
            found,
            expected,
        });
    }
    let folds = config.folds.assign(is_same.len())?;
    let centred_on = config.subtract_mean.then_some(&folds);
    let distances = Distances::measure(embeddings, dim, config.metric, centred_on)?;
    let scored: Vec<_> = (0..folds.ids.len())
        .into_par_iter()
        .map(|fold| Fold::score(fold, distances.of_fold(fold), is_same, &folds, far_target))
        .collect();
    let exact = Exact::measure(&distances, is_same, &folds, far_target);
    Ok(report(&scored, exact, is_same, &folds, far_target))
}

/// One fold's figures.
struct Fold {
    best_threshold: f64,
    right: usize,
    test: Accepted,
    val: FoldVal,
}

impl Fold {
    fn score(
        fold: usize,
        distances: &[f64],
        is_same: &[bool],
        folds: &Assignment,
        far_target: f64,
    ) -> Self {
        let part = |is_test: bool| {
            let members = (0..is_same.len()).filter(move |&i| (folds.of[i] == fold) == is_test);
            members.map(|i| (distances[i], is_same[i]))
        };
        let (best, _) = Accepted::count(ACCURACY_GRID, part(false)).best();
        let test = Accepted::count(ACCURACY_GRID, part(true));
        Self {
            best_threshold: ACCURACY_GRID.threshold(best),
            right: test.right(best),
            test,
            val: FoldVal::measure(part(false), part(true), far_target),
        }
    }

    fn len(&self) -> usize {
        self.test.n_same + self.test.n_different
    }
}

fn report(
    scored: &[Fold],
    exact: Exact,
    is_same: &[bool],
    folds: &Assignment,
    far_target: f64,
) -> Report {
    let accuracy: Vec<_> = scored
        .iter()
        .map(|f| f.right as f64 / f.len() as f64)
        .collect();
    let (accuracy_mean, accuracy_std) = mean_and_std(&accuracy);
    let n_same = is_same.iter().filter(|&&same| same).count();
    let n_different = is_same.len() - n_same;
    let roc = Roc::mean(&scored.iter().map(|f| &f.test).collect::<Vec<_>>());
    let has_both = n_same > 0 && n_different > 0;
    let lacking = |kind: fn(&Accepted) -> usize| {
        let lack = scored
            .iter()
            .zip(&folds.ids)
            .filter(|(f, _)| kind(&f.test) == 0);
        lack.map(|(_, &id)| id).collect()
    };
    let rates = Rates::of(scored, far_target);
    Report {
        accuracy_mean,
        accuracy_std,
        accuracy,
        best_thresholds: scored.iter().map(|f| f.best_threshold).collect(),
        val: rates.val.map(|(mean, _)| mean),
        val_std: rates.val.map(|(_, std)| std),
        far: rates.far,
        val_thresholds: scored
            .iter()
            .map(|f| f.val.threshold.unwrap_or(0.0))
            .collect(),
        val_status: rates.status,
        val_per_fold: scored.iter().map(|f| f.val.val).collect(),
        far_per_fold: scored.iter().map(|f| f.val.far).collect(),
        far_target,
        auc: has_both.then(|| roc.auc()),
        eer: roc.eer().filter(|_| has_both),
        exact,
        interval: wilson_95(scored.iter().map(|f| f.right).sum(), is_same.len()),
        n_same,
        n_different,
        folds: folds.ids.clone(),
        folds_without_same: lacking(|test| test.n_same),
        folds_without_different: lacking(|test| test.n_different),
        roc,
    }
}

/// VAL and FAR over the folds; none unless every fold has both.
struct Rates {
    val: Option<(f64, f64)>,
    far: Option<f64>,
    status: ValStatus,
}

impl Rates {
    fn of(scored: &[Fold], far_target: f64) -> Self {
        let folds: Vec<_> = scored.iter().map(|f| &f.val).collect();
        let status = status(&folds, far_target);
        let measured = |rate: fn(&FoldVal) -> Option<f64>| {
            let rates: Option<Vec<f64>> = folds.iter().map(|fold| rate(fold)).collect();
            rates
                .filter(|_| status != ValStatus::NoPairs)
                .map(|rates| mean_and_std(&rates))
        };
        let (val, far) = (measured(|f| f.val), measured(|f| f.far));
        Self {
            val,
            far: far.map(|(mean, _)| mean),
            status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of numbers on a line: squared L2 is the square of the second.
    fn scored(
        second: &[f32],
        is_same: &[bool],
        config: &ProtocolConfig,
    ) -> Result<Report, LfwError> {
        let rows: Vec<f32> = second.iter().flat_map(|&x| [0.0, x]).collect();
        evaluate(&rows, 1, is_same, config)
    }

    fn two_folds() -> ProtocolConfig {
        ProtocolConfig {
            folds: Folds::Contiguous(2),
            ..ProtocolConfig::default()
        }
    }

    #[test]
    fn a_threshold_comes_from_the_other_fold() {
        // Squared: fold 1 has 0.01 same and 0.25 different, fold 2 has 0.36 same and 1 different.
        let report = scored(
            &[0.1, 0.5, 0.6, 1.0],
            &[true, false, true, false],
            &two_folds(),
        );
        let report = report.expect("two folds of two");
        assert_eq!(report.best_thresholds, [0.37, 0.02]);
        assert_eq!(report.accuracy, [0.5, 0.5]);
        assert_eq!(report.exact.best_thresholds, [1.0, 0.25]);
        assert_eq!((report.n_same, report.n_different), (2, 2));
    }

    #[test]
    fn a_fold_of_one_kind_is_reported_and_divides_by_nothing() {
        let report = scored(
            &[0.1, 0.2, 0.5, 1.0],
            &[true, true, true, false],
            &two_folds(),
        );
        let report = report.expect("two folds of two");
        assert_eq!(report.val_status, ValStatus::NoPairs);
        assert_eq!((report.val, report.val_std, report.far), (None, None, None));
        assert_eq!(report.folds_without_different, [1]);
        assert!(report.folds_without_same.is_empty());
        assert_eq!(report.val_per_fold.len(), 2);
    }

    #[test]
    fn impossible_questions_are_refused() {
        let kinds = [true, false, true];
        let many = ProtocolConfig {
            folds: Folds::Contiguous(4),
            ..two_folds()
        };
        assert!(matches!(
            scored(&[0.0; 3], &kinds, &many),
            Err(LfwError::Folds { folds: 4, pairs: 3 })
        ));
        assert!(matches!(
            scored(&[0.0; 2], &kinds, &two_folds()),
            Err(LfwError::Shape { .. })
        ));
        assert!(matches!(
            scored(&[], &[], &two_folds()),
            Err(LfwError::Folds { .. })
        ));
        for far_target in [0.0, -1.0, 1.5, f64::NAN] {
            let config = ProtocolConfig {
                far_target,
                ..two_folds()
            };
            assert!(matches!(
                scored(&[0.0; 3], &kinds, &config),
                Err(LfwError::FarTarget { .. })
            ));
        }
        let nan = scored(&[0.0, 0.0, f32::NAN], &kinds, &two_folds()).expect_err("not a number");
        assert!(
            nan.to_string()
                .starts_with("embedding row 5 (image 2 of pair 2)"),
            "{nan}"
        );
    }

    #[test]
    fn subtracting_the_mean_changes_the_cosine_fold_by_fold() {
        // Fold 1 trains on (3, 4) and (3, 2), mean (3, 3): opposite, distance 1; fold 2 on (1, 1)
        // and (1, -1), mean (1, 0): opposite as well. Both test pairs are at acos(12 / 160^0.5).
        let rows = [1.0, 1.0, 1.0, -1.0, 3.0, 4.0, 3.0, 2.0];
        let config = ProtocolConfig {
            metric: Metric::Cosine,
            subtract_mean: true,
            ..two_folds()
        };
        let report = evaluate(&rows, 2, &[true, false], &config).expect("two pairs");
        assert_eq!(report.exact.best_thresholds, [1.0, 1.0f64.next_up()]);
        assert_eq!(report.exact.accuracy, [1.0, 0.0]);
    }
}
