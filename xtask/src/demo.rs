//! The demo on three seeds: is it worth showing on each of them?

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The seed that everybody gets, and two more.
const SEEDS: [u32; 3] = [666, 1, 2];

/// What an untrained network may score at most on people it has not seen.
const UNTRAINED: f64 = 0.70;
/// What the trained one scores at least.
const TRAINED: f64 = 0.85;
/// What training adds at least.
const GAIN: f64 = 0.20;

/// Runs the demo on each seed, and fails where one falls short.
pub(crate) fn run(root: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    for seed in SEEDS {
        let (before, after) = accuracies(&demo(root, folder.path(), seed)?)?;
        println!("demo: seed {seed}: accuracy {before:.4} before, {after:.4} after");
        check(before, after).with_context(|| format!("the demo on seed {seed}"))?;
    }
    Ok(())
}

/// The object that the demo prints last.
fn demo(root: &Path, folder: &Path, seed: u32) -> Result<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "run",
            "--quiet",
            "--package",
            "facenet-cli",
            "--manifest-path",
        ])
        .arg(root.join("Cargo.toml"))
        .args(["--", "train", "--json", "--quiet", "--seed"])
        .arg(seed.to_string())
        .current_dir(folder)
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!(
            "found {}, expected success; it said:\n{errors}",
            output.status
        );
    }
    let text = String::from_utf8(output.stdout).context("the demo prints UTF-8")?;
    Ok(text.lines().last().unwrap_or_default().to_owned())
}

fn accuracies(object: &str) -> Result<(f64, f64)> {
    let object: Value = serde_json::from_str(object)
        .with_context(|| format!("found {object:?}, expected a JSON object"))?;
    let number = |name: &str| {
        let value = object.get(name).and_then(Value::as_f64);
        value.with_context(|| format!("{object}: expected a number under {name:?}"))
    };
    Ok((number("accuracy_before")?, number("accuracy_after")?))
}

fn check(before: f64, after: f64) -> Result<()> {
    if before >= UNTRAINED {
        bail!("untrained: found {before:.4}, expected less than {UNTRAINED}: the task is too easy");
    }
    if after < TRAINED || after - before < GAIN {
        bail!(
            "trained: found {after:.4} from {before:.4}, expected {TRAINED} or more and {GAIN} more \
             than untrained"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_and_the_gain_must_hold() {
        assert!(check(0.60, 0.85).is_ok());
        assert!(check(0.70, 0.95).is_err());
        assert!(check(0.60, 0.84).is_err());
        assert!(check(0.68, 0.87).is_err());
    }

    #[test]
    fn accuracies_come_from_the_object() -> Result<()> {
        let found = accuracies(r#"{"accuracy_before": 0.5, "accuracy_after": 0.875}"#)?;
        assert_eq!(found, (0.5, 0.875));
        let none = accuracies(r#"{"accuracy_before": null}"#).expect_err("nothing was scored");
        assert!(none.to_string().contains("accuracy_before"), "{none}");
        Ok(())
    }
}
