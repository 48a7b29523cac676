//! `facenet completions`.

use clap::CommandFactory;

use crate::args::{Cli, CompletionsArgs};

/// Prints the script.
pub(crate) fn run(args: CompletionsArgs) {
    clap_complete::generate(
        args.shell,
        &mut Cli::command(),
        "facenet",
        &mut std::io::stdout(),
    );
}
