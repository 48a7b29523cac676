//! Running statistics that fit young weights.

use facenet_model::Model;

use crate::embedder::to_tensor;
use crate::error::TrainError;
use crate::feed::{Feed, Pass};

/// Batches that a recalibration averages over.
const BATCHES: usize = 4;

/// Updates after which running statistics of share `momentum` are trusted: the initial values
/// then weigh less than `exp(-3)`, 5 %.
fn trusted_after(momentum: f64) -> u64 {
    (3.0 / momentum).ceil() as u64
}

/// Recalibrates the running statistics on the first pictures of `pass` while fewer than
/// `3 / momentum` updates have been made: mining and scoring in eval mode would otherwise see a
/// network that nobody trains.
pub(crate) fn settle_statistics(
    model: &Model,
    feed: &Feed,
    pass: &Pass<'_>,
) -> Result<(), TrainError> {
    if model.updates() >= trusted_after(model.config().bn_momentum) {
        return Ok(());
    }
    let first = &pass.ids[..pass.ids.len().min(BATCHES * pass.batch)];
    let batches = feed.batches(&Pass {
        ids: first,
        ..*pass
    });
    let images: Result<Vec<_>, TrainError> =
        batches.map(|batch| to_tensor(&batch?, model)).collect();
    Ok(model.recalibrate(&images?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_follows_the_momentum() {
        assert_eq!(trusted_after(0.1), 30);
        assert_eq!(trusted_after(0.005), 600);
        assert_eq!(trusted_after(1.0), 3);
    }
}
