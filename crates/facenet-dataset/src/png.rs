//! Writing pictures.

use std::path::Path;

use facenet_files::{Disk, replace};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::error::DatasetError;
use crate::picture::Rgb8;
use crate::transform::resize;

/// Writes a picture as an 8-bit RGB PNG, whole, in place of any before it.
///
/// The bytes are a function of the picture.
///
/// # Errors
/// [`DatasetError::Shape`] when `picture` is ill-formed; [`DatasetError::Write`] when the file
/// cannot be written.
pub fn write_png(path: &Path, picture: &Rgb8) -> Result<(), DatasetError> {
    Ok(replace(&Disk, path, &encode_png(picture)?)?)
}

/// The bytes that [`write_png`] writes.
///
/// # Errors
/// [`DatasetError::Shape`] when `picture` is ill-formed.
///
/// # Panics
/// Never: memory takes what is written to it.
pub fn encode_png(picture: &Rgb8) -> Result<Vec<u8>, DatasetError> {
    picture.check()?;
    let mut bytes = Vec::new();
    let (width, height) = (picture.width as u32, picture.height as u32);
    PngEncoder::new(&mut bytes)
        .write_image(&picture.pixels, width, height, ExtendedColorType::Rgb8)
        .expect("a vector takes all, and the sizes fit");
    Ok(bytes)
}

/// A small copy for a page of pictures, as the bytes of a PNG.
///
/// Proportions are kept to a pixel, and nothing is made larger.
///
/// - `side`: of the longer side, in pixels
///
/// # Errors
/// [`DatasetError::Shape`] when `picture` is ill-formed or empty, or `side` is 0.
pub fn thumbnail(picture: &Rgb8, side: usize) -> Result<Vec<u8>, DatasetError> {
    let longer = picture.width.max(picture.height).max(1);
    let scaled = |own: usize| (own * side).div_ceil(longer).min(own);
    let small = resize(picture, scaled(picture.height), scaled(picture.width))?;
    encode_png(&small)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DecodeLimits, decode_bytes, decode_file};

    #[test]
    fn a_picture_comes_back() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("x.png");
        let picture = Rgb8 {
            width: 2,
            height: 1,
            pixels: vec![1, 2, 3, 250, 251, 252],
        };
        write_png(&path, &picture).expect("writable");
        assert_eq!(
            decode_file(&path, &DecodeLimits::default()).expect("as written"),
            picture
        );
        let bytes = std::fs::read(&path).expect("as written");
        assert_eq!(encode_png(&picture).expect("well-formed"), bytes);
    }

    #[test]
    fn a_thumbnail_keeps_proportions_and_enlarges_nothing() {
        let of = |width: usize, height: usize, side: usize| {
            let picture = Rgb8 {
                width,
                height,
                pixels: vec![9; 3 * width * height],
            };
            let bytes = thumbnail(&picture, side).expect("well-formed");
            let path = Path::new("x.png");
            let small = decode_bytes(&bytes, path, &DecodeLimits::default()).expect("a PNG");
            (small.width, small.height)
        };
        assert_eq!(of(40, 20, 10), (10, 5));
        assert_eq!(of(1, 40, 10), (1, 10));
        assert_eq!(of(4, 3, 10), (4, 3));
    }

    #[test]
    fn a_missing_folder_is_named() {
        let picture = Rgb8 {
            width: 1,
            height: 1,
            pixels: vec![0; 3],
        };
        let error = write_png(Path::new("no/such/folder/x.png"), &picture).expect_err("nowhere");
        assert!(
            error.to_string().contains("no/such/folder/x.png"),
            "{error}"
        );
    }
}
