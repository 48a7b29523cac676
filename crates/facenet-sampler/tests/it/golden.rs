//! Every `sample_people` case of the golden folder, walked with the reference's generator.

use std::path::{Path, PathBuf};

use facenet_sampler::{SamplerConfig, sample_people};
use serde_json::Value;

use crate::mt19937::Mt19937;

fn mining_dir() -> PathBuf {
    let root = std::env::var_os("FACENET_GOLDEN_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden"),
        PathBuf::from,
    );
    assert!(
        root.is_dir(),
        "{}: no such folder of golden values",
        root.display()
    );
    root.join("mining")
}

/// The sampling cases of the folder: those by name and those by content.
fn cases() -> Vec<(PathBuf, Value)> {
    let Ok(entries) = std::fs::read_dir(mining_dir()) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable folder").path())
        .collect();
    paths.sort();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    let parsed = paths.into_iter().map(|path| {
        let text = std::fs::read_to_string(&path).expect("readable case");
        let case: Value = serde_json::from_str(&text).expect("a case is JSON");
        (path, case)
    });
    parsed
        .filter(|(path, case)| is_sampling(path, case))
        .collect()
}

fn is_sampling(path: &Path, case: &Value) -> bool {
    let name = path
        .file_name()
        .expect("a file")
        .to_string_lossy()
        .into_owned();
    name.starts_with("sample_people") || case.get("class_sizes").is_some()
}

fn numbers(case: &Value, key: &str) -> Vec<u32> {
    let list = case[key]
        .as_array()
        .unwrap_or_else(|| panic!("{key} is a list"));
    list.iter()
        .map(|number| number.as_u64().expect("a count") as u32)
        .collect()
}

fn walk(case: &Value) -> (Vec<String>, Vec<u32>) {
    let whole = |key: &str| {
        case[key]
            .as_u64()
            .unwrap_or_else(|| panic!("{key} is a number"))
    };
    let config = SamplerConfig {
        people_per_batch: whole("people_per_batch") as usize,
        images_per_person: whole("images_per_person") as usize,
        seed: 0,
    };
    let mut draw = Mt19937::new(whole("numpy_seed") as u32);
    let sample = sample_people(&numbers(case, "class_sizes"), &config, &mut draw);
    let sample = sample.expect("the reference could draw it");
    let names = sample
        .images
        .iter()
        .map(|(identity, image)| format!("{identity}/{image}"));
    (names.collect(), sample.counts)
}

#[test]
fn golden_sample_people_are_the_references() {
    let cases = cases();
    for (path, case) in &cases {
        let (images, counts) = walk(case);
        let expected: Vec<_> = case["image_paths"]
            .as_array()
            .expect("a list")
            .iter()
            .collect();
        assert_eq!(
            images.iter().collect::<Vec<_>>(),
            expected,
            "{}",
            path.display()
        );
        assert_eq!(counts, numbers(case, "num_per_class"), "{}", path.display());
    }
    eprintln!("walked {} sample_people cases", cases.len());
}
