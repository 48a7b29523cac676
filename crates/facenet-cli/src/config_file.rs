//! `--config FILE.toml`: flags from a file, beneath those of the command line.
//!
//! Keys at the top of the file are flags of the command that is run; a table named as a command,
//! such as `[train]` or `[bench.mine]`, holds flags for that command alone, and goes before the top.

mod keys;
mod save;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory};

use crate::args::Cli;
use crate::failure::Failure;
use keys::{Flag, flags_of};
pub(crate) use save::save;

/// No configuration is as long as this, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// A command line with the flags of its file in it.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    /// What was typed, then what the file adds.
    pub(crate) arguments: Vec<OsString>,
    file: PathBuf,
    added: Vec<Flag>,
}

impl Resolved {
    /// Where a flag that clap refuses was set, if the file did it.
    pub(crate) fn origin(&self, error: &clap::Error) -> Option<String> {
        let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
            return None;
        };
        let is_shown = |flag: &&Flag| {
            let rest = shown
                .strip_prefix("--")
                .and_then(|shown| shown.strip_prefix(&flag.name));
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
        };
        let flag = self.added.iter().find(is_shown)?;
        let file = self.file.display();
        Some(format!("--{} is set in {file}:{}", flag.name, flag.line))
    }
}

/// Adds the flags of the file that `--config` names, but for those that were typed, or that
/// conflict with one that was.
///
/// # Errors
/// A [`Failure`] of class usage for a file that cannot be read or has a key that is no flag.
pub(crate) fn resolve(arguments: Vec<OsString>) -> Result<Resolved, Failure> {
    let lenient = Cli::command().ignore_errors(true);
    // Help and version are errors too, and need no file.
    let Ok(matches) = lenient.try_get_matches_from(&arguments) else {
        return Ok(Resolved {
            arguments,
            ..Resolved::default()
        });
    };
    let (names, leaf) = command_of(&matches);
    match leaf.get_one::<PathBuf>("config") {
        Some(file) if !names.is_empty() => {
            let text = read(file)?;
            with_text(arguments, file, &text, &names, leaf)
        }
        _ => Ok(Resolved {
            arguments,
            ..Resolved::default()
        }),
    }
}

/// The command that is run, as the names of it and of what it is part of, and what it was given.
fn command_of(matches: &ArgMatches) -> (Vec<&str>, &ArgMatches) {
    let (mut names, mut leaf) = (Vec::new(), matches);
    while let Some((name, deeper)) = leaf.subcommand() {
        names.push(name);
        leaf = deeper;
    }
    (names, leaf)
}

fn with_text(
    mut arguments: Vec<OsString>,
    file: &Path,
    text: &str,
    names: &[&str],
    given: &ArgMatches,
) -> Result<Resolved, Failure> {
    let mut root = Cli::command();
    root.build();
    let mut added = flags_of(text, &root, names)
        .map_err(|problem| Failure::usage(format!("{}{problem}", file.display())))?;
    added.retain(|flag| !is_overruled(flag, keys::leaf(&root, names), given));
    let end = arguments
        .iter()
        .position(|word| word == "--")
        .unwrap_or(arguments.len());
    let words = added
        .iter()
        .flat_map(|flag| &flag.words)
        .map(OsString::from);
    arguments.splice(end..end, words);
    Ok(Resolved {
        arguments,
        file: file.to_owned(),
        added,
    })
}

/// Whether the command line has this flag, or one that goes not with it.
fn is_overruled(flag: &Flag, command: &Command, given: &ArgMatches) -> bool {
    let typed = given.ids().map(clap::Id::as_str);
    let mut typed = typed.filter(|id| given.value_source(id) == Some(ValueSource::CommandLine));
    let arg = |id: &str| command.get_arguments().find(|arg| arg.get_id() == id);
    let refuses = |one: &str, other: &str| {
        let refused = arg(one)
            .map(|one| command.get_arg_conflicts_with(one))
            .unwrap_or_default();
        refused.iter().any(|refused| refused.get_id() == other)
    };
    typed.any(|id| id == flag.id || refuses(id, &flag.id) || refuses(&flag.id, id))
}

fn read(file: &Path) -> Result<String, Failure> {
    let failed = |problem: &str| {
        let file = file.display();
        Failure::usage(format!(
            "--config: {file}: {problem}; give a TOML file of flags"
        ))
    };
    let cannot = |error: std::io::Error| failed(&format!("cannot read ({error})"));
    let kind = std::fs::metadata(file).map_err(cannot)?;
    if !kind.is_file() || kind.len() > MAX_FILE {
        return Err(failed("no file, or far too long"));
    }
    let bytes = std::fs::read(file).map_err(cannot)?;
    String::from_utf8(bytes).map_err(|_| failed("no UTF-8 text"))
}

