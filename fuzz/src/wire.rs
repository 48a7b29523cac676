//! Protocol buffers' wire format, message in message.

use facenet_formats::{FieldWriter, Fields};

/// Messages in messages that are followed.
const DEEPEST: usize = 8;

/// Walks through all fields, of every part that may be a message too.
pub(crate) fn run(bytes: &[u8]) {
    walk(bytes, DEEPEST);
}

fn walk(bytes: &[u8], depth: usize) {
    let mut taken = 0;
    for field in Fields::new(bytes, 0) {
        let Ok(field) = field else { return };
        taken += 1;
        assert!(taken <= bytes.len(), "a field without a byte");
        if let (Some(inner), true) = (field.value.bytes(), depth > 0) {
            walk(inner, depth - 1);
        }
    }
}

/// A message with every kind of value.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let inner = FieldWriter::default().bytes(1, "text").float(2, 0.5);
    let outer = FieldWriter::default()
        .varint(1, u64::MAX)
        .message(3, inner)
        .float(500, -1.0);
    vec![outer.finish()]
}
