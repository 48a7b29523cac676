//! `cargo xtask fuzz`: every fuzz target for a while, from its seeds.

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle, available_parallelism};

use anyhow::{Context, Result, bail};

use crate::python::{output, run as run_quietly};

/// Inputs that a target is given among other checks.
pub(crate) const RUNS: u32 = 20_000;
/// Longest input, in bytes: the seeds are shorter.
const LONGEST: u32 = 16 << 10;
/// Memory that a target may take, in MiB.
const MEMORY: u32 = 1024;

/// What makes a program count which of its edges were passed, as cargo-fuzz asks for it where no
/// sanitizer is wanted: a stable compiler knows these too.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1";

/// Builds every target with coverage, and runs each on what libFuzzer makes of its seeds, one on
/// each core; a line of each tells how much of the program it has come to. Inputs that find something stay in `target/fuzz/found/`.
///
/// - `runs`: inputs of each target
pub(crate) fn run(root: &Path, runs: u32) -> Result<()> {
    let folder = root.join("fuzz");
    let target = root.join("target/fuzz");
    let triple = host()?;
    // Named, so that build scripts go without coverage.
    let build = ["build", "--locked", "--bins", "--target", triple.as_str()];
    cargo(&folder, &target, &build)?;
    let built = target.join(&triple).join("debug");
    let corpus = tempfile::tempdir()?;
    let found = target.join("found");
    fs::create_dir_all(&found)?;
    let names = names(&folder)?;
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            let said = fuzz(&built.join(name), &corpus.path().join(name), &found, runs)?;
            let (passed, edges) = coverage(&said).with_context(|| format!("target {name}"))?;
            println!(
                "fuzz: {name}: nothing found in {runs} inputs; {passed} of {edges} edges passed"
            );
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers = available_parallelism().map_or(1, NonZero::get);
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let mut ended = workers.into_iter().map(ScopedJoinHandle::join);
        ended.try_for_each(|ended| ended.expect("it does not panic"))
    })
}

/// Gives a target its seeds and what libFuzzer makes of them; what libFuzzer says.
///
/// - `seeds`: folder that is made, and where inputs are added that go further
/// - `found`: folder for inputs that find something
fn fuzz(target: &Path, seeds: &Path, found: &Path, runs: u32) -> Result<String> {
    run_quietly(Command::new(target).env("FACENET_FUZZ_SEEDS", seeds))?;
    let mut fuzzer = Command::new(target);
    fuzzer
        .arg(format!("-runs={runs}"))
        .arg(format!("-max_len={LONGEST}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg("-seed=1")
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg(seeds);
    let said = run_quietly(&mut fuzzer)?;
    Ok(String::from_utf8_lossy(&said.stderr).into_owned())
}

/// Names of the targets: those of the files of `fuzz_targets/`, in order.
fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for file in fs::read_dir(folder.join("fuzz_targets"))? {
        let path = file?.path();
        names.extend(
            path.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

/// Edges passed and edges in all, as libFuzzer tells them.
fn coverage(said: &str) -> Result<(u64, u64)> {
    let number_after = |mark: &str, line: &str| {
        let (_, rest) = line.split_once(mark)?;
        let digits = rest.split(|c: char| !c.is_ascii_digit());
        digits
            .into_iter()
            .find(|text| !text.is_empty())?
            .parse()
            .ok()
    };
    let passed = said
        .lines()
        .rev()
        .find_map(|line| number_after(" cov: ", line));
    let edges = said
        .lines()
        .find(|line| line.contains("inline 8-bit counters"))
        .and_then(|line| number_after("modules", line));
    passed
        .zip(edges)
        .with_context(|| format!("found no coverage in what libFuzzer says: {said}"))
}

/// The triple of this machine, as the compiler calls it.
fn host() -> Result<String> {
    let text = output(Command::new("rustc").arg("-vV"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned)
        .context("rustc -vV: found no line `host: `, expected one")
}

fn cargo(folder: &Path, target: &Path, arguments: &[&str]) -> Result<()> {
    must(
        Command::new(env!("CARGO"))
            .args(arguments)
            .env("CARGO_TARGET_DIR", target)
            .env("RUSTFLAGS", COVERAGE)
            .current_dir(folder),
    )
}

/// Runs a command that must succeed.
fn must(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status();
    let status = status.with_context(|| format!("cannot start {name}"))?;
    if !status.success() {
        bail!("{name}: found {status}, expected success; what it found is above");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_is_that_of_the_last_line() {
        let said = "INFO: Loaded 1 modules   (9131 inline 8-bit counters): 9131 [0x1, 0x2), \n\
                    #2\tINITED cov: 36 ft: 37 corp: 1/1b exec/s: 0 rss: 31Mb\n\
                    #20000\tDONE   cov: 512 ft: 37 corp: 1/1b exec/s: 0 rss: 31Mb\n";
        assert_eq!(coverage(said).expect("both are there"), (512, 9131));
        assert!(coverage("Running: seed").is_err());
    }

    #[test]
    fn a_target_that_fails_is_an_error() {
        let error = must(Command::new(env!("CARGO")).arg("--no-such-flag")).expect_err("refused");
        assert!(error.to_string().contains("expected success"), "{error}");
        must(Command::new(env!("CARGO")).arg("--version")).expect("it says its version");
    }
}
