//! Safetensors files that were damaged, or lie: a whole model or an error, within bounded memory.
//! So do pickles that make much of few bytes.

use std::path::Path;
use std::process::Command;

use candle_core::{DType, Device};
use facenet_model::{Architecture, Model, ModelConfig, ModelError, import_file, tensors_to_bytes};
use proptest::prelude::*;

/// Tells a child what file to import.
const CHILD: &str = "FACENET_MODEL_IMPORT";
/// What importing a small file that lies may take, in KiB, code and threads with it.
const CEILING: u64 = 64 << 10;

/// The smaller network at its smallest.
fn config() -> ModelConfig {
    ModelConfig::new(Architecture::MobileFaceNet, 16, 8)
}

/// A sound file of it.
fn sound() -> Vec<u8> {
    let model = Model::new(config(), 1, DType::F32, &Device::Cpu).expect("its size");
    tensors_to_bytes(&model.state()).expect("encodable")
}

/// Numbers of the model that a file gives.
fn imported(bytes: &[u8]) -> Result<usize, ModelError> {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, bytes).expect("writable");
    let model = import_file(&path, 160)?.model;
    Ok(model
        .state()
        .values()
        .map(candle_core::Tensor::elem_count)
        .sum())
}

/// Whole, and as large as the file; or refused in a line.
fn is_bounded(bytes: &[u8]) -> bool {
    match imported(bytes) {
        Ok(numbers) => 4 * numbers <= bytes.len(),
        Err(error) => {
            let is_of_the_file =
                matches!(error, ModelError::File { .. } | ModelError::Tensors { .. });
            is_of_the_file && !error.to_string().contains('\n')
        }
    }
}

#[test]
fn a_sound_file_is_a_whole_model_and_no_part_of_it_is() {
    let bytes = sound();
    let numbers = imported(&bytes).expect("sound");
    assert!(numbers > 900_000 && is_bounded(&bytes));
    for length in [1, 7, 8, 9, 100, bytes.len() / 2, bytes.len() - 1] {
        assert!(imported(&bytes[..length]).is_err(), "{length}");
        assert!(is_bounded(&bytes[..length]), "{length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_damaged_file_is_a_whole_model_or_an_error(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        is_header in prop::bool::weighted(0.8),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = sound();
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("eight")) as usize;
        for (place, byte) in edits {
            let place = place.index(if is_header { header } else { bytes.len() });
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        prop_assert!(is_bounded(&bytes));
    }
}

/// A header and what follows it.
fn file(header: &str, values: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(std::iter::repeat_n(0, values));
    bytes
}

/// Small files that claim to be large ones.
fn lies() -> Vec<Vec<u8>> {
    let tensor = |name: &str, shape: &str, end: &str| {
        format!("{{\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}")
    };
    let huge = u64::MAX.to_string();
    let mut longest = file("{}", 0);
    longest[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    vec![
        longest,
        file(&tensor("a", "[1099511627776, 1048576]", &huge), 8),
        file(&tensor("a", "[1152921504606846976]", "8"), 8),
        // As many axes as the header has room for.
        file(
            &tensor("a", &format!("[{}1]", "1,".repeat(100_000)), "4"),
            4,
        ),
        // Sizes that the larger network has with embeddings of 65,536 numbers: 470 MB of a matrix.
        file(&tensor("last_linear.weight", "[65536, 0]", "0"), 0),
        file(&tensor("last_linear.weight", "[8, 1]", "32"), 32),
        file(&format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000)), 0),
        pickles(&b")".repeat(4 << 20)),
        pickles(&[&b")q\0"[..], &b"h\0".repeat(4 << 20)].concat()),
    ]
}

/// A state dictionary's older form as far as its magic number, and a program after it: without a
/// bound, one of `)` alone takes 40 bytes for each of its own.
fn pickles(program: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    [&magic[..], program].concat()
}

#[test]
fn lies_are_refused() {
    for (number, bytes) in lies().iter().enumerate() {
        assert!(imported(bytes).is_err() && is_bounded(bytes), "{number}");
    }
}

/// The largest resident size so far, in KiB.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Imports what the parent names, and nothing where there is no parent.
#[test]
fn child_imports_and_reports_its_peak() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    assert!(import_file(Path::new(&path), 160).is_err());
    if let Some(peak) = peak() {
        println!("peak {peak}");
    }
}

#[test]
fn lies_fill_no_memory() {
    if peak().is_none() {
        crate::skip::skip(format_args!("no /proc here, so memory is not measured"));
        return;
    }
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = folder.path().join("lie");
    for (number, bytes) in lies().iter().enumerate() {
        std::fs::write(&path, bytes).expect("writable");
        let itself = std::env::current_exe().expect("this binary");
        let output = Command::new(itself)
            .args(["--exact", "safetensors::child_imports_and_reports_its_peak"])
            .arg("--nocapture")
            .env(CHILD, &path)
            .output()
            .expect("started");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{number}: {text}");
        let told = text.split("peak ").nth(1);
        let peak = told.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        let peak = peak.expect("a child that was asked says its peak");
        assert!(peak < CEILING, "{number}: {peak} KiB");
    }
}
