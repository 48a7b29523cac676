//! Errors as people and programs see them.

use std::process::ExitCode;

use facenet_train::{ExitClass, TrainError};
use serde_json::json;

use crate::stream;

/// Why a command failed, and the exit code that says so.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
    /// Whether the result, which stdout has already, says it too.
    is_told: bool,
}

impl Failure {
    /// Exit code of what [`Failure::told`] makes.
    pub(crate) const DATA: u8 = ExitClass::Data.code();
    /// Exit code of what [`Failure::disproved`] makes.
    pub(crate) const MODEL: u8 = ExitClass::Model.code();

    /// Data that a command was asked to judge, and found wrong: its result has been printed, and
    /// has an `error` and the `exit_code` itself.
    pub(crate) fn told(message: impl Into<String>) -> Self {
        Self {
            code: ExitClass::Data.code(),
            message: message.into(),
            is_told: true,
        }
    }

    /// A failure of the command line itself.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            code: ExitClass::Usage.code(),
            message: message.into(),
            is_told: false,
        }
    }

    /// A file that could not be written.
    pub(crate) fn resources(message: impl Into<String>) -> Self {
        Self {
            code: ExitClass::Resources.code(),
            message: message.into(),
            is_told: false,
        }
    }

    /// Work that a signal has ended: 128 and its number, as a shell says it.
    pub(crate) fn stopped(message: impl Into<String>, signal: u8) -> Self {
        Self {
            code: 128 + signal,
            message: message.into(),
            is_told: false,
        }
    }

    /// A proof that found what must not be: its result has been printed, and has an `error` and
    /// the `exit_code` itself.
    pub(crate) fn disproved(message: impl Into<String>) -> Self {
        Self {
            code: ExitClass::Model.code(),
            message: message.into(),
            is_told: true,
        }
    }

    /// A proof that could not be carried to its end.
    pub(crate) fn unproven(message: impl Into<String>) -> Self {
        Self {
            is_told: false,
            ..Self::disproved(message)
        }
    }

    /// The same, with more to say.
    pub(crate) fn and(self, more: &str) -> Self {
        Self {
            message: format!("{}; {more}", self.message),
            ..self
        }
    }

    /// Prints the failure on one line of stderr, with `json` also as an object on stdout.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        stream::tell(&format!("error: {}", self.message));
        if json && !self.is_told {
            put_object(&self.message, self.code);
        }
        ExitCode::from(self.code)
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        Self {
            code: error.exit_class().code(),
            message: chain(&error),
            is_told: false,
        }
    }
}

/// The error and its sources, joined on one line, without what a terminal obeys.
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
    message.replace(char::is_control, " ")
}

/// Reports what clap found: help and version are no failures.
///
/// - `origin`: where the flag in question was set, if not on the command line
pub(crate) fn usage(error: &clap::Error, json: bool, origin: Option<String>) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let _ = error.print();
    let mut message = one_line(&error.to_string());
    if let Some(origin) = origin {
        stream::tell(&origin);
        message = format!("{message}; {origin}");
    }
    if json {
        put_object(&message, ExitClass::Usage.code());
    }
    ExitCode::from(ExitClass::Usage as u8)
}

/// A failure for programs, one line on stdout.
fn put_object(message: &str, code: u8) {
    let object = json!({ "error": message, "exit_code": code });
    // Nothing is left to tell that stdout cannot take it but the exit code, which is spoken for.
    let _ = stream::put(format!("{object}\n").as_bytes());
}

/// What clap found, with its lists and hints, and without the usage that follows.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let found = lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with(MORE));
    let words: Vec<_> = found.filter(|line| !line.is_empty()).collect();
    words.join(" ").trim_start_matches("error: ").to_owned()
}

/// How clap ends an error that has no usage line.
const MORE: &str = "For more information";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clap_found_is_one_line_and_whole() {
        let lines = "error: the following required arguments were not provided:\n  \
            --output <OUTPUT>\n  <IMAGES>...\n\nUsage: facenet embed\n\nFor more information\n";
        assert_eq!(
            one_line(lines),
            "the following required arguments were not provided: --output <OUTPUT> <IMAGES>..."
        );
        let lines = "error: invalid value 'x' for '--seed <SEED>': invalid digit\n\n\
            For more information, try '--help'.\n";
        assert_eq!(
            one_line(lines),
            "invalid value 'x' for '--seed <SEED>': invalid digit"
        );
    }

    #[test]
    fn a_chain_is_one_line() {
        let inner = std::io::Error::other("inner\nlines");
        let message = chain(&TrainError::io(std::path::Path::new("x"), "read it", inner));
        assert!(message.starts_with("x: cannot read it"), "{message}");
        assert!(message.ends_with(": inner lines"), "{message}");
    }
}
