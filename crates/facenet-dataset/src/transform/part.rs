use crate::picture::Rgb8;

/// A rectangle of a picture, not copied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pixels: &'a [u8],
    stride: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl<'a> Part<'a> {
    /// All of `picture`.
    pub(crate) fn whole(picture: &'a Rgb8) -> Self {
        Self {
            pixels: &picture.pixels,
            stride: 3 * picture.width,
            width: picture.width,
            height: picture.height,
        }
    }

    /// The rectangle with its upper left corner at `(top, left)`; it must lie within.
    pub(crate) fn cut(self, top: usize, left: usize, height: usize, width: usize) -> Self {
        debug_assert!(top + height <= self.height && left + width <= self.width);
        let start = (top * self.stride + 3 * left).min(self.pixels.len());
        Self {
            pixels: &self.pixels[start..],
            width,
            height,
            ..self
        }
    }

    /// The centred square of `side`, the odd pixel left over going right and below; all of it
    /// when either side is smaller.
    pub(crate) fn centre(self, side: usize) -> Self {
        if self.width < side || self.height < side {
            return self;
        }
        self.cut(
            (self.height - side) / 2,
            (self.width - side) / 2,
            side,
            side,
        )
    }

    /// Row `y`: `3 * width` bytes.
    pub(crate) fn row(&self, y: usize) -> &'a [u8] {
        &self.pixels[y * self.stride..][..3 * self.width]
    }

    /// All rows one after another; borrowed where they lie so already.
    pub(crate) fn contiguous(&self) -> std::borrow::Cow<'a, [u8]> {
        if self.stride == 3 * self.width {
            return self.pixels[..self.stride * self.height].into();
        }
        let rows = (0..self.height).flat_map(|y| self.row(y).iter().copied());
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixel `(y, x)` has the levels `10 y + x`.
    fn numbered(width: usize, height: usize) -> Rgb8 {
        let levels = (0..height).flat_map(|y| (0..width).map(move |x| (10 * y + x) as u8));
        Rgb8 {
            width,
            height,
            pixels: levels.flat_map(|level| [level; 3]).collect(),
        }
    }

    #[track_caller]
    fn check(width: usize, height: usize, side: usize, expected: &[u8]) {
        let picture = numbered(width, height);
        let part = Part::whole(&picture).centre(side);
        let found: Vec<_> = part.contiguous().iter().step_by(3).copied().collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_centre_is_in_the_middle() {
        check(4, 4, 2, &[11, 12, 21, 22]);
        check(5, 3, 1, &[12]);
        check(3, 3, 3, &[0, 1, 2, 10, 11, 12, 20, 21, 22]);
    }

    #[test]
    fn an_odd_pixel_stays_right_and_below() {
        check(3, 3, 2, &[0, 1, 10, 11]);
        check(4, 3, 1, &[11]);
    }

    #[test]
    fn a_picture_smaller_on_one_side_stays_whole() {
        check(3, 1, 2, &[0, 1, 2]);
        check(1, 2, 2, &[0, 10]);
    }
}
