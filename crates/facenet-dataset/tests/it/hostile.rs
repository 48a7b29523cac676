//! Files made to break a reader: each a pinned picture or a pinned error.

use std::path::Path;
use std::sync::Arc;

use facenet_dataset::{
    Augment, DatasetError, DecodeLimits, Folder, ImageId, Loader, LoaderConfig, Pictures,
    Preprocess, Recipe, Rgb8, decode_file,
};

use crate::test_data::{files, real};

/// By file name: the picture's size and mean level, or the error without the path.
const BROKEN: [(&str, &str); 15] = [
    ("bad_crc.png", "cannot decode image"),
    (
        "bitflips.jpg",
        "damaged image: the compressed data end too early",
    ),
    (
        "bomb_header_2147483647x2147483647.png",
        "image is 2147483647x2147483647, ",
    ),
    (
        "bomb_header_60000x60000.png",
        "image is 60000x60000, 10800000000 bytes decoded",
    ),
    (
        "bomb_real_12000x12000_grey.png",
        "image is 12000x12000, 432000000 bytes decoded",
    ),
    ("html_error_page.jpg", "a text is not read"),
    (
        "huge_sof_65500x65500.jpg",
        "image is 65500x65500, 12870750000 bytes decoded",
    ),
    ("no_eoi.jpg", "damaged image: no end-of-image marker"),
    ("random_bytes.jpg", "a file of unknown format is not read"),
    ("soi_only.jpg", "cannot decode image"),
    ("text_renamed.jpg", "a text is not read"),
    (
        "truncated_half.jpg",
        "damaged image: no end-of-image marker",
    ),
    ("truncated_header.jpg", "cannot decode image"),
    ("zero_byte.jpg", "an empty file is not read"),
    ("zero_dim.png", "cannot decode image"),
];
const ODD: [(&str, &str); 27] = [
    ("UPPERCASE.JPG", "250x250 174"),
    ("all_black.jpg", "250x250 0"),
    ("alpha.png", "125x125 173"),
    ("animated.gif", "GIF is not read"),
    ("bilevel.png", "250x250 177"),
    ("cmyk.jpg", "250x250 174"),
    ("constant_grey.png", "160x160 128"),
    ("exif_orientation_3.jpg", "250x200 183"),
    ("exif_orientation_6.jpg", "250x200 183"),
    ("exif_orientation_8.jpg", "250x200 183"),
    ("exif_orientation_ref_upright.jpg", "250x200 183"),
    ("grey.jpg", "250x250 177"),
    ("grey16.png", "125x125 177"),
    ("grey_alpha.png", "125x125 176"),
    ("jpg_named.png", "250x250 174"),
    ("one_pixel.png", "1x1 73"),
    ("one_pixel_high_4000x1.jpg", "4000x1 90"),
    ("palette.png", "125x125 174"),
    ("palette_transparent.gif", "GIF is not read"),
    ("picture.bmp", "BMP is not read"),
    ("picture.tif", "TIFF is not read"),
    ("picture.webp", "125x125 174"),
    ("png_named.jpg", "125x125 173"),
    ("progressive.jpg", "250x250 174"),
    ("rgb16.png", "125x125 174"),
    ("subsampling_420.jpg", "250x250 174"),
    ("trailing_garbage.jpg", "250x250 174"),
];

fn mean(picture: &Rgb8) -> f64 {
    let sum: u64 = picture.pixels.iter().map(|&level| u64::from(level)).sum();
    sum as f64 / picture.pixels.len() as f64
}

/// What became of a file, in the words of the tables.
fn outcome(path: &Path) -> String {
    match decode_file(path, &DecodeLimits::default()) {
        Ok(picture) => format!("{}x{} {:.0}", picture.width, picture.height, mean(&picture)),
        Err(error) => {
            let text = error.to_string();
            let named = format!("{}: ", path.display());
            text.strip_prefix(&named)
                .expect("an error names its file")
                .to_owned()
        }
    }
}

