//! A checkup finds what was planted, and nothing that was not.

use std::fs;
use std::path::Path;

use facenet_dataset::{
    CheckConfig, Checkup, DecodeLimits, Fault, Folder, ImageId, Pictures, Rgb8, Synthetic, resize,
    write_png,
};

use crate::test_data::{files, real};

const SIDE: u32 = 80;

/// A scratch folder of identities.
struct Faces(tempfile::TempDir);

impl Faces {
    /// `p0` to `p7`, four pictures each, `0.png` to `3.png`.
    fn new() -> Self {
        let faces = Self(tempfile::tempdir().expect("a scratch folder"));
        for identity in 0..8 {
            for image in 0..4 {
                faces.put(&format!("p{identity}/{image}.png"), &face(identity, image));
            }
        }
        faces
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn put(&self, name: &str, picture: &Rgb8) {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().expect("below the root")).expect("created");
        write_png(&path, picture).expect("written");
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().expect("below the root")).expect("created");
        fs::write(path, bytes).expect("written");
    }

    fn copy(&self, from: &str, to: &str) {
        let bytes = fs::read(self.root().join(from)).expect("written before");
        self.write(to, &bytes);
    }

    fn checkup(&self, threads: usize) -> Checkup {
        let folder = Folder::scan(self.root(), &DecodeLimits::default()).expect("identities");
        let config = CheckConfig {
            threads,
            ..CheckConfig::default()
        };
        let mut seen = Vec::new();
        let mut progress = |done, total| seen.push((done, total));
        let checkup = Checkup::of(folder, config, &mut progress).expect("threads start");
        let n = seen.len();
        assert!(
            seen.into_iter().eq((1..=n).map(|done| (done, n))),
            "told in order"
        );
        checkup
    }

    /// `!kind: images: what` of each finding, paths below the root.
    fn told(&self, checkup: &Checkup) -> Vec<String> {
        let findings = checkup.findings();
        findings
            .iter()
            .map(|one| told(one, &[self.root()]))
            .collect()
    }
}

fn told(one: &facenet_dataset::Finding, roots: &[&Path]) -> String {
    let relative = |path: &Path| {
        let below = roots.iter().find_map(|root| path.strip_prefix(root).ok());
        below.expect("below a root").display().to_string()
    };
    let images: Vec<_> = one.images.iter().map(|path| relative(path)).collect();
    let grave = if one.is_grave { "!" } else { "" };
    format!("{grave}{}: {}: {}", one.fault, images.join(" "), one.what)
}

fn face(identity: u32, image: u32) -> Rgb8 {
    let people = Synthetic {
        identities: 100,
        images_per_identity: 8,
        first_identity: 0,
        side: SIDE,
        seed: 5,
    };
    people.load(ImageId { identity, image }).expect("drawn")
}

fn changed(picture: &Rgb8, change: impl Fn(u8) -> u8) -> Rgb8 {
    Rgb8 {
        pixels: picture.pixels.iter().map(|&level| change(level)).collect(),
        ..*picture
    }
}

#[test]
fn a_sound_folder_has_no_finding() {
    let faces = Faces::new();
    let checkup = faces.checkup(3);
    assert_eq!(faces.told(&checkup), [""; 0]);
    assert_eq!(checkup.readable().count(), 32);
}

#[test]
fn every_planted_fault_is_found_and_nothing_else() {
    let faces = Faces::new();
    faces.write("p0/broken.jpg", b"no picture");
    faces.write("p0/notes.txt", b"no picture");
    faces.put(
        "p1/tiny.png",
        &resize(&face(50, 0), 20, 24).expect("resized"),
    );
    faces.put(
        "p1/wide.png",
        &resize(&face(51, 0), 64, 200).expect("resized"),
    );
    faces.put("p1/blank.png", &changed(&face(52, 0), |_| 90));
    faces.put("p1/named.jpg", &face(53, 0));
    faces.put("p8/alone.png", &face(54, 0));
    faces.copy("p2/0.png", "p2/copy.png");
    faces.copy("p3/0.png", "p4/copy.png");
    faces.put(
        "p5/smaller.png",
        &resize(&face(5, 1), 50, 50).expect("resized"),
    );
    faces.put(
        "p7/brighter.png",
        &changed(&face(6, 2), |level| level.saturating_add(9)),
    );
    let checkup = faces.checkup(3);
    let expected = [
        "unreadable: p0/broken.jpg: a text is not read, expected JPEG, PNG, PGM, PPM or WebP; \
         convert it to one of these or remove it",
        "passed-over: p0/notes.txt: a text, not JPEG, PNG, PGM, PPM or WebP",
        "tiny: p1/tiny.png: 24 x 20 pixels, expected 32 a side or more",
        "odd: p1/blank.png: nearly one colour",
        "odd: p1/named.jpg: PNG in a file named as JPEG",
        "odd: p1/wide.png: 200 x 64 pixels, not the shape of a face",
        "single-image: p8/alone.png: one readable image of this identity",
        "duplicate: p2/0.png p2/copy.png: the same file, 2 times",
        "!duplicate: p3/0.png p4/copy.png: the same file under 2 names",
        "near-duplicate: p5/1.png p5/smaller.png: the same picture, 2 times",
        "!near-duplicate: p6/2.png p7/brighter.png: the same picture under 2 names",
    ];
    assert_eq!(faces.told(&checkup), expected);
    for threads in [1, 64] {
        assert_eq!(faces.checkup(threads).findings(), checkup.findings());
    }
}

