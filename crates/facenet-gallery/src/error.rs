//! What can be wrong with a gallery, its file, or what is asked of it.

use std::io;
use std::path::{Path, PathBuf};

use facenet_files::FileError;

use crate::header::{MAX_DIM, VERSION};

/// Why a gallery cannot be read, written or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GalleryError {
    /// The file cannot be read.
    #[error("{}: cannot {what}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] FileError),
    /// A file is no gallery.
    #[error("{}: not a gallery: {found}; expected a file that enrolling has written", .path.display())]
    NotAGallery {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        found: &'static str,
    },
    /// A file is a gallery of another format.
    #[error(
        "{}: gallery of format {found}, expected {VERSION}; read it with the version that wrote \
         it, or enrol anew", .path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// A file is not as it was written.
    #[error("{}: damaged gallery: {found}; restore it, or enrol anew", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        found: String,
    },
    /// Embeddings of another model.
    #[error(
        "gallery: embeddings are of model {found}, expected {expected}, whose embeddings are \
         enrolled; use that model, or enrol everyone anew with this one"
    )]
    Model {
        /// The first bytes of the fingerprint given.
        found: String,
        /// Those of the gallery's.
        expected: String,
    },
    /// Embeddings of pictures that were prepared otherwise.
    #[error(
        "gallery: pictures were prepared by {found}, expected {expected}; prepare them as those \
         enrolled, or enrol everyone anew"
    )]
    Recipe {
        /// The recipe given.
        found: String,
        /// The gallery's.
        expected: String,
    },
    /// Rows have no dimension that a gallery can hold.
    #[error("gallery: embeddings of {found} values, expected 1 to {MAX_DIM}")]
    Dim {
        /// Values a row.
        found: usize,
    },
    /// Values are not whole rows.
    #[error("gallery: {len} values are not rows of {dim}; pass [n, {dim}] row-major")]
    Ragged {
        /// Values given.
        len: usize,
        /// Values a row of the gallery.
        dim: usize,
    },
    /// A row is no embedding.
    #[error(
        "gallery: embedding {row} has a squared norm of {sq_norm}, expected 1; normalise it, or \
         find out why the model gives it"
    )]
    NotUnit {
        /// Which of those given, from 0.
        row: usize,
        /// Its squared norm; NaN or infinite when a value is.
        sq_norm: f64,
    },
    /// A name cannot be one.
    #[error("gallery: {found:?} cannot be a name: {why}")]
    Name {
        /// The name given.
        found: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nobody of that name is enrolled.
    #[error("gallery: nobody named {name:?} is enrolled among {n_identities}; check the spelling")]
    Unknown {
        /// The name asked for.
        name: String,
        /// Identities that are enrolled.
        n_identities: usize,
    },
    /// Templates are numbered in 32 bits.
    #[error("gallery: more than {} templates; keep several galleries", u32::MAX - 1)]
    Full,
    /// What was to be removed is found in the file that was written.
    #[error(
        "{}: {found} of {name:?} is still found after removal; delete the file, and report this",
        .path.display()
    )]
    StillThere {
        /// The file.
        path: PathBuf,
        /// The name that was to go.
        name: String,
        /// What was found.
        found: &'static str,
    },
}

impl GalleryError {
    pub(crate) fn io(path: &Path, what: &'static str, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            what,
            source,
        }
    }
}
