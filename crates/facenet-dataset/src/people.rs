//! Lists of people, to train on or to leave out.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::DatasetError;

/// Reads a list of people.
///
/// - `spec`: `FILE`, one name a line, empty lines and lines that start with `#` passed over; or
///   LFW's `people.txt` (a count of folds; per fold a count and lines `name<TAB>images`) or
///   `peopleDevTrain.txt` (one such fold without the first line). `FILE:1-8`, `FILE:9,10` take
///   these folds only, counted from 1
///
/// # Errors
/// [`DatasetError::Read`] when the file cannot be read; [`DatasetError::People`] for a list
/// without names, malformed lines, counts that are not met, or folds that are not there.
pub fn people_list(spec: &str) -> Result<BTreeSet<String>, DatasetError> {
    let (path, folds) = split(spec);
    let path = Path::new(path);
    let read = |source| DatasetError::Read {
        path: path.to_owned(),
        source,
    };
    let text = std::fs::read(path).map_err(read)?;
    let text = String::from_utf8(text).map_err(|_| wrong(path, 0, "no UTF-8 text"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let names = if text.lines().any(|line| line.contains('\t')) {
        chosen(&parse_folds(text, path)?, folds, path)?
    } else if folds.is_some() {
        let problem =
            "a list of names has no folds, expected LFW's people.txt; give the file alone";
        return Err(wrong(path, 1, problem));
    } else {
        plain(text)
    };
    if names.is_empty() {
        return Err(wrong(path, 0, "no names, expected one a line"));
    }
    Ok(names)
}

/// Path and folds; a file of the whole name goes first.
fn split(spec: &str) -> (&str, Option<&str>) {
    match spec.rsplit_once(':') {
        Some((path, folds))
            if !path.is_empty()
                && folds.starts_with(|c: char| c.is_ascii_digit())
                && folds
                    .chars()
                    .all(|c| c.is_ascii_digit() || ",-".contains(c))
                && !Path::new(spec).exists() =>
        {
            (path, Some(folds))
        }
        _ => (spec, None),
    }
}

fn plain(text: &str) -> BTreeSet<String> {
    let names = text.lines().map(str::trim);
    let names = names.filter(|name| !name.is_empty() && !name.starts_with('#'));
    names.map(str::to_owned).collect()
}

/// The names of each fold, in order.
type Folds<'a> = Vec<Vec<&'a str>>;

fn parse_folds<'a>(text: &'a str, path: &Path) -> Result<Folds<'a>, DatasetError> {
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line.trim_end()))
        .filter(|(_, line)| !line.is_empty())
        .peekable();
    let first = count(lines.next(), path)?;
    let (n_folds, mut n_people) = match lines.peek() {
        Some((_, line)) if !line.contains('\t') => (first, None),
        _ => (1, Some(first)),
    };
    let mut folds = Vec::new();
    for _ in 0..n_folds {
        let n_names = match n_people.take() {
            Some(n) => n,
            None => count(lines.next(), path)?,
        };
        let mut names = Vec::new();
        for _ in 0..n_names {
            names.push(name(lines.next(), path)?);
        }
        folds.push(names);
    }
    match lines.next() {
        Some((line, _)) => Err(wrong(path, line, "more lines than the counts announce")),
        None => Ok(folds),
    }
}

fn count(line: Option<(usize, &str)>, path: &Path) -> Result<usize, DatasetError> {
    let (number, text) = line.ok_or_else(|| wrong(path, 0, "too few lines for its counts"))?;
    let problem = || format!("found {text:?}, expected a count; is this LFW's people.txt?");
    text.trim()
        .parse()
        .map_err(|_| wrong(path, number, problem()))
}

fn name<'a>(line: Option<(usize, &'a str)>, path: &Path) -> Result<&'a str, DatasetError> {
    let (number, text) = line.ok_or_else(|| wrong(path, 0, "too few lines for its counts"))?;
    let problem = || format!("found {text:?}, expected name<TAB>images");
    match text.split_once('\t') {
        Some((name, images)) if !name.trim().is_empty() && images.trim().parse::<u32>().is_ok() => {
            Ok(name.trim())
        }
        _ => Err(wrong(path, number, problem())),
    }
}

