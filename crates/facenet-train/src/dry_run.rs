//! A run tried out: planned, taken one step, and left.

use serde::Serialize;

use crate::compute::on_threads;
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::head::Head;
use crate::memory::MemoryPlan;
use crate::observer::{Event, Observer};
use crate::resident::peak_rss_mib;
use crate::run::fresh_engine;
use crate::strategy::Strategy;

/// What one step of a run came to: the object that `train --dry-run --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DryRun {
    /// `dry-run`.
    pub status: &'static str,
    /// The plan.
    pub memory: MemoryPlan,
    /// Largest resident memory of the process, the plan's `step_mib` as measured; `None` where
    /// the system does not say.
    pub peak_rss_mib: Option<f64>,
    /// Seconds of sampling, loading, embedding and mining a round.
    pub round_seconds: f64,
    /// Seconds of the step itself.
    pub step_seconds: f64,
    /// Images of the step.
    pub images: usize,
    /// Those over the seconds of the step, with `one-pass` of the round and the step.
    pub images_per_second: f64,
    /// Loss of the step.
    pub loss: f64,
}

/// Checks everything, makes one full step of the run that `config` asks for, and stops: nothing
/// is scored, and nothing written but logs in a folder for temporary files, which goes again.
///
/// # Errors
/// As [`crate::train`].
pub fn dry_run(config: &TrainConfig, observer: &mut dyn Observer) -> Result<DryRun, TrainError> {
    config.validate()?;
    on_threads(config.threads, || try_out(config, observer))
}

fn try_out(config: &TrainConfig, observer: &mut dyn Observer) -> Result<DryRun, TrainError> {
    let scratch = tempfile::tempdir();
    let scratch = scratch
        .map_err(|source| TrainError::io(&std::env::temp_dir(), "make a folder here", source))?;
    let config = TrainConfig {
        logs_base_dir: scratch.path().join("logs"),
        models_base_dir: scratch.path().join("models"),
        ..config.clone()
    };
    let (mut engine, memory) = fresh_engine(&config, &[], observer)?;
    // Every later step has it from the beginning.
    let parameters = engine.model.parameters();
    let of_network = parameters.iter().map(|p| (p.name, p.var));
    let of_head = engine.head.iter().flat_map(Head::parameters);
    engine.optimizer.prepare(of_network.chain(of_head))?;
    drop(parameters);
    let mut clock = Clock {
        observer,
        round_seconds: 0.0,
        step: None,
    };
    engine.first_step(&mut clock)?;
    let Some(step) = clock.step else {
        let problem = "its first rate ends the run, so there is no step to try; give epoch 0 a \
                       rate above 0";
        return Err(TrainError::config("--learning-rate-schedule-file", problem));
    };
    Ok(step.after(clock.round_seconds, config.strategy, memory))
}

/// Hears how long things take, and passes on what it hears.
struct Clock<'a> {
    observer: &'a mut dyn Observer,
    round_seconds: f64,
    step: Option<Step>,
}

impl Observer for Clock<'_> {
    fn event(&mut self, event: &Event<'_>) {
        match *event {
            Event::Mined { seconds, .. } => self.round_seconds += seconds,
            Event::Stepped {
                seconds,
                images,
                loss,
                ..
            } => {
                self.step = Some(Step {
                    seconds,
                    images,
                    loss,
                });
            }
            _ => {}
        }
        self.observer.event(event);
    }

    fn is_stop_asked(&mut self) -> bool {
        self.observer.is_stop_asked()
    }
}

struct Step {
    seconds: f64,
    images: usize,
    loss: f64,
}

impl Step {
    fn after(self, round_seconds: f64, strategy: Strategy, memory: MemoryPlan) -> DryRun {
        let seconds = match strategy {
            Strategy::OnePass => round_seconds + self.seconds,
            Strategy::Reference => self.seconds,
        };
        DryRun {
            status: "dry-run",
            memory,
            peak_rss_mib: peak_rss_mib(),
            round_seconds,
            step_seconds: self.seconds,
            images: self.images,
            images_per_second: self.images as f64 / seconds,
            loss: self.loss,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Silent;

    pub(crate) fn tiny(strategy: Strategy) -> TrainConfig {
        TrainConfig {
            synthetic_identities: 6,
            synthetic_images: 3,
            synthetic_test_identities: 0,
            image_size: 16,
            embedding_size: 8,
            people_per_batch: 4,
            images_per_person: 3,
            batch_size: 6,
            chunk_size: 5,
            strategy,
            ..TrainConfig::demo()
        }
    }

    #[test]
    fn one_step_is_made_and_nothing_is_left() {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        for (strategy, images) in [(Strategy::OnePass, 12..=12), (Strategy::Reference, 3..=6)] {
            let config = TrainConfig {
                logs_base_dir: folder.path().join("logs"),
                models_base_dir: folder.path().join("models"),
                ..tiny(strategy)
            };
            let made = dry_run(&config, &mut Silent).expect("it trains");
            assert!(images.contains(&made.images), "{made:?}");
            assert!(made.loss > 0.0 && made.images_per_second > 0.0, "{made:?}");
            let left = std::fs::read_dir(folder.path())
                .expect("still there")
                .count();
            assert_eq!(left, 0);
        }
    }

    #[test]
    fn a_run_that_makes_no_step_has_none_to_try() {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let rates = folder.path().join("rates.txt");
        std::fs::write(&rates, "0: -1\n").expect("writable");
        let config = TrainConfig {
            learning_rate: -1.0,
            learning_rate_schedule_file: rates,
            ..tiny(Strategy::OnePass)
        };
        let error = dry_run(&config, &mut Silent)
            .expect_err("no step")
            .to_string();
        assert!(error.contains("there is no step to try"), "{error}");
    }
}
