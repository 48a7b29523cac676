//! The reference's rules of choosing people and their images.

use serde::{Deserialize, Serialize};

use crate::{Draw, SamplerConfig, SamplerError};

/// Images of a round, the identities one after another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// `(identity, image)`: indices into the sizes given and within the identity; all distinct.
    pub images: Vec<(u32, u32)>,
    /// Images of each sampled identity, in the order of `images`; none is 0.
    pub counts: Vec<u32>,
}

impl Sample {
    /// Dense labels, `[images.len()]`: 0 for the images of the first sampled identity, and so on.
    ///
    /// Every sampled identity has its label, so a miner makes anchors of all of them; the
    /// reference stops after the first P.
    pub fn labels(&self) -> Vec<u32> {
        let groups = (0u32..).zip(&self.counts);
        groups
            .flat_map(|(label, &count)| std::iter::repeat_n(label, count as usize))
            .collect()
    }

    /// Adds up to `most` images of an identity, in random order; gives their number.
    pub(crate) fn take(
        &mut self,
        identity: u32,
        sizes: &[u32],
        most: usize,
        draw: &mut impl Draw,
    ) -> usize {
        let mut images: Vec<u32> = (0..sizes[identity as usize]).collect();
        draw.shuffle(&mut images);
        images.truncate(most);
        if !images.is_empty() {
            self.counts.push(images.len() as u32);
        }
        let n_images = images.len();
        self.images
            .extend(images.into_iter().map(|image| (identity, image)));
        n_images
    }
}

/// Chooses people and images as the reference's `sample_people` does (davidsandberg/facenet,
/// `train_tripletloss.py`): shuffles the identities, then walks them, shuffling the images of
/// each and taking `min(size, K, still needed)`, until P x K images are held.
///
/// So a sample has exactly P x K images, of P identities or more: more where identities are
/// short. The last identity is cut to what is needed, possibly to one image. Identities of one
/// image are taken, as negatives. An empty identity takes its place in the shuffle, which keeps
/// the reference's draws, and gives nothing.
///
/// - `sizes`: images of each identity
/// - `config`: P and K, each 1 or more; its seed is not used here
/// - `draw`: one shuffle of `sizes.len()`, then one per identity walked
///
/// # Errors
/// [`SamplerError::TooFewImages`] when the identities hold fewer than P x K images, at most K of
/// each counted, checked before any draw; [`SamplerError::TooSmall`] for a P or K of 0.
pub fn sample_people(
    sizes: &[u32],
    config: &SamplerConfig,
    draw: &mut impl Draw,
) -> Result<Sample, SamplerError> {
    config.check_images(sizes)?;
    Ok(walk(sizes, config, draw))
}

/// [`sample_people`] after its check: the identities are known to suffice.
pub(crate) fn walk(sizes: &[u32], config: &SamplerConfig, draw: &mut impl Draw) -> Sample {
    let mut needed = config.people_per_batch * config.images_per_person;
    let mut identities: Vec<u32> = (0..sizes.len() as u32).collect();
    draw.shuffle(&mut identities);
    let mut sample = Sample::default();
    for identity in identities {
        if needed == 0 {
            break;
        }
        needed -= sample.take(identity, sizes, config.images_per_person.min(needed), draw);
    }
    sample
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Leaves every order as it is: `below(n)` is `n - 1`.
    struct InOrder;

    impl Draw for InOrder {
        fn below(&mut self, n: usize) -> usize {
            n.saturating_sub(1)
        }
    }

    #[track_caller]
    fn check(sizes: &[u32], people: usize, images: usize, expected: &[(u32, u32)], counts: &[u32]) {
        let config = SamplerConfig {
            people_per_batch: people,
            images_per_person: images,
            seed: 0,
        };
        let sample = sample_people(sizes, &config, &mut InOrder).expect("enough images");
        assert_eq!((&sample.images[..], &sample.counts[..]), (expected, counts));
    }

    #[test]
    fn takes_k_images_of_p_people() {
        check(&[2, 5, 3], 2, 2, &[(0, 0), (0, 1), (1, 0), (1, 1)], &[2, 2]);
    }

    #[test]
    fn short_identities_bring_more_people_and_the_last_is_cut() {
        let expected = [(0, 0), (1, 0), (1, 1), (1, 2), (3, 0), (3, 1)];
        check(&[1, 4, 0, 9], 2, 3, &expected, &[1, 3, 2]);
        check(
            &[1, 2, 3],
            2,
            2,
            &[(0, 0), (1, 0), (1, 1), (2, 0)],
            &[1, 2, 1],
        );
    }

    #[test]
    fn labels_follow_the_counts() {
        let sample = Sample {
            images: vec![],
            counts: vec![1, 3, 2],
        };
        assert_eq!(sample.labels(), [0, 1, 1, 1, 2, 2]);
    }

    #[test]
    fn refuses_before_drawing() {
        let config = SamplerConfig {
            people_per_batch: 1,
            images_per_person: 9,
            seed: 0,
        };
        let found = sample_people(&[3, 5], &config, &mut InOrder);
        assert!(matches!(
            found,
            Err(SamplerError::TooFewImages {
                needed: 9,
                offered: 8,
                ..
            })
        ));
    }
}
