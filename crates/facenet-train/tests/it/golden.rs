//! The golden file `optim.json`: where it is, and its numbers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

/// The folder of golden values: `FACENET_GOLDEN_DIR`, else the repository's.
pub(crate) fn folder() -> PathBuf {
    let folder = std::env::var_os("FACENET_GOLDEN_DIR").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../fixtures/golden"
            ))
        },
        PathBuf::from,
    );
    let shown = folder.display();
    assert!(folder.is_dir(), "{shown}: no such folder of golden values");
    folder
}

/// The cases of one kind in `optim.json`; none where the folder has no such file or kind.
pub(crate) fn optim(kind: &str) -> Vec<Value> {
    let path = folder().join("optim.json");
    if !path.exists() {
        return Vec::new();
    }
    let text = std::fs::read_to_string(&path).expect("a readable golden file");
    let file: Value = serde_json::from_str(&text).expect("a golden file is JSON");
    file.get(kind)
        .map_or_else(Vec::new, |cases| cases.as_array().expect("a list").clone())
}

/// Every kind of case that some crate's golden tests walk: members of the golden folder.
const FOLDER: [&str; 8] = [
    "README.md",
    "filler.json",
    "image",
    "inception_resnet_v1",
    "lfw",
    "mining",
    "mobilefacenet",
    "optim.json",
];
/// The same for the members of `optim.json`.
const OPTIM: [&str; 6] = [
    "ema",
    "exponential_decay",
    "l2_normalize",
    "optimizers",
    "tensorflow",
    "triplet_loss",
];

#[test]
fn golden_kinds_are_all_known() {
    for entry in std::fs::read_dir(folder()).expect("a listable folder") {
        let name = entry.expect("listable").file_name();
        let name = name.to_string_lossy();
        assert!(FOLDER.contains(&&*name), "{name}: no test walks this");
    }
    let Ok(text) = std::fs::read_to_string(folder().join("optim.json")) else {
        return; // without it there is no kind to know
    };
    let file: BTreeMap<String, Value> = serde_json::from_str(&text).expect("a JSON object");
    for kind in file.keys() {
        assert!(
            OPTIM.contains(&&**kind),
            "optim.json: no test walks {kind:?}"
        );
    }
}

/// A list of numbers.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .expect("a list")
        .iter()
        .map(number)
        .collect()
}

/// A number.
pub(crate) fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

/// A list of lists of numbers.
pub(crate) fn rows(value: &Value) -> Vec<Vec<f64>> {
    value
        .as_array()
        .expect("a list")
        .iter()
        .map(numbers)
        .collect()
}
