//! Unreadable images: remembered, counted, and passed over up to a share.

use std::collections::HashSet;

use serde::Serialize;

use crate::error::DatasetError;
use crate::picture::ImageId;

/// Below so many images (or all that the set has, where it is smaller) the share is taken of
/// this many, so that a few bad ones met early do not end a run.
const MIN_TOUCHED: usize = 500;

/// An image that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quarantined {
    /// The image.
    pub image: ImageId,
    /// Its path, or what its source calls it.
    pub name: String,
    /// Why, with the path, on one line.
    pub reason: String,
}

/// What a loader has met so far.
#[derive(Debug)]
pub(crate) struct Quarantine {
    n_images: usize,
    max_share: f64,
    touched: HashSet<ImageId>,
    bad: Vec<Quarantined>,
    n_reported: usize,
}

impl Quarantine {
    /// - `n_images`: of the whole set
    /// - `max_share`: in `[0, 1]`
    pub(crate) fn new(n_images: usize, max_share: f64) -> Self {
        Self {
            n_images,
            max_share,
            touched: HashSet::new(),
            bad: Vec::new(),
            n_reported: 0,
        }
    }

    /// Notes an image that was read.
    pub(crate) fn good(&mut self, image: ImageId) {
        self.touched.insert(image);
    }

    /// Notes an image that was not, the first time that it is met.
    ///
    /// # Errors
    /// [`DatasetError::TooManyBad`] when this one is more than may be.
    pub(crate) fn bad(&mut self, one: Quarantined) -> Result<(), DatasetError> {
        self.touched.insert(one.image);
        if self.bad.iter().any(|known| known.image == one.image) {
            return Ok(());
        }
        self.bad.push(one);
        let allowed = self.allowed();
        if self.bad.len() <= allowed {
            return Ok(());
        }
        Err(DatasetError::TooManyBad {
            bad: self.bad.clone(),
            touched: self.touched.len(),
            allowed,
        })
    }

    /// How many bad images may be: the share of the distinct images met so far (of at least
    /// [`MIN_TOUCHED`], where the set has as many), and one in any case unless the share is 0.
    fn allowed(&self) -> usize {
        let met = self.touched.len().max(MIN_TOUCHED.min(self.n_images));
        let share = (self.max_share * met as f64) as usize;
        share.max(usize::from(self.max_share > 0.0))
    }

    /// The bad ones known now.
    pub(crate) fn ids(&self) -> HashSet<ImageId> {
        self.bad.iter().map(|one| one.image).collect()
    }

    pub(crate) fn all(&self) -> &[Quarantined] {
        &self.bad
    }

    /// Those that no call has returned yet.
    pub(crate) fn take_new(&mut self) -> Vec<Quarantined> {
        let new = self.bad[self.n_reported..].to_vec();
        self.n_reported = self.bad.len();
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(image: u32) -> Quarantined {
        Quarantined {
            image: ImageId { identity: 0, image },
            name: image.to_string(),
            reason: "broken".to_owned(),
        }
    }

    /// How many bad images in a row, met after `n_good` others, are passed over.
    #[track_caller]
    fn check(n_images: usize, share: f64, n_good: u32, expected: usize) {
        let mut quarantine = Quarantine::new(n_images, share);
        for image in 0..n_good {
            quarantine.good(one(image).image);
        }
        let bad = (n_good..).map(one);
        let passed = bad.take_while(|bad| quarantine.bad(bad.clone()).is_ok());
        assert_eq!(passed.take(2000).count(), expected);
    }

    #[test]
    fn a_small_set_may_have_one() {
        check(20, 0.01, 0, 1);
        check(199, 0.01, 100, 1);
        check(200, 0.01, 0, 2);
    }

    #[test]
    fn a_large_set_may_have_its_share_of_what_was_met() {
        check(100_000, 0.01, 0, 5);
        check(100_000, 0.01, 1000, 10);
    }

    #[test]
    fn the_extreme_shares_are_none_and_all() {
        check(100_000, 0.0, 1000, 0);
        check(1000, 1.0, 0, 2000);
    }

    #[test]
    fn an_image_counts_once_and_is_reported_once() {
        let mut quarantine = Quarantine::new(20, 0.01);
        for _ in 0..3 {
            quarantine.bad(one(7)).expect("the same one");
        }
        assert_eq!(quarantine.take_new(), [one(7)]);
        assert_eq!(quarantine.take_new(), []);
        assert_eq!(quarantine.all(), [one(7)]);
        let error = quarantine.bad(one(8)).expect_err("two of twenty");
        let text = error.to_string();
        assert!(
            text.starts_with("2 of 2 images cannot be read, expected at most 1: broken; "),
            "{text}"
        );
    }
}
