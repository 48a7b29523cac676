//! Training that starts from a saved model's weights.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use facenet_train::dataset::Standardisation;
use facenet_train::model::load_tensors;
use facenet_train::{Event, ExitClass, Outcome, TrainConfig, saved_model};

use crate::runs::{Scratch, check_error, listen, run};

/// A model of embedding size 24 with a recipe of its own.
fn pretrained(scratch: &Scratch) -> Outcome {
    run(TrainConfig {
        embedding_size: 24,
        standardisation: Standardisation::Fixed,
        ..scratch.config()
    })
}

/// Weights without running statistics, as bits.
fn weights(dir: &Path) -> BTreeMap<String, Vec<u32>> {
    let tensors = load_tensors(&dir.join("model.safetensors")).expect("a model folder");
    let bits = |tensor: &Tensor| -> Vec<u32> {
        let values = tensor
            .flatten_all()
            .and_then(|values| values.to_vec1::<f32>());
        values.expect("f32").into_iter().map(f32::to_bits).collect()
    };
    let learned = tensors
        .iter()
        .filter(|(name, _)| !name.contains("running_"));
    learned
        .map(|(name, tensor)| (name.clone(), bits(tensor)))
        .collect()
}

/// A run of steps too small to move a weight, from the model in `dir`.
fn still(scratch: &Scratch, dir: &Path) -> TrainConfig {
    TrainConfig {
        pretrained_model: Some(dir.to_owned()),
        learning_rate: 1e-30,
        weight_decay: 0.0,
        seed: 7,
        ..scratch.config()
    }
}

#[test]
fn weights_sizes_and_recipe_come_from_the_model_and_nothing_else_does() {
    let scratch = Scratch::new();
    let first = pretrained(&scratch);
    let mut config = still(&scratch, &first.model_dir);
    config.take_model(&saved_model(&first.model_dir).expect("a model folder"));
    assert_eq!(config.embedding_size, 24);
    assert_eq!(config.standardisation, Standardisation::Fixed);
    let second = run(config);
    assert_eq!(second.steps, 8, "steps count from the beginning");
    let (before, after) = (weights(&first.model_dir), weights(&second.model_dir));
    assert!(before.len() > 50 && before == after);
    let saved = |outcome: &Outcome| saved_model(&outcome.model_dir).expect("a model folder");
    assert_eq!(saved(&second), saved(&first));
}

#[test]
fn a_pretrained_model_scores_before_training_as_it_did_after_its_own() {
    let scratch = Scratch::new();
    let (first, told) = listen(scratch.scored_config());
    let first = first.expect("it trains");
    let last = told.scores.iter().rfind(|(is_ema, _)| !is_ema);
    let (_, mut again) = listen(TrainConfig {
        max_nrof_epochs: 1,
        pretrained_model: Some(first.model_dir),
        ..scratch.scored_config()
    });
    again.scores.truncate(1);
    assert_eq!(again.scores.first(), last);
}

#[test]
fn a_fresh_run_has_other_weights() {
    let scratch = Scratch::new();
    let first = pretrained(&scratch);
    let fresh = run(TrainConfig {
        pretrained_model: None,
        embedding_size: 24,
        ..still(&scratch, &first.model_dir)
    });
    assert!(weights(&first.model_dir) != weights(&fresh.model_dir));
}

#[test]
fn a_model_of_another_size_is_refused_with_both_sizes() {
    let scratch = Scratch::new();
    let first = pretrained(&scratch);
    let (outcome, told) = listen(still(&scratch, &first.model_dir));
    let error = outcome.expect_err("16 numbers are not 24");
    check_error(
        &error,
        ExitClass::Usage,
        "is mobilefacenet for 16 pixels and 24 numbers, expected mobilefacenet, 16 and 16",
    );
    assert_eq!(told.steps.len(), 0);
}

#[test]
fn a_broken_model_is_refused_by_its_files_name() {
    let scratch = Scratch::new();
    let first = pretrained(&scratch);
    for name in ["model.safetensors", "config.json"] {
        let path = first.model_dir.join(name);
        let good = std::fs::read(&path).expect("readable");
        for damaged in [&good[..good.len() / 2], &[], b"{}"] {
            std::fs::write(&path, damaged).expect("writable");
            let (outcome, _) = listen(still(&scratch, &first.model_dir));
            check_error(&outcome.expect_err("damaged"), ExitClass::Model, name);
        }
        std::fs::write(&path, good).expect("writable");
    }
}

#[test]
fn tensors_of_no_use_are_named_by_every_command_that_opens_the_model() {
    let scratch = Scratch::new();
    let first = pretrained(&scratch);
    let dir = &first.model_dir;
    let mut tensors = load_tensors(&dir.join("model.safetensors")).expect("a model folder");
    let stray = Tensor::zeros(3, candle_core::DType::F32, &candle_core::Device::Cpu);
    tensors.insert("logits.bias".to_owned(), stray.expect("three numbers"));
    let config = facenet_train::model::load_config(dir).expect("a model folder");
    facenet_train::model::save_model(dir, &tensors, &config, "card").expect("writable");
    let mut wanted = still(&scratch, dir);
    wanted.take_model(&saved_model(dir).expect("a model folder"));
    let (outcome, told) = listen(wanted);
    outcome.expect("it trains");
    let [warning] = &told.warnings[..] else {
        panic!("{:?}", told.warnings);
    };
    assert!(
        warning.ends_with("ignored tensors of no use here: logits.bias"),
        "{warning}"
    );
    let (embedded, warnings) = embed_nothing(&scratch, dir);
    check_error(
        &embedded,
        ExitClass::Data,
        "nothere.jpg: not one readable image; the first: ",
    );
    assert_eq!(warnings, std::slice::from_ref(warning));
}

/// What embedding a file that is not there says, and warns of.
fn embed_nothing(scratch: &Scratch, dir: &Path) -> (facenet_train::TrainError, Vec<String>) {
    let source = facenet_train::ModelSource {
        model: dir.to_owned(),
        recipe: None,
        allow_recipe_mismatch: false,
        device: "cpu".to_owned(),
        threads: None,
        arithmetic: facenet_train::model::Arithmetic::default(),
        loader_threads: 1,
        batch_size: 8,
        limits: scratch.config().decode_limits(),
    };
    let mut warnings = Vec::new();
    let images = [scratch.path("nothere.jpg")];
    let embedded = facenet_train::embed(&source, &images, &mut |event: &Event<'_>| {
        if let Event::Warning(text) = event {
            warnings.push((*text).to_owned());
        }
    });
    (embedded.expect_err("no such file"), warnings)
}
