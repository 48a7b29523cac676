//! Which images a round has: drawn at random, or of people who look alike.

use std::path::Path;

use facenet_dataset::ImageId;
use facenet_sampler::{CODE_BYTES, LookAlikeConfig, LookAlikes};
use serde::{Deserialize, Serialize};

use crate::checkpoint::member;
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::plan::{Plan, images_of};

/// File of a checkpoint that holds what everyone looks like and who has been dealt.
pub(crate) const SAMPLER_FILE: &str = "sampler.bin";

/// How a round's identities are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// At random, each round anew.
    #[default]
    Random,
    /// Among those who look alike, by the embeddings of their last rounds; everyone once before
    /// anyone is chosen again ([`LookAlikes`]).
    LookAlike,
}

impl Sampling {
    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::LookAlike => "look-alike",
        }
    }
}

/// The rounds of a run, one after another.
#[derive(Clone)]
pub(crate) struct Rounds {
    look_alikes: Option<LookAlikes>,
}

impl Rounds {
    /// - `sizes`: images of each identity
    ///
    /// # Errors
    /// [`TrainError::Sampler`] where the identities cannot fill a round.
    pub(crate) fn new(config: &TrainConfig, sizes: &[u32]) -> Result<Self, TrainError> {
        let rule = LookAlikeConfig {
            share: config.look_alike_share,
            floor: config.look_alike_floor,
        };
        let look_alikes = match config.sampler {
            Sampling::Random => None,
            Sampling::LookAlike => Some(LookAlikes::new(
                sizes,
                config.sampling(),
                rule,
                config.embedding_size,
            )?),
        };
        Ok(Self { look_alikes })
    }

    /// The images of the round that comes next, number `round`.
    pub(crate) fn next(&mut self, plan: &Plan, round: u64) -> Vec<ImageId> {
        match &mut self.look_alikes {
            None => plan.round_images(round),
            Some(look_alikes) => images_of(&look_alikes.round()),
        }
    }

    /// Remembers what the people of some images look like.
    ///
    /// - `values`: `[ids.len(), dim]` row-major, finite
    pub(crate) fn learn(&mut self, ids: &[ImageId], values: &[f32]) {
        if let Some(look_alikes) = &mut self.look_alikes {
            let identities: Vec<_> = ids.iter().map(|id| id.identity).collect();
            look_alikes.learn(&identities, values);
        }
    }

    /// What a checkpoint keeps; `None` where a round's number says all.
    pub(crate) fn state(&self) -> Option<Vec<u8>> {
        self.look_alikes.as_ref().map(LookAlikes::state)
    }

    /// Goes on from the checkpoint in `folder`.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] where its file is missing, changed or of other identities.
    pub(crate) fn restore(&mut self, folder: &Path) -> Result<(), TrainError> {
        let Some(look_alikes) = &mut self.look_alikes else {
            return Ok(());
        };
        let state = member(folder, SAMPLER_FILE)?;
        look_alikes.restore(&state).map_err(|error| {
            let path = folder.join(SAMPLER_FILE);
            TrainError::checkpoint(&path, error.to_string(), "resume from another checkpoint")
        })
    }

    /// Bytes of codes, of which memory takes note only when identities are seen.
    pub(crate) fn bytes(&self, sizes: &[u32]) -> usize {
        self.look_alikes
            .as_ref()
            .map_or(0, |_| sizes.len() * CODE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_are_stored() {
        for sampling in [Sampling::Random, Sampling::LookAlike] {
            let stored = serde_json::to_value(sampling).expect("a name");
            assert_eq!(stored, sampling.name());
        }
    }

    #[test]
    fn only_look_alikes_have_a_state() {
        let rounds = |sampler| {
            let config = TrainConfig {
                sampler,
                people_per_batch: 2,
                images_per_person: 2,
                ..TrainConfig::demo()
            };
            Rounds::new(&config, &[3; 5]).expect("enough images")
        };
        let (random, alike) = (rounds(Sampling::Random), rounds(Sampling::LookAlike));
        assert_eq!((random.state(), random.bytes(&[3; 5])), (None, 0));
        assert_eq!(alike.bytes(&[3; 5]), 5 * 48);
        // Rounds, cycle, entered, waiting: nobody has been let in before the first round.
        assert_eq!(alike.state().map(|state| state.len()), Some(32 + 5 * 48));
    }
}
