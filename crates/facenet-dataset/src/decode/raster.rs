//! Formats that the `image` crate decodes.

use std::io::Cursor;
use std::path::Path;

use image::ImageDecoder;
use image::codecs::pnm::PnmDecoder;
use image::codecs::webp::WebPDecoder;

use super::convert::to_rgb8;
use super::orient::upright;
use super::{broken, damaged};
use crate::error::DatasetError;
use crate::limits::DecodeLimits;
use crate::picture::Rgb8;

/// PBM, PGM and PPM; a largest sample other than 255 or 65535 is scaled.
pub(super) fn decode_pnm(
    bytes: &[u8],
    path: &Path,
    limits: &DecodeLimits,
) -> Result<Rgb8, DatasetError> {
    let decoder = PnmDecoder::new(Cursor::new(bytes)).map_err(|error| broken(path, error))?;
    decode(decoder, path, limits)
}

/// WebP, lossy or lossless; of an animation the first frame.
pub(super) fn decode_webp(
    bytes: &[u8],
    path: &Path,
    limits: &DecodeLimits,
) -> Result<Rgb8, DatasetError> {
    if !riff_is_whole(bytes) {
        return Err(damaged(path, "the file is cut off"));
    }
    let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|error| broken(path, error))?;
    decode(decoder, path, limits)
}

/// Whether the file holds as much as its RIFF header announces.
fn riff_is_whole(bytes: &[u8]) -> bool {
    let size = bytes.get(4..8).and_then(|field| field.try_into().ok());
    size.is_some_and(|size| u32::from_le_bytes(size) as usize <= bytes.len() - 8)
}

/// Checks the header against the limits, then decodes, converts and turns upright.
pub(super) fn decode(
    mut decoder: impl ImageDecoder,
    path: &Path,
    limits: &DecodeLimits,
) -> Result<Rgb8, DatasetError> {
    let (width, height) = decoder.dimensions();
    let stored = decoder.total_bytes();
    limits.check(path, width.into(), height.into(), stored)?;
    if width == 0 || height == 0 {
        return Err(damaged(path, "the picture has no pixels"));
    }
    let orientation = decoder.orientation().map_err(|error| broken(path, error))?;
    let colour = decoder.color_type();
    let mut samples = vec![0; stored as usize];
    decoder
        .read_image(&mut samples)
        .map_err(|error| broken(path, error))?;
    let pixels = to_rgb8(samples, colour).ok_or_else(|| damaged(path, "unknown colour type"))?;
    let picture = Rgb8 {
        width: width as usize,
        height: height as usize,
        pixels,
    };
    Ok(upright(picture, orientation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Option<&[u8]>) {
        let found = decode_pnm(bytes, Path::new("p.pnm"), &DecodeLimits::default());
        assert_eq!(
            found.as_ref().ok().map(|p| &p.pixels[..]),
            expected,
            "{found:?}"
        );
    }

    #[test]
    fn plain_and_raw_maps_decode() {
        check(b"P2 2 1 255\n0 9", Some(&[0, 0, 0, 9, 9, 9]));
        check(b"P3 1 1 255\n1 2 3", Some(&[1, 2, 3]));
        check(
            b"P5 # made by hand\n2 1 255\n\x07\x08",
            Some(&[7, 7, 7, 8, 8, 8]),
        );
        check(b"P4 2 1\n\x40", Some(&[255, 255, 255, 0, 0, 0]));
    }

    #[test]
    fn samples_are_scaled_to_their_largest() {
        check(b"P5 2 1 15\n\x0f\x05", Some(&[255, 255, 255, 85, 85, 85]));
        check(b"P5 1 1 65535\n\x12\xff", Some(&[0x12, 0x12, 0x12]));
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        check(b"P5 2 1 255\n\x07", None);
        check(b"P6 1 1 255\n\x01\x02", None);
        check(b"P5 2", None);
    }

    #[test]
    fn no_pixels_are_no_picture() {
        check(b"P5 0 1 255\n", None);
        check(b"P5 1 0 255\n", None);
    }

    #[test]
    fn a_webp_holds_what_it_announces() {
        assert!(riff_is_whole(b"RIFF\x04\0\0\0WEBP"));
        assert!(!riff_is_whole(b"RIFF\x05\0\0\0WEBP"));
        assert!(!riff_is_whole(b"RIFF"));
    }
}
