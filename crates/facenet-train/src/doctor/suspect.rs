//! What an embedding makes suspicious.

use std::path::PathBuf;

use serde::Serialize;

/// A kind of suspicion. Its text is one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SuspectKind {
    /// An image that looks like nobody else of its identity.
    Outlier,
    /// Two identities that look like one person.
    TwoNames,
    /// An identity that looks like one of the other folder.
    SamePerson,
}

impl SuspectKind {
    /// The word that stands for this kind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outlier => "outlier",
            Self::TwoNames => "two-names",
            Self::SamePerson => "same-person",
        }
    }
}

/// Something that an embedding makes suspicious.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect {
    /// Of which kind.
    pub kind: SuspectKind,
    /// Whether training on it would be wrong, as far as the model can be believed.
    pub is_grave: bool,
    /// Names of the identities concerned.
    pub identities: Vec<String>,
    /// Images to look at: the odd one, or the two nearest.
    pub images: Vec<PathBuf>,
    /// Median squared L2 that makes it suspicious.
    pub sq_l2: f64,
    /// What is suspicious, in words that fit after the paths and a colon.
    pub what: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_a_kind_is_what_programs_read() {
        for kind in [
            SuspectKind::Outlier,
            SuspectKind::TwoNames,
            SuspectKind::SamePerson,
        ] {
            let word = serde_json::to_value(kind).expect("a word");
            assert_eq!(word, kind.name());
        }
    }
}
