//! Event files, which TensorBoard reads.

use std::io::Write as _;

use facenet_train::{EventWriter, read_events};
use tempfile::NamedTempFile;

/// Reads an event file as it is, and the bytes as one event, under checksums that fit.
pub(crate) fn run(bytes: &[u8]) {
    check(bytes);
    let length = (bytes.len() as u64).to_le_bytes();
    let [length_crc, crc] = [&length, bytes].map(masked_crc);
    check(&[&length, &length_crc[..], bytes, &crc].concat());
}

/// `TFRecord`'s checksum: CRC-32C, rotated and moved.
fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    let crc = crc32c::crc32c(bytes).rotate_right(15);
    crc.wrapping_add(0xa282_ead8).to_le_bytes()
}

/// A record is sixteen bytes longer than its event.
fn check(bytes: &[u8]) {
    let mut file = NamedTempFile::new().expect("a scratch file");
    file.write_all(bytes).expect("writable");
    if let Ok(events) = read_events(file.path()) {
        assert!(16 * events.len() <= bytes.len());
    }
}

/// A file of two steps, and an event of it.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut writer = EventWriter::create(folder.path(), 1.0).expect("writable");
    for step in 0..2 {
        let values = [("train/loss", 0.5), ("train/rate", 0.25)];
        writer.write(2.0, step, &values).expect("writable");
    }
    let file = std::fs::read(writer.path()).expect("just written");
    let length = u64::from_le_bytes(*file.first_chunk().expect("a record"));
    let second = &file[16 + length as usize..];
    let length = u64::from_le_bytes(*second.first_chunk().expect("a record"));
    vec![second[12..12 + length as usize].to_vec(), file]
}
