//! Memory, measured in a process of its own: other tests share this one's.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use facenet_dataset::{DecodeLimits, decode_file};

use crate::test_data::{files, real};

/// What the whole of `hostile/` may take, in KiB.
const CEILING: u64 = 512 << 10;
/// Tells a child what to do.
const CHILD: &str = "FACENET_DATASET_CHILD";
/// A picture of this side is as large as the limits allow: 67,090,323 bytes of 64 MiB.
const LARGEST_SIDE: usize = 4729;

/// The largest resident size so far, in KiB; `None` where the system does not tell.
pub(crate) fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// What the parent gave to this process, where it has one.
pub(crate) fn given() -> Option<OsString> {
    std::env::var_os(CHILD)
}

/// Runs one test of this binary in a process of its own, and returns what it prints.
pub(crate) fn in_a_child(test: &str, given: &OsStr) -> String {
    let itself = std::env::current_exe().expect("this binary");
    let output = Command::new(itself)
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, given)
        .output()
        .expect("started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    text
}

/// The number that a child has printed after a word.
pub(crate) fn figure(text: &str, word: &str) -> u64 {
    let mut words = text.split_whitespace().skip_while(|found| *found != word);
    let number = words.nth(1).and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("no number after {word} in {text}"))
}

/// Decodes what the parent names, and nothing when there is no parent.
#[test]
fn child_decodes_and_reports_its_peak() {
    let Some(folder) = given() else {
        return;
    };
    for path in files(Path::new(&folder)) {
        // Picture or error is another test's matter.
        let _ = decode_file(&path, &DecodeLimits::default());
    }
    println!("peak {}", peak().expect("the parent has one"));
}

#[track_caller]
fn check(folder: &Path) {
    if peak().is_none() {
        crate::skip::skip(format_args!("no /proc here, so memory is not measured"));
        return;
    }
    let child = "memory::child_decodes_and_reports_its_peak";
    let peak = figure(&in_a_child(child, folder.as_os_str()), "peak");
    eprintln!("{}: {} MiB at most", folder.display(), peak >> 10);
    assert!(peak < CEILING, "{peak} KiB");
}

#[test]
fn hostile_files_do_not_fill_memory() {
    let Some(folder) = real("hostile") else {
        return;
    };
    check(&folder.join("broken"));
    check(&folder.join("odd_valid"));
}

#[test]
fn the_largest_picture_fits() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let mut bytes = format!("P6 {LARGEST_SIDE} {LARGEST_SIDE} 255\n").into_bytes();
    bytes.resize(bytes.len() + 3 * LARGEST_SIDE * LARGEST_SIDE, 0x55);
    let path: PathBuf = scratch.path().join("largest.ppm");
    std::fs::write(&path, &bytes).expect("written");
    let picture = decode_file(&path, &DecodeLimits::default()).expect("within the limits");
    assert_eq!(picture.pixels.len(), 67_090_323);
    check(scratch.path());
}
