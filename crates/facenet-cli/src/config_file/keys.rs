//! From the keys of a file to flags.

use std::collections::BTreeMap;
use std::fmt;

use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Flags that act before a file is read, or are no settings.
const NOT_HERE: [&str; 4] = ["config", "save_config", "help", "version"];

/// A flag that a file sets.
#[derive(Clone, Debug)]
pub(super) struct Flag {
    /// clap's name of it.
    pub(super) id: String,
    /// Its name, without dashes in front.
    pub(super) name: String,
    /// Line of the file, from 1.
    pub(super) line: usize,
    /// As it would be typed.
    pub(super) words: Vec<String>,
}

/// What is wrong with a file; its text goes behind the file's name.
#[derive(Debug)]
pub(super) struct Problem {
    line: Option<usize>,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// The command of these names.
pub(super) fn leaf<'a>(root: &'a Command, names: &[&str]) -> &'a Command {
    let deeper = |command: &'a Command, name: &&str| command.find_subcommand(name);
    names.iter().fold(root, |command, name| {
        deeper(command, name).unwrap_or(command)
    })
}

/// The flags that a file sets for a command, by name. All keys are checked, those of other commands
/// too.
///
/// - `root`: built
/// - `names`: of the command that is run
pub(super) fn flags_of(text: &str, root: &Command, names: &[&str]) -> Result<Vec<Flag>, Problem> {
    let table = DeTable::parse(text).map_err(|error| Problem {
        line: error.span().map(|span| line_at(text, span.start)),
        what: error.message().replace('\n', ", "),
    })?;
    let mut reader = Reader {
        text,
        command: leaf(root, names),
        flags: BTreeMap::new(),
    };
    reader.table(table.get_ref(), root, Some(names))?;
    Ok(reader.flags.into_values().collect())
}

struct Reader<'a> {
    text: &'a str,
    /// The command that is run.
    command: &'a Command,
    /// By name.
    flags: BTreeMap<String, Flag>,
}

impl Reader<'_> {
    /// Takes the keys of a table, then those of the tables in it.
    ///
    /// - `owner`: the command that the table is named as
    /// - `rest`: what the names of the command that is run have behind the owner's; `None` where it
    ///   is another's table
    fn table(
        &mut self,
        table: &DeTable<'_>,
        owner: &Command,
        rest: Option<&[&str]>,
    ) -> Result<(), Problem> {
        let (tables, keys): (Vec<_>, Vec<_>) = table
            .iter()
            .partition(|(_, value)| value.get_ref().is_table());
        for (key, value) in keys {
            let line = line_at(self.text, key.span().start);
            self.key(key.get_ref(), value, line, owner, rest.is_some())?;
        }
        for (key, value) in tables {
            let name = key.get_ref();
            let Some(deeper) = owner.find_subcommand(name.as_ref()) else {
                let line = line_at(self.text, key.span().start);
                return Err(unknown_table(name, owner, line));
            };
            let rest = rest.and_then(|rest| rest.split_first());
            let rest = rest.filter(|(first, _)| **first == name.as_ref());
            let table = value.get_ref().as_table().expect("partitioned above");
            self.table(table, deeper, rest.map(|(_, rest)| rest))?;
        }
        Ok(())
    }

    fn key(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        line: usize,
        owner: &Command,
        is_used: bool,
    ) -> Result<(), Problem> {
        let command = if is_used { self.command } else { owner };
        let Some(arg) = find(command, key, !is_used) else {
            return Err(unknown_key(key, command, line));
        };
        let name = arg.get_long().expect("found by it").to_owned();
        let words = words(&name, arg, value.get_ref()).map_err(|what| Problem {
            line: Some(line),
            what: format!("{key}: {what}"),
        })?;
        if is_used {
            let id = arg.get_id().to_string();
            let flag = Flag {
                id,
                name: name.clone(),
                line,
                words,
            };
            self.flags.insert(name, flag);
        }
        Ok(())
    }
}

