//! Damaged copies of small files that commands read: calibrations, and the logs of a run.

use std::fs;
use std::path::Path;

use facenet_train::apply::Calibration;
use facenet_train::gallery::Source;
use facenet_train::model::{Arithmetic, CALIBRATION_FILE};
use facenet_train::{ReportRequest, STEPS_FILE, Silent, run_report};

use crate::fuzz::check::check;

fn made_by() -> Source {
    Source {
        model: [0; 32],
        recipe: "32 pixels".to_owned(),
    }
}

/// Thresholds that are taken can be compared with.
fn calibration(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a scratch folder");
    fs::write(dir.path().join(CALIBRATION_FILE), bytes).expect("writable");
    match Calibration::load(dir.path(), &made_by()) {
        Ok(found) => {
            let found = found.expect("there is a file");
            let point = found.at(None).expect("one at least");
            assert!(point.threshold.is_finite() && found.rarest().is_some());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn calibrations() -> Vec<Vec<u8>> {
    let zeros = "0".repeat(64);
    let point = r#"{"far_target": 0.01, "threshold": 1.1, "threshold_interval": [1.0, 1.2],
        "far": 0.01, "far_interval": [0.005, 0.02], "accepted_different": 10,
        "n_different": 1000, "n_people_pairs": 900, "val": 0.9, "val_interval": [0.8, 0.95],
        "accepted_same": 90, "n_same": 100}"#;
    let text = format!(
        r#"{{"format": 1, "model": "{zeros}", "recipe": "32 pixels", "people": 50,
        "images": 100, "confidence": 0.95, "points": [{point}]}}"#
    );
    let dir = tempfile::tempdir().expect("a scratch folder");
    fs::write(dir.path().join(CALIBRATION_FILE), &text).expect("writable");
    let taken = Calibration::load(dir.path(), &made_by());
    assert!(taken.expect("a whole one").is_some());
    vec![text.into_bytes()]
}

#[test]
fn damaged_calibrations_end_in_no_panic() {
    check(calibration, calibrations);
}

/// A report of a run that has logs only, one of them hostile.
fn report(file: &str, bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a scratch folder");
    fs::write(dir.path().join(STEPS_FILE), "").expect("writable");
    fs::write(dir.path().join(file), bytes).expect("writable");
    let found = run_report(&request(dir.path()), &mut Silent).expect("logs that can be read");
    assert!(found.held_out.is_none());
    serde_json::to_string(&found).expect("numbers and texts are JSON");
}

fn request(run: &Path) -> ReportRequest {
    ReportRequest {
        run: run.to_owned(),
        model: None,
        lfw_dir: None,
        lfw_pairs: None,
        thumbnail_side: None,
        device: "cpu".to_owned(),
        threads: Some(1),
        arithmetic: Arithmetic::of_inference(),
        loader_threads: 1,
        batch_size: 1,
    }
}

#[test]
fn damaged_logs_of_steps_end_in_no_panic() {
    let seeds = || {
        let line = |step: u32| {
            format!(
                r#"{{"step": {step}, "loss": 0.2, "learning_rate": 0.05, "mined_active_share": 0.4,
                "active_share": 0.3, "d_ap": [0.1, 0.2, 0.3], "d_an": [0.9, 1.0, 1.1],
                "accuracy": null, "spread": 0.8, "gradient_norm": 1.5}}"#
            )
            .replace('\n', " ")
        };
        let lines: Vec<_> = [1, 2, 3, 2].map(line).to_vec();
        vec![(lines.join("\n") + "\n").into_bytes()]
    };
    check(|bytes| report(STEPS_FILE, bytes), seeds);
}

#[test]
fn damaged_scores_end_in_no_panic() {
    let seeds = || vec![b"10\t0.91234\t0.51234\n20\t0.95000\tNaN\n".to_vec()];
    check(|bytes| report("lfw_result.txt", bytes), seeds);
}
