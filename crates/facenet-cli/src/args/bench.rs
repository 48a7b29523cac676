//! Flags of `bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use facenet_train::model::Architecture;
use facenet_train::optimizer::OptimizerKind;

use super::{BenchMineArgs, ComputeArgs};
use crate::values::{optimizer, path, positive, seconds};

/// Flags of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What to time.
    #[command(subcommand)]
    pub what: BenchCommand,
}

/// What can be timed.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Time training steps on one batch of random images: forward, triplet loss, backward, update
    Train(BenchWorkArgs),
    /// Time embedding one batch of random images
    Forward(BenchWorkArgs),
    /// Time loading images of --data-dir: decode, random crop, random flip, standardise
    Load(BenchWorkArgs),
    /// Time triplet selection: on drawn unit rows, or on those of a file
    Mine(BenchMineArgs),
}

/// Flags of `bench train`, `forward` and `load`; those that one has no use for are ignored.
#[derive(Clone, Debug, Args)]
pub struct BenchWorkArgs {
    /// Network: `inception_resnet_v1` or `mobilefacenet`
    #[arg(long, default_value_t = Architecture::InceptionResnetV1)]
    pub model_def: Architecture,
    /// Side of the network's input, in pixels
    #[arg(long, default_value_t = 160, value_parser = positive)]
    pub image_size: usize,
    /// Length of an embedding
    #[arg(long, default_value_t = 128, value_parser = positive)]
    pub embedding_size: usize,
    /// Images of a step or a pass; in training a multiple of 3
    #[arg(long, default_value_t = 90, value_parser = positive)]
    pub batch_size: usize,
    /// ADAGRAD, ADADELTA, ADAM, RMSPROP or MOM
    #[arg(long, default_value_t = OptimizerKind::Adagrad, value_parser = optimizer)]
    pub optimizer: OptimizerKind,
    /// Folder of identity folders, for load: its first 1,000 images
    #[arg(long, value_parser = path)]
    pub data_dir: Option<PathBuf>,
    /// Seed of weights, images and augmentation
    #[arg(long, default_value_t = 666)]
    pub seed: u64,
    /// How it computes
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Timed calls at least, after two to warm up
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = positive)]
    pub repeats: usize,
    /// Seconds to time for at least
    #[arg(long, default_value = "2.5", value_parser = seconds)]
    pub seconds: f64,
}
