#![doc = include_str!("../README.md")]

mod admission;
mod batch_all;
mod batch_hard;
mod chacha;
mod choice;
mod closest;
mod config;
#[cfg(feature = "cuda")]
mod cuda;
#[doc(hidden)]
pub mod device;
mod distance_weighted;
mod draw;
mod embeddings;
mod error;
mod extremes;
mod gallery;
mod half_index;
mod half_tile;
mod halves;
mod ladder;
mod lanes;
mod marks;
mod miner;
mod mmap;
mod nearest;
mod pair_rules;
mod problem;
pub mod roofline;
mod row;
mod scan;
mod simd;
mod slack;
mod statistics;
mod tile;
mod triplet;
mod weights;

pub use config::{
    DEFAULT_CUTOFF, DEFAULT_MARGIN, DEFAULT_MAX_TRIPLETS, DEFAULT_NONZERO_LOSS_CUTOFF, MineDevice,
    MinerConfig, NegativeChoice, Rule,
};
#[cfg(feature = "cuda")]
pub use cuda::cudarc;
#[cfg(feature = "cuda")]
#[doc(hidden)]
pub use cuda::{CudaDevice, compile};
pub use draw::Draw;
pub use embeddings::{Embeddings, sq_l2};
pub use error::MineError;
pub use half_index::HalfIndex;
pub use miner::Miner;
pub use mmap::{EmbeddingFile, RowLayout};
pub use statistics::{Quantiles, Statistics};
pub use triplet::{HardNegatives, Hardest, Mined, Neighbour, Pair, Triplet};
