//! Where a run stands: all that a checkpoint keeps besides tensors.

use facenet_dataset::ImageId;
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::watch::Watch;

/// A mined triplet as images of the data set: anchor, positive, negative.
pub type ImageTriplet = [ImageId; 3];

/// The state of a run between two steps.
///
/// With the tensors of the same checkpoint it determines every later step: random draws are
/// functions of the seed and of the numbers here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The run's configuration.
    pub config: TrainConfig,
    /// What the identities and their images were, so that another data set is noticed.
    pub data_fingerprint: String,
    /// Optimizer steps made.
    pub step: u64,
    /// Rounds sampled.
    pub round: u64,
    /// Rounds in a row that gave no triplet.
    pub empty_rounds: u32,
    /// Images that have been through a training step.
    pub images: u64,
    /// Updates of the running statistics.
    pub statistics_updates: u64,
    /// Whether the step just made ends an epoch whose score and models are still to be made: only
    /// where a run was stopped meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_epoch_open: bool,
    /// Losses of the epoch's steps so far.
    #[serde(default)]
    pub epoch_loss: EpochLoss,
    /// The round's triplets that no step has used yet, in order.
    pub pending: Vec<ImageTriplet>,
    /// Accuracy before the first step.
    pub accuracy_before: Option<f64>,
    /// Best raw score so far, and the step that had it.
    pub best: Option<Best>,
    /// What is remembered of the embeddings' health.
    #[serde(default)]
    pub watch: Watch,
}

/// The best score of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Accuracy where the run is scored, else the negated mean loss of the epoch.
    pub score: f64,
    /// The step after which it was measured.
    pub step: u64,
}

/// The losses of an epoch's steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochLoss {
    /// Their sum.
    pub sum: f64,
    /// Their number.
    pub steps: u64,
}

impl EpochLoss {
    /// Their mean; `None` before the first step.
    pub fn mean(&self) -> Option<f64> {
        (self.steps > 0).then(|| self.sum / self.steps as f64)
    }
}

impl Progress {
    /// The beginning of a run.
    pub fn start(config: TrainConfig, data_fingerprint: String) -> Self {
        Self {
            config,
            data_fingerprint,
            step: 0,
            round: 0,
            empty_rounds: 0,
            images: 0,
            statistics_updates: 0,
            is_epoch_open: false,
            epoch_loss: EpochLoss::default(),
            pending: Vec::new(),
            accuracy_before: None,
            best: None,
            watch: Watch::default(),
        }
    }

    /// The epoch that the next step belongs to, from 0.
    pub fn epoch(&self) -> u64 {
        self.step / self.config.epoch_size
    }

    /// Steps made of that epoch.
    pub fn step_in_epoch(&self) -> u64 {
        self.step % self.config.epoch_size
    }

    /// Steps of the whole run: exactly epochs times epoch size.
    pub fn total_steps(&self) -> u64 {
        self.config.total_steps()
    }

    /// Whether the epochs since the best score are as many as the configuration's patience.
    pub fn is_out_of_patience(&self) -> bool {
        let best = self.best.map_or(0, |best| best.step);
        let epochs = self.step.saturating_sub(best) / self.config.epoch_size;
        self.config.patience.is_some_and(|most| epochs >= most)
    }

    /// Whether no step is left.
    pub fn is_done(&self) -> bool {
        self.step >= self.total_steps()
    }

    /// Takes the triplets of the next step from the round: at most `batch_size / 3`.
    pub fn take_batch(&mut self) -> Vec<ImageTriplet> {
        let n_triplets = (self.config.batch_size / 3).min(self.pending.len());
        self.pending.drain(..n_triplets).collect()
    }

    /// Notes the loss of the step just made; an epoch's first begins a new sum.
    pub fn note_loss(&mut self, loss: f64) {
        if self.config.epoch_size == 1 || self.step_in_epoch() == 1 {
            self.epoch_loss = EpochLoss::default();
        }
        self.epoch_loss.sum += loss;
        self.epoch_loss.steps += 1;
    }

