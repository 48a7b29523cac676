//! Which images a round has: drawn at random, or of people who look alike.

use std::path::Path;

use facenet_dataset::ImageId;
use facenet_sampler::{CODE_BYTES, LookAlikeConfig, LookAlikePlace, LookAlikes};
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

/// Between which rounds a run stands, where their numbers do not say all.
pub(crate) struct RoundsPlace(Option<LookAlikePlace>);

/// The rounds of a run, one after another.
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

    /// What [`Rounds::go_back`] needs: little, however many identities there are.
    pub(crate) fn place(&self) -> RoundsPlace {
        RoundsPlace(self.look_alikes.as_ref().map(LookAlikes::place))
    }

    /// Undoes the rounds since, but for what [`Rounds::learn`] has remembered.
    pub(crate) fn go_back(&mut self, place: RoundsPlace) {
        if let (Some(look_alikes), Some(place)) = (&mut self.look_alikes, place.0) {
            look_alikes.go_back(place);
        }
    }

    /// Remembers what the people of some images look like. Nothing undoes it: it comes after the last
    /// place at which the work of its round may be stopped.
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

    /// Bytes of what is held of each identity, of some of which memory takes note only when
    /// the identity is seen.
    pub(crate) fn bytes(&self, sizes: &[u32]) -> usize {
        self.of_each(sizes, IDENTITY_BYTES)
    }

    /// Bytes of the codes in [`Rounds::state`].
    pub(crate) fn state_bytes(&self, sizes: &[u32]) -> usize {
        self.of_each(sizes, CODE_BYTES)
    }

    fn of_each(&self, sizes: &[u32], bytes: usize) -> usize {
        self.look_alikes.as_ref().map_or(0, |_| sizes.len() * bytes)
    }
}

/// Bytes of an identity: its code, its number of images and its place.
const IDENTITY_BYTES: usize = CODE_BYTES + 2 * size_of::<u32>();

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
        assert_eq!(alike.bytes(&[3; 5]), 5 * 56);
        assert_eq!(alike.state_bytes(&[3; 5]), 5 * 48);
        // Rounds, cycle, entered, waiting: nobody has been let in before the first round.
        assert_eq!(alike.state().map(|state| state.len()), Some(32 + 5 * 48));
    }
}
