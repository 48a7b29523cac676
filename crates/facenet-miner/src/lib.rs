#![doc = include_str!("../README.md")]

mod admission;
mod batch_all;
mod batch_hard;
mod chacha;
mod config;
mod draw;
mod embeddings;
mod error;
mod lanes;
mod marks;
mod miner;
mod pair_rules;
mod problem;
mod row;
mod scan;
mod simd;
mod slack;
mod statistics;
mod tile;
mod triplet;

pub use config::{DEFAULT_MARGIN, DEFAULT_MAX_TRIPLETS, MinerConfig, NegativeChoice, Rule};
pub use draw::Draw;
pub use embeddings::{Embeddings, sq_l2};
pub use error::MineError;
pub use miner::Miner;
pub use statistics::{Quantiles, Statistics};
pub use triplet::{Hardest, Mined, Neighbour, Pair, Triplet};
