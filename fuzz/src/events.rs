//! Event files, which TensorBoard reads.

use std::io::Write as _;

use facenet_train::{EventWriter, read_events};
use tempfile::NamedTempFile;

/// Reads an event file; a record is sixteen bytes longer than its event.
pub(crate) fn run(bytes: &[u8]) {
    let mut file = NamedTempFile::new().expect("a scratch file");
    file.write_all(bytes).expect("writable");
    if let Ok(events) = read_events(file.path()) {
        assert!(16 * events.len() <= bytes.len());
    }
}

/// A file of two steps.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut writer = EventWriter::create(folder.path(), 1.0).expect("writable");
    for step in 0..2 {
        let values = [("train/loss", 0.5), ("train/rate", 0.25)];
        writer.write(2.0, step, &values).expect("writable");
    }
    vec![std::fs::read(writer.path()).expect("just written")]
}
