//! The sampler: rounds as a function of seed and step.

use crate::sample::walk;
use crate::{ChaChaDraw, Sample, SamplerConfig, SamplerError};

/// Draws rounds of P x K images.
///
/// There is no hidden state: a round is a function of (seed, step), so a resumed run needs the
/// step only, and rounds may be drawn in any order and on any thread.
#[derive(Debug, Clone)]
pub struct Sampler {
    sizes: Vec<u32>,
    config: SamplerConfig,
}

impl Sampler {
    /// Checks the request once, so that no round can fail later.
    ///
    /// - `sizes`: images of each identity; an empty identity is never sampled
    ///
    /// # Errors
    /// [`SamplerError::TooSmall`] for a P or K below 2, [`SamplerError::TooFewImages`] when the
    /// identities hold fewer than P x K images, at most K of each counted, and
    /// [`SamplerError::NoPair`] when none has two.
    pub fn new(sizes: &[u32], config: SamplerConfig) -> Result<Self, SamplerError> {
        config.validate(sizes)?;
        Ok(Self {
            sizes: sizes.to_vec(),
            config,
        })
    }

    /// Draws round `step`, by the rules of [`sample_people`](crate::sample_people).
    pub fn round(&self, step: u64) -> Sample {
        let mut draw = ChaChaDraw::new(self.config.seed, step);
        walk(&self.sizes, &self.config, &mut draw)
    }

    /// The configuration that the rounds are drawn by.
    pub fn config(&self) -> &SamplerConfig {
        &self.config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_depends_on_seed_and_step_only() {
        let config = |seed| SamplerConfig {
            people_per_batch: 3,
            images_per_person: 4,
            seed,
        };
        let sampler = Sampler::new(&[9; 20], config(1)).expect("enough images");
        let later = sampler.round(7);
        assert_ne!(sampler.round(6), later);
        assert_eq!(sampler.round(7), later);
        let other = Sampler::new(&[9; 20], config(2)).expect("enough images");
        assert_ne!(other.round(7), later);
    }
}
