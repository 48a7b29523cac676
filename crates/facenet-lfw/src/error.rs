use std::path::PathBuf;

/// How many missing images a message names; [`LfwError::MissingImages`] holds all of them.
const NAMED: usize = 20;

/// What can be wrong with a pairs file, the images that it names, or the rows to score.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LfwError {
    /// The file cannot be read.
    #[error("{}: cannot read the pairs file; check the path", .path.display())]
    Read {
        /// The pairs file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] facenet_files::FileError),
    /// Far larger than a pairs file can be.
    #[error("{}: {bytes} bytes is too large for a pairs file, expected at most {limit}; is it another kind of file?", .path.display())]
    TooLarge {
        /// The pairs file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The largest size that is read.
        limit: u64,
    },
    /// A line holds bytes that are not UTF-8.
    #[error("{}:{line}: not UTF-8 text; save the pairs file as UTF-8", .path.display())]
    NotUtf8 {
        /// The pairs file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// No line holds anything.
    #[error("{}: empty file, expected a header and pairs", .path.display())]
    Empty {
        /// The pairs file.
        path: PathBuf,
    },
    /// The first line is not `folds<TAB>n` or `n`.
    #[error("{}:{line}: header is {found}, expected `folds<TAB>pairs of each kind` or \
             `pairs of each kind`, whole numbers from 1", .path.display())]
    Header {
        /// The pairs file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The line, quoted and shortened.
        found: String,
    },
    /// A line with other than 3 or 4 columns.
    #[error("{}:{line}: {found} columns, expected 3 (`name image image`, one person) or \
             4 (`name image name image`, two people)", .path.display())]
    Columns {
        /// The pairs file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Columns found.
        found: usize,
    },
    /// An image is neither a number nor a file name.
    #[error("{}:{line}: image is {found}, expected a whole number or a file name with its \
             extension", .path.display())]
    Image {
        /// The pairs file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The field, quoted and shortened.
        found: String,
    },
    /// A name that is not one folder below the root.
    #[error("{}:{line}: name is {found}, expected the name of a folder directly below the \
             root, without `/`, `\\` or `..`", .path.display())]
    Name {
        /// The pairs file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The field, quoted and shortened.
        found: String,
    },
    /// A line of two people names one person twice.
    #[error("{}:{line}: a line of 4 columns is a pair of different people, but both are \
             {found}; write one person's pair as `name image image`", .path.display())]
    OnePerson {
        /// The pairs file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The name, quoted and shortened.
        found: String,
    },
    /// The file holds other than the header's number of pairs.
    #[error("{}: {found} pair lines, but the header promises {folds} fold(s) of {per_kind} same and \
             {per_kind} different pairs; complete the file or correct line 1", .path.display())]
    Count {
        /// The pairs file.
        path: PathBuf,
        /// Folds of the header; 1 for a file without folds.
        folds: u64,
        /// Pairs of each kind in a fold, of the header.
        per_kind: u64,
        /// Pair lines found.
        found: usize,
    },
    /// The root of the images is not a folder.
    #[error("{}: not a folder, expected the folder that holds one folder per person", .root.display())]
    Root {
        /// The folder asked for.
        root: PathBuf,
    },
    /// Images that the pairs name are not there.
    #[error("{}: {} image(s) of {} are missing, so {pairs} pair(s) cannot be scored: {}; add \
             them, or allow missing images and get a result that is not LFW's",
            .root.display(), .images.len(), .file.display(), first(.images))]
    MissingImages {
        /// The folder searched.
        root: PathBuf,
        /// The pairs file.
        file: PathBuf,
        /// Every missing image, relative to the root, without extension where the pairs
        /// file gives a number.
        images: Vec<String>,
        /// Pairs that need one of them.
        pairs: usize,
    },
    /// Missing images leave nothing to score.
    #[error("{}: none of the {pairs} pairs of {} has both its images here; check that the root is the \
             folder of the person folders", .root.display(), .file.display())]
    NothingLeft {
        /// The folder searched.
        root: PathBuf,
        /// The pairs file.
        file: PathBuf,
        /// Pairs of the file.
        pairs: usize,
    },
    /// A fold is asked for that the file has not.
    #[error("{}: no fold {fold}, the file has {}; choose among them", .path.display(), folds(*.n_folds))]
    NoSuchFold {
        /// The pairs file.
        path: PathBuf,
        /// The fold asked for.
        fold: u32,
        /// Folds of the file, none for a file without folds.
        n_folds: Option<u32>,
    },
    /// The number of folds cannot be had.
    #[error(
        "{folds} fold(s) of {pairs} pairs, expected from 2 folds up to one per pair; change \
             the number of folds or give more pairs"
    )]
    Folds {
        /// Folds asked for.
        folds: usize,
        /// Pairs there are.
        pairs: usize,
    },
    /// Lengths that do not belong together.
    #[error("{what}: length {found}, expected {expected}")]
    Shape {
        /// The argument.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length that fits the others.
        expected: usize,
    },
    /// The FAR target is not a rate.
    #[error("far target {found}, expected more than 0 and at most 1")]
    FarTarget {
        /// The value given.
        found: f64,
    },
    /// An embedding holds NaN or infinity.
    #[error("embedding row {row} (image {} of pair {}) is not finite at element {element}; the model has \
             diverged or the file is damaged", .row % 2 + 1, .row / 2)]
    NotFinite {
        /// Row, from 0.
        row: usize,
        /// Element of the row, from 0.
        element: usize,
    },
    /// An embedding without direction has no angle.
    #[error("embedding row {row} (image {} of pair {}) has length 0, so its cosine is undefined; \
             use squared L2", .row % 2 + 1, .row / 2)]
    ZeroNorm {
        /// Row, from 0.
        row: usize,
    },
    /// A value of a setting that does not exist.
    #[error("{what} {found}, expected {expected}")]
    Unknown {
        /// The setting.
        what: &'static str,
        /// The value given, quoted and shortened.
        found: String,
        /// The values there are.
        expected: &'static str,
    },
    /// A name that a pairs file cannot hold.
    #[error(
        "{found}: cannot stand in a pairs file; rename it to one without tabs, line ends, \
             path separators or spaces at its ends, an image with its extension"
    )]
    Unwritable {
        /// The name, quoted and shortened.
        found: String,
    },
    /// A person is given twice.
    #[error("{found}: given twice, expected each person once")]
    TwicePerson {
        /// The name, quoted and shortened.
        found: String,
    },
    /// Zero folds or pairs are asked for.
    #[error("{folds} fold(s) of {per_kind} pairs of each kind, expected at least 1 of both")]
    NothingAsked {
        /// Folds asked for.
        folds: u32,
        /// Pairs of each kind in a fold asked for.
        per_kind: u32,
    },
    /// The people at hand cannot fill the folds.
    #[error(
        "{folds} fold(s) of {per_kind} same pairs with disjoint people cannot be filled: \
             {people} people with {images} images make {same} same pairs, of which the \
             poorest fold got {poorest}; ask for fewer folds or pairs"
    )]
    TooFewSame {
        /// Folds asked for.
        folds: u32,
        /// Pairs of each kind in a fold asked for.
        per_kind: u32,
        /// People given.
        people: usize,
        /// Images given.
        images: usize,
        /// Same pairs that exist in all.
        same: u64,
        /// Same pairs of the fold with the fewest, as the people were shared out.
        poorest: u64,
    },
    /// The people at hand cannot fill a fold with different pairs.
    #[error(
        "{folds} fold(s) of {per_kind} different pairs with disjoint people cannot be \
             filled: {people} people with {images} images leave the poorest fold {poorest} \
             different pairs; ask for fewer folds or pairs"
    )]
    TooFewDifferent {
        /// Folds asked for.
        folds: u32,
        /// Pairs of each kind in a fold asked for.
        per_kind: u32,
        /// People given.
        people: usize,
        /// Images given.
        images: usize,
        /// Different pairs of the fold with the fewest.
        poorest: u64,
    },
    /// An embedding of a set of people holds NaN or infinity.
    #[error(
        "embedding row {row} is not finite at element {element}; the model has diverged or the file \
             is damaged"
    )]
    NotANumber {
        /// Row, from 0.
        row: usize,
        /// Element of the row, from 0.
        element: usize,
    },
    /// No threshold is sought for such a FAR.
    #[error("far {found}, expected more than 0 and at most 0.1")]
    CalibrationFar {
        /// The value given.
        found: f64,
    },
    /// Too few people for so rare an error.
    #[error(
        "a FAR of {far} cannot be calibrated on {people_pairs} pairs of different people, expected {needed} \
             (10 / FAR) or more: the rate would rest on fewer than ten errors; give images of more \
             people, or a FAR of {} or more", lowest(*.people_pairs)
    )]
    Unsupported {
        /// The FAR asked for.
        far: f64,
        /// Pairs of different people there are.
        people_pairs: u64,
        /// Pairs that would do.
        needed: u64,
    },
    /// No threshold is sought for such a share of false alarms.
    #[error("false alarm rate {found}, expected more than 0 and at most 1")]
    FalseAlarms {
        /// The value given.
        found: f64,
    },
    /// Nobody can be enrolled and looked for.
    #[error(
        "none of the people of {images} images has two, expected some who have: one to enrol, the others to \
             look for"
    )]
    NobodyTwice {
        /// Images given.
        images: usize,
    },
    /// The distances leave no room for a threshold.
    #[error(
        "of {may} different pairs that may be accepted only {accepted} are nearer than {threshold}, where \
             the others are tied: the model does not tell these images apart; use another model, or \
             remove copies of one image"
    )]
    Tied {
        /// Where the others are, in squared L2.
        threshold: f64,
        /// Pairs below it.
        accepted: u64,
        /// Pairs that the FAR would let through.
        may: u64,
    },
}

