//! What a run makes is a function of its seed: not of a stop, a thread or a second run.

use std::collections::BTreeMap;

use candle_core::Device;
use facenet_train::model::{Architecture, Precision};
use facenet_train::{
    Checkpoint, Course, MiningMode, OptimizerKind, Outcome, Progress, ResumeOverrides, Strategy,
    TrainConfig, checkpoint_path,
};

use crate::one_pass::one_pass;
use crate::runs::{Scratch, checkpoint_of, contents, copy, go_on, run, run_dir};

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// The last checkpoint (weights, average, optimizer, progress) and both models, all files.
pub(crate) fn made(outcome: &Outcome) -> [Files; 3] {
    let run_dir = run_dir(outcome);
    let last = checkpoint_path(&run_dir, outcome.steps);
    [last, run_dir.join("model"), run_dir.join("model-ema")].map(|dir| contents(&dir))
}

/// The weights as trained.
fn weights(outcome: &Outcome) -> Vec<u8> {
    made(outcome)[1]["model.safetensors"].clone()
}

/// Goes on from a copy of the checkpoint after `step` steps, in a folder of its own.
fn resumed(scratch: &Scratch, whole: &Outcome, step: u64) -> Outcome {
    let copied = scratch.path(&format!("copies/from-{step}/checkpoint-{step:08}"));
    copy(&checkpoint_of(whole, step), &copied);
    go_on(&copied, ResumeOverrides::default()).expect("a whole checkpoint")
}

/// A run of 8 steps, and the same resumed after step 4, where an epoch ends, and after step 6.
#[track_caller]
pub(crate) fn check_resumes(change: impl FnOnce(&mut TrainConfig)) {
    let scratch = Scratch::new();
    let mut config = scratch.scored_config();
    change(&mut config);
    let carries = config.strategy == Strategy::Reference;
    let whole = run(config);
    assert_eq!(whole.steps, 8);
    for step in [4, 6] {
        let has_pending = n_pending(&whole, step) > 0;
        assert_eq!(has_pending, carries, "carried over {step}");
        let again = resumed(&scratch, &whole, step);
        assert_eq!(again.steps, 8);
        assert_eq!(again.images, whole.images);
        assert_eq!(again.accuracy_after, whole.accuracy_after);
        assert!(made(&again) == made(&whole), "resumed after {step}");
    }
}

/// Triplets that the checkpoint after `step` steps carries on.
fn n_pending(outcome: &Outcome, step: u64) -> usize {
    let folder = checkpoint_of(outcome, step);
    let checkpoint = Checkpoint::<Progress>::load(&folder, &Device::Cpu);
    checkpoint.expect("as written").progress.pending.len()
}

/// What a tiny run makes after `change`.
pub(crate) fn made_with(change: impl FnOnce(&mut TrainConfig)) -> [Files; 3] {
    let scratch = Scratch::new();
    let mut config = scratch.config();
    change(&mut config);
    let mut made = made(&run(config));
    for files in &mut made {
        // Both hold the configuration, and so the scratch folder's name.
        files.retain(|name, _| !["progress.json", "manifest.json"].contains(&name.as_str()));
    }
    made
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one_with_adam() {
    check_resumes(|config| config.optimizer = OptimizerKind::Adam);
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one_with_adagrad() {
    check_resumes(|config| config.optimizer = OptimizerKind::Adagrad);
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one_with_rmsprop_mining_in_train_mode() {
    check_resumes(|config| {
        config.optimizer = OptimizerKind::RmsProp;
        config.mining_mode = MiningMode::Train;
        config.bn_momentum = 0.5;
        // Its steps are larger: enough must still violate the margin to be carried over.
        config.learning_rate = 1e-4;
        config.margin = 0.3;
    });
}

#[test]
fn a_resumed_run_of_rounds_in_chunks_is_the_uninterrupted_one() {
    check_resumes(|config| *config = one_pass(config.clone()));
}

#[test]
fn a_resumed_run_with_a_course_and_limits_is_the_uninterrupted_one() {
    check_resumes(|config| {
        config.learning_rate_schedule = Course::Cosine;
        config.warm_up_steps = 5;
        // Below every norm of this run: each step is clipped.
        config.clip_gradient_norm = Some(0.01);
        config.patience = Some(2);
        config.margin = 0.3;
    });
}

#[test]
fn limits_that_nothing_reaches_change_no_byte() {
    let limited = made_with(|config| {
        config.clip_gradient_norm = Some(1e9);
        config.patience = Some(100);
    });
    let names = |made: &[Files; 3]| made[1]["model.safetensors"].clone();
    assert!(names(&limited) == names(&made_with(|_| ())));
    let clipped = made_with(|config| config.clip_gradient_norm = Some(0.01));
    assert!(names(&clipped) != names(&limited));
}

#[test]
fn rounds_in_chunks_give_the_same_bytes_with_one_thread_or_two() {
    let with = |threads, loader_threads| {
        made_with(|config| {
            *config = one_pass(config.clone());
            config.threads = Some(threads);
            config.loader_threads = loader_threads;
        })
    };
    assert!(with(1, 1) == with(2, 2));
}

/// The bytes of all numbers of threads, that decode or compute, are the same.
#[track_caller]
fn check_threads(strategy: Strategy, precision: Precision) {
    let with = |threads, loader_threads| {
        made_with(|config| {
            if strategy == Strategy::OnePass {
                *config = one_pass(config.clone());
            }
            config.model_def = Architecture::Tiny;
            config.precision = precision;
            config.threads = Some(threads);
            config.loader_threads = loader_threads;
        })
    };
    let one = with(1, 1);
    for (threads, loader_threads) in [(1, 2), (1, 4), (2, 1), (2, 2), (2, 4)] {
        let what = format!("{threads} threads compute, {loader_threads} decode");
        assert!(with(threads, loader_threads) == one, "{what}");
    }
}

#[test]
fn any_threads_give_the_same_bytes_in_one_pass() {
    check_threads(Strategy::OnePass, Precision::F32);
    check_threads(Strategy::OnePass, Precision::Bf16);
}

#[test]
fn any_threads_give_the_same_bytes_in_steps_of_a_round() {
    check_threads(Strategy::Reference, Precision::F32);
    check_threads(Strategy::Reference, Precision::Bf16);
}

#[test]
fn a_run_stopped_at_an_epochs_end_goes_on_as_if_it_had_been_asked_for_both() {
    let scratch = Scratch::new();
    let whole = run(scratch.scored_config());
    let half = run(TrainConfig {
        max_nrof_epochs: 1,
        ..scratch.scored_config()
    });
    let overrides = ResumeOverrides {
        max_nrof_epochs: Some(2),
        loader_threads: Some(2),
        ..ResumeOverrides::default()
    };
    let again = go_on(&run_dir(&half), overrides).expect("a whole checkpoint");
    assert_eq!((half.steps, again.steps), (4, 8));
    assert!(weights(&again) == weights(&whole));
}

#[test]
fn the_same_seed_gives_the_same_bytes_with_one_thread_or_two() {
    let one = made_with(|_| ());
    assert!(made_with(|_| ()) == one, "a second run");
    assert!(
        made_with(|config| config.loader_threads = 2) == one,
        "two loader threads"
    );
    for threads in [1, 2] {
        assert!(
            made_with(|config| config.threads = Some(threads)) == one,
            "{threads} threads"
        );
    }
    let [_, other, _] = made_with(|config| config.seed += 1);
    assert!(other["model.safetensors"] != one[1]["model.safetensors"]);
}
