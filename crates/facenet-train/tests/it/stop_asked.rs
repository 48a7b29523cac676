//! Runs that are asked to stop: they keep their last complete step, and go on from it as if
//! nothing had happened.

use facenet_train::model::Architecture;
use facenet_train::{
    Event, ExitClass, Leftover, Loss, Observer, OnCollapse, Outcome, ResumeOverrides,
    ResumeRequest, Sampling, TrainConfig, TrainError, TrainRequest, checkpoints, resume, train,
};

use crate::one_pass::one_pass;
use crate::runs::{Scratch, go_on, names, run};
use crate::same_bytes::made;

/// Questions that are more than those of a step, or of scoring.
const ENOUGH: usize = 30;

/// Asks to stop the `at`th time that it is asked itself, from 0, and ever after.
struct Stopper {
    at: usize,
    asked: usize,
    /// Steps that were told.
    steps: u64,
}

impl Stopper {
    fn at(at: usize) -> Self {
        Self {
            at,
            asked: 0,
            steps: 0,
        }
    }
}

impl Observer for Stopper {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::Stepped { step, .. } = event {
            self.steps = *step;
        }
    }

    fn is_stop_asked(&mut self) -> bool {
        self.asked += 1;
        self.asked > self.at
    }
}

/// Two epochs of two steps of the smallest network, scored, in chunks.
fn config(scratch: &Scratch) -> TrainConfig {
    TrainConfig {
        model_def: Architecture::Tiny,
        chunk_size: 5,
        epoch_size: 2,
        checkpoint_every: Some(3),
        synthetic_test_identities: 4,
        ..scratch.scored_config()
    }
}

fn begin(config: &TrainConfig, stopper: &mut Stopper) -> Result<Outcome, TrainError> {
    let request = TrainRequest {
        config: config.clone(),
        command_line: Vec::new(),
    };
    train(&request, stopper)
}

/// Stops a run at its `at`th question and goes on with it; `None` where it asked less often.
#[track_caller]
fn stopped_and_resumed(config: &TrainConfig, at: usize) -> Option<Outcome> {
    let mut stopper = Stopper::at(at);
    let Err(error) = begin(config, &mut stopper) else {
        return None;
    };
    let TrainError::Stopped { step, run_dir } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(*step, stopper.steps, "the last complete step");
    let kept = checkpoints(run_dir).expect("a run's folder");
    assert_eq!(kept.last().map(|(step, _)| *step), Some(stopper.steps));
    assert!(!run_dir.join("model").exists(), "it is not done");
    Some(go_on(run_dir, ResumeOverrides::default()).expect("a whole checkpoint"))
}

/// Wherever a run is stopped, it ends with the bytes of the one that was not.
#[track_caller]
fn check(change: impl FnOnce(&mut TrainConfig)) {
    let scratch = Scratch::new();
    let mut config = config(&scratch);
    change(&mut config);
    let whole = run(config.clone());
    let mut times = 0;
    while let Some(again) = stopped_and_resumed(&config, times) {
        assert_eq!(again.steps, whole.steps, "stopped at question {times}");
        assert!(made(&again) == made(&whole), "stopped at question {times}");
        times += 1;
    }
    println!("stopped at each of {times} places");
    assert!(times > 4 * whole.steps as usize, "{times}");
    assert_eq!(scratch.unfinished(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_run_in_chunks_may_be_stopped_anywhere() {
    check(|config| *config = one_pass(config.clone()));
}

#[test]
fn a_run_of_many_steps_a_round_may_be_stopped_anywhere() {
    check(|_| ());
}

#[test]
fn a_run_that_drops_what_is_left_of_a_round_may_be_stopped_anywhere() {
    check(|config| {
        config.leftover = Leftover::Drop;
        config.mining_mode = facenet_train::MiningMode::Train;
    });
}

#[test]
fn a_run_that_deals_look_alikes_may_be_stopped_anywhere() {
    check(|config| {
        *config = one_pass(config.clone());
        config.sampler = Sampling::LookAlike;
        config.on_collapse = OnCollapse::Rollback;
    });
}

#[test]
fn a_run_of_a_classifier_may_be_stopped_anywhere() {
    check(|config| {
        *config = one_pass(config.clone());
        config.loss = Loss::Arcface;
    });
}

#[test]
fn a_run_may_be_stopped_at_every_step_again() {
    let scratch = Scratch::new();
    let config = one_pass(config(&scratch));
    let whole = run(config.clone());
    // Enough questions for any step and what follows it, too few for all.
    let mut made_by = begin(&config, &mut Stopper::at(ENOUGH));
    let mut starts = 1;
    let again = loop {
        assert!(starts < 10, "it comes no further");
        let run_dir = match made_by {
            Ok(outcome) => break outcome,
            Err(TrainError::Stopped { run_dir, .. }) => run_dir,
            Err(error) => panic!("{error:?}"),
        };
        let request = ResumeRequest {
            dir: run_dir,
            overrides: ResumeOverrides::default(),
            command_line: Vec::new(),
        };
        made_by = resume(&request, &mut Stopper::at(ENOUGH));
        starts += 1;
    };
    assert!(starts > 2, "{starts}");
    assert!(made(&again) == made(&whole));
}

#[test]
fn who_stops_a_run_is_told_how_to_go_on() {
    let scratch = Scratch::new();
    let config = config(&scratch);
    let error = begin(&config, &mut Stopper::at(0)).expect_err("stopped at once");
    assert_eq!(error.exit_class(), ExitClass::Stopped);
    assert_eq!(error.exit_class().code(), 130);
    let run_dir = scratch
        .path("models")
        .join(&names(&scratch.path("models"))[0]);
    let expected = format!(
        "stopped after step 0, as asked; go on with: facenet train --resume {}",
        run_dir.display()
    );
    assert_eq!(error.to_string(), expected);
}
