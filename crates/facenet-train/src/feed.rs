//! Pictures on their way into a network: loaded, prepared and batched in order.

use std::sync::Arc;

use facenet_dataset::{
    Augment, Batch, ImageId, Loader, LoaderConfig, Pictures, Preprocess, Recipe, flip_horizontal,
};

use crate::config::TrainConfig;
use crate::error::TrainError;

/// What pictures are loaded for; each purpose has random draws of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A training step.
    Train,
    /// Mining a round, or settling running statistics before.
    Mine,
    /// Settling running statistics before scoring.
    Settle,
    /// Scoring or embedding.
    Score,
    /// The same, mirrored left to right.
    ScoreMirrored,
}

impl Purpose {
    /// The loader draws by (seed, epoch, step): the top bits of the step tell purposes apart.
    fn step(self, step: u64) -> u64 {
        let tag = match self {
            Self::Train => 0,
            Self::Mine => 1,
            Self::Settle => 2,
            Self::Score | Self::ScoreMirrored => 3,
        };
        step | tag << 62
    }
}

/// Pictures asked for at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass<'a> {
    pub(crate) purpose: Purpose,
    pub(crate) epoch: u64,
    /// Optimizer step or round that the draws belong to.
    pub(crate) step: u64,
    pub(crate) ids: &'a [ImageId],
    /// Pictures a batch.
    pub(crate) batch: usize,
}

/// A set of pictures and how they are prepared.
pub(crate) struct Feed {
    loader: Loader,
    preprocess: Preprocess,
}

impl Feed {
    /// Training pictures, augmented.
    ///
    /// # Errors
    /// [`TrainError::Dataset`] for loader settings out of range.
    pub(crate) fn training(
        config: &TrainConfig,
        pictures: Arc<dyn Pictures>,
    ) -> Result<Self, TrainError> {
        let loader = LoaderConfig {
            threads: config.loader_threads,
            max_bad_share: config.max_bad_share,
            seed: config.seed,
            ..LoaderConfig::default()
        };
        let preprocess = Preprocess {
            recipe: config.recipe(),
            side: config.image_size,
            augment: config.augment(),
        };
        Ok(Self {
            loader: Loader::new(pictures, loader)?,
            preprocess,
        })
    }

    /// Pictures as they are, for scoring and embedding.
    ///
    /// - `max_bad_share`: unreadable pictures that are passed over; 0 refuses the first
    ///
    /// # Errors
    /// As [`Feed::training`].
    pub(crate) fn plain(
        pictures: Arc<dyn Pictures>,
        recipe: Recipe,
        side: usize,
        threads: usize,
        max_bad_share: f64,
    ) -> Result<Self, TrainError> {
        let loader = LoaderConfig {
            threads,
            max_bad_share,
            ..LoaderConfig::default()
        };
        let preprocess = Preprocess {
            recipe,
            side,
            augment: Augment::default(),
        };
        Ok(Self {
            loader: Loader::new(pictures, loader)?,
            preprocess,
        })
    }

    /// The batches of `pass`, in order; an unreadable picture is left out of its batch.
    pub(crate) fn batches(
        &self,
        pass: &Pass<'_>,
    ) -> impl Iterator<Item = Result<Batch, TrainError>> + use<> {
        let step = pass.purpose.step(pass.step);
        let ids = pass.ids.to_vec();
        let side = self.preprocess.side;
        let is_mirrored = pass.purpose == Purpose::ScoreMirrored;
        let batches = self
            .loader
            .stream(pass.epoch, step, ids, pass.batch, &self.preprocess);
        batches.map(move |batch| {
            let mut batch = batch?;
            if is_mirrored {
                flip_horizontal(&mut batch.images, side);
            }
            Ok(batch)
        })
    }

    /// Unreadable pictures met so far, and why.
    pub(crate) fn quarantined(&self) -> Vec<(String, String)> {
        let bad = self.loader.quarantined().into_iter();
        bad.map(|one| (one.name, one.reason)).collect()
    }

    /// One line for each unreadable picture that has not been told yet.
    pub(crate) fn news(&self) -> Vec<String> {
        let bad = self.loader.take_newly_quarantined().into_iter();
        bad.map(|one| format!("unreadable image left out: {}", one.reason))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_draw_apart() {
        let all = [
            Purpose::Train,
            Purpose::Mine,
            Purpose::Settle,
            Purpose::Score,
        ];
        let steps: std::collections::BTreeSet<_> = all.map(|purpose| purpose.step(7)).into();
        assert_eq!(steps.len(), 4);
        assert_eq!(Purpose::Train.step(7), 7);
    }
}
