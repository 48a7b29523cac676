//! Files of embeddings as the miner maps them.

use std::io::Write as _;

use facenet_miner::EmbeddingFile;
use tempfile::NamedTempFile;

/// Maps a file's rows, and reads the first and the last of them.
pub(crate) fn run(bytes: &[u8]) {
    let mut file = NamedTempFile::new().expect("a scratch file");
    file.write_all(bytes).expect("writable");
    let Ok(file) = EmbeddingFile::open_safetensors(file.path(), "embeddings") else {
        return;
    };
    let rows = file.embeddings();
    assert!(4 * rows.len() * rows.dim() <= bytes.len());
    if let Some(last) = rows.len().checked_sub(1) {
        assert_eq!(rows.row(0).len(), rows.row(last).len());
    }
}

/// Two rows of three numbers, with labels beside them; and none.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let tensors = "{\"embeddings\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},\
                   \"labels\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[24,26]}}";
    let none = "{\"embeddings\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[0,0]}}";
    vec![file(tensors, 26), file(none, 0)]
}

/// A header, padded so that rows are aligned, and so many bytes.
fn file(header: &str, bytes: usize) -> Vec<u8> {
    let mut header = header.to_owned();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(std::iter::repeat_n(0x3c, bytes));
    file
}
