//! A gallery as bytes.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use crate::Gallery;
use crate::header::Header;

/// Values that are turned to bytes at a time.
const CHUNK: usize = 1 << 14;

/// Writes a gallery in the current format.
pub(crate) fn encode(gallery: &Gallery, to: &mut impl Write) -> io::Result<()> {
    let mut to = Hashed {
        to,
        sum: Sha256::new(),
    };
    to.put(&header(gallery).to_bytes())?;
    let mut bytes = Vec::with_capacity(4 * CHUNK);
    for values in gallery.rows().chunks(CHUNK) {
        bytes.clear();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        to.put(&bytes)?;
    }
    for owners in gallery.owners().chunks(CHUNK) {
        bytes.clear();
        bytes.extend(owners.iter().flat_map(|owner| owner.to_le_bytes()));
        to.put(&bytes)?;
    }
    to.put(gallery.source().recipe.as_bytes())?;
    for name in gallery.names() {
        to.put(&(name.len() as u32).to_le_bytes())?;
        to.put(name.as_bytes())?;
    }
    to.to.write_all(&to.sum.finalize())
}

/// What a gallery's header says.
pub(crate) fn header(gallery: &Gallery) -> Header {
    let names = gallery.names().iter().map(|name| 4 + name.len() as u64);
    Header {
        dim: gallery.dim() as u32,
        n_templates: gallery.n_templates() as u64,
        n_identities: gallery.names().len() as u64,
        names: names.sum(),
        recipe: gallery.source().recipe.len() as u64,
        model: gallery.source().model,
    }
}

/// A writer that sums what it passes on.
struct Hashed<'a, W> {
    to: &'a mut W,
    sum: Sha256,
}

impl<W: Write> Hashed<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.to.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Embedded, Source};

    /// The format, written out: whoever changes it changes [`crate::VERSION`] too.
    #[test]
    fn the_bytes_are_the_documented_ones() {
        let source = Source {
            model: [9; 32],
            recipe: "r".into(),
        };
        let mut gallery = Gallery::new(source.clone(), 1).expect("one value");
        let embedded = Embedded {
            source: &source,
            rows: &[1.0, -1.0],
        };
        gallery.enroll("Ann", embedded).expect("unit rows");
        let mut found = vec![];
        encode(&gallery, &mut found).expect("memory");
        let mut expected = b"FACEGAL\n\x01\0\0\0\x01\0\0\0".to_vec();
        for count in [2u64, 1, 7, 1] {
            expected.extend(count.to_le_bytes());
        }
        expected.extend([9; 32]);
        expected.extend([1.0f32.to_le_bytes(), (-1.0f32).to_le_bytes()].concat());
        expected.extend([0; 8]);
        expected.extend(b"r\x03\0\0\0Ann");
        expected.extend(Sha256::digest(&expected));
        assert_eq!(found, expected);
        assert_eq!(header(&gallery).file_len(), found.len() as u128);
    }
}
