//! Proof that a file no longer holds what was to be removed.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use memchr::memmem::Finder;

use crate::GalleryError;
use crate::file::load;

/// Bytes that are searched at a time.
const CHUNK: usize = 1 << 20;

/// A template of fewer bytes may be found by chance, across others' values.
const SHORTEST: usize = 32;

/// Reads a gallery's file again: nobody has the name, no template is one of `rows`, and nowhere in
/// the file, at any offset, are the bytes of one of them.
///
/// - `rows`: `[n, dim]` of the gallery, none of which anybody left in it has
pub(crate) fn prove_absent(path: &Path, name: &str, rows: &[f32]) -> Result<(), GalleryError> {
    let still_there = |found| {
        Err(GalleryError::StillThere {
            path: path.to_owned(),
            name: name.to_owned(),
            found,
        })
    };
    let gallery = load(path)?;
    if gallery.has(name) {
        return still_there("the name");
    }
    let bytes: Vec<u8> = rows.iter().flat_map(|value| value.to_le_bytes()).collect();
    let removed: Vec<&[u8]> = bytes.chunks_exact(4 * gallery.dim()).collect();
    let as_set: HashSet<&[u8]> = removed.iter().copied().collect();
    let is_removed = |row: &[f32]| {
        let row: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
        as_set.contains(row.as_slice())
    };
    if gallery.rows().chunks_exact(gallery.dim()).any(is_removed) {
        return still_there("a template");
    }
    let failed = |source| GalleryError::io(path, "read this gallery", source);
    let file = File::open(path).map_err(failed)?;
    if 4 * gallery.dim() >= SHORTEST && holds(file, &removed).map_err(failed)? {
        return still_there("the bytes of a template");
    }
    Ok(())
}

/// Whether one of `needles`, all of one length, is anywhere in `file`.
fn holds(mut file: impl Read, needles: &[&[u8]]) -> io::Result<bool> {
    let finders: Vec<Finder<'_>> = needles.iter().map(Finder::new).collect();
    let overlap = needles.first().map_or(0, |needle| needle.len() - 1);
    let mut window = Vec::with_capacity(overlap + CHUNK);
    loop {
        let n_read = file.by_ref().take(CHUNK as u64).read_to_end(&mut window)?;
        if n_read == 0 {
            return Ok(false);
        }
        if finders.iter().any(|finder| finder.find(&window).is_some()) {
            return Ok(true);
        }
        // What a needle may begin with is looked at again with what follows it.
        let seen = window.len().saturating_sub(overlap);
        window.drain(..seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Embedded, Gallery, Source, save};

    #[test]
    fn needles_are_found_at_any_offset_and_across_chunks() {
        let needle: Vec<u8> = (1..=64).collect();
        for at in [0, 1, CHUNK - 63, CHUNK - 1, CHUNK, 2 * CHUNK - 30] {
            let mut bytes = vec![0; 2 * CHUNK + 100];
            bytes[at..at + 64].copy_from_slice(&needle);
            let found = holds(&bytes[..], &[&[7; 64], &needle]).expect("memory");
            assert!(found, "{at}");
            bytes[at + 33] = 0;
            assert!(!holds(&bytes[..], &[&needle]).expect("memory"), "{at}");
        }
        assert!(!holds(&[0; 10][..], &[]).expect("memory"));
        assert!(!holds(&[][..], &[&needle]).expect("memory"));
    }

    /// A unit row without a repeated value.
    fn row(place: usize) -> Vec<f32> {
        let values: Vec<f32> = (0..8)
            .map(|at| ((at * 7 + place * 3) % 11 + 1) as f32)
            .collect();
        let norm = values.iter().map(|x| x * x).sum::<f32>().sqrt();
        values.into_iter().map(|x| x / norm).collect()
    }

    #[track_caller]
    fn check(name: &str, rows: &[f32], says: &str) {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("g");
        let source = Source {
            model: [0; 32],
            recipe: "r".into(),
        };
        let mut gallery = Gallery::new(source.clone(), 8).expect("eight values");
        let all = [row(0), row(1)].concat();
        let embedded = Embedded {
            source: &source,
            rows: &all,
        };
        gallery.enroll("Ann", embedded).expect("unit rows");
        save(&path, &gallery).expect("writable");
        let found = prove_absent(&path, name, rows);
        let found = found.map_or_else(|error| error.to_string(), |()| "absent".into());
        assert!(found.contains(says), "{found}");
    }

    /// The proof must fail where there is something to find: here nothing was removed.
    #[test]
    fn what_is_still_there_is_found() {
        check("Bob", &row(2), "absent");
        check("Ann", &row(2), "the name of \"Ann\" is still found");
        check("Bob", &row(1), "a template of \"Bob\"");
        // The end of one row and the beginning of the next: no template, and found all the same.
        let across = [&row(0)[1..], &row(1)[..1]].concat();
        check("Bob", &across, "the bytes of a template");
    }
}
