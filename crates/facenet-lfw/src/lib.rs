#![doc = include_str!("../README.md")]

mod deck;
mod distance;
mod draw;
mod error;
mod exact;
mod flip;
mod folds;
mod interval;
mod make;
mod name;
mod pairs;
mod parse;
mod protocol;
mod report;
mod resolve;
mod roc;
mod share;
mod val;

pub use distance::{Metric, distances};
pub use error::LfwError;
pub use exact::Exact;
pub use flip::{Flip, combine_flipped};
pub use folds::Folds;
pub use make::{PairsConfig, Person, make_pairs};
pub use name::{ImageKey, ImageName};
pub use pairs::{Pair, Pairs};
pub use protocol::{DEFAULT_FAR_TARGET, DEFAULT_FOLDS, ProtocolConfig, evaluate};
pub use report::Report;
pub use resolve::{Distinct, EXTENSIONS, MissingPolicy, Resolved, resolve};
pub use roc::Roc;
pub use val::ValStatus;
