//! PNG, strictly: every chunk up to IEND is there, and critical checksums hold.

use std::io::Cursor;
use std::path::Path;

use image::Limits;
use image::codecs::png::PngDecoder;

use super::{broken, damaged, raster};
use crate::error::DatasetError;
use crate::limits::DecodeLimits;
use crate::picture::Rgb8;

const SIGNATURE: usize = 8;
/// Length, type and checksum.
const CHUNK_FRAME: usize = 12;
/// Header chunks may inflate to this much: colour profiles and texts.
const MAX_METADATA: u64 = 16 << 20;

/// Decodes a PNG; of an animated one the default image.
pub(super) fn decode(
    bytes: &[u8],
    path: &Path,
    limits: &DecodeLimits,
) -> Result<Rgb8, DatasetError> {
    if let Some((width, height)) = header(bytes) {
        limits.check(path, width.into(), height.into(), 0)?;
    }
    if !is_whole(bytes) {
        return Err(damaged(path, "no IEND chunk: the file is cut off"));
    }
    let mut own = Limits::no_limits();
    own.max_alloc = Some(limits.max_bytes.saturating_add(MAX_METADATA));
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), own);
    let decoder = decoder.map_err(|error| broken(path, error))?;
    raster::decode(decoder, path, limits)
}

/// Width and height from IHDR, the first chunk.
fn header(bytes: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| -> Option<u32> {
        let field = bytes.get(at..at + 4)?;
        Some(u32::from_be_bytes(field.try_into().ok()?))
    };
    let first = SIGNATURE + 8;
    (bytes.get(SIGNATURE + 4..first)? == b"IHDR").then_some(())?;
    Some((number(first)?, number(first + 4)?))
}

/// Whether the chunks follow each other to IEND within the file.
fn is_whole(bytes: &[u8]) -> bool {
    let mut at = SIGNATURE;
    while let Some(frame) = bytes.get(at..at + 8) {
        let length = [frame[0], frame[1], frame[2], frame[3]];
        at += CHUNK_FRAME + u32::from_be_bytes(length) as usize;
        if &frame[4..] == b"IEND" {
            return at <= bytes.len();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PNG of `2 x 1` grey pixels, encoded by the `image` crate.
    fn grey() -> Vec<u8> {
        let mut bytes = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        let written =
            image::ImageEncoder::write_image(encoder, &[7, 9], 2, 1, image::ColorType::L8.into());
        written.expect("encoded into memory");
        bytes
    }

    fn found(bytes: &[u8]) -> Result<Rgb8, DatasetError> {
        decode(bytes, Path::new("p.png"), &DecodeLimits::default())
    }

    #[test]
    fn a_whole_file_decodes() {
        let picture = found(&grey()).expect("a good file");
        assert_eq!(picture.pixels, [7, 7, 7, 9, 9, 9]);
    }

    #[test]
    fn no_prefix_of_a_file_decodes() {
        let bytes = grey();
        for n in 0..bytes.len() {
            assert!(found(&bytes[..n]).is_err(), "{n} of {} bytes", bytes.len());
        }
    }

    #[test]
    fn a_flipped_bit_in_pixels_or_header_is_found() {
        let bytes = grey();
        let start = SIGNATURE + 8;
        let end = bytes.len() - CHUNK_FRAME;
        for at in start..end {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(found(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn the_header_comes_before_everything_else() {
        assert_eq!(header(&grey()), Some((2, 1)));
        assert_eq!(header(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0"), None);
    }
}