#[test]
fn a_folder_that_cannot_be_trained_on_is_unfit() {
    let faces = Faces(tempfile::tempdir().expect("a scratch folder"));
    faces.put("a/1.png", &face(0, 0));
    faces.write("a/2.png", b"broken");
    faces.write("b/1.png", b"broken too");
    let told = faces.told(&faces.checkup(2));
    let parts = [
        "!unfit: : fewer than two identities can be read",
        "!unfit: : no identity has two readable images",
        "!unfit: : 2 of 3 images cannot be read, expected at most 1: ",
        "unreadable: a/2.png: ",
        "unreadable: b/1.png: ",
        "single-image: a/1.png: one readable",
        "single-image: b/1.png: no readable",
    ];
    assert_eq!(told.len(), parts.len(), "{told:#?}");
    for (told, part) in told.iter().zip(parts) {
        assert!(told.starts_with(part), "{told}, expected {part}");
    }
}

#[test]
fn what_is_trained_on_and_scored_on_is_found_by_bytes_and_by_pixels() {
    let (train, test) = (
        Faces::new(),
        Faces(tempfile::tempdir().expect("a scratch folder")),
    );
    test.put("x/own.png", &face(60, 0));
    test.put("x/same.png", &face(3, 1));
    test.put("y/like.png", &resize(&face(4, 2), 64, 60).expect("resized"));
    let (own, other) = (train.checkup(2), test.checkup(2));
    let found = own.shared_with(&other);
    let told: Vec<_> = found
        .iter()
        .map(|one| told(one, &[train.root(), test.root()]))
        .collect();
    let root = test.root().display();
    let expected = [
        format!("!overlap: p3/1.png x/same.png: the same file as one of {root}"),
        format!("!overlap: p4/2.png y/like.png: the same picture as one of {root}"),
    ];
    assert_eq!(told, expected);
}

/// Broken files are unreadable, each by name; odd ones are read, and some of them named.
#[test]
fn hostile_files_are_named() {
    let Some(hostile) = real("hostile") else {
        return;
    };
    let faces = Faces(tempfile::tempdir().expect("a scratch folder"));
    for name in ["broken", "odd_valid"] {
        for path in files(&hostile.join(name)) {
            let file = path
                .file_name()
                .and_then(|file| file.to_str())
                .expect("a name");
            faces.write(
                &format!("{name}/{file}"),
                &fs::read(&path).expect("readable"),
            );
        }
    }
    let told = faces.told(&faces.checkup(2));
    let count = |start: &str| told.iter().filter(|one| one.starts_with(start)).count();
    assert_eq!(
        count("unreadable: broken/"),
        files(&hostile.join("broken")).len()
    );
    assert_eq!(count("unreadable: odd_valid/"), 0, "{told:#?}");
    for start in [
        "!unfit: : fewer than two",
        "passed-over: odd_valid/animated.gif: GIF",
        "tiny: odd_valid/one_pixel.png: 1 x 1 pixels",
        "odd: odd_valid/all_black.jpg: nearly one colour",
        "odd: odd_valid/one_pixel_high_4000x1.jpg: ",
        "odd: odd_valid/png_named.jpg: PNG in a file named as JPEG",
        "near-duplicate: ",
    ] {
        assert_ne!(count(start), 0, "{start}: {told:#?}");
    }
}

/// Real photographs: of one person, none of which is another's copy.
#[test]
fn photographs_of_the_same_people_are_no_copies() {
    let Some(root) = real("orl") else {
        return;
    };
    let folder = Folder::scan(&root, &DecodeLimits::default()).expect("identities");
    let checkup = Checkup::of(folder, CheckConfig::default(), &mut |_, _| ()).expect("threads");
    // What lies beside the identities' folders is told, and is no photograph.
    let findings = checkup.findings();
    let of_photographs: Vec<_> = findings
        .iter()
        .filter(|f| f.fault != Fault::PassedOver)
        .collect();
    assert!(of_photographs.is_empty(), "{of_photographs:?}");
}
