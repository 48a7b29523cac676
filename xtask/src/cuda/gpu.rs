//! `cargo xtask gpu-check`: on a machine with a GPU, is what it computes what the CPU computes?

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Exit code of the checks where there is no GPU.
const NO_GPU: i32 = 3;

/// What a check came to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Agrees,
    NoGpu,
    Differs,
}

/// Runs the checks of facenet-miner and facenet-train in release, and writes what they print to
/// `report`. Where there is no GPU it says so and writes nothing.
pub(crate) fn run(root: &Path, report: &Path) -> Result<()> {
    let (miner, mut text) = check(root, "facenet-miner")?;
    if miner == Outcome::NoGpu {
        print!("{text}");
        println!("gpu-check: SKIPPED, no report is written");
        return Ok(());
    }
    let networks = if has_toolkit() {
        let (outcome, networks) = check(root, "facenet-train")?;
        text.push_str(&networks);
        outcome
    } else {
        text.push_str("Networks and cuBLAS: not checked, there is no nvcc to build candle with\n");
        Outcome::NoGpu
    };
    let text = format!("# Check on a GPU\n\n{}\n{text}", machine());
    fs::write(report, &text).with_context(|| format!("{}: cannot write", report.display()))?;
    print!("{text}");
    println!("gpu-check: report in {}", report.display());
    if [miner, networks].contains(&Outcome::Differs) {
        bail!("gpu-check: the GPU differs from the CPU; see DIFFERENT and FAILED in the report");
    }
    Ok(())
}

/// Builds and runs a crate's `gpu_check` example; its result and what it printed.
fn check(root: &Path, package: &str) -> Result<(Outcome, String)> {
    let output = Command::new(env!("CARGO"))
        .args([
            "run",
            "--release",
            "--locked",
            "--features",
            "cuda",
            "--example",
            "gpu_check",
        ])
        .args(["--package", package])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match outcome(output.status.code(), &text) {
        Some(outcome) => Ok((outcome, text)),
        None => bail!(
            "{package}: found {}, expected a result; it said: {text}",
            output.status
        ),
    }
}

/// The result by exit code; a build that fails has printed nothing, and is none.
fn outcome(code: Option<i32>, text: &str) -> Option<Outcome> {
    match code {
        Some(0) => Some(Outcome::Agrees),
        Some(NO_GPU) => Some(Outcome::NoGpu),
        Some(1) if !text.is_empty() => Some(Outcome::Differs),
        _ => None,
    }
}

fn has_toolkit() -> bool {
    let mut nvcc = Command::new("nvcc");
    nvcc.arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Driver and compiler, as far as their programs say.
fn machine() -> String {
    let driver = ["--query-gpu=name,driver_version", "--format=csv,noheader"];
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        text.unwrap_or_else(|| format!("{program}: not found"))
    };
    format!(
        "{}\n{}\n",
        said("nvidia-smi", &driver),
        said("rustc", &["--version"])
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_told_from_failures_to_build() {
        assert_eq!(outcome(Some(0), ""), Some(Outcome::Agrees));
        assert_eq!(outcome(Some(3), "no GPU"), Some(Outcome::NoGpu));
        assert_eq!(outcome(Some(1), "DIFFERENT"), Some(Outcome::Differs));
        assert_eq!(outcome(Some(1), ""), None);
        assert_eq!(outcome(Some(101), "no build"), None);
        assert_eq!(outcome(None, "a signal"), None);
    }

    #[test]
    fn the_machine_is_named_also_without_a_driver() {
        assert!(machine().contains("rustc "), "{}", machine());
    }
}
