//! `--save-config`: the flags of a command as a file that `--config` takes.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory};
use facenet_train::TrainError;
use facenet_train::files::{Disk, replace};
use toml::Value;

use super::command_of;
use super::keys::{leaf, settable};
use crate::args::Cli;
use crate::failure::Failure;

/// Writes what a command line sets, its file included, as a table of the command; defaults stand
/// behind `#`, since a flag that is given may mean more than its value.
///
/// # Errors
/// A [`Failure`] of class usage for a value that is no text, of class resources for a file that
/// cannot be written.
pub(crate) fn save(file: &Path, arguments: &[OsString]) -> Result<(), Failure> {
    let text = resolved(arguments)
        .map_err(|what| Failure::usage(format!("--save-config: {what}; drop --save-config")))?;
    let written = replace(&Disk, file, text.as_bytes());
    written.map_err(|error| TrainError::from(error).into())
}

fn resolved(arguments: &[OsString]) -> Result<String, String> {
    let mut root = Cli::command();
    let matches = root.try_get_matches_from_mut(arguments);
    let matches = matches.map_err(|error| error.to_string())?;
    let (names, given) = command_of(&matches);
    let mut text = format!("[{}]\n", names.join("."));
    for (arg, _) in settable(leaf(&root, &names)) {
        let id = arg.get_id().as_str();
        let Some(value) = value(arg, given)? else {
            continue;
        };
        let is_default = given.value_source(id) == Some(ValueSource::DefaultValue);
        let mark = if is_default { "# " } else { "" };
        let name = arg.get_long().expect("it is settable").replace('-', "_");
        writeln!(text, "{mark}{name} = {value}").expect("memory");
    }
    Ok(text)
}

/// The value of a flag that has one, as a file has it.
fn value(arg: &Arg, given: &ArgMatches) -> Result<Option<Value>, String> {
    let id = arg.get_id().as_str();
    let Some(words) = given.get_raw(id) else {
        return Ok(None);
    };
    let mut values = words.map(scalar).collect::<Result<Vec<_>, _>>()?;
    let is_list =
        arg.get_value_delimiter().is_some() || matches!(arg.get_action(), ArgAction::Append);
    Ok(if is_list {
        Some(Value::Array(values))
    } else {
        values.pop()
    })
}

/// A word as the plainest value that is read as the same word again.
fn scalar(word: &OsStr) -> Result<Value, String> {
    let text = word.to_str();
    let text = text.ok_or_else(|| format!("{} is no UTF-8 text", word.display()))?;
    let plain = text.parse().map(Value::Integer);
    let plain = plain.or_else(|_| text.parse().map(Value::Boolean));
    let plain = plain.or_else(|_| text.parse().map(Value::Float));
    let is_same = |value: &Value| value.to_string() == text;
    let value = plain.ok().filter(is_same);
    Ok(value.unwrap_or_else(|| Value::String(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(line: &str) -> String {
        let words = line.split_whitespace().map(OsString::from);
        resolved(&words.collect::<Vec<_>>()).expect("a command line")
    }

    #[test]
    fn what_is_given_is_set_and_what_is_not_is_a_remark() {
        let text =
            saved("facenet evaluate --model m --lfw-dir d --lfw-folds 9,10 --threads 2 --json");
        for line in [
            "[evaluate]",
            "model = \"m\"",
            "lfw_folds = \"9,10\"",
            "threads = 2",
            "json = true",
            "# quiet = false",
            "# batch_size = 90",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "lacks {line}: {text}"
            );
        }
        assert!(!text.contains("save_config"), "{text}");
        let text = saved("facenet calibrate --model m --data-dir d --far 0.1,0.01");
        assert!(text.contains("far = [0.1, 0.01]\n"), "{text}");
        assert!(saved("facenet bench mine --dim 8").starts_with("[bench.mine]\n"));
    }

    #[test]
    fn words_stay_the_words_they_were() {
        let of = |text: &str| scalar(OsStr::new(text)).expect("text").to_string();
        for text in ["7", "-7", "0.25", "nan", "true"] {
            assert_eq!(of(text), text);
        }
        for text in ["007", "1e-3", "1:8", "+1", "a'b"] {
            assert_eq!(of(text), format!("\"{text}\""));
        }
    }
}
