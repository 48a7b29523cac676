use std::fs;
use std::path::Path;

use crate::error::{LfwError, shown};
use crate::name::{ImageKey, ImageName, is_component};
use crate::pairs::{Pair, Pairs};

/// LFW's file has 156 KB; this bounds what a mistaken path can make us read.
const MAX_BYTES: u64 = 256 << 20;

impl Pairs {
    /// Reads a pairs file; see [`Pairs::parse`].
    ///
    /// # Errors
    /// [`LfwError::Read`], [`LfwError::TooLarge`] (over 256 MiB), and those of
    /// [`Pairs::parse_bytes`].
    pub fn load(path: &Path) -> Result<Self, LfwError> {
        let failed = |source| LfwError::Read {
            path: path.to_owned(),
            source,
        };
        let bytes = fs::metadata(path).map_err(failed)?.len();
        if bytes > MAX_BYTES {
            return Err(LfwError::TooLarge {
                path: path.to_owned(),
                bytes,
                limit: MAX_BYTES,
            });
        }
        Self::parse_bytes(&fs::read(path).map_err(failed)?, path)
    }

    /// Reads the bytes of a pairs file; see [`Pairs::parse`].
    ///
    /// # Errors
    /// [`LfwError::NotUtf8`] with the line, and those of [`Pairs::parse`].
    pub fn parse_bytes(bytes: &[u8], path: &Path) -> Result<Self, LfwError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = before.split(|&b| b == b'\n').count();
            LfwError::NotUtf8 {
                path: path.to_owned(),
                line,
            }
        })?;
        Self::parse(text, path)
    }

    /// Reads the text of a pairs file, in LFW's format and its extension to file names.
    ///
    /// The first line is `folds<TAB>n`, or `n` alone for one block without folds. `n` lines of
    /// each kind follow per fold: `name x y`, two images of one person, and `name x other y`, one
    /// image each of two. An image is a number, for `name/name_%04d` with some extension, or a
    /// file name with its extension (`s1 1.pgm 7.pgm`). Columns are separated by
    /// tabs, so that names may hold spaces, or else by any blanks. CRLF, a byte order mark and
    /// blank lines are accepted; the order of the kinds within a fold is free.
    ///
    /// - `path`: for messages only
    ///
    /// # Errors
    /// [`LfwError::Empty`], [`LfwError::Header`], [`LfwError::Columns`], [`LfwError::Image`],
    /// [`LfwError::Name`], [`LfwError::OnePerson`] with the line; [`LfwError::Count`] where the
    /// file holds more or fewer pairs than its header promises. Counts are never trusted: memory
    /// goes by the lines that are there.
    pub fn parse(text: &str, path: &Path) -> Result<Self, LfwError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let numbered = text.lines().enumerate().map(|(i, line)| (i + 1, line));
        let mut lines = numbered.filter(|(_, line)| !line.trim().is_empty());
        let Some((line, head)) = lines.next() else {
            return Err(LfwError::Empty {
                path: path.to_owned(),
            });
        };
        let Some((folds, per_kind)) = header(head) else {
            return Err(LfwError::Header {
                path: path.to_owned(),
                line,
                found: shown(head),
            });
        };
        let list = lines
            .map(|(line, text)| pair(text, line, path))
            .collect::<Result<_, _>>()?;
        numbered_by_fold(
            Self {
                path: path.to_owned(),
                n_folds: None,
                per_kind,
                list,
            },
            folds,
        )
    }
}

/// `(folds, pairs of each kind)`.
fn header(line: &str) -> Option<(Option<u64>, u64)> {
    let count = |field: &str| {
        let is_digits = field.bytes().all(|b| b.is_ascii_digit());
        field.parse::<u64>().ok().filter(|&n| is_digits && n > 0)
    };
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        [per_kind] => Some((None, count(per_kind)?)),
        [folds, per_kind] => Some((Some(count(folds)?), count(per_kind)?)),
        _ => None,
    }
}

fn pair(text: &str, line: usize, path: &Path) -> Result<Pair, LfwError> {
    let image = |name, key| image(name, key, line, path);
    match columns(text)[..] {
        [name, x, y] => Ok(Pair {
            a: image(name, x)?,
            b: image(name, y)?,
            is_same: true,
            fold: 1,
            line,
        }),
        [name, x, other, y] => {
            let (a, b) = (image(name, x)?, image(other, y)?);
            if name == other {
                let found = shown(name);
                return Err(LfwError::OnePerson {
                    path: path.to_owned(),
                    line,
                    found,
                });
            }
            Ok(Pair {
                a,
                b,
                is_same: false,
                fold: 1,
                line,
            })
        }
        ref fields => Err(LfwError::Columns {
            path: path.to_owned(),
            line,
            found: fields.len(),
        }),
    }
}