    /// Notes a score of the current step; true when it is the best so far.
    pub fn note_score(&mut self, score: f64) -> bool {
        let is_best = self.best.is_none_or(|best| score > best.score);
        if is_best {
            self.best = Some(Best {
                score,
                step: self.step,
            });
        }
        is_best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        let config = TrainConfig {
            batch_size: 6,
            epoch_size: 4,
            max_nrof_epochs: 3,
            ..TrainConfig::demo()
        };
        Progress::start(config, "2 identities".to_owned())
    }

    #[test]
    fn a_run_has_exactly_epochs_times_epoch_size_steps() {
        let mut progress = progress();
        let mut epochs = Vec::new();
        while !progress.is_done() {
            epochs.push(progress.epoch());
            progress.step += 1;
        }
        assert_eq!(epochs, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
    }

    #[test]
    fn batches_are_whole_triplets_and_the_last_is_shorter() {
        let mut progress = progress();
        let image = |image| ImageId { identity: 0, image };
        progress.pending = (0..5).map(|i| [image(i), image(i), image(i)]).collect();
        let sizes: Vec<_> = (0..4).map(|_| progress.take_batch().len()).collect();
        assert_eq!(sizes, [2, 2, 1, 0]);
    }

    #[test]
    fn only_a_higher_score_is_the_best() {
        let mut progress = progress();
        assert!(progress.note_score(0.5));
        assert!(!progress.note_score(0.5), "a tie keeps the earlier one");
        progress.step = 7;
        assert!(progress.note_score(0.6));
        assert_eq!(
            progress.best,
            Some(Best {
                score: 0.6,
                step: 7
            })
        );
        assert!(!progress.note_score(f64::NAN), "NaN is never the best");
    }

    #[test]
    fn patience_ends_so_many_epochs_after_the_best() {
        let mut progress = progress();
        let mut ends = |patience| {
            progress.config.patience = patience;
            progress.best = None;
            let scores = [0.5, 0.6, 0.6, 0.4, 0.7];
            let out = scores.into_iter().position(|score| {
                progress.step += 4;
                progress.note_score(score);
                progress.is_out_of_patience()
            });
            progress.step = 0;
            out
        };
        assert_eq!(ends(None), None);
        assert_eq!(ends(Some(1)), Some(2), "a tie is not better");
        assert_eq!(ends(Some(2)), Some(3));
        assert_eq!(ends(Some(3)), None);
    }

    #[test]
    fn without_a_number_patience_counts_from_the_beginning() {
        let mut progress = progress();
        progress.config.patience = Some(2);
        let out = [3, 4, 7, 8].map(|step| {
            progress.step = step;
            progress.is_out_of_patience()
        });
        assert_eq!(out, [false, false, false, true]);
    }

    #[test]
    fn the_loss_of_an_epoch_is_the_mean_of_its_own_steps() {
        let mut progress = progress();
        assert_eq!(progress.epoch_loss.mean(), None);
        let losses = [8.0, 4.0, 2.0, 2.0, 1.0, 0.5];
        let means = losses.map(|loss| {
            progress.step += 1;
            progress.note_loss(loss);
            progress.epoch_loss.mean().expect("a step was made")
        });
        let expected = [8.0, 6.0, 14.0 / 3.0, 4.0, 1.0, 0.75];
        assert_eq!(means.map(f64::to_bits), expected.map(f64::to_bits));
    }

    #[test]
    fn it_survives_json() {
        let mut progress = progress();
        progress.pending.push(
            [ImageId {
                identity: 1,
                image: 2,
            }; 3],
        );
        let json = serde_json::to_string(&progress).expect("plain fields");
        let back: Progress = serde_json::from_str(&json).expect("as written");
        assert_eq!(back, progress);
    }
}
