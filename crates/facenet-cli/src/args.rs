//! Every flag of every command.

mod bench;
mod cluster;
mod compute;
mod course;
mod doctor;
mod foreign;
mod identification;
mod loss;
mod mine;
mod norms;
mod people;
mod preset;
mod run;
mod sampler;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use facenet_train::dataset::{DecodeLimits, Standardisation};
use facenet_train::lfw::Metric;
use facenet_train::miner::{NegativeChoice, Rule};
use facenet_train::model::Architecture;
use facenet_train::optimizer::OptimizerKind;
use facenet_train::{Leftover, MiningMode, Storage, Strategy};

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
pub use run::RunArgs;
pub use sampler::SamplerArgs;

use crate::values::{list_of_folds, metric, named, optimizer, path, path_text};

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
    Train(Box<TrainArgs>),
    /// Score a model, or stored embeddings, on verification pairs
    Evaluate(EvaluateArgs),
    /// Write the embeddings of images
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
    Pairs(PairsArgs),
    /// Write synthetic identities as folders, with a pairs file
    Synth(SynthArgs),
    /// Choose triplets among stored embeddings
    Mine(MineArgs),
    /// Look through a training folder for what would make training on it wrong
    #[command(long_about = doctor::DOCTOR_EXAMPLE)]
    Doctor(DoctorArgs),
    /// Time a part of the work on this machine
    Bench(BenchArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Write manual pages, one for each command
    #[command(long_about = MAN_EXAMPLE)]
    Man(ManArgs),
}

