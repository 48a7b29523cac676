//! Resizing as Pillow's `BILINEAR` does, to its very levels: published models were scored on those.

use super::Part;
use crate::error::DatasetError;
use crate::picture::Rgb8;
use crate::recipe::MAX_SIDE;
use crate::wide::wide;

/// Bits of a weight's fraction. Pillow leaves 8 of 32 to the level and 2 to a sum beyond it.
const FRACTION: u32 = 32 - 8 - 2;
/// Rows that are turned at once: few enough to stay in a core's cache.
const BLOCK: usize = 64;
/// Where a sum begins, to be rounded.
const HALF: u32 = 1 << (FRACTION - 1);

/// Resizes a picture, bilinear with antialiasing: a triangle filter as wide as the reduction.
/// Proportions are not kept.
///
/// The levels are those of Pillow's `resize(..., BILINEAR)`, rounded twice: rows are summed to the
/// new width, then columns to the new height. Where proportions change, Pillow 13.0.0 was seen to
/// take columns first for many sizes; a level may then be off by one.
///
/// - `width`, `height`: of the result, in pixels
///
/// # Errors
/// [`DatasetError::Shape`] when the picture or the result is empty, or a side of the result is
/// above 8,192 pixels.
pub fn resize(picture: &Rgb8, height: usize, width: usize) -> Result<Rgb8, DatasetError> {
    picture.check()?;
    resize_part(Part::whole(picture), height, width)
}

pub(crate) fn resize_part(
    part: Part<'_>,
    height: usize,
    width: usize,
) -> Result<Rgb8, DatasetError> {
    let wrong = |what, found, expected| {
        Err(DatasetError::Shape {
            what,
            found,
            expected,
        })
    };
    if [part.area.width, part.area.height, width, height].contains(&0) {
        return wrong("pixels of a picture and its resized size", 0, 1);
    }
    let (longer, most) = (width.max(height), MAX_SIDE as usize);
    if longer > most {
        return wrong("side of a resized picture, at most", longer, most);
    }
    let from = part.area;
    let columns = taps(from.width, width);
    let mut rows = Vec::with_capacity(3 * width * from.height);
    for top in (0..from.height).step_by(BLOCK) {
        let count = BLOCK.min(from.height - top);
        // Turned, pixels of a row lie as pixels of a column do, and are summed by the same loop.
        let turned = transposed(from.width, count, |y| part.row(top + y));
        let summed = sums_of_lines(&turned, 3 * count, &columns);
        let column = |x| &summed[3 * count * x..][..3 * count];
        rows.extend(transposed(count, width, column));
    }
    let pixels = sums_of_lines(&rows, 3 * width, &taps(from.height, height));
    Ok(Rgb8 {
        width,
        height,
        pixels,
    })
}

/// Pixel `i` of every line, for each `i` below `len`, of `count` lines.
fn transposed<'a>(len: usize, count: usize, line: impl Fn(usize) -> &'a [u8]) -> Vec<u8> {
    let mut turned = vec![0; 3 * len * count];
    for i in 0..count {
        let pixels = line(i).chunks_exact(3);
        for (to, pixel) in turned[3 * i..].chunks_mut(3 * count).zip(pixels) {
            to[..3].copy_from_slice(pixel);
        }
    }
    turned
}

/// What one line of a result is made of.
struct Taps {
    /// The first line that has a weight.
    first: usize,
    /// Of that line and those after it; they sum to one, but for rounding.
    weights: Vec<u32>,
}

/// For each of `to` lines what it is made of, of `from`.
///
/// The triangle stands on the line's centre, reaches `max(1, from / to)` to each side, and is cut
/// at the edges.
fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let reach = scale.max(1.0);
    let tap = |i| {
        let centre = (i as f64 + 0.5) * scale;
        let first = (centre - reach + 0.5).max(0.0) as usize;
        let end = from.min((centre + reach + 0.5) as usize);
        let height = |j| (1.0 - ((j as f64 - centre + 0.5) / reach).abs()).max(0.0);
        let sum: f64 = (first..end).map(height).sum();
        let one = f64::from(1 << FRACTION);
        let weights = (first..end).map(|j| (height(j) / sum * one + 0.5) as u32);
        Taps {
            first,
            weights: weights.collect(),
        }
    };
    (0..to).map(tap).collect()
}