#[track_caller]
fn check_folder(name: &str, expected: &[(&str, &str)]) {
    let Some(folder) = real("hostile") else {
        return;
    };
    let found = files(&folder.join(name));
    let names: Vec<_> = found
        .iter()
        .filter_map(|path| path.file_name()?.to_str())
        .collect();
    let pinned: Vec<_> = expected.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, pinned, "a file that is not pinned, or not there");
    for (path, (_, expected)) in found.iter().zip(expected) {
        let outcome = outcome(path);
        assert!(
            outcome.starts_with(expected),
            "{}: {outcome}",
            path.display()
        );
    }
}

#[test]
fn nothing_broken_is_taken_for_a_picture() {
    check_folder("broken", &BROKEN);
}

#[test]
fn what_is_odd_but_valid_decodes_or_is_named() {
    check_folder("odd_valid", &ODD);
}

#[test]
fn turned_pictures_are_upright() {
    let Some(folder) = real("hostile") else {
        return;
    };
    let decode = |name: &str| {
        let path = folder.join("odd_valid").join(name);
        decode_file(&path, &DecodeLimits::default()).expect("a good file")
    };
    let upright = decode("exif_orientation_ref_upright.jpg");
    for name in ["3", "6", "8"] {
        let turned = decode(&format!("exif_orientation_{name}.jpg"));
        let pairs = turned.pixels.iter().zip(&upright.pixels);
        let sum: u64 = pairs.map(|(x, y)| u64::from(x.abs_diff(*y))).sum();
        let difference = sum as f64 / upright.pixels.len() as f64;
        assert!(difference < 1.3, "{name}: {difference}"); // the bound that the files came with
    }
}

/// The same picture in other dress is nearly the same, pixel by pixel.
#[test]
fn formats_of_one_picture_agree() {
    let Some(folder) = real("hostile") else {
        return;
    };
    let decode = |name: &str| {
        let path = folder.join("odd_valid").join(name);
        decode_file(&path, &DecodeLimits::default()).expect("a good file")
    };
    for (name, other) in [
        ("progressive.jpg", "subsampling_420.jpg"),
        ("cmyk.jpg", "UPPERCASE.JPG"),
        ("trailing_garbage.jpg", "UPPERCASE.JPG"),
        ("rgb16.png", "palette.png"),
        ("picture.webp", "rgb16.png"),
    ] {
        let (x, y) = (decode(name), decode(other));
        let pairs = x.pixels.iter().zip(&y.pixels);
        let sum: u64 = pairs.map(|(x, y)| u64::from(x.abs_diff(*y))).sum();
        let difference = sum as f64 / x.pixels.len() as f64;
        assert!(difference < 6.0, "{name} and {other}: {difference}");
    }
}

/// The scan's view of `tree.tar`: identities with their images, and what is passed over.
const TREE: [&str; 7] = [
    "-rf 1",
    "Jose\u{301}_Nun\u{303}ez 1",
    "Jos\u{e9}_Nu\u{f1}ez 2",
    "Name With Spaces 2",
    "one_good_one_bad 2",
    "single_image 1",
    "\u{674e}\u{5c0f}\u{9f99} 1",
];
const TREE_SKIPPED: [&str; 16] = [
    ".hidden_person: hidden",
    "dangling_person: cannot be opened",
    "deep: no image in this folder",
    "deep/er: a folder within an identity folder",
    "empty_person: no image in this folder",
    "empty_person/.gitkeep: hidden",
    "loop: a link to a folder that is in the set, or above it",
    "loose_file_in_root.jpg: not in an identity folder",
    "mutual_a: cannot be opened",
    "mutual_b: cannot be opened",
    "one_good_one_bad/dangling_0003.jpg: cannot be opened",
    "only_junk: no image in this folder",
    "only_junk/.DS_Store: hidden",
    "only_junk/Thumbs.db: ",
    "only_junk/notes.txt: a text",
    "single_image/up: a folder within an identity folder",
];