/// Flags of `train`. A flag not given has the reference's default with --data-dir, and the
/// demo's without; the underscore spelling of each is understood.
#[derive(Clone, Debug, Args)]
pub struct TrainArgs {
    /// Folder of identity folders [without it: synthetic identities and small sizes]
    #[arg(long, value_parser = path, help_heading = "Data")]
    pub data_dir: Option<PathBuf>,
    /// What flags that are not given stand at, with --data-dir
    #[arg(
        long,
        value_enum,
        default_value_t,
        requires = "data_dir",
        help_heading = "Data"
    )]
    pub preset: Preset,
    /// Train only on these people: a file of names, or LFW's people.txt with folds, `people.txt:1-8`
    #[arg(long, value_name = "FILE[:FOLDS]", value_parser = path_text, help_heading = "Data")]
    pub train_people: Option<String>,
    /// Never train on these people; same forms
    #[arg(long, value_name = "FILE[:FOLDS]", value_parser = path_text, help_heading = "Data")]
    pub exclude_people: Option<String>,
    /// Share of unreadable images above which the run stops, of those met so far counted as at
    /// least 500 (or all, of fewer); a single one stops it only with 0
    #[arg(long, allow_negative_numbers = true, help_heading = "Data")]
    pub max_bad_share: Option<f64>,
    /// Bounds on one image
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Synthetic identities to train on, without --data-dir
    #[arg(long, help_heading = "Data")]
    pub synthetic_identities: Option<u32>,
    /// Pictures of each synthetic identity
    #[arg(long, help_heading = "Data")]
    pub synthetic_images: Option<u32>,
    /// Unseen synthetic identities to score on
    #[arg(long, help_heading = "Data")]
    pub synthetic_test_identities: Option<u32>,

    /// How a picture becomes network input
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Side of the network's input, in pixels
    #[arg(long, help_heading = "Preprocessing")]
    pub image_size: Option<usize>,
    /// Cut the input at a random place
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          help_heading = "Preprocessing")]
    pub random_crop: Option<bool>,
    /// Mirror half of the inputs
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          help_heading = "Preprocessing")]
    pub random_flip: Option<bool>,
    /// Rotate inputs by up to 10 degrees either way
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          help_heading = "Preprocessing")]
    pub random_rotate: Option<bool>,

    /// Network: `inception_resnet_v1` or `mobilefacenet`
    #[arg(long, help_heading = "Model")]
    pub model_def: Option<Architecture>,
    /// Length of an embedding
    #[arg(long, help_heading = "Model")]
    pub embedding_size: Option<usize>,
    /// Share of activations that dropout keeps before the bottleneck
    #[arg(long, allow_negative_numbers = true, help_heading = "Model")]
    pub keep_probability: Option<f64>,
    /// Share of the new batch in batch norm's running statistics (the reference's decay .995 is 0.005)
    #[arg(long, allow_negative_numbers = true, help_heading = "Model")]
    pub bn_momentum: Option<f64>,
    /// Start from this model folder's weights
    #[arg(long, value_parser = path, help_heading = "Model")]
    pub pretrained_model: Option<PathBuf>,
    /// What its batch norms go by
    #[command(flatten)]
    pub norms: NormArgs,

    /// Identities sampled a round
    #[arg(long, help_heading = "Mining")]
    pub people_per_batch: Option<usize>,
    /// Images of each identity, at most
    #[arg(long, help_heading = "Mining")]
    pub images_per_person: Option<usize>,
    /// Which identities share a round
    #[command(flatten)]
    pub sampling: SamplerArgs,
    /// Mining rule: violating, semi-hard, distance-weighted, batch-hard or batch-all
    #[arg(long, help_heading = "Mining")]
    pub rule: Option<Rule>,
    /// Which admissible negative of a pair: random or closest
    #[arg(long, help_heading = "Mining")]
    pub negative: Option<NegativeChoice>,
    /// With distance-weighted, batch-hard and batch-all, only triplets that violate the margin
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          help_heading = "Mining")]
    pub only_violating: Option<bool>,
    /// Most triplets that batch-all may collect a round
    #[arg(long, help_heading = "Mining")]
    pub max_triplets: Option<usize>,
    /// What a step minimises
    #[command(flatten)]
    pub loss: LossArgs,
    /// Batch-norm statistics while mining: running (eval) or the batch's (train, the reference's)
    #[arg(long, value_parser = named::<MiningMode>, help_heading = "Mining")]
    pub mining_mode: Option<MiningMode>,
    /// Mined triplets left at an epoch's end: drop or carry
    #[arg(long, value_parser = named::<Leftover>, help_heading = "Mining")]
    pub leftover: Option<Leftover>,
    /// Rounds in a row without a triplet that end the run
    #[arg(long, help_heading = "Mining")]
    pub max_empty_rounds: Option<u32>,

    /// How a round's triplets become steps: one-pass, a step a round on all of them; reference,
    /// many steps [default: one-pass; reference with --batch-size]
    #[arg(long, value_parser = named::<Strategy>, help_heading = "Training")]
    pub strategy: Option<Strategy>,
    /// With one-pass, most images that go through the network at once
    #[arg(long, help_heading = "Training")]
    pub chunk_size: Option<usize>,
    /// With reference, images of a training step, a multiple of 3
    #[arg(long, help_heading = "Training")]
    pub batch_size: Option<usize>,
    /// Optimizer steps of an epoch, exactly
    #[arg(long, help_heading = "Training")]
    pub epoch_size: Option<u64>,
    /// Epochs
    #[arg(long, help_heading = "Training")]
    pub max_nrof_epochs: Option<u64>,
    /// ADAGRAD, ADADELTA, ADAM, RMSPROP or MOM
    #[arg(long, value_parser = optimizer, help_heading = "Training")]
    pub optimizer: Option<OptimizerKind>,
    /// Adam's epsilon
    #[arg(long, allow_negative_numbers = true, help_heading = "Training")]
    pub adam_epsilon: Option<f64>,
    /// Learning rate; zero or negative reads the schedule file
    #[arg(long, allow_negative_numbers = true, help_heading = "Training")]
    pub learning_rate: Option<f64>,
    /// Epochs between two decays of the rate
    #[arg(long, help_heading = "Training")]
    pub learning_rate_decay_epochs: Option<u64>,
    /// Factor of each decay
    #[arg(long, allow_negative_numbers = true, help_heading = "Training")]
    pub learning_rate_decay_factor: Option<f64>,
    /// Lines `epoch: rate`, for --learning-rate 0 or below
    #[arg(long, value_parser = path, help_heading = "Training")]
    pub learning_rate_schedule_file: Option<PathBuf>,
    /// How the rate goes
    #[command(flatten)]
    pub course: CourseArgs,
    /// L2 decay of convolution and linear weights
    #[arg(long, allow_negative_numbers = true, help_heading = "Training")]
    pub weight_decay: Option<f64>,
    /// Decay of the weights' moving average
    #[arg(long, allow_negative_numbers = true, help_heading = "Training")]
    pub moving_average_decay: Option<f64>,
    /// Seed of every random draw
    #[arg(long, help_heading = "Training")]
    pub seed: Option<u64>,

    /// Root of the LFW images; '' scores nothing
    #[arg(long, help_heading = "Scoring")]
    pub lfw_dir: Option<String>,
    /// Pairs file
    #[arg(long, visible_alias = "pairs", value_parser = path, help_heading = "Scoring")]
    pub lfw_pairs: Option<PathBuf>,
    /// Folds of the protocol [as many as the pairs file has; 10 for a file without folds]
    #[arg(long, visible_alias = "nrof-folds", help_heading = "Scoring")]
    pub lfw_nrof_folds: Option<usize>,
    /// Score only these folds of the pairs file, for example 9,10
    #[arg(long, value_parser = list_of_folds, help_heading = "Scoring")]
    pub lfw_folds: Option<Folds>,
    /// Score the pairs whose images exist; the result is then not LFW
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          help_heading = "Scoring")]
    pub allow_missing: Option<bool>,

    /// cpu or cuda:N
    #[arg(long, help_heading = "Running")]
    pub device: Option<String>,
    /// Share of the device's memory that may be used
    #[arg(long, allow_negative_numbers = true, help_heading = "Running")]
    pub gpu_memory_fraction: Option<f64>,
    /// How the network computes
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Threads that decode images
    #[arg(long, help_heading = "Running")]
    pub loader_threads: Option<usize>,
    /// Parent of the run's log folder
    #[arg(long, value_parser = path, help_heading = "Running")]
    pub logs_base_dir: Option<PathBuf>,
    /// Parent of the run's model folder
    #[arg(long, value_parser = path, help_heading = "Running")]
    pub models_base_dir: Option<PathBuf>,
    /// Steps between checkpoints within an epoch
    #[arg(long, help_heading = "Running")]
    pub checkpoint_every: Option<u64>,
    /// Go on from this run's model folder, or from one of its checkpoints
    #[arg(long, value_parser = path, help_heading = "Running")]
    pub resume: Option<PathBuf>,
    /// How far the run goes
    #[command(flatten)]
    pub run: RunArgs,
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