/// Sums lines of `len` levels, once for each of `taps`.
fn sums_of_lines(lines: &[u8], len: usize, taps: &[Taps]) -> Vec<u8> {
    let mut levels = Vec::with_capacity(len * taps.len());
    let mut sums = vec![0; len];
    for Taps { first, weights } in taps {
        let lines = lines[len * first..].chunks_exact(len);
        wide(
            #[inline(always)]
            || {
                sums.fill(HALF);
                for (line, &weight) in lines.zip(weights) {
                    for (sum, &level) in sums.iter_mut().zip(line) {
                        // Without a look for overflows, of which there are none.
                        *sum = sum.wrapping_add(weight.wrapping_mul(u32::from(level)));
                    }
                }
                // The weights of a great many lines may add up to more than one.
                levels.extend(sums.iter().map(|&sum| (sum >> FRACTION).min(255) as u8));
            },
        );
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{RngCore, SeedableRng};
    use sha2::{Digest, Sha256};

    /// Half a level for each of two roundings, and what weights of 22 bits are off by.
    const MAX_DIFFERENCE: f64 = 1.001;

    /// Weights of the inputs of output `i`: a triangle of half-width `max(1, scale)` about the
    /// output's centre, cut at the edges and normalised.
    fn weights(i: usize, from: usize, to: usize) -> Vec<f64> {
        let scale = from as f64 / to as f64;
        let (centre, reach) = ((i as f64 + 0.5) * scale, scale.max(1.0));
        let raw: Vec<f64> = (0..from)
            .map(|j| (1.0 - ((j as f64 + 0.5 - centre) / reach).abs()).max(0.0))
            .collect();
        let sum: f64 = raw.iter().sum();
        raw.iter().map(|weight| weight / sum).collect()
    }

    fn naive(picture: &Rgb8, height: usize, width: usize, y: usize, x: usize, c: usize) -> f64 {
        let (rows, columns) = (
            weights(y, picture.height, height),
            weights(x, picture.width, width),
        );
        let mut sum = 0.0;
        for (j, row) in rows.iter().enumerate() {
            for (i, column) in columns.iter().enumerate() {
                let level = picture.pixels[3 * (j * picture.width + i) + c];
                sum += row * column * f64::from(level);
            }
        }
        sum
    }

    fn picture([height, width]: [usize; 2], pixels: Vec<u8>) -> Rgb8 {
        Rgb8 {
            width,
            height,
            pixels,
        }
    }

    #[track_caller]
    fn check(from: [usize; 2], to: [usize; 2]) {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut pixels = vec![0; 3 * from[0] * from[1]];
        rng.fill_bytes(&mut pixels);
        let picture = picture(from, pixels);
        let found = resize(&picture, to[0], to[1]).expect("sizes are positive");
        assert_eq!((found.height, found.width), (to[0], to[1]));
        for (at, &level) in found.pixels.iter().enumerate() {
            let (pixel, c) = (at / 3, at % 3);
            let exact = naive(&picture, to[0], to[1], pixel / to[1], pixel % to[1], c);
            let difference = (exact - f64::from(level)).abs();
            assert!(
                difference <= MAX_DIFFERENCE,
                "{from:?} {to:?} {at}: {exact} {level}"
            );
        }
    }

    #[test]
    fn reductions_are_antialiased() {
        check([25, 25], [16, 16]);
        check([40, 31], [7, 5]);
        check([50, 1], [3, 1]);
    }

    #[test]
    fn enlargements_interpolate() {
        check([15, 15], [16, 16]);
        check([3, 5], [11, 9]);
        check([1, 1], [4, 3]);
    }

    #[test]
    fn each_axis_scales_by_itself() {
        check([9, 30], [20, 10]);
    }

    /// As the first 8 bytes of the SHA-256 of `Image.fromarray(p).resize((to[1], to[0]),
    /// Image.BILINEAR)`, of Pillow 13.0.0 and, with numpy's `y, x, c = ogrid[:from[0], :from[1], :3]`,
    /// `p = (7*y*y + 3*x*x + 5*x*y + 85*c) % 256`.
    #[track_caller]
    fn check_digest(from: [usize; 2], to: [usize; 2], expected: u64) {
        let level = |y, x, c| (7 * y * y + 3 * x * x + 5 * x * y + 85 * c) as u8;
        let row = |y| (0..3 * from[1]).map(move |at| level(y, at / 3, at % 3));
        let picture = picture(from, (0..from[0]).flat_map(row).collect());
        let found = resize(&picture, to[0], to[1]).expect("sizes are positive");
        let digest = Sha256::digest(&found.pixels);
        let digest = u64::from_be_bytes(*digest.first_chunk().expect("32 bytes"));
        assert_eq!(digest, expected, "{digest:#x}");
    }

    #[test]
    fn levels_are_pillows() {
        check_digest([25, 25], [16, 16], 0x8b0d_a296_dc53_f4ae);
        check_digest([15, 15], [16, 16], 0x10a1_5a26_f978_8ce6);
        check_digest([150, 150], [160, 160], 0xc5b0_6bcb_57c5_2dec);
        check_digest([250, 250], [182, 182], 0xdfee_0b74_b094_9067);
        check_digest([250, 250], [56, 56], 0xce38_cae6_66b8_4989);
        check_digest([128, 128], [56, 56], 0x0c50_c879_b549_be35);
        check_digest([3, 3], [100, 100], 0xd981_9c48_8667_0226);
        check_digest([3, 9], [28, 56], 0x8ff7_c064_8572_fb7e);
        check_digest([20, 30], [20, 10], 0x44c0_eee7_36d6_52d6);
    }

    #[test]
    fn a_huge_result_is_refused() {
        let pixel = picture([1, 1], vec![0; 3]);
        for (height, width) in [(1, usize::MAX), (8193, 1)] {
            let error = resize(&pixel, height, width).expect_err("too large");
            assert!(error.to_string().contains("expected 8192"), "{error}");
        }
    }

    /// Of five million pixels, longer than any that is decoded, each has a weight of one in 2^22:
    /// together more than all.
    #[test]
    fn a_long_line_does_not_overflow() {
        let white = picture([1, 5_000_000], vec![255; 15_000_000]);
        let found = resize(&white, 1, 1).expect("sizes are positive").pixels;
        assert_eq!(found, [255; 3]);
    }

    #[test]
    fn nothing_cannot_be_resized() {
        let empty = picture([3, 0], Vec::new());
        let error = resize(&empty, 2, 2);
        assert!(
            matches!(error, Err(DatasetError::Shape { .. })),
            "{error:?}"
        );
    }
}