/// The names of the folds asked for.
fn chosen(
    folds: &Folds<'_>,
    wanted: Option<&str>,
    path: &Path,
) -> Result<BTreeSet<String>, DatasetError> {
    let mut names = BTreeSet::new();
    for part in wanted.unwrap_or("").split(',') {
        let (first, last) = if wanted.is_none() {
            (1, folds.len())
        } else {
            range(part, folds.len()).ok_or_else(|| {
                let n = folds.len();
                wrong(
                    path,
                    1,
                    format!("no folds {part:?}, expected such as 1-{n} or 1,{n}"),
                )
            })?
        };
        names.extend(
            folds[first - 1..last]
                .iter()
                .flatten()
                .map(|&name| name.to_owned()),
        );
    }
    Ok(names)
}

/// `3` or `1-8`, both ends included, within `1..=n_folds`.
fn range(part: &str, n_folds: usize) -> Option<(usize, usize)> {
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (1 <= first && first <= last && last <= n_folds).then_some((first, last))
}

fn wrong(path: &Path, line: usize, problem: impl Into<String>) -> DatasetError {
    DatasetError::People {
        path: path.to_owned(),
        line,
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_FOLDS: &str = "2\n2\nAnn\t3\nBob\t1\n1\nCy\t2\n";

    #[track_caller]
    fn check(text: &str, folds: &str, expected: Result<&[&str], &str>) {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("people.txt");
        std::fs::write(&path, text).expect("written");
        let found = people_list(&format!("{}{folds}", path.display()));
        match (found, expected) {
            (Ok(names), Ok(expected)) => assert_eq!(Vec::from_iter(names), expected),
            (Err(error), Err(expected)) => {
                let text = error.to_string();
                assert!(text.contains(expected), "{text}");
            }
            (found, _) => panic!("{found:?}"),
        }
    }

    #[test]
    fn a_plain_list_has_a_name_a_line() {
        check("Ann\n\n# not Bob\n Cy \r\n", "", Ok(&["Ann", "Cy"]));
        check("\u{feff}0000045\n0000099", "", Ok(&["0000045", "0000099"]));
    }

    #[test]
    fn folds_are_counted_from_one() {
        check(TWO_FOLDS, "", Ok(&["Ann", "Bob", "Cy"]));
        check(TWO_FOLDS, ":1", Ok(&["Ann", "Bob"]));
        check(TWO_FOLDS, ":2", Ok(&["Cy"]));
        check(TWO_FOLDS, ":1-2", Ok(&["Ann", "Bob", "Cy"]));
        check(TWO_FOLDS, ":2,1", Ok(&["Ann", "Bob", "Cy"]));
    }

    #[test]
    fn folds_that_are_not_there_are_refused() {
        for folds in [":0", ":3", ":2-1", ":1-3", ":1,", ":1-2-3"] {
            check(TWO_FOLDS, folds, Err("no folds"));
        }
        check("Ann\nBob\n", ":1", Err("has no folds"));
    }

    #[test]
    fn view_one_files_are_one_fold() {
        check("2\nAnn\t3\nBob\t1\n", "", Ok(&["Ann", "Bob"]));
        check("2\nAnn\t3\nBob\t1\n", ":1", Ok(&["Ann", "Bob"]));
    }

    #[test]
    fn counts_are_held_to() {
        check("2\n2\nAnn\t3\nBob\t1\n1\n", "", Err("too few lines"));
        check("1\n1\nAnn\t3\nBob\t1\n", "", Err(":4: more lines"));
        check("2\n2\nAnn\t3\nBob\n", "", Err(":4: found \"Bob\""));
        check("1\n1\nAnn\tthree\n", "", Err(":3: found"));
        check("1\n \t2020", "", Err(":2: found"));
        check(
            "Ann\t3\n",
            "",
            Err(":1: found \"Ann\\t3\", expected a count"),
        );
    }

    #[test]
    fn no_names_are_an_error() {
        check("", "", Err("no names"));
        check("# nobody\n", "", Err("no names"));
    }
}
