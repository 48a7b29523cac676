//! Files that no gallery wrote: an error each time, never a crash.

use std::path::Path;

use facenet_gallery::{GalleryError, load, save};
use proptest::prelude::*;

use crate::people::{gallery, unit_rows};

/// The bytes of a sound gallery.
fn sound(n_rows: usize, dim: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = folder.path().join("g");
    save(&path, &gallery(&unit_rows(n_rows, dim, 9), dim, 3)).expect("writable");
    std::fs::read(&path).expect("just written")
}

fn loaded(bytes: &[u8]) -> Result<usize, GalleryError> {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = folder.path().join("g");
    std::fs::write(&path, bytes).expect("writable");
    load(&path).map(|gallery| gallery.n_templates())
}

/// An error is one of the file's, not of the system's: no allocation was tried that failed.
fn is_of_the_file(error: &GalleryError) -> bool {
    matches!(
        error,
        GalleryError::NotAGallery { .. }
            | GalleryError::Version { .. }
            | GalleryError::Damaged { .. }
    )
}

#[test]
fn every_cut_is_told() {
    let bytes = sound(4, 3);
    assert_eq!(loaded(&bytes).expect("sound"), 4);
    for len in 0..bytes.len() {
        let error = loaded(&bytes[..len]).expect_err("cut");
        assert!(is_of_the_file(&error), "{len}: {error}");
    }
}

#[test]
fn every_flipped_bit_is_told() {
    let bytes = sound(4, 3);
    for bit in 0..8 * bytes.len() {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let error = loaded(&bytes).expect_err("one bit is wrong");
        assert!(is_of_the_file(&error), "{bit}: {error}");
    }
}

#[test]
fn what_follows_a_gallery_is_told() {
    let mut bytes = sound(2, 3);
    bytes.push(0);
    let message = loaded(&bytes).expect_err("too long").to_string();
    assert!(message.contains("damaged gallery"), "{message}");
}

#[test]
fn another_format_is_named() {
    let mut bytes = sound(2, 3);
    bytes[8] = 2;
    let message = loaded(&bytes).expect_err("format 2").to_string();
    assert!(message.contains("format 2, expected 1"), "{message}");
}

#[test]
fn an_absent_file_is_the_systems_error() {
    let error = load(Path::new("/no/such/gallery")).expect_err("absent");
    assert!(matches!(error, GalleryError::Io { .. }), "{error}");
}

proptest! {
    /// Overwritten, cut and grown at random: told, and never a gallery.
    #[test]
    fn mutations_are_told(
        n_rows in 0usize..6,
        dim in 1usize..5,
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..9)), 1..4),
        len in prop::option::of(0usize..400),
    ) {
        let original = sound(n_rows, dim);
        let mut bytes = original.clone();
        for (at, with) in edits {
            let at = at.index(bytes.len());
            let end = bytes.len().min(at + with.len());
            bytes[at..end].copy_from_slice(&with[..end - at]);
        }
        if let Some(len) = len {
            bytes.resize(len, 0);
        }
        let error = loaded(&bytes).err();
        prop_assert!(error.as_ref().map_or(bytes == original, is_of_the_file), "{:?}", error);
    }

    /// Any bytes behind the beginning of a gallery, and lengths of any size.
    #[test]
    fn arbitrary_headers_are_told(
        dim in prop::sample::select(vec![0u32, 1, 2, 128, 65_536, 65_537, u32::MAX]),
        counts in prop::array::uniform4(prop::sample::select(vec![0u64, 1, 7, 1 << 32, 1 << 62, u64::MAX])),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut bytes = sound(0, 1)[..12].to_vec();
        bytes.extend(dim.to_le_bytes());
        bytes.extend(counts.iter().flat_map(|count| count.to_le_bytes()));
        bytes.extend(rest);
        let error = loaded(&bytes).expect_err("its checksum is no one's");
        prop_assert!(is_of_the_file(&error), "{}", error);
    }
}
