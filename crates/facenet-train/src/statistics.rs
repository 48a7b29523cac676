//! Running statistics that fit young weights.

use facenet_model::Model;

use crate::embedder::to_tensor;
use crate::error::TrainError;
use crate::feed::{Feed, Pass};
use crate::observer::Observer;
use crate::stopping::check_stop;

/// Batches that a recalibration averages over.
pub(crate) const SETTLING_BATCHES: usize = 4;

/// Updates after which running statistics of share `momentum` are trusted: the initial values
/// then weigh less than `exp(-3)`, 5 %.
fn trusted_after(momentum: f64) -> u64 {
    (3.0 / momentum).ceil() as u64
}

/// Recalibrates the running statistics on the first pictures of `pass` while fewer than
/// `3 / momentum` updates have been made, unless they are frozen: mining and scoring in eval mode would otherwise see a
/// network that nobody trains.
pub(crate) fn settle_statistics(
    model: &Model,
    feed: &Feed,
    pass: &Pass<'_>,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    if model.has_frozen_norms() || model.updates() >= trusted_after(model.config().bn_momentum) {
        return Ok(());
    }
    let first = &pass.ids[..pass.ids.len().min(SETTLING_BATCHES * pass.batch)];
    let batches = feed.batches(&Pass {
        ids: first,
        ..*pass
    });
    let images = batches.map(|batch| {
        check_stop(observer)?;
        to_tensor(&batch?, model)
    });
    let images: Result<Vec<_>, TrainError> = images.collect();
    Ok(model.recalibrate(&images?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Purpose;
    use crate::observer::Silent;
    use crate::source::training_pictures;
    use crate::{TrainConfig, open_device};
    use candle_core::DType;
    use facenet_dataset::ImageId;

    /// Whether a network of `updates` updates is recalibrated, with a momentum of 0.1.
    fn settles(updates: u64) -> bool {
        let config = TrainConfig {
            synthetic_identities: 2,
            synthetic_images: 2,
            image_size: 16,
            embedding_size: 8,
            ..TrainConfig::demo()
        };
        let device = open_device("cpu").expect("there is a CPU");
        let model = Model::new(config.model(), 1, DType::F32, &device).expect("a small network");
        model.set_updates(updates);
        let pictures = training_pictures(&config, &mut Silent).expect("they are drawn");
        let feed = Feed::training(&config, pictures).expect("a good configuration");
        let pass = Pass {
            purpose: Purpose::Settle,
            epoch: 0,
            step: 0,
            ids: &[0, 1].map(|identity| ImageId { identity, image: 0 }),
            batch: 2,
        };
        let mean = || {
            let state = model.state();
            let means = state
                .iter()
                .filter(|(name, _)| name.ends_with("running_mean"));
            let sums = means.map(|(_, mean)| mean.abs()?.sum_all()?.to_scalar::<f32>());
            sums.sum::<candle_core::Result<f32>>()
                .expect("f32 on the CPU")
        };
        let before = mean();
        settle_statistics(&model, &feed, &pass, &mut Silent).expect("two pictures");
        mean().to_bits() != before.to_bits()
    }

    #[test]
    fn young_statistics_are_recalibrated_and_trusted_ones_are_not() {
        assert!(settles(0) && settles(29));
        assert!(!settles(30) && !settles(1000));
    }

    #[test]
    fn trust_follows_the_momentum() {
        assert_eq!(trusted_after(0.1), 30);
        assert_eq!(trusted_after(0.005), 600);
        assert_eq!(trusted_after(1.0), 3);
    }
}
