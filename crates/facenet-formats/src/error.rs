//! What can be wrong with a file.

/// Why bytes are not what they are taken for. A message says what was found and expected; the
/// file's name is the caller's to put before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes are no message of this kind.
    #[error("byte {at}: found {found}, expected {expected}")]
    Bytes {
        /// Where, from the first byte of the file.
        at: usize,
        /// What stands there.
        found: String,
        /// What would do.
        expected: String,
    },
    /// The file holds more of something than any model does.
    #[error("found more than {most} {what}, expected a face embedding model")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        most: usize,
    },
    /// Parts of the file contradict each other.
    #[error("{}: found {found}, expected {expected}", .name.escape_debug())]
    Contradiction {
        /// The node or tensor, as the file names it.
        name: String,
        /// What it says.
        found: String,
        /// What would do.
        expected: String,
    },
}

impl FormatError {
    pub(crate) fn bytes(at: usize, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Bytes {
            at,
            found: found.into(),
            expected: expected.into(),
        }
    }

    pub(crate) fn contradiction(
        name: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Contradiction {
            name: name.to_owned(),
            found: found.into(),
            expected: expected.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_file_is_printed_without_what_a_terminal_obeys() {
        let error = FormatError::contradiction("a\n\x1b[2J", "2 inputs", "1");
        let message = error.to_string();
        assert_eq!(message, "a\\n\\u{1b}[2J: found 2 inputs, expected 1");
    }
}
