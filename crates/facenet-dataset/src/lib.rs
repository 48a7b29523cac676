#![doc = include_str!("../README.md")]

mod error;
mod picture;
mod quarantine;
mod synth;

pub use error::DatasetError;
pub use picture::{ImageId, Pictures, Rgb8};
pub use quarantine::Quarantined;
pub use synth::Synthetic;
