//! How many identities and images a round holds.

use serde::{Deserialize, Serialize};

use crate::SamplerError;

/// Size of a round, and the seed that its draws come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplerConfig {
    /// P: a round holds at least this many identities; 2 or more.
    pub people_per_batch: usize,
    /// K: no identity gives more images to a round; 2 or more.
    pub images_per_person: usize,
    /// Seed of every draw.
    pub seed: u64,
}

impl SamplerConfig {
    /// Checks that a round of `sizes` exists and can hold a triplet.
    pub(crate) fn validate(&self, sizes: &[u32]) -> Result<(), SamplerError> {
        at_least(2, "people_per_batch", self.people_per_batch)?;
        at_least(2, "images_per_person", self.images_per_person)?;
        self.check_images(sizes)?;
        if sizes.iter().all(|&size| size < 2) {
            return Err(SamplerError::NoPair {
                n_identities: n_filled(sizes),
            });
        }
        Ok(())
    }

    /// Checks that `sizes` can fill P x K images, at most K of each identity.
    pub(crate) fn check_images(&self, sizes: &[u32]) -> Result<(), SamplerError> {
        let &Self {
            people_per_batch,
            images_per_person,
            ..
        } = self;
        at_least(1, "people_per_batch", people_per_batch)?;
        at_least(1, "images_per_person", images_per_person)?;
        if u32::try_from(sizes.len()).is_err() {
            return Err(SamplerError::TooManyIdentities { found: sizes.len() });
        }
        let needed = (people_per_batch as u64).saturating_mul(images_per_person as u64);
        let most = images_per_person as u64;
        let offered: u64 = sizes.iter().map(|&size| u64::from(size).min(most)).sum();
        if offered < needed {
            let n_identities = n_filled(sizes);
            return Err(SamplerError::TooFewImages {
                people_per_batch,
                images_per_person,
                needed,
                offered,
                n_identities,
            });
        }
        Ok(())
    }
}

fn at_least(least: usize, field: &'static str, found: usize) -> Result<(), SamplerError> {
    if found < least {
        return Err(SamplerError::TooSmall {
            field,
            found,
            least,
        });
    }
    Ok(())
}

fn n_filled(sizes: &[u32]) -> usize {
    sizes.iter().filter(|&&size| size > 0).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(people: usize, images: usize, sizes: &[u32], expected: &str) {
        let config = SamplerConfig {
            people_per_batch: people,
            images_per_person: images,
            seed: 0,
        };
        let message = match config.validate(sizes) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        assert!(message.starts_with(expected), "{message}");
        assert_eq!(message.is_empty(), expected.is_empty(), "{message}");
    }

    #[test]
    fn exactly_enough_images_pass() {
        check(2, 3, &[3, 2, 1], "");
        check(2, 3, &[9, 0, 9], "");
    }

    #[test]
    fn too_few_images_name_the_numbers() {
        let start = "sampler: 2 people x 3 images need 6 images, but the 2 identities offer 5 when \
                     none gives more than 3;";
        check(2, 3, &[90, 0, 2], start);
        check(
            2,
            3,
            &[],
            "sampler: 2 people x 3 images need 6 images, but the 0 identities offer 0",
        );
        check(
            usize::MAX,
            3,
            &[5, 5],
            "sampler: 18446744073709551615 people x 3 images",
        );
    }

    #[test]
    fn a_round_needs_two_people_two_images_and_one_pair() {
        check(
            0,
            3,
            &[5, 5],
            "sampler: people_per_batch is 0, expected 2 or more;",
        );
        check(
            1,
            3,
            &[5, 5],
            "sampler: people_per_batch is 1, expected 2 or more;",
        );
        check(
            2,
            1,
            &[5, 5],
            "sampler: images_per_person is 1, expected 2 or more;",
        );
        check(
            2,
            2,
            &[1, 1, 1, 1],
            "sampler: none of the 4 identities has 2 images or more",
        );
    }
}
