//! What a scan passed over, and why.

use std::fmt;
use std::path::PathBuf;

/// A file or folder that a scan passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where it lies.
    pub path: PathBuf,
    /// Why it is not part of the set.
    pub reason: SkipReason,
}

/// Why a scan passes over a file or folder. Its text fits after a path and a colon.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// The name starts with a dot.
    Hidden,
    /// The name is no UTF-8: it could not be told from others like it in lists, files and reports.
    NotUtf8,
    /// A file beside the identity folders.
    LooseFile,
    /// A folder within an identity folder.
    TooDeep,
    /// An identity folder without an image.
    NoImages,
    /// A link to a folder that holds this one, or that is in the set already.
    LinkToKnown,
    /// A pipe, socket or device.
    Special,
    /// Not an image format that is read; what it looks like instead.
    Format(String),
    /// It cannot be opened, or the link dangles; what the system says.
    Unreadable(String),
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hidden => f.write_str("hidden"),
            Self::NotUtf8 => f.write_str("its name is not UTF-8; rename it"),
            Self::LooseFile => f.write_str("not in an identity folder"),
            Self::TooDeep => f.write_str("a folder within an identity folder"),
            Self::NoImages => f.write_str("no image in this folder"),
            Self::LinkToKnown => f.write_str("a link to a folder that is in the set, or above it"),
            Self::Special => f.write_str("neither file nor folder"),
            Self::Format(found) => write!(f, "{found}, not JPEG, PNG, PGM, PPM or WebP"),
            Self::Unreadable(problem) => write!(f, "cannot be opened: {problem}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_reads_after_a_path() {
        let skipped = Skipped {
            path: "a/b.gif".into(),
            reason: SkipReason::Format("GIF".to_owned()),
        };
        let text = format!("{}: {}", skipped.path.display(), skipped.reason);
        assert_eq!(text, "a/b.gif: GIF, not JPEG, PNG, PGM, PPM or WebP");
    }
}
