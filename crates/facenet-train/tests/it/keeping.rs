//! The checkpoints of a run: which are kept, that each is a model, and that damage is named.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Device;
use facenet_train::model::load_model;
use facenet_train::{
    Checkpoint, ExitClass, Outcome, PROGRESS_FILE, Progress, ResumeOverrides, TrainConfig,
    TrainError, checkpoints, saved_model, stored_config,
};

use crate::runs::{
    Scratch, check_error, checkpoint_of, contents, copy, go_on, listen, names, run, run_dir,
};

/// Six epochs of two steps with a checkpoint after every step, and the step of the best.
fn long(scratch: &Scratch) -> (Outcome, u64) {
    let outcome = run(TrainConfig {
        epoch_size: 2,
        max_nrof_epochs: 6,
        checkpoint_every: Some(1),
        seed: 2, // its best epoch is an early one
        ..scratch.config()
    });
    let last = Checkpoint::<Progress>::load(&checkpoint_of(&outcome, 12), &Device::Cpu);
    let best = last.expect("as written").progress.best;
    (outcome, best.expect("an epoch has ended").step)
}

#[test]
fn the_last_three_and_the_best_are_kept_and_each_is_a_model() {
    let scratch = Scratch::new();
    let (outcome, best) = long(&scratch);
    assert!(best < 10, "the best is among the last three: {best}");
    let kept = checkpoints(&run_dir(&outcome)).expect("a run's folder");
    let steps: Vec<_> = kept.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [best, 10, 11, 12]);
    for (_, folder) in &kept {
        load_model(folder, &Device::Cpu).expect("a model folder");
        saved_model(folder).expect("with its recipe");
    }
    let expected = [
        "best",
        "checkpoint",
        "checkpoint",
        "checkpoint",
        "checkpoint",
        "model",
        "model-ema",
    ];
    let found = names(&run_dir(&outcome));
    assert!(
        found
            .iter()
            .map(|name| name.split("-0").next().expect("a name"))
            .eq(expected),
        "{found:?}"
    );
    let weights = |dir: &Path| fs::read(dir.join("model.safetensors")).expect("weights");
    let best_dir = run_dir(&outcome).join("best");
    assert!(weights(&best_dir) == weights(&checkpoint_of(&outcome, best)));
    assert!(weights(&outcome.model_dir) == weights(&checkpoint_of(&outcome, 12)));
}

#[test]
fn without_pairs_the_lowest_loss_at_an_epochs_end_is_the_best() {
    let scratch = Scratch::new();
    let (outcome, told) = listen(TrainConfig {
        epoch_size: 1,
        max_nrof_epochs: 4,
        ..scratch.config()
    });
    let folder = checkpoint_of(&outcome.expect("it trains"), 4);
    let last = Checkpoint::<Progress>::load(&folder, &Device::Cpu).expect("as written");
    let best = last.progress.best.expect("an epoch has ended");
    let lowest = told.losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(best.score.to_bits(), (-lowest).to_bits());
    assert_eq!(
        told.losses[best.step as usize - 1].to_bits(),
        lowest.to_bits()
    );
}

/// A checkpoint of a run that has steps to make, in a folder of its own.
fn saved(scratch: &Scratch) -> PathBuf {
    let outcome = run(scratch.config());
    let folder = scratch.path("copy/run/checkpoint-00000006");
    copy(&checkpoint_of(&outcome, 6), &folder);
    folder
}

fn refused(folder: &Path) -> TrainError {
    let error = go_on(folder, ResumeOverrides::default()).expect_err("it is damaged");
    let other = stored_config(folder).expect_err("it is damaged");
    assert_eq!(error.to_string(), other.to_string());
    error
}

#[test]
fn a_checkpoint_with_a_damaged_file_is_refused_by_that_files_name() {
    let scratch = Scratch::new();
    let folder = saved(&scratch);
    let good = contents(&folder);
    assert_eq!(good.len(), 7, "{:?}", good.keys());
    for (name, bytes) in &good {
        let path = folder.join(name);
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        for damaged in [&bytes[..bytes.len() / 2], &[], &flipped] {
            fs::write(&path, damaged).expect("writable");
            check_error(&refused(&folder), ExitClass::Model, name);
        }
        fs::remove_file(&path).expect("writable");
        // A folder without its progress is not taken for a checkpoint at all.
        let expected = if name == PROGRESS_FILE {
            "checkpoint-00000006: found no checkpoint"
        } else {
            name
        };
        check_error(&refused(&folder), ExitClass::Model, expected);
        fs::write(&path, bytes).expect("writable");
    }
    go_on(&folder, ResumeOverrides::default()).expect("it is whole again");
}

#[test]
fn a_run_goes_on_from_its_last_whole_checkpoint() {
    let scratch = Scratch::new();
    let outcome = run(scratch.config());
    let whole = contents(&outcome.model_dir);
    let last = checkpoint_of(&outcome, 8).join("model.safetensors");
    fs::write(&last, "cut").expect("writable");
    fs::remove_dir_all(&outcome.model_dir).expect("writable");
    let again = go_on(&run_dir(&outcome), ResumeOverrides::default()).expect("an older one");
    assert!(contents(&again.model_dir) == whole);
}

#[test]
fn a_folder_without_a_checkpoint_is_named() {
    let scratch = Scratch::new();
    let empty = scratch.path("empty");
    fs::create_dir(&empty).expect("writable");
    check_error(
        &refused(&empty),
        ExitClass::Model,
        "empty: found no checkpoint",
    );
    let nowhere = scratch.path("nowhere");
    let error = refused(&nowhere);
    assert!(
        error
            .to_string()
            .starts_with(&nowhere.display().to_string()),
        "{error}"
    );
}

/// The checkpoint with another configuration in it is refused with found and expected.
#[track_caller]
fn check_other(change: impl FnOnce(&mut TrainConfig), expected: &str) {
    let scratch = Scratch::new();
    let folder = saved(&scratch);
    let mut checkpoint = Checkpoint::<Progress>::load(&folder, &Device::Cpu).expect("whole");
    change(&mut checkpoint.progress.config);
    let run_dir = scratch.path("other/run");
    fs::create_dir_all(&run_dir).expect("writable");
    let folder = checkpoint.save(&run_dir, 6, &[]).expect("writable");
    let error = go_on(&folder, ResumeOverrides::default()).expect_err("it does not fit");
    check_error(&error, ExitClass::Model, expected);
}

#[test]
fn weights_of_another_network_size_or_data_set_are_refused() {
    check_other(
        |config| config.embedding_size = 8,
        "last_linear.weight has shape [16, 512], expected [8, 512]",
    );
    check_other(
        |config| {
            config.model_def = facenet_train::model::Architecture::InceptionResnetV1;
            config.image_size = 80;
        },
        "inception_resnet_v1 with 16 numbers: these are tensors of mobilefacenet",
    );
    check_other(
        |config| config.synthetic_identities = 13,
        "the data set has changed: found 13 identities",
    );
}
