//! What a checkup finds.

use std::fmt;
use std::path::PathBuf;

/// A kind of thing that is wrong with a folder of identities. Its text is one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The folder as a whole cannot be trained on.
    Unfit,
    /// A file that is no image, or a broken one.
    Unreadable,
    /// A file or folder that a scan passes over, as training does.
    PassedOver,
    /// Smaller on a side than a face should be.
    Tiny,
    /// A picture that is nearly one colour, or long and narrow, or whose name claims another
    /// format.
    Odd,
    /// An identity with one readable image, or none: nothing pulls its images together.
    SingleImage,
    /// Files of the same bytes.
    Duplicate,
    /// One picture stored in more ways than one.
    NearDuplicate,
    /// A picture that is in another folder too.
    Overlap,
}

impl Fault {
    /// The word that stands for this kind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unfit => "unfit",
            Self::Unreadable => "unreadable",
            Self::PassedOver => "passed-over",
            Self::Tiny => "tiny",
            Self::Odd => "odd",
            Self::SingleImage => "single-image",
            Self::Duplicate => "duplicate",
            Self::NearDuplicate => "near-duplicate",
            Self::Overlap => "overlap",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Of which kind.
    pub fault: Fault,
    /// Whether training on the folder as it is would be wrong.
    pub is_grave: bool,
    /// Names of the identities concerned, each once.
    pub identities: Vec<String>,
    /// Files or folders concerned.
    pub images: Vec<PathBuf>,
    /// What is wrong, in words that fit after the paths and a colon.
    pub what: String,
}
