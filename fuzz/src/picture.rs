//! Pictures of every kind that is decoded: JPEG, PNG, PNM and `WebP`.

use std::path::Path;

use facenet_dataset::{DecodeLimits, Synthetic, decode_bytes, write_png};
use facenet_dataset::{ImageId, Pictures};

/// Bounds that hold a picture of the seeds, and little more.
const LIMITS: DecodeLimits = DecodeLimits {
    max_side: 512,
    max_bytes: 1 << 20,
};

/// Decodes within limits: a picture then has all its pixels.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(picture) = decode_bytes(bytes, Path::new("fuzz"), &LIMITS) else {
        return;
    };
    assert!(picture.width <= 512 && picture.height <= 512);
    assert_eq!(picture.pixels.len(), 3 * picture.width * picture.height);
}

/// The golden pictures, which are drawn; a PNG of a face that nobody has; the text forms.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = golden();
    let people = Synthetic {
        identities: 1,
        images_per_identity: 1,
        first_identity: 0,
        side: 16,
        seed: 1,
    };
    let id = ImageId {
        identity: 0,
        image: 0,
    };
    let face = people.load(id).expect("it is drawn");
    let file = tempfile::NamedTempFile::new().expect("a scratch file");
    write_png(file.path(), &face).expect("writable");
    seeds.push(std::fs::read(file.path()).expect("just written"));
    seeds.push(b"P5 2 2 255\n\x00\x40\x80\xff".to_vec());
    seeds.push(b"P6\n# drawn\n1 2\n255\n\x00\x40\x80\xff\x01\x02".to_vec());
    seeds
}

/// The pictures of the golden cases, wherever above this crate they lie.
fn golden() -> Vec<Vec<u8>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = here.ancestors().map(|at| at.join("fixtures/golden/image"));
    let folder = folders.find(|folder| folder.is_dir());
    let entries = std::fs::read_dir(folder.expect("golden cases")).expect("readable");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|ending| ending == "jpg" || ending == "png")
        })
        .collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| std::fs::read(path).expect("readable");
    paths.iter().map(read).collect()
}