/// Flags that a file may set, with their long names and aliases.
pub(super) fn settable(command: &Command) -> impl Iterator<Item = (&Arg, Vec<&str>)> {
    let args = command.get_arguments();
    args.map(|arg| (arg, arg.get_long_and_visible_aliases().unwrap_or_default()))
        .filter(|(arg, names)| !names.is_empty() && !NOT_HERE.contains(&arg.get_id().as_str()))
}

/// The flag of this name, with dashes or underscores.
///
/// - `deep`: or of a command within this one
fn find<'a>(command: &'a Command, key: &str, deep: bool) -> Option<&'a Arg> {
    let name = key.replace('_', "-");
    let own = settable(command).find(|(_, names)| names.contains(&name.as_str()));
    let within = || {
        let mut deeper = command.get_subcommands().filter(|_| deep);
        deeper.find_map(|deeper| find(deeper, key, deep))
    };
    own.map(|(arg, _)| arg).or_else(within)
}

fn unknown_key(key: &str, command: &Command, line: usize) -> Problem {
    let positional = command.get_positionals().any(|arg| arg.get_id() == key);
    let what = if positional {
        format!("{key} is no flag; give it on the command line")
    } else {
        let names = settable(command).flat_map(|(_, names)| names);
        let nearest = nearest(&key.replace('_', "-"), names).replace('-', "_");
        let command = command.get_bin_name().unwrap_or_default();
        format!("{key} is no flag of {command}; did you mean {nearest}?")
    };
    Problem {
        line: Some(line),
        what,
    }
}

fn unknown_table(name: &str, owner: &Command, line: usize) -> Problem {
    let names = owner.get_subcommands().map(Command::get_name);
    let hint = match nearest(name, names) {
        "" => "drop it".to_owned(),
        nearest => format!("did you mean [{nearest}]?"),
    };
    let owner = owner.get_bin_name().unwrap_or(owner.get_name());
    Problem {
        line: Some(line),
        what: format!("{name} is no command of {owner}; {hint}"),
    }
}

/// The name that a misspelt one is most like; of several the first.
fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> &'a str {
    let scored = names.map(|name| (strsim::jaro_winkler(wrong, name), name));
    let best = scored.fold((f64::NEG_INFINITY, ""), |best, one| {
        if one.0 > best.0 { one } else { best }
    });
    best.1
}

/// A flag and its value as they would be typed.
fn words(name: &str, arg: &Arg, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let with = |text: String| format!("--{name}={text}");
    match (arg.get_action(), value) {
        (ArgAction::SetTrue, DeValue::Boolean(true)) => Ok(vec![format!("--{name}")]),
        (ArgAction::SetTrue, DeValue::Boolean(false)) => Ok(Vec::new()),
        (ArgAction::SetTrue, _) => Err("expected true or false".to_owned()),
        (ArgAction::Append, DeValue::Array(values)) => {
            let texts = values.iter().map(|value| scalar(value.get_ref()));
            texts.map(|text| text.map(with)).collect()
        }
        (_, DeValue::Array(values)) => {
            let texts = values.iter().map(|value| scalar(value.get_ref()));
            let texts: Result<Vec<_>, _> = texts.collect();
            Ok(vec![with(texts?.join(","))])
        }
        _ => Ok(vec![with(scalar(value)?)]),
    }
}

fn scalar(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => {
            let digits = i64::from_str_radix(number.as_str(), number.radix());
            digits
                .map(|number| number.to_string())
                .map_err(|error| error.to_string())
        }
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(value) => Ok(value.to_string()),
        DeValue::Datetime(_) => Err("found a date, which no flag takes".to_owned()),
        DeValue::Array(_) => Err("found a list within a list, which no flag takes".to_owned()),
        DeValue::Table(_) => Err("found a table, which no flag takes".to_owned()),
    }
}

/// The line of a byte, from 1.
fn line_at(text: &str, byte: usize) -> usize {
    text.bytes()
        .take(byte)
        .filter(|&byte| byte == b'\n')
        .count()
        + 1
}
