//! Writing pictures.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::error::DatasetError;
use crate::picture::Rgb8;

/// Writes a picture as an 8-bit RGB PNG; a file of that name is replaced.
///
/// The bytes are a function of the picture.
///
/// # Errors
/// [`DatasetError::Shape`] when `picture` is ill-formed; [`DatasetError::Write`] when the file
/// cannot be written.
pub fn write_png(path: &Path, picture: &Rgb8) -> Result<(), DatasetError> {
    picture.check()?;
    let failed = |source| DatasetError::Write {
        path: path.to_owned(),
        source,
    };
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    encode(picture, &mut file).map_err(failed)?;
    file.flush().map_err(failed)
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
    encode(picture, &mut bytes).expect("a vector takes all, and the sizes fit");
    Ok(bytes)
}

/// - `picture`: well-formed
fn encode(picture: &Rgb8, to: impl Write) -> std::io::Result<()> {
    let (width, height) = (picture.width as u32, picture.height as u32);
    PngEncoder::new(to)
        .write_image(&picture.pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DecodeLimits, decode_file};

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
