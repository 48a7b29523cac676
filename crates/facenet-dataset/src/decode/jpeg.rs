//! JPEG, strictly.
//!
//! Nearly all face crops are baseline files of one or three components: they are decoded here, in
//! one pass over their codes, to libjpeg's pixels. All other files, damaged ones among them, are
//! [`lenient`]'s, behind a walk of their own over the codes.
#![expect(
    clippy::inline_always,
    reason = "what is not inlined into the closure that `vectorize` runs is not compiled for it"
)]

mod bits;
mod colour;
#[cfg(test)]
mod encoder;
mod entropy;
mod header;
mod huffman;
mod idct;
mod lenient;
mod markers;
mod planes;
mod scan;
mod skip;
#[cfg(test)]
mod tests;
mod upsample;

use std::path::Path;

use image::metadata::Orientation;

use self::header::{After, Frame, Scan, Segments};
use self::idct::{Plain, Transform};
use self::planes::Plane;
use super::orient::upright;
use crate::error::DatasetError;
use crate::limits::DecodeLimits;
use crate::picture::{Area, Portion, Rgb8};

/// Decodes what is needed of a JPEG whose data are whole, or all of it.
pub(super) fn decode(
    bytes: &[u8],
    path: &Path,
    limits: &DecodeLimits,
    select: &dyn Fn(Area) -> Area,
) -> Result<Portion, DatasetError> {
    match plain(bytes, path, limits, select) {
        Some(portion) => Ok(portion),
        None => lenient::decode(bytes, path, limits).map(Portion::from),
    }
}

/// Decodes a plain and undamaged file; `None` for any other, and for one beyond the limits.
fn plain(
    bytes: &[u8],
    path: &Path,
    limits: &DecodeLimits,
    select: &dyn Fn(Area) -> Area,
) -> Option<Portion> {
    let mut segments = Segments::new(bytes);
    let After::Scan(scan) = segments.next()? else {
        return None;
    };
    let frame = segments.frame.clone()?;
    let (width, height) = (frame.width, frame.height);
    limits.check(path, width as u64, height as u64, 0).ok()?;
    let orientation = segments.exif.and_then(Orientation::from_exif_chunk);
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    let area = area(Area::whole(height, width), orientation, select);
    let pixels = decode_window(segments, scan, &frame, area)?;
    if orientation == Orientation::NoTransforms {
        return Some(Portion {
            height,
            width,
            area,
            pixels,
        });
    }
    let picture = Rgb8 {
        width,
        height,
        pixels,
    };
    Some(upright(picture, orientation).into())
}

/// What to decode: all, where a picture is turned afterwards or `select` names no part of it.
fn area(whole: Area, orientation: Orientation, select: &dyn Fn(Area) -> Area) -> Area {
    if orientation != Orientation::NoTransforms {
        return whole;
    }
    let part = select(whole);
    let is_empty = part.width == 0 || part.height == 0;
    if is_empty || !whole.contains(part) {
        return whole;
    }
    part
}

/// Pixels of a window, by the vectors that the machine has.
fn decode_window(
    segments: Segments<'_>,
    scan: Scan,
    frame: &Frame,
    window: Area,
) -> Option<Vec<u8>> {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return simd.vectorize(
            #[inline(always)]
            || decode_by(simd, segments, scan, frame, window),
        );
    }
    decode_by(Plain, segments, scan, frame, window)
}

#[inline(always)]
fn decode_by(
    transform: impl Transform,
    mut segments: Segments<'_>,
    mut scan: Scan,
    frame: &Frame,
    window: Area,
) -> Option<Vec<u8>> {
    let indices = 0..frame.components.len();
    let mut planes: Vec<_> = indices
        .map(|index| Plane::new(frame, index, window))
        .collect();
    let mut is_missing = vec![true; planes.len()];
    loop {
        for coded in &scan.components {
            // A component that comes twice is not plain.
            std::mem::take(&mut is_missing[coded.index]).then_some(())?;
        }
        segments.at = scan::decode(transform, &scan, frame, segments.bytes, &mut planes)?;
        match segments.next()? {
            After::Scan(next) => scan = next,
            After::End => break,
        }
    }
    if is_missing.contains(&true) {
        return None;
    }
    Some(colour::pixels(&planes, window))
}
