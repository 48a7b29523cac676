//! Galleries of enrolled templates.

use std::io::Write as _;

use facenet_gallery::{Embedded, Gallery, Source, load, save};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

/// Bytes of the checksum that a gallery ends with.
const CHECKSUM: usize = 32;

/// Reads a gallery as it is, and under a checksum that fits.
pub(crate) fn run(bytes: &[u8]) {
    check(bytes);
    if let Some(end) = bytes.len().checked_sub(CHECKSUM) {
        let sum = Sha256::digest(&bytes[..end]);
        check(&[&bytes[..end], &sum[..]].concat());
    }
}

/// What is read has a row a template.
fn check(bytes: &[u8]) {
    let mut file = NamedTempFile::new().expect("a scratch file");
    file.write_all(bytes).expect("writable");
    let Ok(gallery) = load(file.path()) else {
        return;
    };
    assert_eq!(gallery.rows().len(), gallery.n_templates() * gallery.dim());
    assert_eq!(gallery.owners().len(), gallery.n_templates());
    assert!(4 * gallery.rows().len() <= bytes.len());
}

/// One of two people, and an empty one.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let source = Source {
        model: [5; 32],
        recipe: "160 pixels".into(),
    };
    let mut gallery = Gallery::new(source.clone(), 2).expect("a dimension");
    let empty = bytes_of(&gallery);
    for (name, rows) in [("a", [1.0, 0.0]), ("b", [0.6, 0.8]), ("a", [0.0, -1.0])] {
        let embedded = Embedded {
            source: &source,
            rows: &rows,
        };
        gallery.enroll(name, embedded).expect("a unit row");
    }
    vec![bytes_of(&gallery), empty]
}

fn bytes_of(gallery: &Gallery) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = folder.path().join("gallery");
    save(&path, gallery).expect("writable");
    std::fs::read(path).expect("just written")
}
