//! One thing that is not as it should be.

use std::fmt;

/// Displays as one line: `file:line: what; expected ...; remedy`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: usize,
    pub(crate) what: String,
    pub(crate) expected: String,
    pub(crate) remedy: String,
}

impl Finding {
    /// `says` is what was found, what is expected and the remedy.
    pub(crate) fn new(file: &str, line: usize, says: [impl Into<String>; 3]) -> Self {
        let [what, expected, remedy] = says.map(Into::into);
        Self {
            file: file.to_owned(),
            line,
            what,
            expected,
            remedy,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            what,
            expected,
            remedy,
        } = self;
        write!(f, "{file}:{line}: {what}; expected {expected}; {remedy}")
    }
}

/// The first line, from 1, that `is_it` accepts; 1 where none does.
pub(crate) fn line_where(text: &str, is_it: impl Fn(&str) -> bool) -> usize {
    text.lines().position(is_it).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_with_place_expectation_and_remedy() {
        let finding = Finding::new("a.rs", 3, ["found x", "y", "write y"]);
        assert_eq!(finding.to_string(), "a.rs:3: found x; expected y; write y");
    }

    #[test]
    fn lines_count_from_one() {
        assert_eq!(line_where("a\nb\n", |line| line == "b"), 2);
        assert_eq!(line_where("a\nb\n", |line| line == "c"), 1);
    }
}
