//! Flags of `mine` and `bench mine`.

use std::path::PathBuf;

use clap::Args;
use facenet_train::miner::{
    DEFAULT_CUTOFF, DEFAULT_MARGIN, DEFAULT_MAX_TRIPLETS, DEFAULT_NONZERO_LOSS_CUTOFF, MineDevice,
    NegativeChoice, Rule,
};

use crate::values::{path, positive};

/// How triplets are chosen.
#[derive(Clone, Debug, Args)]
pub struct RuleArgs {
    /// Mining rule: violating, semi-hard, distance-weighted, batch-hard or batch-all
    #[arg(long, default_value_t = Rule::Violating)]
    pub rule: Rule,
    /// Triplet margin, in squared L2
    #[arg(long, visible_alias = "alpha", default_value_t = DEFAULT_MARGIN)]
    pub margin: f32,
    /// Seed of the random draws
    #[arg(long, default_value_t = 666)]
    pub seed: u64,
    /// Which admissible negative of a pair: random or closest
    #[arg(long, default_value_t = NegativeChoice::Random)]
    pub negative: NegativeChoice,
    /// How many of the nearest rows of other labels to give for every row, besides the triplets
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub hardest_negatives: usize,
    /// With distance-weighted, batch-hard and batch-all, only triplets that violate the margin
    #[arg(long)]
    pub only_violating: bool,
    /// With distance-weighted, L2 distance (not squared) below which negatives weigh no more
    #[arg(long, value_name = "L2", default_value_t = DEFAULT_CUTOFF)]
    pub cutoff: f32,
    /// With distance-weighted, L2 distance from which negatives are not drawn; above --cutoff and below 2
    #[arg(long, value_name = "L2", default_value_t = DEFAULT_NONZERO_LOSS_CUTOFF)]
    pub nonzero_loss_cutoff: f32,
    /// Most triplets that may be collected
    #[arg(long, default_value_t = DEFAULT_MAX_TRIPLETS)]
    pub max_triplets: usize,
    /// cpu or cuda:N; without such a GPU, the CPU, with the same triplets
    #[arg(long, default_value_t = MineDevice::Cpu)]
    pub device: MineDevice,
    /// Threads on the CPU [as many as it has]
    #[arg(long, value_parser = positive)]
    pub threads: Option<usize>,
}

/// Flags of `mine`.
#[derive(Clone, Debug, Args)]
pub struct MineArgs {
    /// Safetensors file: `embeddings` [n, dim] in f32, and whole numbers: `labels`, one a row, or `counts`, the rows of each identity in turn
    #[arg(long, value_name = "FILE", value_parser = path)]
    pub embeddings: PathBuf,
    /// Give the --hardest-negatives alone, a line a row as they are found on the CPU; the file may be larger than memory
    #[arg(long, requires = "hardest_negatives")]
    pub stream: bool,
    /// How triplets are chosen
    #[command(flatten)]
    pub rule: RuleArgs,
}

/// Flags of `bench mine`.
#[derive(Clone, Debug, Args)]
pub struct BenchMineArgs {
    /// Identities drawn; 45 as the reference's --people-per-batch
    #[arg(long, default_value_t = 45, value_parser = positive, conflicts_with = "embeddings")]
    pub people: usize,
    /// Rows of each
    #[arg(long, default_value_t = 40, value_parser = positive, conflicts_with = "embeddings")]
    pub images: usize,
    /// Numbers of a row
    #[arg(long, default_value_t = 128, value_parser = positive, conflicts_with = "embeddings")]
    pub dim: usize,
    /// Time on this file, as of `facenet mine`, and not on drawn rows
    #[arg(long, value_name = "FILE", value_parser = path)]
    pub embeddings: Option<PathBuf>,
    /// Time the search for --hardest-negatives alone, without triplets
    #[arg(long, requires = "hardest_negatives")]
    pub search_only: bool,
    /// Timed calls at least; there are more until 2 seconds have passed
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive)]
    pub repeats: usize,
    /// How triplets are chosen
    #[command(flatten)]
    pub rule: RuleArgs,
}
