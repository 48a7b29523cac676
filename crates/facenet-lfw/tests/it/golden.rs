//! The reference's own results, every case that the folder holds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use facenet_lfw::{Folds, Metric, ProtocolConfig, Report, ValStatus, distances, evaluate};
use safetensors::SafeTensors;
use serde_json::Value;

/// Relative above 1. All is f64 on both sides; only the order of sums of some thousand terms differs.
const F64_SUMS: f64 = 1e-12;
/// The cosine near ±1 is worse: arccos turns a rounding of 1e-16 into its root.
const ARCCOS_NEAR_ONE: f64 = 1e-12;
/// The reference's EER comes from a root finder; the golden README asks for this.
const ROOT_FINDER: f64 = 1e-6;

struct Case {
    path: PathBuf,
    json: Value,
    tensors: Vec<u8>,
}

impl Case {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("case has its JSON");
        let json = serde_json::from_str(&text).expect("JSON parses");
        let tensors = fs::read(path.with_extension("safetensors")).expect("case has its tensors");
        Self {
            path: path.to_owned(),
            json,
            tensors,
        }
    }

    fn number(&self, key: &str) -> f64 {
        self.json[key]
            .as_f64()
            .unwrap_or_else(|| panic!("{}: no {key}", self.path.display()))
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        let tensors = SafeTensors::deserialize(&self.tensors).expect("safetensors parse");
        tensors
            .tensor(name)
            .unwrap_or_else(|e| panic!("{}: {name}: {e}", self.path.display()))
            .data()
            .to_vec()
    }

    fn f64s(&self, name: &str) -> Vec<f64> {
        let bytes = self.bytes(name);
        let (values, rest) = bytes.as_chunks::<8>();
        assert!(rest.is_empty(), "{name} is f64");
        values.iter().map(|&b| f64::from_le_bytes(b)).collect()
    }

    fn embeddings(&self) -> Vec<f32> {
        self.bytes("embeddings")
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&b| f32::from_le_bytes(b))
            .collect()
    }

    fn config(&self) -> ProtocolConfig {
        ProtocolConfig {
            folds: Folds::Contiguous(self.number("folds") as usize),
            metric: self.json["distance_metric"]
                .to_string()
                .parse()
                .expect("metric 0 or 1"),
            subtract_mean: self.json["subtract_mean"].as_bool().expect("a boolean"),
            far_target: self.number("far_target"),
        }
    }

    #[track_caller]
    fn near(&self, what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
        assert_eq!(
            found.len(),
            expected.len(),
            "{}: {what}",
            self.path.display()
        );
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!(
                (a - b).abs() <= tolerance * b.abs().max(1.0),
                "{}: {what}[{i}]: {a} {b}",
                self.path.display()
            );
        }
    }

    fn check(&self) {
        let (rows, dim) = (self.embeddings(), self.number("dim") as usize);
        let is_same: Vec<bool> = self.bytes("issame").iter().map(|&b| b != 0).collect();
        assert_eq!(self.json["pairs"], is_same.len());
        let config = self.config();
        let report = evaluate(&rows, dim, &is_same, &config).expect("the reference scored it");
        let tolerance = if config.metric == Metric::Cosine {
            ARCCOS_NEAR_ONE
        } else {
            F64_SUMS
        };
        let found = distances(&rows, dim, config.metric).expect("finite rows");
        if config.metric != Metric::Cosine || !config.subtract_mean {
            self.near(
                "distance_f64",
                &found,
                &self.f64s("distance_f64"),
                tolerance,
            );
        }
        self.check_accuracy(&report);
        self.check_rates(&report);
        self.check_status(&report);
    }

    fn check_accuracy(&self, report: &Report) {
        let scalar = |key: &str, found| self.near(key, &[found], &[self.number(key)], F64_SUMS);
        scalar("accuracy_mean", report.accuracy_mean);
        scalar("accuracy_std", report.accuracy_std);
        self.near(
            "accuracy",
            &report.accuracy,
            &self.f64s("accuracy"),
            F64_SUMS,
        );
        let indices = self.bytes("best_threshold_index");
        let best: Vec<f64> = indices
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&b| f64::from(i32::from_le_bytes(b)) * 0.01)
            .collect();
        assert_eq!(report.best_thresholds, best, "{}", self.path.display());
        let listed: Vec<f64> =
            serde_json::from_value(self.json["best_thresholds"].clone()).expect("numbers");
        assert_eq!(report.best_thresholds, listed, "{}", self.path.display());
        self.near("tpr", &report.roc.val, &self.f64s("tpr"), F64_SUMS);
        self.near("fpr", &report.roc.far, &self.f64s("fpr"), F64_SUMS);
        scalar("auc", report.auc.expect("both kinds"));
        match self.json["eer"].as_f64() {
            Some(eer) => self.near("eer", &[report.eer.expect("spans")], &[eer], ROOT_FINDER),
            None => assert_eq!(report.eer, None, "{}", self.path.display()),
        }
    }

    fn check_rates(&self, report: &Report) {
        let scalar = |key: &str, found: Option<f64>| {
            self.near(
                key,
                &[found.expect("every fold has both kinds")],
                &[self.number(key)],
                F64_SUMS,
            );
        };
        scalar("val", report.val);
        scalar("val_std", report.val_std);
        scalar("far", report.far);
        self.near(
            "val_threshold",
            &report.val_thresholds,
            &self.f64s("val_threshold"),
            F64_SUMS,
        );
        let all = |rates: &[Option<f64>]| {
            rates
                .iter()
                .map(|r| r.expect("both kinds"))
                .collect::<Vec<_>>()
        };
        self.near(
            "val_per_fold",
            &all(&report.val_per_fold),
            &self.f64s("val_per_fold"),
            F64_SUMS,
        );
        self.near(
            "far_per_fold",
            &all(&report.far_per_fold),
            &self.f64s("far_per_fold"),
            F64_SUMS,
        );
    }

    fn check_status(&self, report: &Report) {
        let expected = match self.json["kind"].as_str() {
            Some("farnever") => ValStatus::TargetNeverReached,
            Some("identical") => ValStatus::FarAboveTarget,
            Some("typical" | "ties" | "perfect" | "shuffled" | "random" | "reversed") => {
                ValStatus::Ok
            }
            _ => return,
        };
        assert_eq!(report.val_status, expected, "{}", self.path.display());
    }
}

fn golden_dir() -> PathBuf {
    let default = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/golden").into();
    let root = std::env::var_os("FACENET_GOLDEN_DIR").map_or_else(default, PathBuf::from);
    assert!(root.is_dir(), "{}: no such golden folder", root.display());
    root.join("lfw")
}

#[test]
fn golden_lfw_cases_are_all_walked_and_met() {
    let Ok(entries) = fs::read_dir(golden_dir()) else {
        crate::skip::skip(format_args!(
            "golden lfw: no folder {}",
            golden_dir().display()
        ));
        return;
    };
    let files: BTreeSet<PathBuf> = entries.map(|e| e.expect("listable").path()).collect();
    let extension = |path: &Path| path.extension().and_then(|e| e.to_str()).map(str::to_owned);
    let mut walked = 0;
    for path in &files {
        match extension(path).as_deref() {
            Some("json") => {
                Case::read(path).check();
                walked += 1;
            }
            Some("safetensors") => assert!(
                files.contains(&path.with_extension("json")),
                "{}",
                path.display()
            ),
            _ => panic!("{}: not a case of this kind", path.display()),
        }
    }
    eprintln!("golden lfw: {walked} cases");
}
