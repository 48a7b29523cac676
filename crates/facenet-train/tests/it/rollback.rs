//! Runs that go back from a collapse, and scores that tell of statistics that do not fit.

use std::fs;
use std::path::Path;

use candle_core::Device;
use facenet_train::miner::Rule;
use facenet_train::model::{load_config, load_tensors, save_model};
use facenet_train::{
    Checkpoint, Event, ExitClass, Loss, OnCollapse, OptimizerKind, Outcome, Progress,
    ResumeOverrides, ResumeRequest, Sampling, TrainConfig, TrainRequest, resume, train,
};

use crate::one_pass::one_pass;
use crate::runs::{Scratch, check_error, contents, copy, go_on, listen, names, run_dir};

/// Ten times the reference's rate with triplets that pull together more than they part.
fn collapsing(scratch: &Scratch) -> TrainConfig {
    TrainConfig {
        synthetic_identities: 60,
        synthetic_images: 6,
        people_per_batch: 8,
        rule: Rule::BatchHard,
        only_violating: false,
        optimizer: OptimizerKind::Adagrad,
        learning_rate: 1.0,
        learning_rate_decay_factor: 1.0,
        weight_decay: 0.0,
        keep_probability: 1.0,
        margin: 0.2,
        epoch_size: 80,
        max_nrof_epochs: 1,
        checkpoint_every: Some(10),
        on_collapse: OnCollapse::Rollback,
        chunk_size: 90,
        ..one_pass(scratch.config())
    }
}

/// Copies a run's model folder with its checkpoints.
fn copy_run(from: &Path, to: &Path) {
    for name in names(from) {
        if from.join(&name).is_dir() {
            copy(&from.join(&name), &to.join(&name));
        }
    }
}

/// Trains, and copies the run's folder as it stands when it has been at step `at` for the
/// `nth` time, from 0, as a kill would leave it.
fn train_and_copy(config: &TrainConfig, at: u64, nth: usize, to: &Path) -> (Outcome, Vec<String>) {
    let (mut seen, mut warnings) = (0, Vec::new());
    let name = format!("checkpoint-{at:08}");
    let request = TrainRequest {
        config: config.clone(),
        command_line: Vec::new(),
    };
    let outcome = train(&request, &mut |event: &Event<'_>| match event {
        Event::Saved { path } if path.ends_with(&name) => {
            if seen == nth {
                copy_run(path.parent().expect("the run's folder"), to);
            }
            seen += 1;
        }
        Event::Warning(text) => warnings.push((*text).to_owned()),
        _ => {}
    });
    (outcome.expect("a lower rate trains"), warnings)
}

#[test]
fn a_rollback_is_the_same_whether_or_not_the_run_was_killed_before_or_after_it() {
    let scratch = Scratch::new();
    let (random, alike) = (Sampling::Random, Sampling::LookAlike);
    for (at, nth, sampler) in [(10, 0, random), (0, 1, random), (0, 1, alike)] {
        let run = format!("{}-{at}", sampler.name());
        let killed = scratch.path(&format!("killed-{run}"));
        let config = TrainConfig {
            models_base_dir: scratch.path(&format!("models-{run}")),
            sampler,
            ..collapsing(&scratch)
        };
        let (whole, warnings) = train_and_copy(&config, at, nth, &killed);
        assert!((1..=3).contains(&whole.rollbacks), "{warnings:?}");
        assert!(
            warnings[0].contains("the embeddings have collapsed"),
            "{warnings:?}"
        );
        let again = go_on(&killed, ResumeOverrides::default()).expect("whole");
        assert_eq!((again.rollbacks, again.steps), (whole.rollbacks, 80));
        assert!(
            contents(&again.model_dir) == contents(&whole.model_dir),
            "{run}"
        );
    }
}

#[test]
fn a_run_goes_back_three_times_and_no_more() {
    let scratch = Scratch::new();
    for loss in [Loss::Triplet, Loss::Softmax] {
        check_going_back(&scratch, loss);
    }
}

/// A run whose third step, the first of its second epoch, is at a rate that no number survives.
fn diverging(scratch: &Scratch) -> TrainConfig {
    let rates = scratch.path("rates.txt");
    fs::write(&rates, "0: 1e-4\n1: 1e38\n").expect("writable");
    TrainConfig {
        optimizer: OptimizerKind::Mom,
        learning_rate: 0.0,
        learning_rate_schedule_file: rates,
        epoch_size: 2,
        max_nrof_epochs: 5,
        checkpoint_every: None,
        ..one_pass(scratch.config())
    }
}

fn check_going_back(scratch: &Scratch, loss: Loss) {
    let (outcome, told) = listen(TrainConfig {
        loss,
        on_collapse: OnCollapse::Rollback,
        ..diverging(scratch)
    });
    let error = outcome.expect_err("no number survives this");
    check_error(&error, ExitClass::Diverged, "step 3: ");
    // Two good steps, then the third at the rate and at three quarters of the one before.
    assert_eq!(told.steps, [(0, 1), (0, 2), (1, 1), (1, 1), (1, 1), (1, 1)]);
    assert_eq!(told.warnings.len(), 3, "{:?}", told.warnings);
    let told_of = |text: &str| told.warnings.iter().filter(|w| w.contains(text)).count();
    assert_eq!(told_of("going back to step 2, with the learning rate"), 3);
    assert_eq!(told_of("rollback 3 of 3"), 1);
}

