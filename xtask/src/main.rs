//! Parses the command line, runs the command and maps its result to an exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let result = if xtask::is_nvcc() {
        xtask::nvcc(std::env::args_os().skip(1))
    } else {
        xtask::run(xtask::Args::parse())
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(xtask::exit_code(&error))
        }
    }
}
