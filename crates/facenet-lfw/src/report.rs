use std::fmt;

use serde::Serialize;

use crate::exact::Exact;
use crate::roc::Roc;
use crate::val::ValStatus;

/// The figures of LFW's protocol; per-fold lists are in the order of `folds`.
///
/// Under the reference's names stand the reference's numbers, with thresholds on its grids; `exact`
/// has them for all thresholds. `Display` writes the reference's lines and ours below them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Mean of the folds' accuracies.
    pub accuracy_mean: f64,
    /// Their population standard deviation.
    pub accuracy_std: f64,
    /// Per fold, the share of right decisions at `best_thresholds`.
    pub accuracy: Vec<f64>,
    /// Per fold, the first of `i * 0.01`, `i < 400`, with the best training accuracy.
    pub best_thresholds: Vec<f64>,
    /// Mean over folds of the share of same pairs accepted at `val_thresholds`; none with
    /// [`ValStatus::NoPairs`]. Means what it says only with [`ValStatus::Ok`].
    pub val: Option<f64>,
    /// Population standard deviation of the folds' VAL.
    pub val_std: Option<f64>,
    /// Mean over folds of the share of different pairs accepted at `val_thresholds`.
    pub far: Option<f64>,
    /// Per fold, where the training FAR is `far_target`, interpolated between `i * 0.001`,
    /// `i < 4000`; 0 where no training FAR reaches it.
    pub val_thresholds: Vec<f64>,
    /// Whether `val` can be relied on, and why not.
    pub val_status: ValStatus,
    /// VAL of each fold; none for one without same pairs.
    pub val_per_fold: Vec<Option<f64>>,
    /// FAR of each fold; none for one without different pairs.
    pub far_per_fold: Vec<Option<f64>>,
    /// The FAR that VAL was asked for at.
    pub far_target: f64,
    /// Area under `roc` by trapezoids; none unless both kinds are there.
    pub auc: Option<f64>,
    /// Equal error rate of `roc`; none where its FAR does not reach 1 (the reference raises).
    pub eer: Option<f64>,
    /// The figures from all thresholds.
    pub exact: Exact,
    /// 95 % confidence interval of the accuracy: Wilson's, for the right decisions pooled over
    /// folds, pairs taken as independent (people who recur make it too narrow).
    pub interval: [f64; 2],
    /// Same pairs scored.
    pub n_same: usize,
    /// Different pairs scored.
    pub n_different: usize,
    /// The folds' numbers.
    pub folds: Vec<u32>,
    /// Folds without same pairs.
    pub folds_without_same: Vec<u32>,
    /// Folds without different pairs.
    pub folds_without_different: Vec<u32>,
    /// The mean ROC curve; left out of the serialised report, as it is 400 points.
    #[serde(skip)]
    pub roc: Roc,
}

impl Report {
    /// The reference's first line, `Accuracy: 0.97333+-0.01856`.
    pub fn accuracy_line(&self) -> String {
        format!(
            "Accuracy: {:.5}+-{:.5}",
            self.accuracy_mean, self.accuracy_std
        )
    }

    /// The reference's second line, `Validation rate: 0.95667+-0.03958 @ FAR=0.00333`.
    ///
    /// Unless `val_status` is ok the rate is `undefined`, followed by the reason.
    pub fn validation_line(&self) -> String {
        let target = self.far_target;
        match (self.val_status, self.val, self.val_std, self.far) {
            (ValStatus::Ok, Some(val), Some(std), Some(far)) => {
                format!("Validation rate: {val:.5}+-{std:.5} @ FAR={far:.5}")
            }
            (ValStatus::FarAboveTarget, _, _, Some(far)) => {
                format!("Validation rate: undefined @ FAR={far:.5} (far above the target {target})")
            }
            (ValStatus::TargetNeverReached, ..) => format!(
                "Validation rate: undefined (too few impostors nearer than the last threshold to \
                 reach FAR={target})"
            ),
            _ => "Validation rate: undefined (a fold has no same or no different pairs)".to_owned(),
        }
    }

