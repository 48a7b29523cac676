//! Errors as people and programs see them.

use std::ffi::OsString;
use std::process::ExitCode;

use facenet_train::{ExitClass, TrainError};
use serde_json::json;

/// Why a command failed, and the exit code that says so.
#[derive(Debug)]
pub(crate) struct Failure {
    class: ExitClass,
    message: String,
}

impl Failure {
    /// A failure of the command line itself.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            class: ExitClass::Usage,
            message: message.into(),
        }
    }

    /// A file that could not be written.
    pub(crate) fn resources(message: impl Into<String>) -> Self {
        Self {
            class: ExitClass::Resources,
            message: message.into(),
        }
    }

    /// Prints the failure on one line of stderr, with `json` also as an object on stdout.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        eprintln!("error: {}", self.message);
        let code = self.class as u8;
        if json {
            println!("{}", json!({ "error": self.message, "exit_code": code }));
        }
        ExitCode::from(code)
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        Self {
            class: error.exit_class(),
            message: chain(&error),
        }
    }
}

/// The error and its sources, joined on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        source = error.source();
    }
    message.replace('\n', " ")
}

/// Reports what clap found: help and version are no failures.
pub(crate) fn usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|argument| argument == "--json") {
        let text = error.to_string();
        let line = text
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        println!(
            "{}",
            json!({ "error": line, "exit_code": ExitClass::Usage as u8 })
        );
    }
    let _ = error.print();
    ExitCode::from(ExitClass::Usage as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_one_line() {
        let inner = std::io::Error::other("inner\nlines");
        let message = chain(&TrainError::io(std::path::Path::new("x"), "read it", inner));
        assert!(message.starts_with("x: cannot read it"), "{message}");
        assert!(message.ends_with(": inner lines"), "{message}");
    }
}