/// `tree.tar`, unpacked.
fn tree() -> Option<(tempfile::TempDir, Folder)> {
    let archive = real("hostile")?.join("tree.tar");
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let file = std::fs::File::open(archive).expect("the archive");
    tar::Archive::new(file)
        .unpack(scratch.path())
        .expect("unpacked");
    let root = scratch.path().join("tree");
    let folder = Folder::scan(&root, &DecodeLimits::default()).expect("identities");
    Some((scratch, folder))
}

#[test]
fn a_hostile_tree_is_scanned() {
    let Some((_scratch, folder)) = tree() else {
        return;
    };
    let sizes = folder
        .identities
        .iter()
        .map(|one| format!("{} {}", one.name, one.images.len()));
    let mut expected = TREE;
    let mut found: Vec<_> = sizes.collect();
    assert!(found.is_sorted());
    // Which of the two names in NFC and NFD has two images is the archive's matter.
    found.sort_by_key(|line| line.trim_end_matches(['1', '2']).to_owned());
    expected.sort_by_key(|line| line.trim_end_matches(['1', '2']).to_owned());
    assert_eq!(found, expected);
    let skipped: Vec<_> = folder
        .skipped
        .iter()
        .map(|one| {
            let path = one.path.strip_prefix(&folder.root).expect("below the root");
            format!("{}: {}", path.display(), one.reason)
        })
        .collect();
    assert_eq!(skipped.len(), TREE_SKIPPED.len(), "{skipped:#?}");
    for (found, expected) in skipped.iter().zip(TREE_SKIPPED) {
        assert!(found.starts_with(expected), "{found}, expected {expected}");
    }
}

#[test]
fn a_hostile_tree_is_loaded_without_its_broken_image() {
    let Some((_scratch, folder)) = tree() else {
        return;
    };
    let ids: Vec<_> = (0u32..)
        .zip(folder.sizes())
        .flat_map(|(identity, n)| (0..n).map(move |image| ImageId { identity, image }))
        .collect();
    let preprocess = Preprocess {
        recipe: Recipe::named("facenet-fixed-160").expect("a known name"),
        side: 160,
        augment: Augment::default(),
    };
    let loader = Loader::new(Arc::new(folder), LoaderConfig::default()).expect("good settings");
    let batches = loader.stream(0, 0, ids.clone(), 4, &preprocess);
    let batches: Result<Vec<_>, DatasetError> = batches.collect();
    let n: usize = batches
        .expect("one bad image is passed over")
        .iter()
        .map(|b| b.ids.len())
        .sum();
    assert_eq!((ids.len(), n), (10, 9));
    let bad = loader.quarantined();
    assert_eq!(bad.len(), 1);
    assert!(
        bad[0].name.ends_with("one_good_one_bad/bad_0002.jpg"),
        "{}",
        bad[0].name
    );
    assert!(bad[0].reason.starts_with(&bad[0].name), "{}", bad[0].reason);
}

#[test]
fn real_photographs_all_decode() {
    let Some(root) = real("orl") else { return };
    let folder = Folder::scan(&root, &DecodeLimits::default()).expect("identities");
    assert_eq!(folder.sizes(), [10; 40]);
    for identity in 0..40 {
        for image in 0..10 {
            let picture = folder
                .load(ImageId { identity, image })
                .expect("a good file");
            assert_eq!((picture.width, picture.height), (92, 112));
        }
    }
}

/// One image of each of the first people: all of them would take minutes.
#[test]
fn strictness_passes_lfw() {
    let Some(root) = real("lfw") else { return };
    let folder = Folder::scan(&root, &DecodeLimits::default()).expect("identities");
    for identity in 0..400 {
        let id = ImageId { identity, image: 0 };
        let picture = folder.load(id).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((picture.width, picture.height), (250, 250));
    }
}
