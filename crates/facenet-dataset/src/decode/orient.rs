//! The EXIF orientation.

use image::metadata::Orientation;

use crate::picture::Rgb8;

/// Turns and mirrors a picture so that it is upright.
pub(super) fn upright(picture: Rgb8, orientation: Orientation) -> Rgb8 {
    let (w, h) = (picture.width, picture.height);
    // Where the pixel of output row y, column x comes from, as (row, column).
    match orientation {
        Orientation::NoTransforms => picture,
        Orientation::FlipHorizontal => gather(&picture, w, h, |y, x| (y, w - 1 - x)),
        Orientation::Rotate180 => gather(&picture, w, h, |y, x| (h - 1 - y, w - 1 - x)),
        Orientation::FlipVertical => gather(&picture, w, h, |y, x| (h - 1 - y, x)),
        Orientation::Rotate90FlipH => gather(&picture, h, w, |y, x| (x, y)),
        Orientation::Rotate90 => gather(&picture, h, w, |y, x| (h - 1 - x, y)),
        Orientation::Rotate270FlipH => gather(&picture, h, w, |y, x| (h - 1 - x, w - 1 - y)),
        Orientation::Rotate270 => gather(&picture, h, w, |y, x| (x, w - 1 - y)),
    }
}

fn gather(
    from: &Rgb8,
    width: usize,
    height: usize,
    source: impl Fn(usize, usize) -> (usize, usize),
) -> Rgb8 {
    let mut pixels = Vec::with_capacity(from.pixels.len());
    for y in 0..height {
        for x in 0..width {
            let (row, column) = source(y, x);
            let at = 3 * (row * from.width + column);
            pixels.extend_from_slice(&from.pixels[at..at + 3]);
        }
    }
    Rgb8 {
        width,
        height,
        pixels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The upright picture is rows `abc`, `def`; `stored` is how a camera held in this
    /// orientation stores it (EXIF 2.32, tag 274).
    #[track_caller]
    fn check(exif: u8, stored: [&str; 2], columns: usize) {
        let letters: String = stored.concat();
        let picture = Rgb8 {
            width: columns,
            height: 6 / columns,
            pixels: letters.bytes().flat_map(|letter| [letter; 3]).collect(),
        };
        let orientation = Orientation::from_exif(exif).expect("1 to 8");
        let found = upright(picture, orientation);
        let text: Vec<u8> = found.pixels.iter().step_by(3).copied().collect();
        assert_eq!((found.width, found.height), (3, 2));
        assert_eq!(
            String::from_utf8_lossy(&text),
            "abcdef",
            "orientation {exif}"
        );
    }

    #[test]
    fn orientations_without_a_quarter_turn() {
        check(1, ["abc", "def"], 3);
        check(2, ["cba", "fed"], 3); // row 0 is the top, column 0 the right
        check(3, ["fed", "cba"], 3); // bottom, right
        check(4, ["def", "abc"], 3); // bottom, left
    }

    #[test]
    fn orientations_with_a_quarter_turn() {
        check(5, ["adb", "ecf"], 2); // row 0 is the left side, column 0 the top
        check(6, ["cfb", "ead"], 2); // right, top
        check(7, ["fce", "bda"], 2); // right, bottom
        check(8, ["dae", "bfc"], 2); // left, bottom
    }
}
