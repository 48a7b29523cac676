//! Flags of `train`.

use std::path::PathBuf;

use clap::Args;
use facenet_train::miner::{NegativeChoice, Rule};
use facenet_train::model::Architecture;
use facenet_train::optimizer::OptimizerKind;
use facenet_train::{Leftover, MiningMode, Strategy};

use super::{
    ComputeArgs, CourseArgs, Folds, LimitArgs, LossArgs, NormArgs, Preset, RecipeArgs, RunArgs,
    SamplerArgs,
};
use crate::values::{list_of_folds, named, optimizer, path, path_text};

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
