//! A decoded picture, and where pictures come from.

use serde::{Deserialize, Serialize};

use crate::error::DatasetError;

/// A decoded picture: 8-bit RGB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb8 {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `[height, width, 3]` row-major; `3 * width * height` bytes.
    pub pixels: Vec<u8>,
}

impl Rgb8 {
    /// Refuses a picture whose pixels do not fit its sides, or that has none.
    ///
    /// # Errors
    /// [`DatasetError::Shape`].
    pub fn check(&self) -> Result<(), DatasetError> {
        let expected = self.width.saturating_mul(self.height).saturating_mul(3);
        if self.pixels.len() == expected && expected > 0 {
            return Ok(());
        }
        Err(DatasetError::Shape {
            what: "pixels of a picture",
            found: self.pixels.len(),
            expected: expected.max(3),
        })
    }
}

/// One image of a set of pictures.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ImageId {
    /// Dense index of the identity, from 0.
    pub identity: u32,
    /// Index of the image within its identity, from 0.
    pub image: u32,
}

/// A set of pictures by identity: a folder, a renderer, or whatever else can produce them.
pub trait Pictures: Send + Sync {
    /// Reads or draws one picture; the same `image` gives the same picture each time.
    ///
    /// # Errors
    /// [`DatasetError`] when the picture cannot be had: a [`Loader`](crate::Loader)
    /// quarantines it.
    fn load(&self, image: ImageId) -> Result<Rgb8, DatasetError>;

    /// How many images each identity has, by identity index.
    fn sizes(&self) -> Vec<u32>;

    /// What `image` is called in messages: a path, or such as `synth:12/3`.
    fn name(&self, image: ImageId) -> String;

    /// What an identity is called in messages.
    fn identity_name(&self, identity: u32) -> String;
}
