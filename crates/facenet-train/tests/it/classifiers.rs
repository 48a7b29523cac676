//! Runs of the losses with a classifier.

use std::fs;

use facenet_train::{ExitClass, HEAD_FILE, Loss, Outcome, TrainConfig, saved_model};

use crate::losses::{check_learns, learner};
use crate::one_pass::one_pass;
use crate::runs::{Scratch, check_error, checkpoint_of, contents, listen, names, run, run_dir};
use crate::same_bytes::{check_resumes, made_with};

const LOSSES: [Loss; 2] = [Loss::Softmax, Loss::Arcface];

/// The tiny run, its rounds of 12 images in three chunks.
fn classifier(loss: Loss, config: TrainConfig) -> TrainConfig {
    TrainConfig {
        loss,
        ..one_pass(config)
    }
}

#[test]
fn a_classifier_gives_the_same_bytes_with_one_thread_or_two() {
    for loss in LOSSES {
        let with = |threads| {
            made_with(|config| {
                *config = classifier(loss, config.clone());
                config.threads = Some(threads);
                config.loader_threads = threads;
            })
        };
        let one = with(1);
        assert!(one[0].contains_key(HEAD_FILE));
        assert!(one == with(2), "{loss:?}");
    }
}

#[test]
fn a_resumed_run_with_a_classifier_is_the_uninterrupted_one() {
    for loss in LOSSES {
        check_resumes(|config| *config = classifier(loss, config.clone()));
    }
}

#[test]
fn a_step_is_a_round_whose_images_go_through_once() {
    let scratch = Scratch::new();
    let (outcome, told) = listen(classifier(Loss::Softmax, scratch.config()));
    let outcome = outcome.expect("it trains");
    assert_eq!((outcome.steps, outcome.images), (8, 96));
    assert_eq!(told.images, [12; 8]);
    assert!(told.rounds.is_empty(), "nothing is mined");
    // The logarithm of 12 identities is what a guess costs.
    assert!(
        told.losses.iter().all(|loss| (0.5..6.0).contains(loss)),
        "{:?}",
        told.losses
    );
}

#[test]
fn the_classifier_is_in_checkpoints_and_in_no_model() {
    let scratch = Scratch::new();
    let outcome = run(classifier(Loss::Arcface, scratch.config()));
    let has_head = |files: &[String]| files.iter().any(|name| name == HEAD_FILE);
    assert!(has_head(&names(&checkpoint_of(&outcome, 8))));
    let run_dir = run_dir(&outcome);
    for model in ["model", "model-ema", "best"] {
        let files = contents(&run_dir.join(model));
        assert!(!files.contains_key(HEAD_FILE), "{model}");
        let tensors = String::from_utf8_lossy(&files["model.safetensors"]).into_owned();
        assert!(!tensors.contains("logits"), "{model}");
        saved_model(&run_dir.join(model)).expect("a model folder");
    }
    let averages = contents(&checkpoint_of(&outcome, 8));
    let averages = String::from_utf8_lossy(&averages["ema.safetensors"]).into_owned();
    assert!(!averages.contains("logits"));
}

/// A run of 30 steps that ends in a model.
fn pretrained(scratch: &Scratch, loss: Loss) -> Outcome {
    run(classifier(loss, learner(scratch)))
}

#[test]
fn triplets_go_on_from_a_model_that_a_classifier_has_made() {
    let scratch = Scratch::new();
    let first = pretrained(&scratch, Loss::Softmax);
    let second = run(TrainConfig {
        pretrained_model: Some(first.model_dir),
        epoch_size: 2,
        learning_rate: 1e-4,
        ..one_pass(learner(&scratch))
    });
    assert_eq!(second.accuracy_before, first.accuracy_after);
    assert!(!names(&checkpoint_of(&second, 2)).contains(&HEAD_FILE.to_owned()));
}

#[test]
fn classifiers_teach() {
    for loss in LOSSES {
        check_learns(|config| {
            *config = classifier(loss, config.clone());
            config.chunk_size = 32;
            config.epoch_size = 60;
        });
    }
}

#[test]
fn one_identity_is_refused_before_anything_is_written() {
    let scratch = Scratch::new();
    scratch.people("people", 4, 6);
    let people = scratch.path("people");
    let folders = names(&people).into_iter().map(|name| people.join(name));
    for folder in folders.filter(|path| path.is_dir()).skip(1) {
        fs::remove_dir_all(folder).expect("ours");
    }
    let before = scratch.names();
    let (outcome, _) = listen(TrainConfig {
        data_dir: Some(people),
        ..classifier(Loss::Softmax, scratch.config())
    });
    let error = outcome.expect_err("nobody to tell apart");
    check_error(
        &error,
        ExitClass::Usage,
        "--loss: softmax tells identities apart, found 1",
    );
    assert_eq!(scratch.names(), before);
}
