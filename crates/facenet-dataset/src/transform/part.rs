use crate::picture::{Area, Portion, Rgb8};

/// An area of a picture, not copied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pixels: &'a [u8],
    /// What of the picture those are.
    held: Area,
    /// What is meant; its pixels can be had where they are held.
    pub(crate) area: Area,
}

impl<'a> Part<'a> {
    /// All of `picture`.
    pub(crate) fn whole(picture: &'a Rgb8) -> Self {
        let area = Area::whole(picture.height, picture.width);
        Self {
            pixels: &picture.pixels,
            held: area,
            area,
        }
    }

    /// All of the picture that a portion is of.
    pub(crate) fn of(portion: &'a Portion) -> Self {
        Self {
            pixels: &portion.pixels,
            held: portion.area,
            area: Area::whole(portion.height, portion.width),
        }
    }

    /// Another area of the same picture.
    pub(crate) fn at(self, area: Area) -> Self {
        Self { area, ..self }
    }

    /// Row `y` of the area, whose pixels must be held: `3 * area.width` bytes.
    pub(crate) fn row(&self, y: usize) -> &'a [u8] {
        let top = self.area.top + y - self.held.top;
        let left = self.area.left - self.held.left;
        &self.pixels[3 * (top * self.held.width + left)..][..3 * self.area.width]
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

    /// All rows one after another.
    fn pixels(part: Part<'_>) -> Vec<u8> {
        let rows = (0..part.area.height).map(|y| part.row(y));
        rows.flatten().copied().collect()
    }

    #[track_caller]
    fn check(width: usize, height: usize, side: usize, expected: &[u8]) {
        let picture = numbered(width, height);
        let part = Part::whole(&picture);
        let part = part.at(part.area.centre(side));
        let found: Vec<_> = pixels(part).into_iter().step_by(3).collect();
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
    fn a_portion_lies_where_it_was_cut() {
        let area = Area {
            top: 1,
            left: 2,
            height: 2,
            width: 2,
        };
        let portion = Portion {
            height: 5,
            width: 5,
            area,
            pixels: [12, 13, 22, 23].into_iter().flat_map(|x| [x; 3]).collect(),
        };
        let part = Part::of(&portion);
        assert_eq!(part.area, Area::whole(5, 5));
        assert_eq!(part.at(area.centre(1)).row(0), [12; 3]);
        assert_eq!(part.at(area).row(1), [22, 22, 22, 23, 23, 23]);
        assert_eq!(pixels(part.at(area)), portion.pixels);
    }

    #[test]
    fn a_picture_smaller_on_one_side_stays_whole() {
        check(3, 1, 2, &[0, 1, 2]);
        check(1, 2, 2, &[0, 10]);
    }
}
