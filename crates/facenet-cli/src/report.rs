//! What goes to stdout, and where all else goes.

use std::io::IsTerminal;

use serde::Serialize;
use tracing_subscriber::filter::LevelFilter;

use crate::args::{LogLevel, OutputArgs};
use crate::failure::Failure;
use crate::stream;

/// Where a command's results and remarks go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    /// Whether stderr is a terminal that progress bars may redraw.
    pub(crate) is_terminal: bool,
}

impl Output {
    pub(crate) fn new(args: OutputArgs) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self {
            json: args.json,
            quiet: args.quiet,
            is_terminal,
        }
    }

    /// Prints the result: `text` for people, or `object` on one line, the last of stdout.
    pub(crate) fn result(self, text: &str, object: &impl Serialize) -> Result<(), Failure> {
        let line = if self.json {
            serde_json::to_string(object)
                .map_err(|error| Failure::resources(format!("cannot write JSON: {error}")))?
        } else {
            text.trim_end().to_owned()
        };
        stream::put(format!("{line}\n").as_bytes())
    }

    /// A line for people, on stderr, unless they asked for quiet.
    pub(crate) fn remark(self, text: &str) {
        if !self.quiet {
            stream::tell(text);
        }
    }
}

/// Sends log lines to stderr from the chosen level on.
pub(crate) fn start_logging(args: OutputArgs) {
    let level = if args.quiet {
        LevelFilter::ERROR
    } else {
        filter(args.log_level)
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        // Else a log line that stderr cannot take is reported by `eprintln!`, which panics.
        .log_internal_errors(false)
        .with_target(false)
        .finish();
    // A second call in one process (tests) keeps the first subscriber.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
