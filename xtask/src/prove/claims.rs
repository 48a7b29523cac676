//! The claims of RELIABILITY.md, each tried at length: one table.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{faults, fuzz};

/// Kills of each kind of run.
const KILLS: u32 = 300;
/// Signals to each kind of run.
const SIGNALS: u32 = 100;

/// Inputs of each fuzz target.
const FUZZ_RUNS: u32 = 220_000;

/// A claim, and how it is tried.
struct Claim {
    name: &'static str,
    what: &'static str,
    /// Gives the figures, or what disproves it.
    attempt: fn(&Path) -> Result<String>,
}

/// Every claim; a later one adds its line here.
const CLAIMS: &[Claim] = &[
    Claim {
        name: "resume",
        what: "kill -9 at drawn times, resume: the bytes of the run that was not killed",
        attempt: |root| disturbed(root, &["resume", "--kills", &KILLS.to_string()]),
    },
    Claim {
        name: "stop",
        what: "SIGTERM or SIGINT at drawn times: the last complete step kept within 10 s",
        attempt: |root| disturbed(root, &["stop", "--signals", &SIGNALS.to_string()]),
    },
    Claim {
        name: "places",
        what: "stopped at each chunk in turn, resumed: the bytes of the run that was not stopped",
        attempt: |root| tests_called(root, "stop_asked", &[]),
    },
    Claim {
        name: "codes",
        what: "each exit code by a real command",
        attempt: |root| tests_called(root, "exit_codes", &[]),
    },
    Claim {
        name: "threads",
        what: "1, 2, 4 loader threads and 1, 2 compute threads: the same bytes",
        attempt: |root| tests_called(root, "any_threads", &[]),
    },
    Claim {
        name: "faults",
        what: "each operation of each writing fails in turn, a full disk and numbers that are none \
               among them: the old state or the new one",
        attempt: faults::run,
    },
    Claim {
        name: "images",
        what: "10,000 damaged pictures through the loader: no panic, memory held, each bad one listed",
        attempt: |root| {
            let tried = tests_called(root, "mutated", &[("FACENET_MUTATIONS", "10000")])?;
            let of = match std::env::var_os("FACENET_TEST_DATA") {
                Some(_) => "hostile files and LFW among the pictures",
                None => "drawn pictures only: FACENET_TEST_DATA names no others",
            };
            Ok(format!("{tried}; {of}"))
        },
    },
    Claim {
        name: "fuzz",
        what: "whatever reads a file, on what libFuzzer makes of its seeds: nothing found",
        attempt: |root| {
            fuzz::run(root, FUZZ_RUNS)?;
            Ok(format!("{FUZZ_RUNS} inputs of each target, nothing found"))
        },
    },
];

/// What came of a claim.
struct Tried {
    name: &'static str,
    outcome: Result<String>,
    seconds: u64,
}

/// Tries all claims, or the one called `name`, and prints a table.
///
/// # Errors
/// The names of those that do not hold; the table says why.
pub(crate) fn run(root: &Path, name: Option<&str>) -> Result<()> {
    let chosen = CLAIMS
        .iter()
        .filter(|claim| name.is_none_or(|name| name == claim.name));
    let mut all = Vec::new();
    for claim in chosen {
        eprintln!("prove: {}: {}", claim.name, claim.what);
        let start = Instant::now();
        let outcome = (claim.attempt)(root);
        let (name, seconds) = (claim.name, start.elapsed().as_secs());
        all.push(Tried {
            name,
            outcome,
            seconds,
        });
    }
    print!("{}", table(&all));
    let failed: Vec<_> = all.iter().filter(|one| one.outcome.is_err()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = failed.iter().map(|one| one.name).collect();
    bail!("found claims that do not hold: {}", names.join(", "))
}

fn table(all: &[Tried]) -> String {
    let mut text = "| claim | result | figures | seconds |\n| --- | --- | --- | --- |\n".to_owned();
    for Tried {
        name,
        outcome,
        seconds,
    } in all
    {
        let (result, figures) = match outcome {
            Ok(figures) => ("holds", figures.clone()),
            Err(error) => ("FAILS", format!("{error:#}").replace('\n', " ")),
        };
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "| {name} | {result} | {figures} | {seconds} |");
    }
    text
}

