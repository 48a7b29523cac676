//! Runs of every loss.

use facenet_train::{Loss, Strategy, TrainConfig};

use crate::one_pass::one_pass;
use crate::runs::{Scratch, listen, run};
use crate::same_bytes::{check_resumes, made_with};

fn soft_margin(strategy: Strategy, config: TrainConfig) -> TrainConfig {
    let config = TrainConfig {
        loss: Loss::SoftMargin,
        ..config
    };
    match strategy {
        Strategy::OnePass => one_pass(config),
        Strategy::Reference => config,
    }
}

const STRATEGIES: [Strategy; 2] = [Strategy::OnePass, Strategy::Reference];

#[test]
fn a_soft_margin_gives_the_same_bytes_with_one_thread_or_two() {
    for strategy in STRATEGIES {
        let with = |threads| {
            made_with(|config| {
                *config = soft_margin(strategy, config.clone());
                config.threads = Some(threads);
                config.loader_threads = threads;
            })
        };
        assert!(with(1) == with(2), "{strategy:?}");
    }
}

#[test]
fn a_resumed_run_with_a_soft_margin_is_the_uninterrupted_one() {
    check_resumes(|config| *config = soft_margin(Strategy::Reference, config.clone()));
}

/// A short run that learns: 40 drawn people, scored on 40 others.
pub(crate) fn learner(scratch: &Scratch) -> TrainConfig {
    TrainConfig {
        synthetic_identities: 40,
        synthetic_images: 8,
        synthetic_test_identities: 40,
        lfw_nrof_folds: Some(2),
        random_rotate: false,
        keep_probability: 1.0,
        people_per_batch: 8,
        images_per_person: 4,
        margin: 0.2,
        max_triplets: 1 << 20,
        batch_size: 3 << 12,
        chunk_size: 32,
        epoch_size: 30,
        max_nrof_epochs: 1,
        learning_rate: 4e-3,
        weight_decay: 0.0,
        checkpoint_every: None,
        ..scratch.config()
    }
}

/// Trains and holds the accuracy on people never seen against that before.
#[track_caller]
pub(crate) fn check_learns(change: impl FnOnce(&mut TrainConfig)) {
    let scratch = Scratch::new();
    let mut config = learner(&scratch);
    change(&mut config);
    let what = config.loss.name();
    let outcome = run(config);
    let scores = (outcome.accuracy_before, outcome.accuracy_after);
    let (Some(before), Some(after)) = scores else {
        panic!("a scored run, found {scores:?}")
    };
    println!("{what}: {before} {after}");
    assert!(after > before + 0.05, "{what}: {before} {after}");
}

#[test]
fn triplets_teach() {
    check_learns(|_| ());
}

#[test]
fn a_soft_margin_teaches_in_either_strategy() {
    for strategy in STRATEGIES {
        check_learns(|config| {
            config.loss = Loss::SoftMargin;
            config.strategy = strategy;
        });
    }
}

#[test]
fn a_soft_margin_counts_triplets_that_meet_the_margin() {
    let scratch = Scratch::new();
    let (_, told) = listen(TrainConfig {
        epoch_size: 1,
        max_nrof_epochs: 1,
        ..soft_margin(Strategy::OnePass, scratch.config())
    });
    // ln 2 is the cost of a tie; no unit rows are further apart than 4.
    let most = 4.0f64.exp().ln_1p();
    assert!(
        told.losses.iter().all(|loss| (0.3..most).contains(loss)),
        "{:?}",
        told.losses
    );
}
