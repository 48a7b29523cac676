//! Bytes as a gallery, whoever wrote them.
//!
//! Lengths are checked against the file's before anything of their size is allocated: what a file
//! makes this allocate is its own length, and some 100 bytes for each of its names, which take
//! five in the file at least.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use crate::gallery::{check_name, first_not_unit};
use crate::header::{CHECKSUM, Fault, HEADER, Header};
use crate::{Gallery, Source};

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 16;

/// Why bytes are no gallery.
#[derive(Debug)]
pub(crate) enum Reason {
    Io(io::Error),
    NotAGallery(&'static str),
    Version(u32),
    Damaged(String),
}

impl From<io::Error> for Reason {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("it ends early".into()),
            _ => Self::Io(error),
        }
    }
}

/// Reads a gallery.
///
/// - `len`: bytes that there are
pub(crate) fn decode(from: &mut impl Read, len: u64) -> Result<Gallery, Reason> {
    if len < HEADER as u64 {
        return Err(Reason::NotAGallery("it is too short"));
    }
    let mut from = Hashed {
        from,
        sum: Sha256::new(),
    };
    let mut bytes = [0; HEADER];
    from.fill(&mut bytes)?;
    let header = Header::parse(&bytes).map_err(|fault| match fault {
        Fault::Magic => Reason::NotAGallery("it does not begin as one"),
        Fault::Version(found) => Reason::Version(found),
        Fault::Dim(found) => Reason::Damaged(format!("{found} values a template")),
    })?;
    check_lengths(&header, len)?;
    let n_values = header.n_templates as usize * header.dim as usize;
    let rows = from.words(n_values, f32::from_le_bytes)?;
    let owners = from.words(header.n_templates as usize, u32::from_le_bytes)?;
    let mut recipe = vec![0; header.recipe as usize];
    from.fill(&mut recipe)?;
    let mut names = vec![0; header.names as usize];
    from.fill(&mut names)?;
    from.verify()?;
    assemble(&header, recipe, &names, owners, rows)
}

/// What the header says must be the file, to the byte; and no count may be beyond what the
/// sections can hold.
fn check_lengths(header: &Header, len: u64) -> Result<(), Reason> {
    let expected = header.file_len();
    if u128::from(len) != expected {
        let found = format!("{len} bytes, expected {expected}");
        return Err(Reason::Damaged(found));
    }
    let counts = [header.n_templates, header.n_identities];
    if counts[0] >= u64::from(u32::MAX) || counts[1] > counts[0] {
        let found = format!("{} identities of {} templates", counts[1], counts[0]);
        return Err(Reason::Damaged(found));
    }
    Ok(())
}

/// The sections as a gallery, if they are one.
fn assemble(
    header: &Header,
    recipe: Vec<u8>,
    names: &[u8],
    owners: Vec<u32>,
    rows: Vec<f32>,
) -> Result<Gallery, Reason> {
    let damaged = |found: &str| Reason::Damaged(found.to_owned());
    let recipe = String::from_utf8(recipe).map_err(|_| damaged("its recipe is not UTF-8"))?;
    let source = Source {
        model: header.model,
        recipe,
    };
    let dim = header.dim as usize;
    let mut gallery = Gallery::new(source, dim).map_err(|error| damaged(&error.to_string()))?;
    add_names(&mut gallery, names, header.n_identities)?;
    let mut has_template = vec![false; gallery.names().len()];
    for &owner in &owners {
        let known = has_template.get_mut(owner as usize);
        *known.ok_or_else(|| damaged("a template of nobody"))? = true;
    }
    if has_template.contains(&false) {
        return Err(damaged("a name without a template"));
    }
    if let Some((row, sq_norm)) = first_not_unit(&rows, dim) {
        let found = format!("template {row} has a squared norm of {sq_norm}");
        return Err(Reason::Damaged(found));
    }
    gallery.set_templates(owners, rows);
    Ok(gallery)
}

fn add_names(gallery: &mut Gallery, mut bytes: &[u8], n_identities: u64) -> Result<(), Reason> {
    let damaged = |found: &str| Reason::Damaged(found.to_owned());
    for _ in 0..n_identities {
        let (len, rest) = bytes
            .split_first_chunk()
            .ok_or_else(|| damaged("too few names"))?;
        let len = u32::from_le_bytes(*len) as usize;
        let name = rest.split_at_checked(len);
        let (name, rest) = name.ok_or_else(|| damaged("a name beyond the names"))?;
        let name = std::str::from_utf8(name).map_err(|_| damaged("a name is not UTF-8"))?;
        check_name(name).map_err(|error| damaged(&error.to_string()))?;
        if gallery.has(name) {
            return Err(damaged("a name twice"));
        }
        gallery.add_name(name.to_owned());
        bytes = rest;
    }
    if bytes.is_empty() {
        Ok(())
    } else {
        Err(damaged("more names than identities"))
    }
}

