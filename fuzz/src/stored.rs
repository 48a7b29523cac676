//! Stored embeddings, as `facenet evaluate --embeddings` reads them.

use std::io::Write as _;

use facenet_train::Embedded;
use facenet_train::embeddings_file::{Format, Stored, write};
use tempfile::NamedTempFile;

/// Reads stored embeddings, which have no more numbers than the file bytes.
pub(crate) fn run(bytes: &[u8]) {
    let mut file = NamedTempFile::new().expect("a scratch file");
    file.write_all(bytes).expect("writable");
    if let Ok(stored) = Stored::read(file.path()) {
        assert!(stored.rows.len() <= bytes.len());
        assert!(stored.dim == 0 || stored.rows.len().is_multiple_of(stored.dim));
    }
}

/// Two rows of two images.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let embedded = Embedded {
        rows: vec![0.6, 0.8, 1.0, 0.0],
        dim: 2,
        paths: ["a/1.png", "b/1.png"].map(str::to_owned).into(),
        skipped: Vec::new(),
    };
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = folder.path().join("rows.safetensors");
    write(&path, Format::Safetensors, &embedded).expect("writable");
    vec![std::fs::read(path).expect("just written")]
}
