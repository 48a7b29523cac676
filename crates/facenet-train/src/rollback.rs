//! Going back, with a lower rate, from a collapse or from numbers that are none.

use std::path::Path;

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, checkpoint_path};
use crate::engine::Engine;
use crate::error::TrainError;
use crate::head::Head;
use crate::observer::{Event, Observer};
use crate::progress::Progress;
use crate::rewind::rewind;

/// What the rate is multiplied by each time.
pub(crate) const ROLLBACK_FACTOR: f64 = 0.25;
/// Times that a run goes back, its earlier parts included: the rate is then a 64th.
pub(crate) const MAX_ROLLBACKS: u32 = 3;

/// What becomes of a run whose embeddings have collapsed or are no numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnCollapse {
    /// It ends.
    #[default]
    Stop,
    /// It goes on from its last good checkpoint with a quarter of the rate, three times at most.
    Rollback,
}

impl Engine {
    /// Goes back to the last checkpoint whose step showed no collapse, where that is asked for and
    /// has been done fewer than three times.
    ///
    /// What was made since is moved aside, as where a run is resumed from an earlier checkpoint;
    /// the checkpoint is written again with the lower rate, so that a resumed run has it too.
    ///
    /// # Errors
    /// `error` where the run ends by it, and whatever is wrong with the checkpoint.
    pub(crate) fn roll_back(
        &mut self,
        error: TrainError,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let run_dir = self.record.folder.model_dir().to_owned();
        let good = self.progress.watch.last_good;
        let folder = good.map(|step| checkpoint_path(&run_dir, step));
        let Some(folder) = folder.filter(|folder| self.may_roll_back(&error) && folder.is_dir())
        else {
            return Err(error);
        };
        let stored: Checkpoint<Progress> = Checkpoint::load(&folder, &Device::Cpu)?;
        let rollbacks = self.progress.watch.rollbacks + 1;
        self.restore(stored, &folder)?;
        self.progress.watch.rollbacks = rollbacks;
        observer.event(&Event::Warning(&format!(
            "{error}; rollback {rollbacks} of {MAX_ROLLBACKS}: going back to step {}, with the \
             learning rate times {}",
            self.progress.step,
            self.progress.watch.rate_factor(),
        )));
        rewind(
            self.record.folder.files(),
            &run_dir,
            &self.progress,
            observer,
        )?;
        self.save(observer)
    }

    fn may_roll_back(&self, error: &TrainError) -> bool {
        let is_collapse = matches!(
            error,
            TrainError::Diverged { .. } | TrainError::Collapsed { .. }
        );
        is_collapse
            && self.progress.config.on_collapse == OnCollapse::Rollback
            && self.progress.watch.rollbacks < MAX_ROLLBACKS
    }

    /// Takes the state of a checkpoint, but keeps the configuration: a resumed run's may differ.
    fn restore(&mut self, stored: Checkpoint<Progress>, folder: &Path) -> Result<(), TrainError> {
        self.model.set_state(&stored.model)?;
        self.model.set_updates(stored.progress.statistics_updates);
        if let Some(shadow) = &stored.ema {
            self.ema.load_shadow(shadow)?;
        }
        if let Some(head) = &self.head {
            head.load(stored.head.as_ref(), folder)?;
        }
        self.rounds.restore(folder)?;
        let parameters = self.model.parameters();
        let parameters = parameters.iter().map(|p| (p.name, p.var));
        let of_head = self.head.iter().flat_map(Head::parameters);
        let all = parameters.chain(of_head);
        self.optimizer.load_state(&stored.optimizer, all)?;
        self.progress = Progress {
            config: self.progress.config.clone(),
            ..stored.progress
        };
        self.last = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_are_typed() {
        let named = |name: &str| serde_json::from_value::<OnCollapse>(name.into());
        assert_eq!(named("stop").expect("a name"), OnCollapse::default());
        assert_eq!(named("rollback").expect("a name"), OnCollapse::Rollback);
        assert!(named("go on").is_err());
    }
}
