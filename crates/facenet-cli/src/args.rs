//! Every flag of every command.

mod bench;
mod cluster;
mod compute;
mod course;
mod doctor;
mod examples;
mod foreign;
mod identification;
mod loss;
mod mine;
mod norms;
mod people;
mod preset;
mod prove;
mod report;
mod run;
mod sampler;
mod train;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use facenet_train::Storage;
use facenet_train::dataset::{DecodeLimits, Standardisation};
use facenet_train::lfw::Metric;

pub use bench::{BenchArgs, BenchCommand, BenchWorkArgs};
pub use cluster::ClusterArgs;
pub use compute::ComputeArgs;
pub use course::CourseArgs;
pub use doctor::DoctorArgs;
pub use foreign::{ExportArgs, ImportArgs};
pub use identification::IdentificationArgs;
pub use loss::LossArgs;
pub use mine::{BenchMineArgs, MineArgs, RuleArgs};
pub use norms::NormArgs;
pub use people::{CalibrateArgs, EnrollArgs, ForgetArgs, IdentifyArgs, ThresholdArgs, VerifyArgs};
pub use preset::Preset;
pub use prove::{
    ProveArgs, ProveCommand, ProveCommonArgs, ProveResumeArgs, ProveStopArgs, ProvenStrategies,
};
pub use report::ReportArgs;
pub use run::RunArgs;
pub use sampler::SamplerArgs;
pub use train::TrainArgs;

use crate::values::{list_of_folds, metric, named, path, path_text};

/// Train face embeddings with the triplet loss, score them on LFW, use them.
#[derive(Debug, Parser)]
#[command(
    name = "facenet",
    version,
    propagate_version = true,
    max_term_width = 100,
    // As the reference: of a flag given twice the last one counts.
    args_override_self = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How much to say.
    #[command(flatten)]
    pub output: OutputArgs,
    /// TOML file of flags, such as `learning_rate = 0.05`, for those that are not typed; a table named
    /// as a command is for it alone
    #[arg(long, global = true, value_name = "FILE", value_parser = path, help_heading = "Output")]
    pub config: Option<PathBuf>,
    /// File to write the flags of this command to, those of --config included, as --config takes them;
    /// defaults as remarks
    #[arg(long, global = true, value_name = "FILE", value_parser = path, help_heading = "Output")]
    pub save_config: Option<PathBuf>,
}

/// How results and progress are told.
#[derive(Clone, Copy, Debug, Args)]
pub struct OutputArgs {
    /// Print the result as one JSON object, the last line of stdout
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
    /// No progress, no notes; warnings and errors only
    #[arg(long, global = true, help_heading = "Output")]
    pub quiet: bool,
    /// Least severe log lines to show on stderr
    #[arg(long, global = true, value_enum, default_value_t = LogLevel::Warn, help_heading = "Output")]
    pub log_level: LogLevel,
}

/// Severity of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Failures.
    Error,
    /// What should be mended.
    Warn,
    /// What happens.
    Info,
    /// How it happens.
    Debug,
    /// Everything.
    Trace,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train an embedding network; without --data-dir, a demo on synthetic identities
    #[command(long_about = examples::TRAIN)]
    Train(Box<TrainArgs>),
    /// Score a model, or stored embeddings, on verification pairs
    #[command(long_about = examples::EVALUATE)]
    Evaluate(EvaluateArgs),
    /// Write the embeddings of images
    #[command(long_about = examples::EMBED)]
    Embed(EmbedArgs),
    /// Find the threshold of a wanted false accept rate and store it with the model
    #[command(long_about = people::CALIBRATE_EXAMPLE)]
    Calibrate(CalibrateArgs),
    /// Tell how far apart two images are, and what that says
    #[command(long_about = people::VERIFY_EXAMPLE)]
    Verify(VerifyArgs),
    /// Add people to a gallery
    #[command(long_about = people::ENROLL_EXAMPLE)]
    Enroll(EnrollArgs),
    /// Look for the people on images in a gallery
    #[command(long_about = people::IDENTIFY_EXAMPLE)]
    Identify(IdentifyArgs),
    /// Remove a person from a gallery and prove it
    #[command(long_about = people::FORGET_EXAMPLE)]
    Forget(ForgetArgs),
    /// Put images into clusters by who seems to be on them
    #[command(long_about = cluster::CLUSTER_EXAMPLE)]
    Cluster(ClusterArgs),
    /// Read a published model of another framework and write it as a model folder
    #[command(long_about = foreign::IMPORT_EXAMPLE)]
    Import(ImportArgs),
    /// Write a model folder as a file for other frameworks
    #[command(long_about = foreign::EXPORT_EXAMPLE)]
    Export(ExportArgs),
    /// Write a pairs file for a folder of identities
    #[command(long_about = examples::PAIRS)]
    Pairs(PairsArgs),
    /// Write synthetic identities as folders, with a pairs file
    #[command(long_about = examples::SYNTH)]
    Synth(SynthArgs),
    /// Choose triplets among stored embeddings
    #[command(long_about = examples::MINE)]
    Mine(MineArgs),
    /// Look through a training folder for what would make training on it wrong
    #[command(long_about = doctor::DOCTOR_EXAMPLE)]
    Doctor(DoctorArgs),
    /// Write one page that shows a training run, for a browser
    #[command(long_about = report::REPORT_EXAMPLE)]
    Report(ReportArgs),
    /// Time a part of the work on this machine
    #[command(long_about = examples::BENCH)]
    Bench(BenchArgs),
    /// Try on this machine and file system what is promised of a run's checkpoints
    #[command(long_about = prove::PROVE_EXAMPLE)]
    Prove(ProveArgs),
    /// Print a completion script for a shell
    #[command(long_about = examples::COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Write manual pages, one for each command
    #[command(long_about = MAN_EXAMPLE)]
    Man(ManArgs),
}

