//! Unreadable images: remembered, counted, and passed over up to a share.

use serde::Serialize;

use crate::picture::ImageId;

/// An image that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quarantined {
    /// The image.
    pub image: ImageId,
    /// Its path, or what its source calls it.
    pub name: String,
    /// Why, with the path, on one line.
    pub reason: String,
}
