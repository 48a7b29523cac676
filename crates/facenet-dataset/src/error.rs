use std::path::PathBuf;

/// How many unreadable images a message names; [`DatasetError::TooManyBad`] holds all of them.
const NAMED: usize = 5;

/// What can be wrong with images, image folders, recipes, people lists and loader settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// A file or folder cannot be read.
    #[error("{}: cannot read; check that the path exists and may be read", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] facenet_files::FileError),
    /// The root has no identity folder with an image in it.
    #[error("{}: no identity with an image found ({skipped} files and folders skipped); \
             check that the layout is <root>/<identity>/<image>", .root.display())]
    NoIdentities {
        /// The root that was scanned.
        root: PathBuf,
        /// How many entries were passed over.
        skipped: usize,
    },
    /// No image in a format that is read.
    #[error("{}: {found} is not read, expected JPEG, PNG, PGM, PPM or WebP; \
             convert it to one of these or remove it", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What its first bytes look like.
        found: String,
    },
    /// The header announces more than the limits allow; nothing was decoded.
    #[error("{}: image is {width}x{height}, {bytes} bytes decoded, expected at most {max_side} \
             a side and {max_bytes} bytes; shrink it or raise the limits", .path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// Columns by the header.
        width: u64,
        /// Rows by the header.
        height: u64,
        /// Size when decoded.
        bytes: u64,
        /// The limit on either side.
        max_side: u32,
        /// The limit on decoded bytes.
        max_bytes: u64,
    },
    /// The file is larger than any image within the limits.
    #[error("{}: file is {bytes} bytes, expected at most {max_bytes}; \
             shrink it or raise the limits", .path.display())]
    FileSize {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The largest file that is read.
        max_bytes: u64,
    },
    /// The decoder refuses the file.
    #[error("{}: cannot decode image; re-encode it as 8-bit PNG or JPEG, or remove it", .path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file decodes, but is known to be damaged.
    #[error("{}: damaged image: {problem}; replace or remove it", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// A recipe that is neither known nor a good file.
    #[error("{origin}: {problem}")]
    Recipe {
        /// Name, file, or flag it came from.
        origin: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A people list that is not one.
    #[error("{}{}: {problem}", .path.display(), line_suffix(*.line))]
    People {
        /// The list.
        path: PathBuf,
        /// Line, from 1; 0 for the whole file.
        line: usize,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A picture or a buffer whose length does not fit its sides.
    #[error("{what}: {found} elements, expected {expected}; pass matching sizes")]
    Shape {
        /// Which one.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length that fits.
        expected: usize,
    },
    /// A part of a picture that lacks some of what was asked for, or lies outside of its picture.
    #[error(
        "part of a picture: {held:?} is at hand, expected to lie within the picture and to hold {needed:?}; \
             let load_part return more"
    )]
    Portion {
        /// What there is.
        held: crate::Area,
        /// What is needed.
        needed: crate::Area,
    },
    /// An image that the set does not have.
    #[error("image {} of identity {} is not in the set; ask for one within its sizes", .image.image, .image.identity)]
    NoSuchImage {
        /// The image asked for.
        image: crate::ImageId,
    },
    /// A loader setting out of range.
    #[error("{field}: found {found}, expected {expected}")]
    Config {
        /// The setting.
        field: &'static str,
        /// Its value.
        found: String,
        /// The admissible values.
        expected: &'static str,
    },
    /// More images are unreadable than the loader may pass over.
    #[error("{} of {touched} images cannot be read, expected at most {allowed}: {}; \
             repair or remove them, or raise the share of bad images", .bad.len(), named(.bad))]
    TooManyBad {
        /// The unreadable ones, in the order in which they were met.
        bad: Vec<crate::Quarantined>,
        /// Distinct images asked for so far.
        touched: usize,
        /// How many bad ones were admissible.
        allowed: usize,
    },
    /// A thread of the loader cannot be started.
    #[error("loader: cannot start a thread; lower the number of loader threads")]
    Thread {
        /// What the system says.
        source: std::io::Error,
    },
    /// Drawing or reading a picture panicked: a fault of the program, not of the picture.
    #[error("{name}: reading this picture panicked; please report it with the file")]
    Panicked {
        /// The picture.
        name: String,
    },
}

/// An error with its sources, on one line.
pub(crate) fn in_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first few, each with its reason.
fn named(bad: &[crate::Quarantined]) -> String {
    let mut text: Vec<String> = bad
        .iter()
        .take(NAMED)
        .map(|one| one.reason.clone())
        .collect();
    if bad.len() > NAMED {
        text.push(format!("and {} more", bad.len() - NAMED));
    }
    text.join("; ")
}

/// `:<line>`, or nothing where the whole file is meant.
fn line_suffix(line: usize) -> String {
    if line == 0 {
        String::new()
    } else {
        format!(":{line}")
    }
}