/// Runs `facenet prove`, which says on stderr how far it is.
fn disturbed(root: &Path, arguments: &[&str]) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let output = Command::new(program(root)?)
        .arg("prove")
        .args(arguments)
        .args(["--json", "--dir"])
        .arg(folder.path())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start facenet")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().last().unwrap_or_default();
    let object: Value = serde_json::from_str(line)
        .with_context(|| format!("found {line:?}, expected a JSON object"))?;
    if !output.status.success() {
        let _ = folder.keep();
        bail!(
            "found {}, expected success: {}",
            output.status,
            object["error"]
        );
    }
    figures(&object)
}

/// The counts of each strategy, in a line.
fn figures(object: &Value) -> Result<String> {
    let strategies = object["strategies"].as_array();
    let strategies = strategies.with_context(|| format!("{object}: no strategies"))?;
    let of_one = |one: &Value| {
        let places = [&one["kills"], &one["signals"]];
        let places = places.into_iter().filter_map(Value::as_object).flatten();
        let places: Vec<_> = places
            .map(|(name, count)| format!("{} {count}", name.replace('_', " ")))
            .collect();
        let differences = one["differences"].as_array().map_or(0, Vec::len);
        format!(
            "{}: {} on {} runs ({}), {differences} differences",
            one["strategy"].as_str().unwrap_or("?"),
            one["disturbances"],
            one["runs"],
            places.join(", "),
        )
    };
    let lines: Vec<_> = strategies.iter().map(of_one).collect();
    Ok(lines.join("; "))
}

/// Builds the command `facenet`, and says where it is: beside this program.
fn program(root: &Path) -> Result<PathBuf> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--package", "facenet-cli"])
        .current_dir(root)
        .status()
        .context("cannot start cargo")?;
    if !built.success() {
        bail!("cannot build facenet-cli: {built}");
    }
    let name = format!("facenet{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.is_file() {
        bail!(
            "{}: expected the program there; run this as `cargo xtask prove`",
            path.display()
        );
    }
    Ok(path)
}

/// Runs the integration tests whose names contain `filter`; at least one must.
///
/// - `given`: variables of the environment that they go by
fn tests_called(root: &Path, filter: &str, given: &[(&str, &str)]) -> Result<String> {
    let output = Command::new(env!("CARGO"))
        .args(["test", "--workspace", "--locked", "--test", "it", filter])
        .envs(given.iter().copied())
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let passed = passed(&text);
    if !output.status.success() {
        print!("{text}");
        bail!("found {}, expected success: see above", output.status);
    }
    if passed == 0 {
        bail!("found no test called {filter}, expected one at least");
    }
    Ok(format!("{passed} tests passed"))
}

/// Tests that passed, of all results in what `cargo test` says.
fn passed(text: &str) -> u32 {
    let results = text
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. "));
    let counts = results.filter_map(|rest| rest.split(' ').next()?.parse::<u32>().ok());
    counts.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_tests_are_added_up() {
        let text = "running 2 tests\ntest result: ok. 2 passed; 0 failed\n\n\
                    test result: ok. 0 passed; 0 failed\ntest result: ok. 11 passed; 1 ignored\n";
        assert_eq!(passed(text), 13);
        assert_eq!(passed("test result: FAILED. 3 passed; 1 failed"), 0);
    }

    #[test]
    fn a_table_has_a_line_for_each_claim() {
        let tried = |name, outcome| Tried {
            name,
            outcome,
            seconds: 3,
        };
        let all = [
            tried("resume", Ok("300 kills".to_owned())),
            tried("stop", Err(anyhow::anyhow!("it did not"))),
        ];
        let text = table(&all);
        assert!(
            text.contains("| resume | holds | 300 kills | 3 |\n"),
            "{text}"
        );
        assert!(
            text.contains("| stop | FAILS | it did not | 3 |\n"),
            "{text}"
        );
    }

    #[test]
    fn figures_are_those_of_each_strategy() -> Result<()> {
        let text = r#"{"strategies": [{"strategy": "one-pass", "disturbances": 3, "runs": 2,
            "kills": {"during_save": 1, "between_saves": 2}, "differences": []}]}"#;
        let line = figures(&serde_json::from_str(text)?)?;
        assert!(line.starts_with("one-pass: 3 on 2 runs ("), "{line}");
        assert!(
            line.contains("during save 1") && line.ends_with(", 0 differences"),
            "{line}"
        );
        assert!(figures(&Value::Null).is_err());
        Ok(())
    }
}