#[test]
fn a_run_that_is_given_the_flag_late_goes_back_to_where_it_went_on_from() {
    let scratch = Scratch::new();
    let config = diverging(&scratch);
    let (outcome, told) = listen(config.clone());
    check_error(
        &outcome.expect_err("no number survives this"),
        ExitClass::Diverged,
        "step 3: ",
    );
    assert!(told.warnings.is_empty(), "{:?}", told.warnings);
    let run = scratch.path("models");
    let asked = TrainConfig {
        on_collapse: OnCollapse::Rollback,
        ..config
    };
    let request = ResumeRequest {
        dir: run.join(&names(&run)[0]),
        overrides: ResumeOverrides {
            config: Some(Box::new(asked)),
            ..ResumeOverrides::default()
        },
        command_line: Vec::new(),
    };
    let mut warnings = Vec::new();
    let outcome = resume(&request, &mut |event: &Event<'_>| {
        if let Event::Warning(text) = event {
            warnings.push((*text).to_owned());
        }
    });
    let error = outcome.expect_err("nor does any survive a 64th of it");
    check_error(&error, ExitClass::Diverged, "step 3: ");
    let back = |text: &&String| text.contains("going back to step 2, with the learning rate");
    assert_eq!(warnings.iter().filter(back).count(), 3, "{warnings:?}");
}

#[test]
fn a_rate_that_is_asked_for_is_not_lowered_by_earlier_rollbacks() {
    let scratch = Scratch::new();
    let killed = scratch.path("killed");
    let config = TrainConfig {
        epoch_size: 40,
        ..collapsing(&scratch)
    };
    train_and_copy(&config, 0, 1, &killed);
    let overrides = ResumeOverrides {
        learning_rate: Some(1e-3),
        ..ResumeOverrides::default()
    };
    let outcome = go_on(&killed, overrides).expect("whole");
    assert_eq!(outcome.rollbacks, 0);
}

#[test]
fn without_the_flag_a_collapse_ends_the_run_and_no_checkpoint_is_spared() {
    let scratch = Scratch::new();
    let (outcome, told) = listen(TrainConfig {
        on_collapse: OnCollapse::Stop,
        ..collapsing(&scratch)
    });
    let error = outcome.expect_err("it collapses");
    check_error(&error, ExitClass::Diverged, "--on-collapse rollback");
    assert!(told.warnings.is_empty(), "{:?}", told.warnings);
    let run = scratch.path("models");
    let run = run.join(&names(&run)[0]);
    let first = Checkpoint::<Progress>::load(&run.join(&names(&run)[0]), &Device::Cpu);
    assert_eq!(first.expect("as written").progress.watch.last_good, None);
}

/// Trains well, then scores again with running statistics that have never moved.
#[test]
fn statistics_that_do_not_fit_are_told_at_scoring() {
    let scratch = Scratch::new();
    let config = TrainConfig {
        synthetic_identities: 100,
        synthetic_images: 6,
        synthetic_test_identities: 40,
        lfw_nrof_folds: Some(2),
        people_per_batch: 16,
        learning_rate: 4e-3,
        keep_probability: 1.0,
        margin: 0.2,
        epoch_size: 100,
        max_nrof_epochs: 1,
        checkpoint_every: None,
        chunk_size: 90,
        ..one_pass(scratch.config())
    };
    let (outcome, told) = listen(config.clone());
    let outcome = outcome.expect("it trains");
    let told_of = |warnings: &[String]| -> usize {
        let of_statistics = |text: &&String| text.contains("running statistics do not fit");
        warnings.iter().filter(of_statistics).count()
    };
    assert_eq!(told_of(&told.warnings), 0, "{:?}", told.warnings);
    let spoilt = scratch.path("spoilt");
    spoil_statistics(&outcome.model_dir, &spoilt);
    let (_, told) = listen(TrainConfig {
        pretrained_model: Some(spoilt),
        learning_rate: 1e-9,
        epoch_size: 1,
        models_base_dir: scratch.path("others"),
        ..config
    });
    assert!(told_of(&told.warnings) > 0, "{:?}", told.warnings);
    let expected = "% with a batch's own; train on with a larger --bn-momentum";
    assert!(
        told.warnings.iter().any(|text| text.contains(expected)),
        "{:?}",
        told.warnings
    );
    assert!(run_dir(&outcome).is_dir());
}

/// Copies a model with the statistics that a network begins with.
fn spoil_statistics(from: &Path, to: &Path) {
    let config = load_config(from).expect("a model folder");
    let mut state = load_tensors(&from.join("model.safetensors")).expect("a model folder");
    for (name, tensor) in &mut state {
        if name.ends_with("running_mean") {
            *tensor = tensor.zeros_like().expect("a tensor");
        } else if name.ends_with("running_var") {
            *tensor = tensor.ones_like().expect("a tensor");
        }
    }
    save_model(to, &state, &config, "spoilt").expect("writable");
}
