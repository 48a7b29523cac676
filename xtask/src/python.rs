//! Python's own tools, for what only comes as a wheel.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

/// A virtual environment with `pip`.
#[derive(Debug)]
pub(crate) struct Venv(PathBuf);

impl Venv {
    /// Makes the environment at `folder`; what is there stays.
    ///
    /// # Errors
    /// Where there is no Python with `venv`.
    pub(crate) fn at(folder: &Path) -> Result<Self> {
        let python = folder.join("bin/python");
        if !python.is_file() {
            output(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        }
        Ok(Self(python))
    }

    /// Its interpreter with these arguments.
    pub(crate) fn python(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.0);
        command.args(arguments);
        command
    }

    /// `pip VERB`, for wheels alone: no code of a package runs.
    pub(crate) fn pip(&self, verb: &str) -> Command {
        self.python(&[
            "-m",
            "pip",
            verb,
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--no-deps",
            "--only-binary=:all:",
        ])
    }
}

/// Standard output of a command that must succeed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let found = run(command)?;
    Ok(String::from_utf8_lossy(&found.stdout).into_owned())
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let found = command
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    if !found.status.success() {
        let errors = String::from_utf8_lossy(&found.stderr).trim().to_owned();
        bail!(
            "{name}: found {}, expected success; it said: {errors}",
            found.status
        );
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_or_fails_is_named() {
        let error = output(&mut Command::new("no-such-program")).expect_err("it is missing");
        assert!(error.to_string().contains("no-such-program"), "{error}");
        let error = output(Command::new(env!("CARGO")).arg("--no-such-flag")).expect_err("refused");
        assert!(error.to_string().contains("--no-such-flag"), "{error}");
    }
}
