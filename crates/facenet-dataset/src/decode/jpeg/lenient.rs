//! JPEG files that are not plain, by a decoder that takes nearly everything, in its strict mode.

use std::path::Path;

use image::metadata::Orientation;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::markers;
use crate::decode::orient::upright;
use crate::decode::{broken, damaged};
use crate::error::DatasetError;
use crate::limits::DecodeLimits;
use crate::picture::Rgb8;

/// The largest side that a JPEG header can state.
const MAX_SIDE: usize = u16::MAX as usize;

/// Decodes a JPEG in the decoder's strict mode, once its limits and its data have been checked.
///
/// The decoder's strictness ends with the last row: it takes a file without an end marker, and
/// bits that code another picture. [`markers::check`] refuses those.
pub(super) fn decode(
    bytes: &[u8],
    path: &Path,
    limits: &DecodeLimits,
) -> Result<Rgb8, DatasetError> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder
        .decode_headers()
        .map_err(|error| broken(path, error))?;
    let Some((width, height)) = decoder.dimensions() else {
        return Err(damaged(path, "the header has no size"));
    };
    limits.check(path, width as u64, height as u64, 0)?;
    markers::check(bytes).map_err(|problem| damaged(path, problem))?;
    let mut pixels = vec![0; 3 * width * height];
    decoder
        .decode_into(&mut pixels)
        .map_err(|error| broken(path, error))?;
    let exif = decoder
        .exif()
        .and_then(|chunk| Orientation::from_exif_chunk(chunk));
    let picture = Rgb8 {
        width,
        height,
        pixels,
    };
    Ok(upright(picture, exif.unwrap_or(Orientation::NoTransforms)))
}
