//! The fast protocol against the naive one, with many ties.

use facenet_lfw::{Folds, Metric, ProtocolConfig, ValStatus, distances, evaluate};
use proptest::prelude::*;

use crate::naive;

/// Both sides interpolate and average alike, a rounding or two apart.
const ROUNDING: f64 = 1e-12;

#[derive(Debug, Clone)]
struct Batch {
    rows: Vec<f32>,
    dim: usize,
    is_same: Vec<bool>,
    folds: Vec<u32>,
    far_target: f64,
}

/// Coordinates on a coarse lattice tie often and fall on thresholds; others do neither.
fn arb_coordinate() -> impl Strategy<Value = f32> {
    prop_oneof![3 => (-8i8..=8).prop_map(|x| f32::from(x) / 8.0), 1 => -1.5f32..1.5]
}

fn arb_batch() -> impl Strategy<Value = Batch> {
    (2usize..40, 1usize..12).prop_flat_map(|(n, dim)| {
        let target = prop_oneof![Just(0.001), Just(0.5), Just(1.0), 0.01f64..1.0];
        (
            prop::collection::vec(arb_coordinate(), 2 * n * dim),
            prop::collection::vec(any::<bool>(), n),
            prop::collection::vec(1u32..5, n),
            target,
        )
            .prop_map(move |(rows, is_same, mut folds, far_target)| {
                (folds[0], folds[1]) = (1, 2);
                Batch {
                    rows,
                    dim,
                    is_same,
                    folds,
                    far_target,
                }
            })
    })
}

fn config(batch: &Batch) -> ProtocolConfig {
    let folds = Folds::Given(batch.folds.clone());
    ProtocolConfig {
        folds,
        far_target: batch.far_target,
        ..ProtocolConfig::default()
    }
}

fn scored(batch: &Batch) -> Vec<naive::Scored> {
    let measured = distances(&batch.rows, batch.dim, Metric::SquaredL2).expect("finite rows");
    measured
        .into_iter()
        .zip(batch.is_same.iter().copied())
        .collect()
}

fn near(found: &[f64], expected: &[f64]) -> bool {
    found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() <= ROUNDING)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_grids_figures_are_the_naive_ones(batch in arb_batch()) {
        let report = evaluate(&batch.rows, batch.dim, &batch.is_same, &config(&batch)).expect("finite");
        let given = &report.val_thresholds;
        let naive = naive::protocol(&scored(&batch), &batch.folds, batch.far_target, given);
        prop_assert_eq!(&report.best_thresholds, &naive.best_thresholds);
        prop_assert_eq!(&report.accuracy, &naive.accuracy);
        prop_assert!(near(&report.val_thresholds, &naive.val_thresholds), "{:?}", naive.val_thresholds);
        prop_assert_eq!(&report.val_per_fold, &naive.val_per_fold);
        prop_assert_eq!(&report.far_per_fold, &naive.far_per_fold);
        prop_assert!(near(&report.roc.val, &naive.roc_val));
        prop_assert!(near(&report.roc.far, &naive.roc_far));
        let lacks = naive.val_per_fold.contains(&None) || naive.far_per_fold.contains(&None);
        prop_assert!(!lacks || report.val_status == ValStatus::NoPairs);
        prop_assert_eq!(report.val.is_none(), report.val_status == ValStatus::NoPairs);
    }

    #[test]
    fn the_exact_figures_are_the_naive_ones(batch in arb_batch()) {
        let report = evaluate(&batch.rows, batch.dim, &batch.is_same, &config(&batch)).expect("finite");
        naive::check_exact(&report.exact, &scored(&batch), &batch.folds, batch.far_target);
        let [low, high] = report.interval;
        prop_assert!((0.0..=1.0).contains(&low) && low < high && high <= 1.0);
    }

    #[test]
    fn sides_and_the_order_within_folds_make_no_difference(batch in arb_batch()) {
        let whole = |batch: &Batch| {
            let report = evaluate(&batch.rows, batch.dim, &batch.is_same, &config(batch));
            let report = report.expect("finite");
            (serde_json::to_string(&report).expect("serialises"), report.roc)
        };
        let mut turned = batch.clone();
        turned.rows.clear();
        for pair in batch.rows.chunks_exact(2 * batch.dim).rev() {
            let (a, b) = pair.split_at(batch.dim);
            turned.rows.extend_from_slice(b);
            turned.rows.extend_from_slice(a);
        }
        turned.is_same.reverse();
        turned.folds.reverse();
        prop_assert_eq!(whole(&turned), whole(&batch));
    }

    #[test]
    fn subtracting_the_mean_leaves_squared_l2_alone(batch in arb_batch()) {
        let plain = evaluate(&batch.rows, batch.dim, &batch.is_same, &config(&batch));
        let centred = ProtocolConfig { subtract_mean: true, ..config(&batch) };
        let centred = evaluate(&batch.rows, batch.dim, &batch.is_same, &centred);
        prop_assert_eq!(plain.expect("finite"), centred.expect("finite"));
    }

    #[test]
    fn arbitrary_rows_never_panic(
        rows in prop::collection::vec(any::<f32>(), 0..60), dim in 0usize..4,
        is_same in prop::collection::vec(any::<bool>(), 0..12),
        folds in 0usize..12, subtract_mean: bool, is_cosine: bool, far_target: f64,
    ) {
        let metric = if is_cosine { Metric::Cosine } else { Metric::SquaredL2 };
        let config = ProtocolConfig { folds: Folds::Contiguous(folds), metric, subtract_mean, far_target };
        let len = (2 * is_same.len() * dim).min(rows.len());
        let _ = evaluate(&rows[..len], dim, &is_same, &config).map(|report| report.to_string());
        let config = ProtocolConfig { far_target: 0.001, ..config };
        let _ = evaluate(&rows[..len], dim, &is_same, &config).map(|report| report.to_string());
    }
}

#[test]
fn the_json_has_the_promised_names_and_no_curve() {
    let rows = [0.0, 0.1, 0.0, 1.0, 0.0, 0.2, 0.0, 1.1];
    let config = ProtocolConfig {
        folds: Folds::Contiguous(2),
        ..ProtocolConfig::default()
    };
    let report = evaluate(&rows, 1, &[true, false, true, false], &config).expect("two folds");
    let json = serde_json::to_value(&report).expect("serialises");
    for key in [
        "accuracy_mean",
        "accuracy_std",
        "accuracy",
        "best_thresholds",
        "val",
        "val_std",
        "far",
        "val_thresholds",
        "val_status",
        "auc",
        "eer",
        "exact",
        "interval",
    ] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!(json["val_status"], "ok");
    assert!(json.get("roc").is_none());
}
