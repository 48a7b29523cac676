#![doc = include_str!("../README.md")]

mod checkup;
mod decode;
mod error;
mod folder;
mod format;
mod limits;
mod loader;
mod people;
mod picture;
mod png;
mod prepare;
mod quarantine;
mod recipe;
mod skipped;
mod synth;
mod transform;
mod wide;

pub use checkup::{CheckConfig, Checkup, Fault, Finding};
pub use decode::{decode_bytes, decode_bytes_part, decode_file, decode_file_part};
pub use error::DatasetError;
pub use folder::{Folder, Identity};
pub use limits::DecodeLimits;
pub use loader::{Batch, Batches, DEFAULT_MAX_BAD_SHARE, Loader, LoaderConfig};
pub use people::people_list;
pub use picture::{Area, ImageId, Pictures, Portion, Rgb8};
pub use png::{encode_png, thumbnail, write_png};
pub use prepare::{Augment, Preprocess, flip_horizontal, prepare};
pub use quarantine::Quarantined;
pub use recipe::{Recipe, Standardisation};
pub use skipped::{SkipReason, Skipped};
pub use synth::Synthetic;
pub use transform::{crop_or_pad, resize, rotate};
