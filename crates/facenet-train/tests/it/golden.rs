//! The golden file `optim.json`: where it is, and its numbers.

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
