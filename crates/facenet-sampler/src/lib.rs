#![doc = include_str!("../README.md")]

mod code;
mod config;
mod deal;
mod draw;
mod error;
mod look_alike;
mod sample;
mod sampler;

pub use code::{CODE_BYTES, Code, Coder};
pub use config::SamplerConfig;
pub use deal::WINDOW;
pub use draw::{ChaChaDraw, Draw};
pub use error::SamplerError;
pub use look_alike::{LookAlikeConfig, LookAlikePlace, LookAlikes};
pub use sample::{Sample, sample_people};
pub use sampler::Sampler;
