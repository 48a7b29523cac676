//! The `facenet` command; see the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    facenet_cli::main(std::env::args_os())
}