#[cfg(test)]
#[path = "../../../fuzz/check.rs"]
mod check;

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str, line: &str) -> Result<Resolved, String> {
        let words = std::iter::once("facenet").chain(line.split_whitespace());
        let arguments: Vec<_> = words.map(OsString::from).collect();
        let lenient = Cli::command().ignore_errors(true);
        let matches = lenient.try_get_matches_from(&arguments).expect("lenient");
        let (names, leaf) = command_of(&matches);
        with_text(arguments, Path::new("f.toml"), text, &names, leaf)
            .map_err(|failure| format!("{failure:?}"))
    }

    /// The words that the file adds to `line`.
    #[track_caller]
    fn check(text: &str, line: &str, expected: &str) {
        let resolved = resolved(text, line).expect("a good file");
        let words = resolved.arguments.iter().map(|word| word.to_string_lossy());
        let words: Vec<_> = words.skip(1).collect();
        let expected: Vec<_> = expected.split_whitespace().collect();
        assert_eq!(
            words,
            [line.split_whitespace().collect(), expected].concat()
        );
    }

    #[track_caller]
    fn refused(text: &str, line: &str, parts: &[&str]) {
        let error = resolved(text, line).expect_err("a bad file");
        for part in parts {
            assert!(error.contains(part), "lacks {part:?}: {error}");
        }
    }

    #[test]
    fn values_become_flags_of_the_command_that_is_run() {
        let text = "margin = 0.3\nepoch_size = 1_000\nrule = 'semi-hard'\nrandom_crop = false\n\
            lfw_folds = [9, 10]\nlearning-rate = -1e-2\n";
        check(
            text,
            "train",
            "--epoch-size=1000 --learning-rate=-1e-2 --lfw-folds=9,10 --margin=0.3 \
             --random-crop=false --rule=semi-hard",
        );
        check("json = true\nquiet = false", "synth x", "--json");
        check("alpha = 1", "mine", "--margin=1");
    }

    #[test]
    fn a_table_is_for_its_command_and_goes_before_the_top() {
        let text = "seed = 1\n[train]\nseed = 2\n[bench.mine]\ndim = 8\n[bench]\nseed = 3\n";
        check(text, "train", "--seed=2");
        check(text, "synth x", "--seed=1");
        check(text, "bench mine", "--dim=8 --seed=3");
    }

    #[test]
    fn what_is_typed_goes_before_the_file_with_what_it_refuses() {
        let text = "margin = 0.3\nseed = 4\nrecipe = 'reference'\n";
        check(text, "train --alpha 0.1 --resize 50", "--seed=4");
        check(text, "train --seed=1 --recipe r", "--margin=0.3");
    }

    #[test]
    fn flags_are_added_before_the_end_of_flags() {
        let resolved = resolved("output = 'x.npy'", "embed --model m -- -a.jpg").expect("good");
        let expected = [
            "facenet",
            "embed",
            "--model",
            "m",
            "--output=x.npy",
            "--",
            "-a.jpg",
        ];
        assert_eq!(resolved.arguments, expected.map(OsString::from));
    }

    #[test]
    fn what_is_no_flag_is_named_with_its_line_and_the_nearest() {
        let of = |text: &str, parts: &[&str]| refused(text, "train", parts);
        of(
            "seed = 1\nlearning_rat = 2",
            &["f.toml:2: ", "learning_rat", "did you mean learning_rate?"],
        );
        of("marge = 2", &["did you mean margin?"]);
        of(
            "[trian]\nseed = 1",
            &["f.toml:1: ", "trian", "did you mean [train]?"],
        );
        of(
            "[bench.mine]\ndims = 1",
            &["f.toml:2: ", "facenet bench mine", "did you mean dim?"],
        );
        of("config = 'x'", &["f.toml:1: "]);
        refused(
            "folder = 'x'",
            "synth y",
            &["folder is no flag; give it on the command line"],
        );
    }

    #[test]
    fn values_that_no_flag_takes_are_named() {
        let of = |text: &str, parts: &[&str]| refused(text, "train", parts);
        of("seed = ", &["f.toml:1: "]);
        of("seed = 1\nseed = 2", &["f.toml:2: ", "duplicate"]);
        of("\nseed = 1979-05-27", &["f.toml:2: seed", "a date"]);
        of("seed = [[1]]", &["f.toml:1: seed", "a list within a list"]);
        of("quiet = 1", &["f.toml:1: quiet: expected true or false"]);
    }

    #[test]
    fn a_refused_value_is_told_with_its_place() {
        let resolved = resolved("\nseed = 'x'", "train").expect("a key that there is");
        let error = Cli::command()
            .try_get_matches_from(&resolved.arguments)
            .expect_err("no number");
        assert_eq!(
            resolved.origin(&error).as_deref(),
            Some("--seed is set in f.toml:2")
        );
        let other = Cli::command().try_get_matches_from(["facenet", "train", "--seeds", "1"]);
        assert_eq!(resolved.origin(&other.expect_err("no such flag")), None);
    }

    #[test]
    fn damaged_files_end_in_no_panic() {
        const FILE: &[u8] = b"margin = 0.3\nlfw_folds = [9, 10]\n[train]\nrule = 'semi-hard'\n";
        let run = |bytes: &[u8]| {
            if let Ok(text) = str::from_utf8(bytes) {
                drop(resolved(text, "train"));
            }
        };
        super::check::check(run, || vec![FILE.to_vec()]);
    }
}
