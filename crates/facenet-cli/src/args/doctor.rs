//! Flags of `doctor`.

use std::path::PathBuf;

use clap::Args;
use facenet_train::dataset::CheckConfig;

use super::ModelArgs;
use crate::values::path;

/// How a folder is looked through: what `--help` begins with.
pub(super) const DOCTOR_EXAMPLE: &str = "Look through a training folder for what would make training on it wrong

Example: facenet doctor faces --html suspects.html

Decodes every image and lists files that are unreadable, passed over, tiny or odd, identities of one image, files of the same \
bytes, and the same picture stored twice (re-encoded, resized, a little brighter). With --model also images that do not look like \
their identity, two names that look like one person and, with --against, people of that folder. Thresholds are measured on the \
folder itself and printed.

Exit code 3 where training on it would be wrong: one picture under two names; a picture of --against in the folder; more \
unreadable images than --max-bad-share; fewer than two identities, or none with two readable images; and, by a model that tells \
95 % of the folder's pairs right, one person under two names or in --against (an upper median of four distances or more, \
so low that no more than one is expected by chance among all pairs of people).";

/// Flags of `doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Folder of identity folders
    #[arg(value_parser = path)]
    pub folder: PathBuf,
    /// Folder that must share no picture, and nobody, with it: what will be scored on
    #[arg(long, value_name = "DIR", value_parser = path)]
    pub against: Option<PathBuf>,
    /// Model folder to tell people by
    #[arg(long, value_name = "DIR", value_parser = path)]
    pub model: Option<PathBuf>,
    /// Page of suspects to write, with thumbnails: one file, for a browser
    #[arg(long, value_name = "FILE", value_parser = path)]
    pub html: Option<PathBuf>,
    /// A picture with a smaller side is tiny, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = CheckConfig::default().min_side)]
    pub min_side: u32,
    /// Share of unreadable images above which `train` would stop, counted as there
    #[arg(long, default_value_t = CheckConfig::default().max_bad_share)]
    pub max_bad_share: f64,
    /// Squared L2 below which the median of two identities makes them one person [measured: the
    /// third quartile of the folder's same pairs, at most --other-above]
    #[arg(long, value_name = "SQ_L2", requires = "model")]
    pub same_below: Option<f64>,
    /// Squared L2 from which an image's median to its identity makes it an outlier [measured: what
    /// tells most of the folder's pairs right]
    #[arg(long, value_name = "SQ_L2", requires = "model")]
    pub other_above: Option<f64>,
    /// The model in use
    #[command(flatten)]
    pub source: ModelArgs,
}
