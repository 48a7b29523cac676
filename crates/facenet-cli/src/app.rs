//! From arguments to an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::commands;
use crate::config_file;
use crate::failure::{self, Failure};
use crate::report::{self, Output};
use crate::signals::outlive_file_limits;
use crate::values::with_dashes;

/// Parses `arguments` (the program's name first), runs the command, and gives the exit code:
/// 0 done, 2 usage, 3 data, 4 diverged or starved, 5 checkpoint or model, 6 resources.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    outlive_file_limits();
    let typed = with_dashes(arguments);
    let is_json = asks_for_json(&typed);
    let resolved = match config_file::resolve(typed) {
        Ok(resolved) => resolved,
        Err(failure) => return failure.report(is_json),
    };
    let cli = match Cli::try_parse_from(&resolved.arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let is_json = asks_for_json(&resolved.arguments);
            return failure::usage(&error, is_json, resolved.origin(&error));
        }
    };
    report::start_logging(cli.output);
    let output = Output::new(cli.output);
    match run(&cli, &resolved.arguments, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(cli.output.json),
    }
}

/// Whether a command line that may not parse has `--json` among its flags.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let mut flags = arguments.iter().take_while(|word| *word != "--");
    flags.any(|word| word == "--json")
}

fn run(cli: &Cli, arguments: &[OsString], output: Output) -> Result<(), Failure> {
    if let Some(file) = &cli.save_config {
        config_file::save(file, arguments)?;
    }
    match &cli.command {
        Command::Train(args) => commands::train::run(args, arguments, output),
        Command::Evaluate(args) => commands::evaluate::run(args, output),
        Command::Embed(args) => commands::embed::run(args, output),
        Command::Calibrate(args) => commands::calibrate::run(args, output),
        Command::Verify(args) => commands::verify::run(args, output),
        Command::Enroll(args) => commands::enroll::run(args, output),
        Command::Identify(args) => commands::identify::run(args, output),
        Command::Forget(args) => commands::forget::run(args, output),
        Command::Cluster(args) => commands::cluster::run(args, output),
        Command::Import(args) => commands::import::run(args, output),
        Command::Export(args) => commands::export::run(args, output),
        Command::Pairs(args) => commands::pairs::run(args, output),
        Command::Synth(args) => commands::synth::run(args, output),
        Command::Mine(args) => commands::mine::run(args, output),
        Command::Doctor(args) => commands::doctor::run(args, output),
        Command::Report(args) => commands::report::run(args, output),
        Command::Bench(args) => commands::bench::run(args, output),
        Command::Prove(args) => commands::prove::run(args, output),
        Command::Completions(args) => commands::completions::run(*args),
        Command::Man(args) => commands::man::run(args, output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exit codes have no equality; their debug text does.
    fn code(words: &[&str]) -> String {
        let arguments = std::iter::once("facenet").chain(words.iter().copied());
        format!("{:?}", main(arguments.map(OsString::from)))
    }

    fn is(code: u8) -> String {
        format!("{:?}", ExitCode::from(code))
    }

    #[test]
    fn help_is_no_failure_and_an_unknown_flag_is_usage() {
        assert_eq!(code(&["train", "--help"]), is(0));
        assert_eq!(code(&["--no-such-flag"]), is(2));
        assert_eq!(code(&["train", "--batch-size", "91"]), is(2));
    }

    #[test]
    fn a_folder_that_is_missing_is_data_and_a_model_that_is_missing_is_a_model() {
        assert_eq!(
            code(&["pairs", "no/such/folder", "--output", "x.txt"]),
            is(3)
        );
        assert_eq!(
            code(&["embed", "x.jpg", "--model", "no/such", "--output", "x.npy"]),
            is(5)
        );
    }
}