/// Tabs separate where they make 3 or 4 columns, so that a name may hold spaces.
fn columns(text: &str) -> Vec<&str> {
    let tabbed: Vec<_> = text.trim().split('\t').map(str::trim).collect();
    if matches!(tabbed.len(), 3 | 4) {
        tabbed
    } else {
        text.split_whitespace().collect()
    }
}

fn image(name: &str, key: &str, line: usize, path: &Path) -> Result<ImageName, LfwError> {
    if !is_component(name) {
        return Err(LfwError::Name {
            path: path.to_owned(),
            line,
            found: shown(name),
        });
    }
    match ImageKey::parse(key) {
        Some(image) => Ok(ImageName {
            name: name.to_owned(),
            image,
        }),
        None => Err(LfwError::Image {
            path: path.to_owned(),
            line,
            found: shown(key),
        }),
    }
}

fn numbered_by_fold(mut file: Pairs, folds: Option<u64>) -> Result<Pairs, LfwError> {
    let (found, per_kind) = (file.list.len(), file.per_kind);
    let per_fold = per_kind.checked_mul(2);
    let promised = per_fold.and_then(|n| n.checked_mul(folds.unwrap_or(1)));
    let Some(per_fold) = per_fold.filter(|_| promised == Some(found as u64)) else {
        let folds = folds.unwrap_or(1);
        return Err(LfwError::Count {
            path: file.path,
            folds,
            per_kind,
            found,
        });
    };
    for (i, pair) in file.list.iter_mut().enumerate() {
        pair.fold = folds.map_or(1, |_| (i as u64 / per_fold) as u32 + 1);
    }
    Ok(Pairs {
        n_folds: folds.map(|n| n as u32),
        ..file
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        match Pairs::parse_bytes(bytes, Path::new("p.txt")) {
            Ok(pairs) => assert_eq!(pairs.to_string(), expected),
            Err(error) => assert_eq!(error.to_string(), expected),
        }
    }

    const PLAIN: &str = "1\t1\nAnn\t1\t2\nAnn\t1\tBob\t13\n";

    #[test]
    fn line_ends_marks_blanks_and_blank_lines_make_no_difference() {
        check(PLAIN.as_bytes(), PLAIN);
        check(
            b"\xEF\xBB\xBF1 1\r\nAnn 1 2\r\n\r\nAnn\t1 Bob  13 \r\n",
            PLAIN,
        );
        check(b"\n1\t1\nAnn\t0001\t2\nAnn\t1\tBob\t13", PLAIN);
    }

    #[test]
    fn file_names_and_names_with_spaces_are_kept() {
        let text = "1\ns 1\t1.pgm\t10.pgm\ns 1\t2.pgm\ts 2\t0\n";
        check(text.as_bytes(), text);
    }

    #[test]
    fn each_fault_names_its_line() {
        let starts = |bytes: &[u8], head: &str| {
            let error = Pairs::parse_bytes(bytes, Path::new("p.txt")).expect_err(head);
            assert!(error.to_string().starts_with(head), "{error}");
        };
        starts(b"", "p.txt: empty file");
        starts(b" \n\r\n", "p.txt: empty file");
        starts(b"ten\nAnn 1 2\n", "p.txt:1: header is \"ten\"");
        starts(b"1 1 1\n", "p.txt:1: header is");
        starts(b"0 5\n", "p.txt:1: header is");
        starts(b"+1\n", "p.txt:1: header is");
        starts(b"1\n\nAnn 1\n", "p.txt:3: 2 columns");
        starts(b"1\nAnn 1 2 3 4\n", "p.txt:2: 5 columns");
        starts(b"1\nAnn one 2\n", "p.txt:2: image is \"one\"");
        starts(b"1\nAnn 1 2\nAnn 1 .. 2\n", "p.txt:3: name is \"..\"");
        starts(b"1\nAnn 1 2\nAnn 1 Ann 2\n", "p.txt:3: a line of 4 columns");
        starts(b"1\nAnn 1 2\n\xFF\n", "p.txt:3: not UTF-8");
    }

    #[test]
    fn a_header_that_lies_is_an_error_and_takes_no_memory() {
        let most = u64::MAX;
        let text = format!("{most}\t{most}\nAnn\t1\t2\n");
        check(
            text.as_bytes(),
            &format!(
                "p.txt: 1 pair lines, but the header promises {most} fold(s) of {most} same and \
                 {most} different pairs; complete the file or correct line 1"
            ),
        );
        let surplus = format!("{PLAIN}Ann\t1\t3\n");
        assert!(Pairs::parse(&surplus, Path::new("p")).is_err());
        assert!(Pairs::parse("18446744073709551616\n", Path::new("p")).is_err());
    }
}