    /// Each fold's number and accuracy.
    fn by_fold(&self) -> String {
        let folds = self.folds.iter().zip(&self.accuracy);
        let folds = folds.map(|(fold, accuracy)| format!("{fold}: {accuracy:.5}"));
        folds.collect::<Vec<_>>().join(", ")
    }

    fn lacking(&self) -> impl Iterator<Item = (&'static str, &[u32])> {
        let kinds = [
            ("same", &self.folds_without_same),
            ("different", &self.folds_without_different),
        ];
        kinds
            .into_iter()
            .filter(|(_, folds)| !folds.is_empty())
            .map(|(kind, f)| (kind, f.as_slice()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            exact,
            interval: [low, high],
            n_same,
            n_different,
            ..
        } = self;
        writeln!(f, "{}", self.accuracy_line())?;
        writeln!(f, "{}", self.validation_line())?;
        writeln!(f, "Area Under Curve (AUC): {}", figure(self.auc))?;
        writeln!(f, "Equal Error Rate (EER): {}", figure(self.eer))?;
        writeln!(
            f,
            "95 % interval of the accuracy (Wilson): {low:.5} to {high:.5}"
        )?;
        writeln!(f, "Accuracy by fold: {}", self.by_fold())?;
        writeln!(
            f,
            "All thresholds: accuracy {:.5}+-{:.5}, AUC {}, EER {}",
            exact.accuracy_mean,
            exact.accuracy_std,
            figure(exact.auc),
            figure(exact.eer)
        )?;
        if let (Some(val), Some(far)) = (exact.val, exact.far) {
            let (accepted, impostors) = (exact.accepted_same, exact.accepted_different);
            writeln!(
                f,
                "All thresholds, pooled: VAL {val:.5} ({accepted} of {n_same}) @ FAR={far:.5} \
                 ({impostors} of {n_different})"
            )?;
        }
        for (kind, folds) in self.lacking() {
            writeln!(f, "Folds without {kind} pairs: {folds:?}")?;
        }
        write!(
            f,
            "Pairs: {n_same} same, {n_different} different, {} folds",
            self.folds.len()
        )
    }
}

fn figure(value: Option<f64>) -> String {
    value.map_or("undefined".to_owned(), |value| format!("{value:.5}"))
}

#[cfg(test)]
mod tests {
    use crate::{Folds, ProtocolConfig, evaluate};

    /// Two folds of a same pair at 0 and a different one at `far` or 1.2 `far`, squared.
    fn text(far: f32, is_same: [bool; 4]) -> String {
        let rows = [0.0, 0.0, 0.0, far, 0.0, 0.0, 0.0, 1.2 * far];
        let config = ProtocolConfig {
            folds: Folds::Contiguous(2),
            ..ProtocolConfig::default()
        };
        evaluate(&rows, 1, &is_same, &config)
            .expect("two folds")
            .to_string()
    }

    const BOTH: [bool; 4] = [true, false, true, false];

    #[test]
    fn the_first_lines_are_the_references() {
        let text = text(1.0, BOTH);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("Accuracy: 1.00000+-0.00000"));
        assert_eq!(
            lines.next(),
            Some("Validation rate: 1.00000+-0.00000 @ FAR=0.50000")
        );
        assert!(
            text.ends_with("Pairs: 2 same, 2 different, 2 folds"),
            "{text}"
        );
    }

    #[test]
    fn each_folds_accuracy_has_a_place_in_a_line() {
        let text = text(1.0, BOTH);
        let expected = "\nAccuracy by fold: 1: 1.00000, 2: 1.00000\n";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn a_rate_that_means_nothing_is_undefined() {
        assert!(text(3.0, BOTH).contains("Validation rate: undefined (too few impostors"));
        assert!(text(0.0, BOTH).contains("Validation rate: undefined @ FAR=1.00000"));
        let lacking = text(1.0, [true, true, true, false]);
        assert!(
            lacking.contains("Validation rate: undefined (a fold"),
            "{lacking}"
        );
        assert!(
            lacking.contains("Folds without different pairs: [1]"),
            "{lacking}"
        );
    }
}