/// A reader that sums what it gives.
struct Hashed<'a, R> {
    from: &'a mut R,
    sum: Sha256,
}

impl<R: Read> Hashed<'_, R> {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.from.read_exact(bytes)?;
        self.sum.update(bytes);
        Ok(())
    }

    /// Reads `n` words of four bytes.
    fn words<T>(&mut self, n: usize, word: fn([u8; 4]) -> T) -> io::Result<Vec<T>> {
        let mut words = Vec::with_capacity(n);
        let mut chunk = vec![0; CHUNK];
        while words.len() < n {
            let bytes = &mut chunk[..CHUNK.min(4 * (n - words.len()))];
            self.fill(bytes)?;
            words.extend(bytes.as_chunks().0.iter().copied().map(word));
        }
        Ok(words)
    }

    /// Compares the sum of all that was read with the one that follows it.
    fn verify(self) -> Result<(), Reason> {
        let mut expected = [0; CHECKSUM];
        self.from.read_exact(&mut expected)?;
        if self.sum.finalize()[..] == expected {
            Ok(())
        } else {
            Err(Reason::Damaged("its checksum is of other bytes".into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Embedded;
    use crate::encode::encode;

    fn bytes() -> Vec<u8> {
        let source = Source {
            model: [9; 32],
            recipe: "r".into(),
        };
        let mut gallery = Gallery::new(source.clone(), 1).expect("one value");
        for (name, rows) in [("Ann", &[1.0, -1.0][..]), ("Bob", &[-1.0])] {
            let source = &source;
            let embedded = Embedded { source, rows };
            gallery.enroll(name, embedded).expect("unit rows");
        }
        let mut bytes = vec![];
        encode(&gallery, &mut bytes).expect("memory");
        bytes
    }

    /// The bytes with some replaced, under a checksum that fits: what only a hostile writer makes.
    fn forged(at: usize, with: &[u8]) -> Vec<u8> {
        let mut bytes = bytes();
        bytes[at..at + with.len()].copy_from_slice(with);
        let end = bytes.len() - CHECKSUM;
        let sum = Sha256::digest(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum);
        bytes
    }

    #[track_caller]
    fn check(bytes: &[u8], says: &str) {
        let reason = decode(&mut &bytes[..], bytes.len() as u64).expect_err("no gallery");
        let found = format!("{reason:?}");
        assert!(found.contains(says), "{found}");
    }

    #[test]
    fn a_gallery_is_read_as_it_was_written() {
        let bytes = bytes();
        let gallery = decode(&mut &bytes[..], bytes.len() as u64).expect("a gallery");
        assert_eq!(gallery.names(), ["Ann", "Bob"]);
        let mut again = vec![];
        encode(&gallery, &mut again).expect("memory");
        assert_eq!(again, bytes);
    }

    #[test]
    fn forged_sections_are_told() {
        // Rows begin at 80, owners at 92, the recipe at 104, names at 105 and 112.
        check(&forged(80, &[0; 4]), "template 0 has a squared norm of 0");
        check(&forged(80, &f32::NAN.to_le_bytes()), "squared norm of NaN");
        check(&forged(92, &[2]), "a template of nobody");
        check(&forged(100, &[0]), "a name without a template");
        check(&forged(104, &[0xff]), "its recipe is not UTF-8");
        check(&forged(108, &[0xff]), "a name beyond the names");
        check(&forged(109, &[0xff]), "a name is not UTF-8");
        check(&forged(109, b"\n"), "control characters");
        check(&forged(109, b"Bob"), "a name twice");
        check(&forged(24, &[1]), "more names than identities");
        check(&forged(24, &[3]), "too few names");
    }

    #[test]
    fn lying_lengths_are_told_before_anything_is_read() {
        check(&forged(16, &[0xff; 8]), "bytes, expected");
        check(&forged(24, &[0xff; 8]), "identities of 3 templates");
        check(&forged(32, &[0xff; 8]), "bytes, expected");
        check(&forged(12, &[2]), "bytes, expected");
        check(&forged(12, &[0]), "0 values a template");
        check(&bytes()[..79], "too short");
        check(&bytes()[..100], "bytes, expected");
        // A length that the system reports and then does not give.
        let bytes = bytes();
        let reason = decode(&mut &bytes[..90], bytes.len() as u64).expect_err("cut");
        assert!(format!("{reason:?}").contains("ends early"), "{reason:?}");
    }
}
