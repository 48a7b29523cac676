//! Runs that come to nothing: starved of triplets, or with numbers that are no longer finite.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use facenet_train::miner::Rule;
use facenet_train::model::{load_config, load_model, load_tensors, save_model};
use facenet_train::{ExitClass, OptimizerKind, TrainConfig, TrainError, checkpoints};

use crate::one_pass::one_pass;
use crate::runs::{Scratch, check_error, listen, names, run};

/// Rule semi-hard with a margin below the resolution of distances admits nothing.
fn starving(config: TrainConfig) -> TrainConfig {
    TrainConfig {
        rule: Rule::SemiHard,
        margin: 1e-30,
        max_empty_rounds: 3,
        ..config
    }
}

#[test]
fn a_run_without_triplets_ends_after_exactly_the_rounds_allowed() {
    let scratch = Scratch::new();
    let (outcome, told) = listen(starving(scratch.config()));
    let error = outcome.expect_err("nothing to train on");
    assert_eq!(told.mined, [0, 0, 0]);
    assert!(matches!(
        error,
        TrainError::Starved {
            step: 0,
            rounds: 3,
            ..
        }
    ));
    check_error(
        &error,
        ExitClass::Diverged,
        "3 rounds in a row gave no triplet under rule semi-hard",
    );
    assert_eq!(error.exit_class().code(), 4);
    assert_eq!(scratch.unfinished(), [""; 0].map(std::path::PathBuf::from));
}

/// All checkpoints and models of the only run in `models`, opened.
fn check_loadable(models: &Path) -> usize {
    let run = models.join(&names(models)[0]);
    let saved = checkpoints(&run).expect("a run's folder");
    for (_, folder) in &saved {
        let (model, _, _) = load_model(folder, &Device::Cpu).expect("a model folder");
        for (name, tensor) in model.state() {
            let sum = tensor.abs().and_then(|x| x.sum_all()?.to_scalar::<f32>());
            assert!(sum.expect("a number").is_finite(), "{name}");
        }
    }
    assert!(
        !run.join("model").exists(),
        "a run that failed made a model"
    );
    saved.len()
}

/// Trains well for an epoch of two steps, then at `rate`.
#[track_caller]
fn check_diverges(optimizer: OptimizerKind, rate: &str) {
    let scratch = Scratch::new();
    let schedule = scratch.path("rates.txt");
    std::fs::write(&schedule, format!("0: 1e-4\n1: {rate}\n")).expect("writable");
    let (outcome, told) = listen(TrainConfig {
        optimizer,
        learning_rate: 0.0,
        learning_rate_schedule_file: schedule,
        epoch_size: 2,
        max_nrof_epochs: 5,
        checkpoint_every: None,
        ..scratch.config()
    });
    let error = outcome.expect_err("no number survives this");
    check_error(&error, ExitClass::Diverged, "step 3: ");
    assert_eq!(
        told.steps.len(),
        3,
        "one step at the absurd rate, and no more"
    );
    assert!(told.losses.iter().all(|loss| loss.is_finite()));
    assert_eq!(check_loadable(&scratch.path("models")), 1);
    assert_eq!(scratch.unfinished(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn an_absurd_learning_rate_ends_the_run_within_one_step() {
    check_diverges(OptimizerKind::RmsProp, "1e30");
    check_diverges(OptimizerKind::Mom, "1e38");
}

/// One step at `rate`, after which nothing steps or mines.
#[track_caller]
fn check_last_step(rate: f64, scored: bool) {
    let scratch = Scratch::new();
    let config = if scored {
        scratch.scored_config()
    } else {
        scratch.config()
    };
    let (outcome, _) = listen(TrainConfig {
        optimizer: OptimizerKind::Mom,
        learning_rate: rate,
        epoch_size: 1,
        max_nrof_epochs: 1,
        ..config
    });
    let error = outcome.expect_err("no number survives this");
    check_error(&error, ExitClass::Diverged, "step 1: ");
    assert_eq!(check_loadable(&scratch.path("models")), 0);
}

#[test]
fn a_last_step_that_diverged_leaves_no_model() {
    check_last_step(1e300, false);
    check_last_step(1e300, true);
    // The weights are still numbers; embeddings with them are not.
    check_last_step(1e30, true);
}

#[test]
fn weights_that_are_no_numbers_are_found_before_a_step() {
    let scratch = Scratch::new();
    let good = run(TrainConfig {
        epoch_size: 1,
        max_nrof_epochs: 1,
        ..scratch.config()
    });
    let spoilt = scratch.path("spoilt");
    spoil(&good.model_dir, &spoilt);
    for config in [scratch.config(), one_pass(scratch.config())] {
        let (outcome, told) = listen(TrainConfig {
            pretrained_model: Some(spoilt.clone()),
            models_base_dir: scratch.path("others"),
            ..config
        });
        let error = outcome.expect_err("NaN trains nothing");
        assert_eq!(told.steps.len(), 0);
        check_error(
            &error,
            ExitClass::Diverged,
            "step 0: 12 embeddings are not finite",
        );
    }
}

#[test]
fn an_absurd_learning_rate_ends_a_run_of_rounds_within_one_step() {
    let scratch = Scratch::new();
    let (outcome, told) = listen(TrainConfig {
        optimizer: OptimizerKind::Mom,
        learning_rate: 1e38,
        ..one_pass(scratch.config())
    });
    let error = outcome.expect_err("no number survives this");
    check_error(&error, ExitClass::Diverged, "step 1: ");
    assert_eq!(told.steps.len(), 1);
}

/// Copies a model with NaN for its first weights.
fn spoil(from: &Path, to: &Path) {
    let config = load_config(from).expect("a model folder");
    let mut state: BTreeMap<String, Tensor> =
        load_tensors(&from.join("model.safetensors")).expect("a model folder");
    let first = state.values_mut().next().expect("a network has weights");
    *first = (first.zeros_like().expect("a tensor") / 0.0).expect("a tensor");
    save_model(to, &state, &config, "spoilt").expect("writable");
}
