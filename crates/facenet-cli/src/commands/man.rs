//! `facenet man`.

use std::path::Path;

use clap::CommandFactory;
use serde::Serialize;

use crate::args::{Cli, ManArgs};
use crate::failure::Failure;
use crate::report::Output;

/// What `man --json` prints.
#[derive(Debug, Serialize)]
struct Written<'a> {
    output: &'a Path,
    pages: usize,
}

/// Writes a page for the program and one for each command.
pub(crate) fn run(args: &ManArgs, output: Output) -> Result<(), Failure> {
    let folder = args.output.as_path();
    let failed = |error: std::io::Error| {
        let folder = folder.display();
        Failure::resources(format!(
            "{folder}: cannot write manual pages there ({error})"
        ))
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let pages = n_commands(&command);
    clap_mangen::generate_to(command, folder).map_err(failed)?;
    let text = format!("{}: {pages} manual pages", folder.display());
    output.result(
        &text,
        &Written {
            output: folder,
            pages,
        },
    )
}

fn n_commands(command: &clap::Command) -> usize {
    1 + command.get_subcommands().map(n_commands).sum::<usize>()
}
