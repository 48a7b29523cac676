#![doc = include_str!("../README.md")]

mod decode;
mod durable;
mod encode;
mod error;
mod file;
mod gallery;
mod header;
mod proof;
mod search;
mod source;

pub use error::GalleryError;
pub use file::{Removed, forget, load, save, update};
pub use gallery::{Enrolled, Forgotten, Gallery, MAX_NAME};
pub use header::{MAX_DIM, VERSION};
pub use search::{Identified, Match, Searcher};
pub use source::{Embedded, Source};
