//! No pictures in version control: the ones this project meets show real people.

use super::finding::Finding;
use super::tree::Tree;

/// The only place: synthetic reference pictures.
const PERMITTED: &str = "fixtures/golden/";

/// Endings of picture files, lower case.
const ENDINGS: [&str; 12] = [
    ".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".pgm", ".ppm", ".pnm", ".tif", ".tiff",
    ".avif",
];

/// First bytes of picture files, whatever their name: JPEG, PNG, GIF, PGM, PPM, TIFF twice.
const BEGINNINGS: [&[u8]; 7] = [
    b"\xff\xd8\xff",
    b"\x89PNG",
    b"GIF8",
    b"P5\n",
    b"P6\n",
    b"II*\0",
    b"MM\0*",
];

/// Pictures, by name or by content, outside the permitted folder.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let pictures = tree
        .files()
        .filter(|(path, bytes)| !path.starts_with(PERMITTED) && is_picture(path, bytes));
    let says = [
        "a picture",
        "pictures in fixtures/golden only",
        "remove it from version control",
    ];
    pictures
        .map(|(path, _)| Finding::new(path, 1, says))
        .collect()
}

fn is_picture(path: &str, bytes: &[u8]) -> bool {
    let path = path.to_ascii_lowercase();
    let webp = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
    webp || ENDINGS.iter().any(|ending| path.ends_with(ending))
        || BEGINNINGS
            .iter()
            .any(|beginning| bytes.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_known_by_name_and_by_content() {
        assert!(is_picture("a/B.JPG", b"") && is_picture("a/b.dat", b"\xff\xd8\xff\xe0"));
        assert!(is_picture("a", b"P5\n1 1\n") && is_picture("a", b"RIFF....WEBPVP8 "));
        assert!(!is_picture("a.md", b"PNG, GIF and P5 are formats") && !is_picture("a", b"RIFF"));
    }

    #[test]
    fn only_the_goldens_may_be_pictures() {
        let tree = Tree::of(&[("docs/face.png", ""), ("fixtures/golden/image/0.png", "")]);
        let found = check(&tree);
        assert!(
            matches!(&found[..], [finding] if finding.file == "docs/face.png"),
            "{found:?}"
        );
    }
}
