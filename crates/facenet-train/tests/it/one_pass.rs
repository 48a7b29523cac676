//! Runs of the strategy `one-pass`: a round is a step.

use facenet_train::miner::Rule;
use facenet_train::{ExitClass, Strategy, TrainConfig};

use crate::runs::{Scratch, Told, check_error, listen};

/// The tiny run, its rounds of 12 images in three chunks.
pub(crate) fn one_pass(config: TrainConfig) -> TrainConfig {
    TrainConfig {
        strategy: Strategy::OnePass,
        chunk_size: 5,
        ..config
    }
}

fn told(config: TrainConfig) -> Told {
    let (outcome, told) = listen(config);
    outcome.expect("it trains");
    told
}

#[test]
fn every_step_is_a_round_of_its_own_with_all_its_images() {
    let scratch = Scratch::new();
    let told = told(one_pass(scratch.config()));
    assert_eq!(told.rounds, (0..8).collect::<Vec<_>>());
    assert_eq!(told.mined_after, (0..8).collect::<Vec<_>>());
    assert_eq!(told.images, [12; 8]);
    let steps: Vec<_> = (0..2)
        .flat_map(|epoch| (1..=4).map(move |step| (epoch, step)))
        .collect();
    assert_eq!(told.steps, steps);
}

#[test]
fn chunks_change_batch_statistics_and_nothing_else() {
    let scratch = Scratch::new();
    let losses = |chunk_size| {
        told(TrainConfig {
            chunk_size,
            ..one_pass(scratch.config())
        })
        .losses
    };
    let (whole, larger, chunked) = (losses(12), losses(100), losses(5));
    assert_eq!(whole, larger, "both hold the round");
    assert_ne!(whole, chunked);
    // Another statistic, not another loss: the first steps are alike.
    assert!((whole[0] - chunked[0]).abs() < 0.1, "{whole:?} {chunked:?}");
}

#[test]
fn a_round_of_all_triplets_is_not_collected() {
    let scratch = Scratch::new();
    let told = told(TrainConfig {
        rule: Rule::BatchAll,
        only_violating: false,
        max_triplets: 1,
        ..one_pass(scratch.config())
    });
    // 12 anchors, 2 positives, 9 negatives.
    assert_eq!(told.mined, [216; 8]);
}

#[test]
fn rounds_without_triplets_make_no_step_and_end_the_run() {
    let scratch = Scratch::new();
    let (outcome, told) = listen(TrainConfig {
        rule: Rule::SemiHard,
        margin: 1e-30,
        max_empty_rounds: 3,
        ..one_pass(scratch.config())
    });
    let error = outcome.expect_err("nothing to train on");
    assert_eq!((told.mined, told.steps.len()), (vec![0; 3], 0));
    let expected = "3 rounds in a row gave no triplet under rule semi-hard";
    check_error(&error, ExitClass::Diverged, expected);
}

#[test]
fn the_reference_makes_more_image_passes_of_the_same_round() {
    let scratch = Scratch::new();
    let base = TrainConfig {
        rule: Rule::BatchAll,
        only_violating: false,
        batch_size: 63,
        epoch_size: 11,
        max_nrof_epochs: 1,
        checkpoint_every: None,
        ..scratch.config()
    };
    // 216 triplets, 21 a step: 11 steps, the last of 6 triplets.
    let reference = told(base.clone());
    assert_eq!(reference.mined, [216]);
    let trained: usize = reference.images.iter().sum();
    let one = told(TrainConfig {
        epoch_size: 1,
        models_base_dir: scratch.path("others"),
        ..one_pass(base)
    });
    // Forward passes: mining and steps, against a chunked round's two.
    assert_eq!(one.images, [12]);
    assert!(12 + trained > 3 * (12 + 12), "{:?}", reference.images);
}
