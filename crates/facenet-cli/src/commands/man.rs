//! `facenet man`.

use std::path::Path;

use clap::CommandFactory;
use facenet_train::TrainError;
use facenet_train::files::{Disk, make_folders, replace};
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
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let pages = write_pages(&command, folder)?;
    let text = format!("{}: {pages} manual pages", folder.display());
    output.result(
        &text,
        &Written {
            output: folder,
            pages,
        },
    )
}

/// Writes the pages of a command and of those below it; gives their number.
fn write_pages(command: &clap::Command, folder: &Path) -> Result<usize, TrainError> {
    make_folders(&Disk, folder)?;
    let page = clap_mangen::Man::new(command.clone());
    let mut bytes = Vec::new();
    let rendered = page.render(&mut bytes);
    rendered.expect("a vector takes all");
    replace(&Disk, &folder.join(page.get_filename()), &bytes)?;
    let below = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set());
    let below = below.map(|command| write_pages(command, folder));
    below.sum::<Result<usize, _>>().map(|pages| pages + 1)
}
