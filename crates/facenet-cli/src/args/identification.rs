//! Flags of `evaluate` that ask for identification in place of pairs.

use clap::Args;
use facenet_train::lfw::DEFAULT_FALSE_ALARMS;

use crate::values::rate;

/// Identification figures, and how many strangers may pass.
#[derive(Clone, Copy, Debug, Args)]
pub struct IdentificationArgs {
    /// Score identification in place of pairs: enrol the first image of everyone with two or more,
    /// look for the others (closed set), and for people with one image, whom nobody enrolled (open set)
    #[arg(long, conflicts_with_all = OF_PAIRS)]
    pub identification: bool,
    /// With --identification, the share of strangers that the open set's threshold lets through
    #[arg(long, value_name = "RATE", default_value_t = DEFAULT_FALSE_ALARMS, value_parser = rate)]
    pub false_alarm_rate: f64,
}

/// What has no meaning without pairs.
const OF_PAIRS: [&str; 9] = [
    "lfw_pairs",
    "lfw_nrof_folds",
    "lfw_folds",
    "allow_missing",
    "distance",
    "subtract_mean",
    "use_flipped_images",
    "stored_as",
    "far_target",
];