/// Fold numbers, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folds(pub Vec<usize>);

/// The preprocessing recipe: named, from a file, or by its parts.
#[derive(Clone, Debug, Default, Args)]
pub struct RecipeArgs {
    /// Recipe: reference, facenet-fixed-160, facenet-prewhiten-160, or a TOML or JSON file
    #[arg(long, value_name = "NAME|FILE", value_parser = path_text,
          conflicts_with_all = ["centre_crop", "resize", "standardisation"],
          help_heading = "Preprocessing")]
    pub recipe: Option<String>,
    /// Cut this central square out first, in pixels; a smaller image stays whole
    #[arg(long, value_name = "C", help_heading = "Preprocessing")]
    pub centre_crop: Option<u32>,
    /// Then resize to this side, in pixels
    #[arg(long, value_name = "R", help_heading = "Preprocessing")]
    pub resize: Option<u32>,
    /// per-image, or fixed: (x - 127.5) / 128
    #[arg(long, value_parser = named::<Standardisation>, help_heading = "Preprocessing")]
    pub standardisation: Option<Standardisation>,
}

/// Bounds on one image, checked before it is decoded.
#[derive(Clone, Copy, Debug, Args)]
pub struct LimitArgs {
    /// Largest accepted image side, in pixels
    #[arg(long, default_value_t = DecodeLimits::default().max_side, value_parser = value_parser!(u32).range(1..),
          help_heading = "Data")]
    pub max_image_side: u32,
    /// Largest accepted decoded image, in MiB
    #[arg(long, default_value_t = DecodeLimits::default().max_bytes >> 20,
          value_parser = value_parser!(u64).range(1..=MAX_IMAGE_MIB), help_heading = "Data")]
    pub max_image_mib: u64,
}

/// Above what any machine holds; below it, bytes fit 64 bits.
const MAX_IMAGE_MIB: u64 = 1 << 30;

/// A model in use.
#[derive(Clone, Debug, Args)]
pub struct ModelArgs {
    /// How a picture becomes network input [the model's own]
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Use a recipe other than the model was trained with
    #[arg(long)]
    pub allow_recipe_mismatch: bool,
    /// Images a forward pass
    #[arg(long, visible_alias = "lfw-batch-size", default_value_t = 90)]
    pub batch_size: usize,
    /// cpu or cuda:N
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// How the model computes
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Threads that decode images
    #[arg(long, default_value_t = 4)]
    pub loader_threads: usize,
    /// Bounds on one image
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Flags of `evaluate`.
#[derive(Clone, Debug, Args)]
pub struct EvaluateArgs {
    /// Model folder
    #[arg(long, value_parser = path, required_unless_present = "embeddings")]
    pub model: Option<PathBuf>,
    /// Stored embeddings instead: safetensors with `embeddings` and `issame`, or with `paths` and --pairs
    #[arg(long, value_parser = path, conflicts_with_all = OF_A_MODEL)]
    pub embeddings: Option<PathBuf>,
    /// Root of the images that the pairs name
    #[arg(long, value_parser = path)]
    pub lfw_dir: Option<PathBuf>,
    /// Pairs file [`pairs.txt` in --lfw-dir]
    #[arg(long, visible_alias = "pairs", value_parser = path)]
    pub lfw_pairs: Option<PathBuf>,
    /// Folds of the protocol [as many as the pairs file has; 10 without folds or file]
    #[arg(long, visible_alias = "nrof-folds")]
    pub lfw_nrof_folds: Option<usize>,
    /// Score only these folds of the pairs file, for example 9,10
    #[arg(long, value_parser = list_of_folds)]
    pub lfw_folds: Option<Folds>,
    /// Score the pairs whose images exist; the result is then not LFW
    #[arg(long)]
    pub allow_missing: bool,
    /// 0 squared L2, 1 angle between 0 and 1
    #[arg(long, visible_alias = "distance-metric", default_value = "0", value_parser = metric)]
    pub distance: Metric,
    /// Subtract the mean of the training folds' embeddings
    #[arg(long)]
    pub subtract_mean: bool,
    /// Add the mirrored image's embedding: concat or sum
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "concat", require_equals = true)]
    pub use_flipped_images: Option<FlipArg>,
    /// Score embeddings as they come back from storage, a line each: f32, f16 (two bytes a number),
    /// int8 (a byte a number, and a scale an embedding) [default: f32]
    #[arg(long, value_name = "FORM,...", value_delimiter = ',')]
    pub stored_as: Vec<Storage>,
    /// False accept rate at which the validation rate is read
    #[arg(long, allow_negative_numbers = true, default_value_t = 1e-3)]
    pub far_target: f64,
    /// Identification in place of pairs
    #[command(flatten)]
    pub identification: IdentificationArgs,
    /// The model in use
    #[command(flatten)]
    pub source: ModelArgs,
}

