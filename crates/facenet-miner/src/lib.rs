#![doc = include_str!("../README.md")]

mod admission;
mod batch_all;
mod batch_hard;
mod config;
#[cfg(feature = "cuda")]
mod cuda;
#[doc(hidden)]
pub mod device;
mod draw;
mod embeddings;
mod error;
mod miner;
mod pair_rules;
mod problem;
pub mod roofline;
mod row;
mod scan;
mod simd;
mod slack;
mod statistics;
mod triplet;

pub use config::{
    DEFAULT_MARGIN, DEFAULT_MAX_TRIPLETS, MineDevice, MinerConfig, NegativeChoice, Rule,
};
#[cfg(feature = "cuda")]
pub use cuda::cudarc;
#[cfg(feature = "cuda")]
#[doc(hidden)]
pub use cuda::{CudaDevice, compile};
pub use draw::Draw;
pub use embeddings::{Embeddings, sq_l2};
pub use error::MineError;
pub use miner::Miner;
pub use statistics::{Quantiles, Statistics};
pub use triplet::{Hardest, Mined, Neighbour, Pair, Triplet};
