#![doc = include_str!("../README.md")]

#[cfg(feature = "networks")]
mod checkpoint;
mod embeddings;
#[cfg(feature = "networks")]
mod events;
mod gallery;
mod graph;
#[cfg(feature = "networks")]
mod import;
#[cfg(feature = "networks")]
mod model_config;
mod pairs;
mod people;
mod picture;
mod recipe;
#[cfg(feature = "networks")]
mod schedule;
mod state_dict;
#[cfg(feature = "networks")]
mod stored;
mod target;
mod wire;

pub use target::{SEEDS, TARGETS, Target, begin, run};
