//! A file, or its bytes, to 8-bit RGB.

mod convert;
mod jpeg;
mod orient;
mod png;
mod raster;

use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::error::DatasetError;
use crate::format::{Format, HEAD, sniff};
use crate::limits::DecodeLimits;
use crate::picture::{Area, Portion, Rgb8};

/// Decodes an image file to 8-bit RGB, upright.
///
/// The format goes by content: JPEG, PNG, PBM/PGM/PPM and WebP (of an animation, the first
/// frame). Grey is repeated over the channels; alpha is dropped and what lies beneath it stays,
/// and 16-bit samples keep their high byte, both as TensorFlow's `decode_image(channels=3)` does;
/// CMYK is converted without a colour profile. The EXIF orientation is applied.
///
/// # Errors
/// [`DatasetError::Read`] when the file cannot be read or is no regular file;
/// [`DatasetError::Format`], [`DatasetError::Limit`], [`DatasetError::FileSize`];
/// [`DatasetError::Decode`] and [`DatasetError::Damaged`] for a file that is broken, also where a
/// lenient decoder would make something of it: cut off, a wrong checksum, damaged entropy data.
pub fn decode_file(path: &Path, limits: &DecodeLimits) -> Result<Rgb8, DatasetError> {
    decode_bytes(&read(path, limits)?, path, limits)
}

/// Decodes an image file that is in memory, as [`decode_file`] does.
///
/// - `path`: what errors call it
///
/// # Errors
/// As [`decode_file`], but for reading.
pub fn decode_bytes(
    bytes: &[u8],
    path: &Path,
    limits: &DecodeLimits,
) -> Result<Rgb8, DatasetError> {
    let Portion { area, pixels, .. } = decode_bytes_part(bytes, path, limits, &|whole| whole)?;
    Ok(Rgb8 {
        width: area.width,
        height: area.height,
        pixels,
    })
}

/// Decodes what is needed of an image file, or more of it: of most JPEG files just that, of
/// others all.
///
/// The pixels are those that [`decode_file`] has at their place, and the whole file is checked as
/// there.
///
/// - `select`: from all of the upright picture, what is needed of it; a result that is empty or
///   not within stands for all
///
/// # Errors
/// As [`decode_file`].
pub fn decode_file_part(
    path: &Path,
    limits: &DecodeLimits,
    select: &dyn Fn(Area) -> Area,
) -> Result<Portion, DatasetError> {
    decode_bytes_part(&read(path, limits)?, path, limits, select)
}

/// Decodes what is needed of an image file that is in memory, as [`decode_file_part`] does.
///
/// - `path`: what errors call it
///
/// # Errors
/// As [`decode_file`], but for reading.
pub fn decode_bytes_part(
    bytes: &[u8],
    path: &Path,
    limits: &DecodeLimits,
    select: &dyn Fn(Area) -> Area,
) -> Result<Portion, DatasetError> {
    let format = sniff(bytes).map_err(|found| unsupported(path, found))?;
    // The decoders are other people's: a panic in one is a broken file, not the end of a run.
    let decoded = catch_unwind(AssertUnwindSafe(|| match format {
        Format::Jpeg => jpeg::decode(bytes, path, limits, select),
        Format::Png => png::decode(bytes, path, limits).map(Portion::from),
        Format::Pnm => raster::decode_pnm(bytes, path, limits).map(Portion::from),
        Format::WebP => raster::decode_webp(bytes, path, limits).map(Portion::from),
    }));
    decoded.unwrap_or_else(|_| Err(damaged(path, "the decoder fails on it")))
}

/// Looks at a file's first bytes: `Ok` when it is of a format that is read.
pub(crate) fn probe(path: &Path) -> Result<(), DatasetError> {
    let mut head = Vec::with_capacity(HEAD);
    open(path)?
        .take(HEAD as u64)
        .read_to_end(&mut head)
        .map_err(|source| unreadable(path, source))?;
    sniff(&head)
        .map(drop)
        .map_err(|found| unsupported(path, found))
}

/// The bytes of a regular file that is no larger than the limits let it be.
pub(crate) fn read(path: &Path, limits: &DecodeLimits) -> Result<Vec<u8>, DatasetError> {
    let file = open(path)?;
    let max_bytes = limits.max_file();
    let announced = file
        .metadata()
        .map_err(|source| unreadable(path, source))?
        .len();
    let mut bytes = Vec::with_capacity(announced.min(max_bytes) as usize + 1);
    let read = file
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes);
    read.map_err(|source| unreadable(path, source))?;
    if bytes.len() as u64 <= max_bytes {
        return Ok(bytes);
    }
    Err(DatasetError::FileSize {
        path: path.to_owned(),
        bytes: announced.max(bytes.len() as u64),
        max_bytes,
    })
}

/// Opens a regular file; a pipe or a device could block for ever.
fn open(path: &Path) -> Result<File, DatasetError> {
    let kind = std::fs::metadata(path).map_err(|source| unreadable(path, source))?;
    if !kind.is_file() {
        let source = std::io::Error::other("not a regular file");
        return Err(unreadable(path, source));
    }
    File::open(path).map_err(|source| unreadable(path, source))
}

fn unreadable(path: &Path, source: std::io::Error) -> DatasetError {
    DatasetError::Read {
        path: path.to_owned(),
        source,
    }
}

fn unsupported(path: &Path, found: &str) -> DatasetError {
    DatasetError::Format {
        path: path.to_owned(),
        found: found.to_owned(),
    }
}

fn damaged(path: &Path, problem: &'static str) -> DatasetError {
    DatasetError::Damaged {
        path: path.to_owned(),
        problem,
    }
}

fn broken(
    path: &Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> DatasetError {
    DatasetError::Decode {
        path: path.to_owned(),
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED_AND_BLUE: &[u8] = b"P6 2 1 255\n\xff\0\0\0\0\xff";

    fn decode(bytes: &[u8]) -> Result<Rgb8, DatasetError> {
        decode_bytes(bytes, Path::new("p.ppm"), &DecodeLimits::default())
    }

    #[test]
    fn pixels_are_rows_of_rgb() {
        let picture = decode(RED_AND_BLUE).expect("a good file");
        assert_eq!((picture.width, picture.height), (2, 1));
        assert_eq!(picture.pixels, [255, 0, 0, 0, 0, 255]);
    }

    #[test]
    fn a_folder_is_not_a_file() {
        let error = decode_file(Path::new("/"), &DecodeLimits::default());
        assert!(matches!(error, Err(DatasetError::Read { .. })), "{error:?}");
    }

    #[test]
    fn a_file_beyond_the_limit_is_not_read() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("p.ppm");
        let mut bytes = RED_AND_BLUE.to_vec();
        bytes.resize((1 << 20) + 13, 0);
        std::fs::write(&path, &bytes).expect("written");
        let limits = |max_bytes| DecodeLimits {
            max_side: 10,
            max_bytes,
        };
        assert!(decode_file(&path, &limits(7)).is_ok());
        let error = decode_file(&path, &limits(6)).expect_err("one byte too many");
        assert!(matches!(error, DatasetError::FileSize { .. }), "{error:?}");
    }
}