/// What stored embeddings have no use for: these act on a model and its images.
const OF_A_MODEL: [&str; 15] = [
    "model",
    "recipe",
    "centre_crop",
    "resize",
    "standardisation",
    "allow_recipe_mismatch",
    "batch_size",
    "device",
    "threads",
    "precision",
    "winograd",
    "loader_threads",
    "max_image_side",
    "max_image_mib",
    "use_flipped_images",
];

/// How an image's and its mirror image's embedding become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FlipArg {
    /// Side by side, twice as long: the reference's.
    Concat,
    /// Added and normalised again.
    Sum,
}

/// Flags of `embed`.
#[derive(Clone, Debug, Args)]
pub struct EmbedArgs {
    /// Image files, or folders of images or of identity folders
    #[arg(required = true, value_parser = path)]
    pub images: Vec<PathBuf>,
    /// Model folder
    #[arg(long, value_parser = path)]
    pub model: PathBuf,
    /// File to write; its ending chooses the format: .safetensors, .npy or .csv
    #[arg(long, short, value_parser = path)]
    pub output: PathBuf,
    /// The model in use
    #[command(flatten)]
    pub source: ModelArgs,
}

/// Flags of `pairs`.
#[derive(Clone, Debug, Args)]
pub struct PairsArgs {
    /// Folder of identity folders
    #[arg(value_parser = path)]
    pub folder: PathBuf,
    /// File to write
    #[arg(long, short, value_parser = path)]
    pub output: PathBuf,
    /// Folds; no person is in two
    #[arg(long, default_value_t = 10)]
    pub folds: u32,
    /// Pairs of each kind, same and different, in a fold
    #[arg(long, default_value_t = 300)]
    pub pairs_per_fold: u32,
    /// Only these people: a file of names, or `people.txt:9,10`
    #[arg(long, value_name = "FILE[:FOLDS]", value_parser = path_text)]
    pub people: Option<String>,
    /// Seed of the choice
    #[arg(long, default_value_t = 666)]
    pub seed: u64,
}

/// Flags of `synth`.
#[derive(Clone, Debug, Args)]
pub struct SynthArgs {
    /// Folder to write, which must not exist yet
    #[arg(value_parser = path)]
    pub folder: PathBuf,
    /// Identities
    #[arg(long, default_value_t = 100)]
    pub identities: u32,
    /// Pictures of each
    #[arg(long, default_value_t = 10)]
    pub images: u32,
    /// Side of a picture, in pixels
    #[arg(long, default_value_t = 112)]
    pub side: u32,
    /// Folds of the pairs file
    #[arg(long, default_value_t = 10)]
    pub folds: u32,
    /// Pairs of each kind in a fold
    #[arg(long, default_value_t = 30)]
    pub pairs_per_fold: u32,
    /// Seed of the faces
    #[arg(long, default_value_t = 666)]
    pub seed: u64,
}

/// Flags of `completions`.
#[derive(Clone, Copy, Debug, Args)]
pub struct CompletionsArgs {
    /// Shell to complete in
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Where pages go: what `--help` begins with.
const MAN_EXAMPLE: &str = "Write manual pages, one for each command

Example: facenet man --output man/man1

`man --manpath man facenet-train` then shows one.";

/// Flags of `man`.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// Folder to write into, made where it is missing
    #[arg(long, short, value_name = "DIR", value_parser = path)]
    pub output: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
