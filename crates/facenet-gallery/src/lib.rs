#![doc = include_str!("../README.md")]

mod decode;
mod encode;
mod error;
mod file;
mod gallery;
mod header;
mod lock;
mod proof;
mod search;
mod source;

pub use error::GalleryError;
pub use file::{Removed, forget, forget_on, load, save, save_on, update, update_on};
pub use gallery::{Enrolled, Forgotten, Gallery, MAX_NAME, check_name};
pub use header::{MAX_DIM, VERSION};
pub use search::{Identified, Match, Searcher};
pub use source::{Embedded, Source};