/// The lowest FAR that so many pairs of people show, to two figures, rounded up.
fn lowest(people_pairs: u64) -> String {
    let lowest = crate::calibration::ERRORS_WANTED / people_pairs as f64;
    if lowest > crate::calibration::MAX_FAR {
        return "0.1 with 100 of them".to_owned();
    }
    let digits = (1.0 - lowest.log10().floor()) as i32;
    let unit = 10f64.powi(digits);
    format!("{}", (lowest * unit).ceil() / unit)
}

/// A field for a message: quoted, escaped, and no longer than a line can bear.
pub(crate) fn shown(field: &str) -> String {
    const LONGEST: usize = 40;
    if field.chars().count() <= LONGEST {
        return format!("{field:?}");
    }
    let head: String = field.chars().take(LONGEST).collect();
    format!("{head:?}...")
}

fn first(images: &[String]) -> String {
    let named = images[..images.len().min(NAMED)].join(", ");
    match images.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn folds(n_folds: Option<u32>) -> String {
    n_folds.map_or("no folds".to_owned(), |n| format!("folds 1 to {n}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_twenty_images_and_counts_the_rest() {
        let images: Vec<_> = (0..25).map(|i| format!("p/{i}")).collect();
        assert!(first(&images).ends_with("p/19 and 5 more"));
        assert_eq!(first(&images[..2]), "p/0, p/1");
    }

    #[test]
    fn the_lowest_rate_is_rounded_so_that_it_is_one() {
        assert_eq!(lowest(3000), "0.0034");
        assert_eq!(lowest(10_000), "0.001");
        assert_eq!(lowest(99), "0.1 with 100 of them");
        assert_eq!(lowest(0), "0.1 with 100 of them");
    }

    #[test]
    fn long_or_odd_fields_are_shortened_and_escaped() {
        assert_eq!(shown("a\u{0}b"), "\"a\\0b\"");
        assert_eq!(shown(&"x".repeat(1000)).len(), 45);
    }
}
