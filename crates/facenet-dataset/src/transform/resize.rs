//! Resizing as Pillow's `BILINEAR` does.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use super::Part;
use crate::error::DatasetError;
use crate::picture::Rgb8;

/// Resizes a picture, bilinear with antialiasing: a triangle filter as wide as the reduction, as
/// Pillow's `resize(..., BILINEAR)`. Proportions are not kept.
///
/// - `width`, `height`: of the result, in pixels
///
/// # Errors
/// [`DatasetError::Shape`] when the picture or the result is empty or too large to resize.
pub fn resize(picture: &Rgb8, height: usize, width: usize) -> Result<Rgb8, DatasetError> {
    picture.check()?;
    resize_part(Part::whole(picture), height, width)
}

pub(crate) fn resize_part(
    part: Part<'_>,
    height: usize,
    width: usize,
) -> Result<Rgb8, DatasetError> {
    let (found, expected) = (
        part.area.width * part.area.height,
        width.saturating_mul(height),
    );
    let wrong = |what, found| DatasetError::Shape {
        what,
        found,
        expected: 1,
    };
    if found == 0 || expected == 0 {
        return Err(wrong("pixels of a picture and its resized size", 0));
    }
    let pixels = part.contiguous();
    let mut resized = vec![0; 3 * width * height];
    // The typed call compiles for this pixel alone; the other one for all there are.
    let from = TypedImageRef::<U8x3>::from_buffer(
        part.area.width as u32,
        part.area.height as u32,
        &pixels,
    );
    let from = from.map_err(|_| wrong("picture to resize", found))?;
    let to = TypedImage::<U8x3>::from_buffer(width as u32, height as u32, &mut resized);
    let mut to = to.map_err(|_| wrong("resized picture", expected))?;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .use_alpha(false);
    Resizer::new()
        .resize_typed(&from, &mut to, &options)
        .map_err(|_| wrong("picture to resize", found))?;
    Ok(Rgb8 {
        width,
        height,
        pixels: resized,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{RngCore, SeedableRng};

    /// Both round to 8 bits, and the fast one between its two passes as well, with 8-bit weights
    /// at worst: half a level per rounding and the weights' error.
    const MAX_DIFFERENCE: f64 = 1.5;

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

    #[track_caller]
    fn check(from: [usize; 2], to: [usize; 2]) {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut pixels = vec![0; 3 * from[0] * from[1]];
        rng.fill_bytes(&mut pixels);
        let picture = Rgb8 {
            width: from[1],
            height: from[0],
            pixels,
        };
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

    #[test]
    fn nothing_cannot_be_resized() {
        let empty = Rgb8 {
            width: 0,
            height: 3,
            pixels: Vec::new(),
        };
        let error = resize(&empty, 2, 2);
        assert!(
            matches!(error, Err(DatasetError::Shape { .. })),
            "{error:?}"
        );
    }
}
