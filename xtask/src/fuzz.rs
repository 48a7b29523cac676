//! `cargo xtask fuzz`: every fuzz target for a while, from its seeds.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::python::output;

/// Inputs that a target is given.
const RUNS: u32 = 20_000;
/// Longest input, in bytes: the seeds are shorter.
const LONGEST: u32 = 16 << 10;
/// Memory that a target may take, in MiB.
const MEMORY: u32 = 1024;

/// What makes a program count which of its edges were passed, as cargo-fuzz asks for it where no
/// sanitizer is wanted: a stable compiler knows these too.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1";

/// Builds every target with coverage, and runs each on what libFuzzer makes of its seeds.
pub(crate) fn run(root: &Path) -> Result<()> {
    let folder = root.join("fuzz");
    let target = root.join("target/fuzz");
    let triple = host()?;
    // Named, so that build scripts go without coverage.
    let build = ["build", "--locked", "--bins", "--target", triple.as_str()];
    cargo(&folder, &target, &build)?;
    let built = target.join(&triple).join("debug");
    let corpus = tempfile::tempdir()?;
    must(Command::new(built.join("seeds")).arg(corpus.path()))?;
    let mut names: Vec<_> = fs::read_dir(corpus.path())?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<Result<_>>()?;
    names.sort();
    for name in &names {
        let mut fuzzer = Command::new(built.join(name));
        fuzzer
            .arg(format!("-runs={RUNS}"))
            .arg(format!("-max_len={LONGEST}"))
            .arg(format!("-rss_limit_mb={MEMORY}"))
            .args(["-seed=1", "-verbosity=0"])
            .arg(corpus.path().join(name))
            .current_dir(corpus.path());
        must(&mut fuzzer).with_context(|| format!("target {}", name.display()))?;
        println!("fuzz: {}: nothing found in {RUNS} inputs", name.display());
    }
    Ok(())
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
    fn a_target_that_fails_is_an_error() {
        let error = must(Command::new(env!("CARGO")).arg("--no-such-flag")).expect_err("refused");
        assert!(error.to_string().contains("expected success"), "{error}");
        must(Command::new(env!("CARGO")).arg("--version")).expect("it says its version");
    }
}
