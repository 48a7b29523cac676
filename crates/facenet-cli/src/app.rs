//! From arguments to an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::commands;
use crate::failure::{self, Failure};
use crate::report::{self, Output};
use crate::values::with_dashes;

/// Parses `arguments` (the program's name first), runs the command, and gives the exit code:
/// 0 done, 2 usage, 3 data, 4 diverged or starved, 5 checkpoint or model, 6 resources.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = with_dashes(arguments);
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return failure::usage(&error, &arguments),
    };
    report::start_logging(cli.output);
    let output = Output::new(cli.output);
    match run(&cli, &arguments, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(cli.output.json),
    }
}

fn run(cli: &Cli, arguments: &[OsString], output: &Output) -> Result<(), Failure> {
    match &cli.command {
        Command::Train(args) => commands::train::run(args, arguments, output),
        Command::Evaluate(args) => commands::evaluate::run(args, output),
        Command::Embed(args) => commands::embed::run(args, output),
        Command::Pairs(args) => commands::pairs::run(args, output),
        Command::Synth(args) => commands::synth::run(args, output),
        Command::Completions(args) => commands::completions::run(*args),
    }
}
