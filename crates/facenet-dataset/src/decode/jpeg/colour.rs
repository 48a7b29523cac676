//! Samples to pixels, as libjpeg has them to the last bit.

use super::planes::Plane;
use super::upsample::Rows;
use crate::picture::Area;

/// Pixels of a window, `[height, width, 3]`.
#[inline(always)]
pub(super) fn pixels(planes: &[Plane], window: Area) -> Vec<u8> {
    let mut pixels = vec![0; 3 * window.width * window.height];
    let mut rows: Vec<_> = planes
        .iter()
        .map(|plane| Rows::new(plane, window))
        .collect();
    for (y, row) in pixels.chunks_exact_mut(3 * window.width).enumerate() {
        let y = window.top + y;
        match &mut rows[..] {
            [luma, blue, red] => convert(luma.at(y), blue.at(y), red.at(y), row),
            [grey, ..] => repeat(grey.at(y), row),
            [] => {}
        }
    }
    pixels
}

#[inline(always)]
fn repeat(grey: &[u8], row: &mut [u8]) {
    for (pixel, &level) in row.as_chunks_mut::<3>().0.iter_mut().zip(grey) {
        *pixel = [level; 3];
    }
}

/// BT.601 at full range (JFIF 1.02), in 16 bits of fraction.
///
/// `round(1.402 * 2^16)` is `2^16 + 26345`, and so on: factors below 2^15 are products of 16-bit
/// numbers to a compiler.
#[inline(always)]
fn convert(luma: &[u8], blue: &[u8], red: &[u8], row: &mut [u8]) {
    let (pixels, _) = row.as_chunks_mut::<3>();
    let n = pixels.len();
    let (luma, blue, red) = (&luma[..n], &blue[..n], &red[..n]);
    for i in 0..n {
        let (y, b, r) = (
            i16::from(luma[i]),
            i16::from(blue[i]) - 128,
            i16::from(red[i]) - 128,
        );
        let level = |level: i16| level.clamp(0, 255) as u8;
        pixels[i] = [
            level(y + r + ((product(2 * r, 26345) + 1) >> 1)),
            level(y - r + green(b, r)),
            level(y + 2 * b + ((product(2 * b, -14942) + 1) >> 1)),
        ];
    }
}

/// The upper half of a product.
#[inline(always)]
fn product(x: i16, factor: i16) -> i16 {
    ((i32::from(x) * i32::from(factor)) >> 16) as i16
}

/// `round(-0.34414 b + (1 - 0.71414) r)`.
#[inline(always)]
fn green(b: i16, r: i16) -> i16 {
    ((i32::from(b) * -22554 + i32::from(r) * 18734 + (1 << 15)) >> 16) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// libjpeg's tables: factors of JFIF 1.02, rounded to 16 bits of fraction.
    fn expected(y: i32, b: i32, r: i32) -> [u8; 3] {
        let (b, r) = (b - 128, r - 128);
        let levels = [
            y + ((91881 * r + 32768) >> 16),
            y + ((-22554 * b - 46802 * r + 32768) >> 16),
            y + ((116_130 * b + 32768) >> 16),
        ];
        levels.map(|level| level.clamp(0, 255) as u8)
    }

    #[test]
    fn every_colour_is_libjpegs() {
        for (b, r) in (0..=255u8).flat_map(|b| (0..=255u8).map(move |r| (b, r))) {
            for y in [0, 1, 100, 254, 255] {
                let mut pixel = [0; 3];
                convert(&[y], &[b], &[r], &mut pixel);
                assert_eq!(pixel, expected(y.into(), b.into(), r.into()), "{y} {b} {r}");
            }
        }
    }
}
