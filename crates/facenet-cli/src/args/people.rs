//! Flags of the commands that use embeddings: thresholds, comparisons, galleries.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::ModelArgs;
use crate::values::{path, positive, rate, sq_l2};

/// What `calibrate --help` begins with.
pub(super) const CALIBRATE_EXAMPLE: &str = "Find the threshold of a wanted false accept rate and store it with the model

Example: facenet calibrate --model models/published --data-dir data/lfw --far 0.001

Compares all images of a folder of people with all others (or the pairs of a file) and takes, for each FAR, the largest \
threshold that accepts no larger share of the pairs of different people. Printed and stored in the model folder, with \
95 % intervals from draws of people: the threshold, the FAR measured, the VAL there. A FAR is refused unless 10 / FAR \
pairs of different people are there, each pair counted once: the rate would rest on fewer than ten errors. Calibrate on \
people and pictures like those that the threshold will judge, and on none that the model was trained on: it knows them.";

/// Flags of `calibrate`.
#[derive(Clone, Debug, Args)]
pub struct CalibrateArgs {
    /// Model folder, which the calibration is stored in
    #[arg(long, value_parser = path)]
    pub model: PathBuf,
    /// Folder of identity folders
    #[arg(long, visible_alias = "lfw-dir", value_parser = path)]
    pub data_dir: PathBuf,
    /// Compare the pairs of this file only
    #[arg(long, visible_alias = "lfw-pairs", value_parser = path)]
    pub pairs: Option<PathBuf>,
    /// False accept rates wanted, at most 0.1; the first is what other commands use unless told
    #[arg(long, required = true, value_delimiter = ',', value_parser = rate)]
    pub far: Vec<f64>,
    /// The model in use
    #[command(flatten)]
    pub source: ModelArgs,
}

/// What `verify --help` begins with.
pub(super) const VERIFY_EXAMPLE: &str = "Tell how far apart two images are, and what that says

Example: facenet verify a.jpg b.jpg --model models/published

Prints the distance (squared L2, 0 to 4), the threshold that the model was calibrated with, and how often two different \
people are nearer than it. Without a calibration there is only the distance.";

/// Flags of `verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// One image
    #[arg(value_parser = path)]
    pub a: PathBuf,
    /// Another
    #[arg(value_parser = path)]
    pub b: PathBuf,
    /// Model folder
    #[arg(long, value_parser = path)]
    pub model: PathBuf,
    /// Which threshold
    #[command(flatten)]
    pub threshold: ThresholdArgs,
    /// The model in use
    #[command(flatten)]
    pub source: ModelArgs,
}

/// A threshold, by itself or by its FAR.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ThresholdArgs {
    /// The threshold calibrated for this false accept rate [the first calibrated; of cluster by dbscan
    /// the lowest]
    #[arg(long, value_parser = rate)]
    pub far: Option<f64>,
    /// This threshold, in squared L2 from 0 to 4, whatever was calibrated
    #[arg(long, value_parser = sq_l2, conflicts_with = "far")]
    pub threshold: Option<f64>,
}

/// What `enroll --help` begins with.
pub(super) const ENROLL_EXAMPLE: &str = "Add people to a gallery, a file that is made where there is none

Example: facenet enroll staff.gallery --model models/published --data-dir people

Each readable image becomes a template. People are added at any time, also more images of somebody who is there; an \
embedding that is there already, to the last bit, is not kept twice (a batch of another size may move the last digits). The gallery knows which model made it and takes no other. With --name, \
one person: facenet enroll staff.gallery --model models/published --name Ann ann1.jpg ann2.jpg";

/// Flags of `enroll`.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("whom").required(true).args(["data_dir", "name"]))]
pub struct EnrollArgs {
    /// The gallery's file
    #[arg(value_parser = path)]
    pub gallery: PathBuf,
    /// Images of one person, or folders of them, with --name
    #[arg(value_parser = path, requires = "name")]
    pub images: Vec<PathBuf>,
    /// Model folder
    #[arg(long, value_parser = path)]
    pub model: PathBuf,
    /// Everyone of this folder of identity folders
    #[arg(long, value_parser = path, conflicts_with_all = ["images", "name"])]
    pub data_dir: Option<PathBuf>,
    /// One person, of whom images follow
    #[arg(long, requires = "images")]
    pub name: Option<String>,
    /// The model in use
    #[command(flatten)]
    pub source: ModelArgs,
}

/// What `identify --help` begins with.
pub(super) const IDENTIFY_EXAMPLE: &str = "Look for the people on images in a gallery that need not hold them

Example: facenet identify staff.gallery visitor.jpg --model models/published

Names whoever is nearest and below the threshold, else nobody, and who is nearest all the same. A calibrated FAR is that of \
one comparison: a stranger is compared with every template, so with N of them up to N times as many are taken for somebody. \
Without a calibration and without --threshold nobody is judged.";

/// Flags of `identify`.
#[derive(Clone, Debug, Args)]
pub struct IdentifyArgs {
    /// The gallery's file
    #[arg(value_parser = path)]
    pub gallery: PathBuf,
    /// Images, or folders of images or of identity folders
    #[arg(required = true, value_parser = path)]
    pub images: Vec<PathBuf>,
    /// Model folder, the one that the gallery was made with
    #[arg(long, value_parser = path)]
    pub model: PathBuf,
    /// People to list for each image, the nearest first
    #[arg(long, default_value_t = 3, value_parser = positive)]
    pub top: usize,
    /// Which threshold
    #[command(flatten)]
    pub threshold: ThresholdArgs,
    /// The model in use
    #[command(flatten)]
    pub source: ModelArgs,
}

/// What `forget --help` begins with.
pub(super) const FORGET_EXAMPLE: &str = "Remove a person from a gallery and prove it

Example: facenet forget staff.gallery Ann

Writes the file anew without the person, then reads it again: nobody has the name, and the bytes of no template of theirs \
are anywhere in it. Backups, snapshots and what a disk keeps of the former file are out of reach.";

/// Flags of `forget`.
#[derive(Clone, Debug, Args)]
pub struct ForgetArgs {
    /// The gallery's file
    #[arg(value_parser = path)]
    pub gallery: PathBuf,
    /// The person's name, as it was enrolled
    pub name: String,
}
