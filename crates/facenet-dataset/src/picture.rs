//! A decoded picture, and where pictures come from.

use serde::{Deserialize, Serialize};

use crate::error::DatasetError;

/// A decoded picture: 8-bit RGB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb8 {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `[height, width, 3]` row-major; `3 * width * height` bytes.
    pub pixels: Vec<u8>,
}

impl Rgb8 {
    /// Refuses a picture whose pixels do not fit its sides, or that has none.
    ///
    /// # Errors
    /// [`DatasetError::Shape`].
    pub fn check(&self) -> Result<(), DatasetError> {
        let expected = self.width.saturating_mul(self.height).saturating_mul(3);
        if self.pixels.len() == expected && expected > 0 {
            return Ok(());
        }
        Err(DatasetError::Shape {
            what: "pixels of a picture",
            found: self.pixels.len(),
            expected: expected.max(3),
        })
    }
}

/// A rectangle of a picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Area {
    /// All of a picture.
    pub fn whole(height: usize, width: usize) -> Self {
        Self {
            top: 0,
            left: 0,
            height,
            width,
        }
    }

    /// Whether `other` has no pixel that this lacks.
    pub(crate) fn contains(&self, other: Self) -> bool {
        let within = |from: usize, n: usize, other_from: usize, n_other: usize| {
            from <= other_from && other_from.saturating_add(n_other) <= from.saturating_add(n)
        };
        within(self.top, self.height, other.top, other.height)
            && within(self.left, self.width, other.left, other.width)
    }

    /// The centred square of `side`, the odd pixel left over going right and below; all of it
    /// when either side is smaller.
    pub(crate) fn centre(self, side: usize) -> Self {
        if self.width < side || self.height < side {
            return self;
        }
        Self {
            top: self.top + (self.height - side) / 2,
            left: self.left + (self.width - side) / 2,
            height: side,
            width: side,
        }
    }
}

/// A picture of which an area is at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portion {
    /// Rows of the whole picture.
    pub height: usize,
    /// Columns of the whole picture.
    pub width: usize,
    /// Which of its pixels are here.
    pub area: Area,
    /// `[area.height, area.width, 3]` row-major, 8-bit RGB.
    pub pixels: Vec<u8>,
}

impl Portion {
    /// Refuses a portion whose pixels do not fit its area, or that lacks some that are needed.
    ///
    /// # Errors
    /// [`DatasetError::Shape`], [`DatasetError::Portion`].
    pub(crate) fn check(&self, needed: Area) -> Result<(), DatasetError> {
        let held = self.area;
        let expected = held.width.saturating_mul(held.height).saturating_mul(3);
        if self.pixels.len() != expected || expected == 0 {
            return Err(DatasetError::Shape {
                what: "pixels of a picture",
                found: self.pixels.len(),
                expected: expected.max(3),
            });
        }
        let whole = Area::whole(self.height, self.width);
        if whole.contains(held) && held.contains(needed) {
            return Ok(());
        }
        Err(DatasetError::Portion { held, needed })
    }
}

impl From<Rgb8> for Portion {
    fn from(picture: Rgb8) -> Self {
        Self {
            height: picture.height,
            width: picture.width,
            area: Area::whole(picture.height, picture.width),
            pixels: picture.pixels,
        }
    }
}

/// One image of a set of pictures.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ImageId {
    /// Dense index of the identity, from 0.
    pub identity: u32,
    /// Index of the image within its identity, from 0.
    pub image: u32,
}

/// A set of pictures by identity: a folder, a renderer, or whatever else can produce them.
pub trait Pictures: Send + Sync {
    /// Reads or draws one picture; the same `image` gives the same picture each time.
    ///
    /// # Errors
    /// [`DatasetError`] when the picture cannot be had: a [`Loader`](crate::Loader)
    /// quarantines it.
    fn load(&self, image: ImageId) -> Result<Rgb8, DatasetError>;

    /// Reads or draws what is needed of a picture, or more of it: as it stands, all.
    ///
    /// - `select`: from all of the picture, what is needed of it
    ///
    /// # Errors
    /// As [`load`](Self::load), also for what is wrong outside of what is needed.
    fn load_part(
        &self,
        image: ImageId,
        select: &dyn Fn(Area) -> Area,
    ) -> Result<Portion, DatasetError> {
        let _ = select;
        self.load(image).map(Portion::from)
    }

    /// How many images each identity has, by identity index.
    fn sizes(&self) -> Vec<u32>;

    /// What `image` is called in messages: a path, or such as `synth:12/3`.
    fn name(&self, image: ImageId) -> String;

    /// What an identity is called in messages.
    fn identity_name(&self, identity: u32) -> String;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area([top, left, height, width]: [usize; 4]) -> Area {
        Area {
            top,
            left,
            height,
            width,
        }
    }

    #[track_caller]
    fn check(outer: [usize; 4], inner: [usize; 4], expected: bool) {
        assert_eq!(area(outer).contains(area(inner)), expected);
    }

    #[test]
    fn an_area_contains_what_is_not_beyond_its_edges() {
        let outer = [2, 3, 4, 5];
        check(outer, outer, true);
        check(outer, [3, 4, 1, 1], true);
        for beyond in [[1, 3, 4, 5], [2, 2, 4, 5], [2, 3, 5, 5], [2, 3, 4, 6]] {
            check(outer, beyond, false);
        }
        check(outer, [2, 3, usize::MAX, 1], false);
    }

    #[test]
    fn a_portion_must_hold_what_is_needed() {
        let mut portion = Portion {
            height: 4,
            width: 4,
            area: area([1, 1, 2, 2]),
            pixels: vec![0; 12],
        };
        assert!(portion.check(portion.area).is_ok());
        let lacks = portion.check(area([1, 1, 2, 3]));
        assert!(matches!(lacks, Err(DatasetError::Portion { .. })));
        portion.width = 2;
        let outside = portion.check(portion.area);
        assert!(matches!(outside, Err(DatasetError::Portion { .. })));
        portion.pixels.pop();
        let short = portion.check(portion.area);
        assert!(matches!(short, Err(DatasetError::Shape { .. })));
    }
}
