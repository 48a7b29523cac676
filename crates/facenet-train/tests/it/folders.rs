//! Runs on folders of images: unreadable ones, and scores that agree however they are taken.

use std::fs;
use std::path::{Path, PathBuf};

use facenet_train::dataset::{DecodeLimits, Recipe};
use facenet_train::embeddings_file::{Format, write};
use facenet_train::miner::Rule;
use facenet_train::{
    Evaluation, ExitClass, ModelSource, Outcome, PairsSource, Protocol, ResumeOverrides, Silent,
    TrainConfig, TrainError, embed, evaluate, evaluate_embeddings,
};

use crate::runs::{Scratch, Told, check_error, checkpoint_of, go_on, listen, names, run};

/// A run on the folder `people`, twelve people with ten images: each round embeds them all.
fn config(scratch: &Scratch) -> TrainConfig {
    TrainConfig {
        data_dir: Some(scratch.path("people")),
        people_per_batch: 12,
        images_per_person: 10,
        rule: Rule::BatchHard,
        epoch_size: 3,
        max_nrof_epochs: 1,
        loader_threads: 2,
        checkpoint_every: None,
        ..scratch.config()
    }
}

/// Image `image` of person `person`.
fn image(scratch: &Scratch, person: usize, image: usize) -> PathBuf {
    let people = scratch.path("people");
    let folders: Vec<_> = names(&people)
        .into_iter()
        .filter(|name| people.join(name).is_dir())
        .collect();
    let folder = people.join(&folders[person]);
    folder.join(&names(&folder)[image])
}

/// Cuts an image in half.
fn spoil(path: &Path) {
    let bytes = fs::read(path).expect("readable");
    fs::write(path, &bytes[..bytes.len() / 2]).expect("writable");
}

#[test]
fn one_unreadable_image_is_passed_over_with_a_warning_that_names_it() {
    let scratch = Scratch::new();
    scratch.people("people", 12, 10);
    let bad = image(&scratch, 3, 4);
    spoil(&bad);
    let (outcome, told) = listen(config(&scratch));
    let outcome = outcome.expect("one of 120 is less than its share");
    assert_eq!((outcome.steps, outcome.unreadable_images), (3, 1));
    let [warning] = &told.warnings[..] else {
        panic!("{:?}", told.warnings);
    };
    assert!(warning.contains(&bad.display().to_string()), "{warning}");
}

#[test]
fn more_unreadable_images_than_their_share_stop_the_run() {
    let scratch = Scratch::new();
    scratch.people("people", 12, 10);
    let bad = [0, 5].map(|person| image(&scratch, person, 2));
    for path in &bad {
        spoil(path);
    }
    let (outcome, told) = listen(config(&scratch));
    let error = outcome.expect_err("two of 120 are more than 1 %");
    assert_eq!(told.steps.len(), 0);
    check_error(&error, ExitClass::Data, "2 of ");
    for path in &bad {
        check_error(&error, ExitClass::Data, &path.display().to_string());
    }
    assert_eq!(scratch.unfinished(), Vec::<PathBuf>::new());
    let (outcome, _) = listen(TrainConfig {
        max_bad_share: 0.02,
        ..config(&scratch)
    });
    outcome.expect("two of 120 are less than 2 %");
}

#[test]
fn a_run_does_not_go_on_with_other_images() {
    let scratch = Scratch::new();
    scratch.people("people", 12, 10);
    let outcome = run(config(&scratch));
    let folder = checkpoint_of(&outcome, 3);
    let old = image(&scratch, 3, 4);
    fs::rename(&old, old.with_file_name("another.png")).expect("writable");
    let error = go_on(&folder, ResumeOverrides::default()).expect_err("an image has changed");
    check_error(&error, ExitClass::Model, "the data set has changed");
}

fn source(model: &Path) -> ModelSource {
    ModelSource {
        model: model.to_owned(),
        recipe: None,
        allow_recipe_mismatch: false,
        device: "cpu".to_owned(),
        threads: None,
        arithmetic: facenet_train::model::Arithmetic::default(),
        loader_threads: 2,
        batch_size: 32,
        limits: DecodeLimits::default(),
    }
}

/// A model trained and scored on a folder, what its run told, and the folder's pairs.
fn trained(scratch: &Scratch) -> (Outcome, Told, PairsSource) {
    let pairs = PairsSource {
        pairs: scratch.people("people", 12, 10),
        dir: scratch.path("people"),
        folds: None,
        allow_missing: false,
    };
    let (outcome, told) = listen(TrainConfig {
        lfw_dir: Some(pairs.dir.clone()),
        lfw_pairs: pairs.pairs.clone(),
        lfw_nrof_folds: Some(2),
        ..config(scratch)
    });
    (outcome.expect("it trains"), told, pairs)
}

fn protocol() -> Protocol {
    Protocol {
        nrof_folds: Some(2),
        ..Protocol::default()
    }
}

fn scored(source: &ModelSource, pairs: &PairsSource) -> Result<Evaluation, TrainError> {
    evaluate(source, pairs, &protocol(), &mut Silent)
}

#[test]
fn the_saved_models_score_what_the_run_said() {
    let scratch = Scratch::new();
    let (outcome, told, pairs) = trained(&scratch);
    let [_, (false, raw), (true, average)] = &told.scores[..] else {
        panic!("{:?}", told.scores);
    };
    let report = |dir: &Path| {
        scored(&source(dir), &pairs)
            .expect("a model and its pairs")
            .report
    };
    assert_eq!(report(&outcome.model_dir), *raw);
    assert_eq!(
        report(&outcome.model_dir.with_file_name("model-ema")),
        *average
    );
    assert_eq!(outcome.accuracy_after, Some(raw.accuracy_mean));
    assert_eq!(outcome.ema_accuracy, Some(average.accuracy_mean));
}

#[test]
fn stored_embeddings_score_as_the_model_that_made_them() {
    let scratch = Scratch::new();
    let (outcome, _, pairs) = trained(&scratch);
    let source = source(&outcome.model_dir);
    let expected = scored(&source, &pairs).expect("a model and its pairs");
    let embedded = embed(&source, &[scratch.path("people")], &mut Silent).expect("images");
    assert_eq!((embedded.paths.len(), embedded.skipped.len()), (120, 0));
    let file = scratch.path("people.safetensors");
    write(&file, Format::Safetensors, &embedded).expect("writable");
    let found =
        evaluate_embeddings(&file, Some(&pairs), &protocol(), &mut Silent).expect("120 rows");
    assert_eq!(found, expected);
}

#[test]
fn another_recipe_than_the_models_is_refused_unless_meant() {
    let scratch = Scratch::new();
    let (outcome, _, pairs) = trained(&scratch);
    let own = source(&outcome.model_dir);
    let other = ModelSource {
        recipe: Recipe::named("facenet-fixed-160"),
        ..own.clone()
    };
    let error = scored(&other, &pairs).expect_err("another recipe");
    check_error(&error, ExitClass::Usage, "--allow-recipe-mismatch");
    let meant = ModelSource {
        allow_recipe_mismatch: true,
        ..other
    };
    let found = scored(&meant, &pairs).expect("it is meant");
    assert_ne!(found, scored(&own, &pairs).expect("its own"));
}
