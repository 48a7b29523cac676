//! Crop or pad to a size, axis by axis.

use crate::picture::Rgb8;

use super::Part;

/// How one axis is cut or padded: `len` pixels, from `from` on, go to `to` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) len: usize,
}

impl Span {
    /// TF's `resize_image_with_crop_or_pad`: the odd pixel is cropped, or padded, at the end.
    pub(crate) fn centred(input: usize, target: usize) -> Self {
        Self {
            from: input.saturating_sub(target) / 2,
            to: target.saturating_sub(input) / 2,
            len: input.min(target),
        }
    }

    /// As `centred`, but where pixels are cut, the offset is uniform in `0..=input - target`.
    ///
    /// - `draw`: 64 random bits; the bias is below `input / 2^64`
    pub(crate) fn random(input: usize, target: usize, draw: u64) -> Self {
        let choices = input.saturating_sub(target) as u128 + 1;
        Self {
            from: ((u128::from(draw) * choices) >> 64) as usize,
            ..Self::centred(input, target)
        }
    }
}

/// Crops or pads a picture about its centre, as TF's `resize_image_with_crop_or_pad`.
///
/// Each axis by itself: a larger one is cropped at `(input - target) / 2`, a smaller one padded
/// with 0, `(target - input) / 2` before; both quotients are floored.
///
/// - `height`, `width`: of the result, in pixels
pub fn crop_or_pad(picture: &Rgb8, height: usize, width: usize) -> Rgb8 {
    let part = Part::whole(picture);
    let (rows, columns) = (
        Span::centred(picture.height, height),
        Span::centred(picture.width, width),
    );
    let mut pixels = vec![0; 3 * width * height];
    if columns.len > 0 {
        for y in 0..rows.len {
            let from = &part.row(rows.from + y)[3 * columns.from..][..3 * columns.len];
            let at = 3 * ((rows.to + y) * width + columns.to);
            pixels[at..at + from.len()].copy_from_slice(from);
        }
    }
    Rgb8 {
        width,
        height,
        pixels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: usize, target: usize, from: usize, to: usize, len: usize) {
        assert_eq!(Span::centred(input, target), Span { from, to, len });
    }

    #[test]
    fn an_odd_difference_is_floored() {
        check(9, 6, 1, 0, 6);
        check(10, 6, 2, 0, 6);
        check(5, 8, 0, 1, 5);
        check(4, 8, 0, 2, 4);
        check(6, 6, 0, 0, 6);
        check(0, 3, 0, 1, 0);
    }

    #[test]
    fn random_offsets_reach_both_ends() {
        let from = |draw| Span::random(10, 6, draw).from;
        assert_eq!([from(0), from(u64::MAX)], [0, 4]);
        let fifth = u64::MAX / 5; // five offsets, each a fifth of the draws
        assert_eq!([from(fifth - 1), from(fifth + 1)], [0, 1]);
    }

    #[test]
    fn nothing_to_cut_is_centred() {
        for draw in [0, 1 << 63, u64::MAX] {
            assert_eq!(Span::random(5, 8, draw), Span::centred(5, 8));
            assert_eq!(Span::random(6, 6, draw), Span::centred(6, 6));
        }
    }
}
