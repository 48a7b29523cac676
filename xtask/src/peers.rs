//! Tests that do more where other people's programs and files are: they skip aloud in `.ci/run`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Packages that exported models are loaded by.
const PACKAGES: [&str; 3] = ["onnxruntime", "torch", "facenet_pytorch"];

/// Holds exported models against ONNX Runtime and facenet-pytorch, in the Python that
/// `FACENET_PYTHON` names, or else `python3`; says so where it has not one of them.
pub(crate) fn run(root: &Path) -> Result<()> {
    let named = env::var_os("FACENET_PYTHON").map(PathBuf::from);
    let program = named.unwrap_or_else(|| PathBuf::from("python3"));
    let found: Vec<_> = PACKAGES
        .into_iter()
        .filter(|package| has(&program, package))
        .collect();
    if found.is_empty() {
        println!(
            "peers: SKIPPED: {} has none of {}; name a Python that has by FACENET_PYTHON",
            program.display(),
            PACKAGES.join(", ")
        );
        return Ok(());
    }
    println!("peers: {} has {}", program.display(), found.join(", "));
    let program = program.as_os_str();
    tests(
        root,
        &["--test", "it", "embeds_alike"],
        ("FACENET_PYTHON", program),
    )
}

/// Scores the published model on all of LFW, where both are there.
pub(crate) fn published(root: &Path) -> Result<()> {
    let filter = ["--test", "it", "the_published_model_scores"];
    tests(root, &filter, ("FACENET_WHOLE_LFW", "1".as_ref()))
}

fn has(program: &Path, package: &str) -> bool {
    let import = format!("import {package}");
    let ran = Command::new(program).args(["-c", &import]).output();
    ran.is_ok_and(|output| output.status.success())
}

/// Runs some of the workspace's tests, which are told a variable, and shows what they say.
fn tests(root: &Path, filter: &[&str], variable: (&str, &std::ffi::OsStr)) -> Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--workspace", "--locked"])
        .args(filter)
        .args(["--", "--nocapture"])
        .env(variable.0, variable.1)
        .current_dir(root)
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("found {status}, expected success; the test that failed is named above");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_has_no_packages() {
        assert!(!has(Path::new("no-such-program"), "sys"));
        assert!(!has(Path::new(env!("CARGO")), "sys"));
    }
}
