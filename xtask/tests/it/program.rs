//! The program: output, exit codes, and the real data where it is at hand.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::download::{Place, archive};
use crate::server::{Act, Server};

fn xtask(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_xtask"));
    program
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

#[test]
fn fixtures_prints_its_result_on_stdout_and_all_else_on_stderr() {
    let (place, server) = (
        Place::new(),
        Server::start(archive(|_, bytes| bytes), &[Act::Whole]),
    );
    let manifest = place.folder.path().join("manifest");
    let (to, manifest) = (place.to(), path(&manifest).to_owned());
    let arguments = [
        "fixtures",
        "--to",
        path(&to),
        "--manifest",
        &manifest,
        "--url",
        &server.url,
    ];
    let output = xtask(&arguments);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    assert!(
        stdout.ends_with("21 of 21 files verified (0 kept, 21 new)\n"),
        "{stdout}"
    );
    assert!(
        stderr.contains(&server.url) && !stderr.contains("verified"),
        "{stderr}"
    );
}

#[test]
fn failures_exit_with_one_line_and_usage_errors_with_two() {
    let folder = TempDir::new().expect("a temporary folder");
    let (to, from) = (folder.path().join("to"), folder.path().join("absent"));
    let output = xtask(&["fixtures", "--to", path(&to), "--from", path(&from)]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        (output.status.code(), stderr.lines().count()),
        (Some(1), 1),
        "{stderr}"
    );
    assert!(stderr.contains("no such folder or .tar.gz"), "{stderr}");
    assert_eq!(
        xtask(&["fixtures", "--read-timeout", "0"]).status.code(),
        Some(2)
    );
}

#[test]
fn ci_lists_its_steps_without_running_them() {
    let output = xtask(&["ci", "--list"]);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        stdout.contains(".ci/run") && stdout.contains("outside"),
        "{stdout}"
    );
}

#[test]
fn the_real_subset_is_taken_whole_and_its_gaps_are_listed() {
    let Some(data) = std::env::var_os("FACENET_TEST_DATA") else {
        crate::skip::skip(format_args!(
            "the_real_subset_is_taken_whole: FACENET_TEST_DATA is not set"
        ));
        return;
    };
    let from = Path::new(&data).join("lfw");
    let to = TempDir::new().expect("a temporary folder");
    let arguments = [
        "fixtures",
        "--from",
        path(&from),
        "--to",
        path(to.path()),
        "--subset",
    ];
    let output = xtask(&arguments);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // 8,588 pictures and 6 lists of 13,239 files (the data's README).
    assert!(stdout.contains("8594 of 13239 files verified"), "{stdout}");
    assert!(
        stdout.contains("4645 files are missing: AJ_Cook/AJ_Cook_0001.jpg,"),
        "{stdout}"
    );
    assert!(fs::metadata(to.path().join("pairs.txt")).is_ok_and(|file| file.is_file()));
}
