//! The reference's own results, every case that the folder holds, through the command.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::Value;

use crate::support::Scratch;

/// Relative above 1. All is f64 on both sides, and JSON keeps every digit; only the order of sums
/// of some thousand terms differs.
const F64_SUMS: f64 = 1e-12;
/// The reference's EER comes from a root finder; the golden README asks for this.
const ROOT_FINDER: f64 = 1e-6;

struct Case {
    path: PathBuf,
    expected: Value,
    found: Value,
}

impl Case {
    /// Runs `evaluate --embeddings` with the settings that the case was made with.
    fn run(scratch: &Scratch, path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("case has its JSON");
        let expected: Value = serde_json::from_str(&text).expect("JSON parses");
        let tensors = path.with_extension("safetensors");
        let tensors = tensors.canonicalize().expect("case has its tensors");
        let mut words = vec!["evaluate".to_owned(), "--json".to_owned()];
        let settings = [
            ("--embeddings", tensors.display().to_string()),
            ("--lfw-nrof-folds", expected["folds"].to_string()),
            ("--distance", expected["distance_metric"].to_string()),
            ("--far-target", expected["far_target"].to_string()),
        ];
        words.extend(
            settings
                .into_iter()
                .flat_map(|(flag, value)| [flag.to_owned(), value]),
        );
        if expected["subtract_mean"] == true {
            words.push("--subtract-mean".to_owned());
        }
        let run = scratch.run_words(words.iter().map(String::as_str)).done();
        Self {
            path: path.to_owned(),
            expected,
            found: run.json(),
        }
    }

    #[track_caller]
    fn near(&self, key: &str, expected: &[f64], tolerance: f64) {
        let path = self.path.display();
        let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{path}: {key}"));
        let found: Vec<_> = match &self.found[key] {
            Value::Array(values) => values.iter().map(number).collect(),
            value => vec![number(value)],
        };
        assert_eq!(found.len(), expected.len(), "{path}: {key}");
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!(
                (a - b).abs() <= tolerance * b.abs().max(1.0),
                "{path}: {key}[{i}]: {a} {b}"
            );
        }
    }

    fn check(&self) {
        for key in [
            "accuracy_mean",
            "accuracy_std",
            "val",
            "val_std",
            "far",
            "auc",
        ] {
            let expected = self.expected[key].as_f64().expect("the case has it");
            self.near(key, &[expected], F64_SUMS);
        }
        match self.expected["eer"].as_f64() {
            Some(eer) => self.near("eer", &[eer], ROOT_FINDER),
            None => assert!(self.found["eer"].is_null(), "{}", self.path.display()),
        }
        assert_eq!(
            self.found["best_thresholds"],
            self.expected["best_thresholds"]
        );
        let bytes = fs::read(self.path.with_extension("safetensors")).expect("read before");
        self.near("accuracy", &f64s(&bytes, "accuracy"), F64_SUMS);
        self.near("val_thresholds", &f64s(&bytes, "val_threshold"), F64_SUMS);
    }
}

fn f64s(tensors: &[u8], name: &str) -> Vec<f64> {
    let tensors = SafeTensors::deserialize(tensors).expect("safetensors parse");
    let tensor = tensors.tensor(name).expect("the case has it");
    let (values, rest) = tensor.data().as_chunks::<8>();
    assert!(rest.is_empty(), "{name} is f64");
    values
        .iter()
        .map(|&bytes| f64::from_le_bytes(bytes))
        .collect()
}

fn golden_dir() -> PathBuf {
    let default = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/golden").into();
    let root = std::env::var_os("FACENET_GOLDEN_DIR").map_or_else(default, PathBuf::from);
    assert!(root.is_dir(), "{}: no such golden folder", root.display());
    root.join("lfw")
}

#[test]
fn golden_lfw_cases_are_all_met_through_the_command() {
    let Ok(entries) = fs::read_dir(golden_dir()) else {
        crate::skip::skip(format_args!(
            "golden lfw: no folder {}",
            golden_dir().display()
        ));
        return;
    };
    let files: BTreeSet<PathBuf> = entries
        .map(|entry| entry.expect("listable").path())
        .collect();
    let scratch = Scratch::new();
    let mut walked = 0;
    for path in &files {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") => {
                Case::run(&scratch, path).check();
                walked += 1;
            }
            Some("safetensors") if files.contains(&path.with_extension("json")) => {}
            _ => panic!("{}: not a case of this kind", path.display()),
        }
    }
    eprintln!("golden lfw through the command: {walked} cases");
}
