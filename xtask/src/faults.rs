//! `cargo xtask prove faults`: every operation of every writing, failing in turn.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// What the names of those tests hold, whatever their crates.
const TESTS: [&str; 4] = ["faults", "whatever_fails", "finite", "full_disk"];
/// What a test's report begins with.
const REPORT: &str = "faults: ";

/// Runs the tests and prints what each has tried; gives the sums.
pub(crate) fn run(root: &Path) -> Result<String> {
    let mut tests = Command::new(env!("CARGO"))
        .args([
            "test",
            "--workspace",
            "--locked",
            "--lib",
            "--test",
            "it",
            "--",
        ])
        .args(TESTS)
        .arg("--nocapture")
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let stdout = tests.stdout.take().context("cargo has no output")?;
    let mut sums = [0; 3];
    for line in BufReader::new(stdout).lines() {
        let line = line.context("cargo's output cannot be read")?;
        let Some((_, report)) = line.split_once(REPORT) else {
            continue;
        };
        println!("{report}");
        for (sum, count) in sums.iter_mut().zip(counts(report)) {
            *sum += count;
        }
    }
    let status = tests.wait().context("cannot wait for cargo")?;
    if !status.success() {
        bail!("found {status}, expected success; the test that failed is told above");
    }
    let [operations, faults, states] = sums;
    if operations == 0 {
        bail!("found no report of a test, expected some; see the names in `TESTS`");
    }
    Ok(format!(
        "{operations} operations, {faults} faults, {states} states"
    ))
}

/// The numbers of a report `<name>: <n> operations, <n> faults, <n> states`.
fn counts(report: &str) -> [u64; 3] {
    let Some((_, counts)) = report.rsplit_once(": ") else {
        return [0; 3];
    };
    let units = ["operations", "faults", "states"];
    let count = |unit: &str| {
        let of_it = counts.split(", ").find_map(|part| part.strip_suffix(unit));
        of_it
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or(0)
    };
    units.map(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_summed_by_their_units() {
        let report = "gallery, enrol: 6 operations, 24 faults, 41 states";
        assert_eq!(counts(report), [6, 24, 41]);
        assert_eq!(counts("gradients: 90 tensors x [NaN, inf]"), [0; 3]);
        assert_eq!(counts("nothing"), [0; 3]);
    }
}
