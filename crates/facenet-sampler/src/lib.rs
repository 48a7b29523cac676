#![doc = include_str!("../README.md")]

mod config;
mod draw;
mod error;
mod sample;
mod sampler;

pub use config::SamplerConfig;
pub use draw::{ChaChaDraw, Draw};
pub use error::SamplerError;
pub use sample::{Sample, sample_people};
pub use sampler::Sampler;
