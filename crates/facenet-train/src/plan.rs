//! The parts of a run that its state does not change, checked before anything is written.

use std::sync::Arc;

use facenet_dataset::{ImageId, Pictures};
use facenet_miner::Miner;
use facenet_sampler::{Sampler, SamplerConfig};

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::feed::Feed;
use crate::schedule::{ExponentialDecay, Schedule};

/// How a run samples, loads, mines and sets its learning rate.
pub(crate) struct Plan {
    pub(crate) schedule: Schedule,
    pub(crate) miner: Miner,
    pub(crate) feed: Feed,
    sampler: Sampler,
}

impl Plan {
    /// Puts the parts together.
    ///
    /// # Errors
    /// [`TrainError::Schedule`], [`TrainError::Sampler`] and [`TrainError::Mine`] where schedule
    /// file, identities and rule do not serve the configuration.
    pub(crate) fn new(
        config: &TrainConfig,
        pictures: Arc<dyn Pictures>,
    ) -> Result<Self, TrainError> {
        let sampling = SamplerConfig {
            people_per_batch: config.people_per_batch,
            images_per_person: config.images_per_person,
            seed: config.seed,
        };
        let miner = Miner::new(config.miner())?;
        if let Some(why) = miner.fallback() {
            tracing::warn!("{why}");
        }
        Ok(Self {
            schedule: schedule(config)?,
            miner,
            sampler: Sampler::new(&pictures.sizes(), sampling)?,
            feed: Feed::training(config, pictures)?,
        })
    }

    /// The images of round `round`.
    pub(crate) fn round_images(&self, round: u64) -> Vec<ImageId> {
        let sample = self.sampler.round(round);
        let ids = sample.images.iter();
        ids.map(|&(identity, image)| ImageId { identity, image })
            .collect()
    }
}

/// The schedule: the flag's rate, or the file's where that is not positive, times the decay.
fn schedule(config: &TrainConfig) -> Result<Schedule, TrainError> {
    let base = if config.learning_rate > 0.0 {
        Schedule::fixed(config.learning_rate)
    } else {
        Schedule::load(&config.learning_rate_schedule_file, 0)?
    };
    Ok(base.with_decay(ExponentialDecay {
        factor: config.learning_rate_decay_factor,
        steps: config
            .learning_rate_decay_epochs
            .saturating_mul(config.epoch_size),
        is_staircase: true,
    }))
}
