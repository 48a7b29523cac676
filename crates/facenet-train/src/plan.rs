//! The parts of a run that its state does not change, checked before anything is written.

use std::sync::Arc;

use facenet_dataset::{ImageId, Pictures};
use facenet_miner::{MineError, Miner, Rule};
use facenet_sampler::{Sample, Sampler};

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::feed::Feed;
use crate::schedule::{Course, ExponentialDecay, Schedule, Shape};
use crate::strategy::Strategy;

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
        let miner = Miner::new(config.miner())?;
        if let Some(why) = miner.fallback() {
            tracing::warn!("{why}");
        }
        let sampler = Sampler::new(&pictures.sizes(), config.sampling())?;
        check_triplets(config, &sampler)?;
        Ok(Self {
            schedule: schedule(config)?,
            miner,
            sampler,
            feed: Feed::training(config, pictures)?,
        })
    }

    /// The images of round `round`, drawn at random.
    pub(crate) fn round_images(&self, round: u64) -> Vec<ImageId> {
        images_of(&self.sampler.round(round))
    }
}

/// The images of a round, in order.
pub(crate) fn images_of(sample: &Sample) -> Vec<ImageId> {
    let ids = sample.images.iter();
    ids.map(|&(identity, image)| ImageId { identity, image })
        .collect()
}

/// Refuses `batch-all` where the first round has more triplets than may be collected: unless only
/// violating ones count, sizes alone say how many. A strategy that visits them collects none.
fn check_triplets(config: &TrainConfig, sampler: &Sampler) -> Result<(), TrainError> {
    let collects = config.strategy == Strategy::Reference;
    if !collects || config.rule != Rule::BatchAll || config.only_violating {
        return Ok(());
    }
    let count = n_triplets(&sampler.round(0).counts);
    if count <= config.max_triplets as u64 {
        return Ok(());
    }
    Err(TrainError::Mine(MineError::TooManyTriplets {
        count,
        max_triplets: config.max_triplets,
    }))
}

/// Triplets of a round with so many images of each identity: every anchor with every other image
/// of its identity and every image of another.
fn n_triplets(counts: &[u32]) -> u64 {
    let n_images: u64 = counts.iter().map(|&n| u64::from(n)).sum();
    counts.iter().fold(0, |total: u64, &n| {
        let n = u64::from(n);
        let pairs = n * n.saturating_sub(1);
        total.saturating_add(pairs.saturating_mul(n_images - n))
    })
}

/// The schedule: the flag's rate, or the file's where that is not positive, times the course.
fn schedule(config: &TrainConfig) -> Result<Schedule, TrainError> {
    let base = if config.learning_rate > 0.0 {
        Schedule::fixed(config.learning_rate)
    } else {
        Schedule::load(&config.learning_rate_schedule_file, 0)?
    };
    let shaped = base.with_shape(Shape {
        course: config.learning_rate_schedule,
        power: config.learning_rate_power,
        warm_up: config.warm_up_steps,
        total: config.total_steps(),
    });
    if config.learning_rate_schedule != Course::Exponential {
        return Ok(shaped);
    }
    Ok(shaped.with_decay(ExponentialDecay {
        factor: config.learning_rate_decay_factor,
        steps: config
            .learning_rate_decay_epochs
            .saturating_mul(config.epoch_size),
        is_staircase: true,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::RateAt;

    #[test]
    fn the_rate_decays_at_the_end_of_whole_epochs() {
        let config = TrainConfig {
            learning_rate: 1.0,
            learning_rate_decay_epochs: 2,
            learning_rate_decay_factor: 0.5,
            epoch_size: 10,
            ..TrainConfig::demo()
        };
        let schedule = schedule(&config).expect("no file is named");
        let found = [0, 19, 20, 39, 40].map(|step| schedule.at(step / 10, step));
        assert_eq!(found, [1.0, 1.0, 0.5, 0.5, 0.25].map(RateAt::Rate));
    }

    #[test]
    fn another_course_takes_the_place_of_the_decay_and_ends_with_the_run() {
        let config = TrainConfig {
            learning_rate: 1.0,
            learning_rate_decay_epochs: 1,
            learning_rate_decay_factor: 0.5,
            learning_rate_schedule: Course::Polynomial,
            warm_up_steps: 2,
            epoch_size: 5,
            max_nrof_epochs: 2,
            ..TrainConfig::demo()
        };
        let schedule = schedule(&config).expect("no file is named");
        let found = [0, 1, 2, 6, 8].map(|step| schedule.at(step / 5, step));
        assert_eq!(found, [0.5, 1.0, 1.0, 0.5, 0.25].map(RateAt::Rate));
    }

    #[test]
    fn triplets_are_counted_from_sizes() {
        // 6 anchors x 2 positives x 3 negatives, as the miner counts two labels of three.
        assert_eq!(n_triplets(&[3, 3]), 36);
        // 2 x 1 x 4 + 3 x 2 x 3 + none of a single image.
        assert_eq!(n_triplets(&[2, 3, 1]), 26);
        assert_eq!(n_triplets(&[]), 0);
    }
}
