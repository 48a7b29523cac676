//! A folder looked through for what would make training on it slow, unfair or wrong.

mod faults;
mod finding;
mod look;
mod near;
mod print;

use std::path::{Path, PathBuf};

pub use finding::{Fault, Finding};

use crate::error::DatasetError;
use crate::folder::Folder;
use crate::loader::DEFAULT_MAX_BAD_SHARE;
use look::{Look, Looked, look_at};

/// Default of [`CheckConfig::min_side`]: networks take inputs of 96 to 160 pixels, and a face of
/// fewer than 32 would be enlarged threefold and more.
const DEFAULT_MIN_SIDE: u32 = 32;

/// How a folder is looked through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CheckConfig {
    /// A picture with a smaller side is tiny, in pixels.
    pub min_side: u32,
    /// Share of unreadable images above which a run would stop, as the loader counts it.
    pub max_bad_share: f64,
    /// Threads that decode.
    pub threads: usize,
}

impl Default for CheckConfig {
    fn default() -> Self {
        Self {
            min_side: DEFAULT_MIN_SIDE,
            max_bad_share: DEFAULT_MAX_BAD_SHARE,
            threads: 4,
        }
    }
}

/// A folder, every image of which was decoded once.
///
/// Held are some 400 bytes an image, and no picture.
#[derive(Debug)]
pub struct Checkup {
    folder: Folder,
    config: CheckConfig,
    /// Of the folder's images, in order.
    files: Vec<File>,
}

/// An image file of the folder.
#[derive(Debug)]
struct File {
    path: PathBuf,
    /// Index of the identity.
    identity: usize,
    looked: Looked,
}

impl File {
    fn look(&self) -> Option<&Look> {
        self.looked.as_ref().ok()
    }
}

impl Checkup {
    /// Reads and decodes every image of the folder.
    ///
    /// - `progress`: called with images done and their number
    ///
    /// # Errors
    /// [`DatasetError::Thread`] where a thread cannot be started. An image that cannot be read is
    /// a [`Finding`].
    pub fn of(
        folder: Folder,
        config: CheckConfig,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, DatasetError> {
        let images = || {
            let identities = folder.identities.iter().enumerate();
            identities
                .flat_map(|(identity, one)| one.images.iter().map(move |path| (identity, path)))
        };
        let paths: Vec<&Path> = images().map(|(_, path)| path.as_path()).collect();
        let looks = look_at(&paths, folder.limits(), config.threads, progress)?;
        let files = images().zip(looks).map(|((identity, path), looked)| File {
            path: path.clone(),
            identity,
            looked,
        });
        Ok(Self {
            files: files.collect(),
            config,
            folder,
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Images that can be read, with the index of their identity, in the folder's order.
    pub fn readable(&self) -> impl Iterator<Item = (usize, &Path)> {
        let readable = self.files.iter().filter(|file| file.looked.is_ok());
        readable.map(|file| (file.identity, file.path.as_path()))
    }

    /// What is wrong, by kind and then in the folder's order.
    ///
    /// - exact duplicates have one SHA-256 of the file;
    /// - near duplicates have difference hashes (dHash: 9 x 8 cells of mean luma, 64 bits) that
    ///   differ in at most 3 bits, and 16 x 16 cells of mean luma that differ by at most 3 levels
    ///   of 255 on average, each picture's mean taken off. Links of these two kinds connect a set.
    ///   Pictures that are nearly one colour are odd, and near nothing.
    ///
    /// Grave are a picture under two names, more unreadable images than a run passes over, and a
    /// folder without two identities or without an identity of two readable images.
    pub fn findings(&self) -> Vec<Finding> {
        faults::findings(self)
    }

    /// Pictures of this folder that are in the other too, by the same bytes or nearly the same
    /// pixels, as [`findings`](Self::findings) defines them. All are grave: what is trained on
    /// cannot be scored on.
    pub fn shared_with(&self, other: &Self) -> Vec<Finding> {
        faults::shared(self, other)
    }
}
