//! Stopping between two chunks of work, and going back to where a run stood before them.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::engine::Engine;
use crate::error::TrainError;
use crate::observer::Observer;
use crate::progress::Progress;
use crate::rounds::RoundsPlace;

/// All of a run that work changes before it is complete. Weights, their average, the optimizer's
/// state and what people look like are not among it: they change after the last question.
struct Moment {
    statistics: BTreeMap<String, Tensor>,
    updates: u64,
    rounds: RoundsPlace,
    progress: Progress,
}

/// Ends the work where it has been asked to stop.
///
/// # Errors
/// [`TrainError::Interrupted`] where it has.
pub(crate) fn check_stop(observer: &mut dyn Observer) -> Result<(), TrainError> {
    if observer.is_stop_asked() {
        return Err(TrainError::Interrupted);
    }
    Ok(())
}

impl Engine {
    /// Does `work`. Where it is stopped, the run stands where it stood before: as if none of it
    /// had been begun.
    ///
    /// # Errors
    /// Those of the work.
    pub(crate) fn or_go_back<T>(
        &mut self,
        observer: &mut dyn Observer,
        work: impl FnOnce(&mut Self, &mut dyn Observer) -> Result<T, TrainError>,
    ) -> Result<T, TrainError> {
        let before = self.moment()?;
        let made = check_stop(observer).and_then(|()| work(self, observer));
        if let Err(TrainError::Interrupted) = &made {
            self.go_back(before)?;
        }
        made
    }

    /// Keeps the state of a run that was stopped, and says how to go on with it.
    ///
    /// # Errors
    /// [`TrainError::Stopped`] where the checkpoint stands, else what is wrong with it; any other
    /// `error` as it is.
    pub(crate) fn keep_stopped(
        &mut self,
        error: TrainError,
        observer: &mut dyn Observer,
    ) -> TrainError {
        if !matches!(error, TrainError::Interrupted) {
            return error;
        }
        let checked = self.check_state();
        match checked.and_then(|()| self.write_checkpoint(observer)) {
            Ok(()) => TrainError::Stopped {
                step: self.progress.step,
                run_dir: self.record.folder.model_dir().to_owned(),
            },
            Err(error) => error,
        }
    }

    fn moment(&self) -> Result<Moment, TrainError> {
        Ok(Moment {
            statistics: self.model.running_statistics()?,
            updates: self.model.updates(),
            rounds: self.rounds.place(),
            progress: self.progress.clone(),
        })
    }

    fn go_back(&mut self, before: Moment) -> Result<(), TrainError> {
        self.model.set_running_statistics(&before.statistics)?;
        self.model.set_updates(before.updates);
        self.rounds.go_back(before.rounds);
        self.progress = before.progress;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::{Event, Silent, Unheard};

    /// Asks to stop and hears nothing.
    struct Stopping;

    impl Observer for Stopping {
        fn event(&mut self, _: &Event<'_>) {
            panic!("nothing is to be told");
        }

        fn is_stop_asked(&mut self) -> bool {
            true
        }
    }

    #[test]
    fn work_stops_where_it_is_asked_to() {
        assert!(check_stop(&mut Silent).is_ok());
        assert!(check_stop(&mut |_: &Event<'_>| ()).is_ok());
        let stopped = check_stop(&mut Stopping);
        assert!(matches!(stopped, Err(TrainError::Interrupted)));
        let unheard = &mut Unheard(&mut Stopping);
        unheard.event(&Event::Note("not passed on"));
        assert!(matches!(check_stop(unheard), Err(TrainError::Interrupted)));
    }
}
