//! Embeddings with labels: from a file, or drawn.

mod drawn;
mod file;
mod header;

pub(crate) use drawn::drawn;
pub(crate) use file::{map, read};

/// Rows to mine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Batch {
    /// `[n, dim]`, row-major.
    pub(crate) rows: Vec<f32>,
    /// Numbers of a row.
    pub(crate) dim: usize,
    /// `[n]`, dense: identities are numbered from 0 as they first appear.
    pub(crate) labels: Vec<u32>,
}
