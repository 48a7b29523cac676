//! Running statistics of young weights: settled before mining and scoring, until they can be
//! trusted, and not a step longer.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use facenet_train::lfw::Report;
use facenet_train::{
    Checkpoint, Event, MiningMode, ModelSource, PairsSource, Progress, Protocol, Silent,
    TrainConfig, TrainRequest, evaluate, train,
};

use crate::runs::{Scratch, listen};

type State = BTreeMap<String, Vec<f32>>;

/// Running statistics in each checkpoint that a run saved, by step, as they were written.
fn saved(config: TrainConfig) -> Vec<State> {
    let mut saved = Vec::new();
    let request = TrainRequest {
        config,
        command_line: Vec::new(),
    };
    train(&request, &mut |event: &Event<'_>| {
        if let Event::Saved { path } = event {
            let stored = Checkpoint::<Progress>::load(path, &Device::Cpu);
            saved.push(running(&stored.expect("as written").model));
        }
    })
    .expect("it trains");
    saved
}

fn running(model: &BTreeMap<String, Tensor>) -> State {
    let running = model.iter().filter(|(name, _)| name.contains("running_"));
    let values = |tensor: &Tensor| tensor.to_vec1::<f32>().expect("one number a channel");
    running
        .map(|(name, tensor)| (name.clone(), values(tensor)))
        .collect()
}

/// Epochs of one step, of which each batch sets the statistics anew.
fn forgetful(config: TrainConfig) -> TrainConfig {
    TrainConfig {
        bn_momentum: 1.0,
        epoch_size: 1,
        max_nrof_epochs: 5,
        ..config
    }
}

#[test]
fn with_momentum_1_scoring_settles_statistics_until_the_third_update() {
    let scratch = Scratch::new();
    let scored = saved(forgetful(scratch.scored_config()));
    let unscored = saved(forgetful(scratch.config()));
    // A score that settles changes the statistics that are saved after it.
    let is_same: Vec<_> = scored.iter().zip(&unscored).map(|(a, b)| a == b).collect();
    assert_eq!(is_same, [false, false, true, true, true]);
}

/// Largest distance of a running variance from 1, its first value, after a step that moves it by
/// a millionth at most of what the batch has.
fn moved(mining_mode: MiningMode) -> f32 {
    let scratch = Scratch::new();
    let saved = saved(TrainConfig {
        mining_mode,
        bn_momentum: 1e-6,
        epoch_size: 1,
        max_nrof_epochs: 1,
        ..scratch.config()
    });
    let variances = saved[0].iter().filter(|(name, _)| name.ends_with("_var"));
    variances
        .flat_map(|(_, values)| values)
        .map(|value| (value - 1.0).abs())
        .fold(0.0, f32::max)
}

#[test]
fn mining_in_eval_mode_settles_statistics_and_in_train_mode_does_not() {
    assert!(moved(MiningMode::Eval) > 0.1);
    assert!(moved(MiningMode::Train) < 1e-3);
}

/// What the untrained network of `config` scores with mean 0 and variance 1, as it is born.
fn unsettled(scratch: &Scratch, config: &TrainConfig, pairs: &PairsSource) -> Report {
    let network = facenet_train::model::Model::new(
        config.model(),
        config.seed,
        candle_core::DType::F32,
        &Device::Cpu,
    )
    .expect("a good configuration");
    let dir = scratch.path("born");
    let saved = facenet_train::model::SavedConfig {
        format: facenet_train::model::FORMAT,
        model: config.model(),
        recipe: serde_json::to_value(config.recipe()).expect("plain fields"),
        training: serde_json::Value::Null,
    };
    facenet_train::model::save_model(&dir, &network.state(), &saved, "born").expect("writable");
    let source = ModelSource {
        model: dir,
        recipe: None,
        allow_recipe_mismatch: false,
        device: "cpu".to_owned(),
        threads: None,
        arithmetic: facenet_train::model::Arithmetic::default(),
        loader_threads: 1,
        batch_size: 7,
        limits: config.decode_limits(),
    };
    let protocol = Protocol {
        nrof_folds: Some(2),
        ..Protocol::default()
    };
    evaluate(&source, pairs, &protocol, &mut Silent)
        .expect("a model and its pairs")
        .report
}

#[test]
fn the_untrained_score_is_that_of_settled_statistics() {
    let scratch = Scratch::new();
    let pairs = PairsSource {
        pairs: scratch.people("people", 12, 10),
        dir: scratch.path("people"),
        folds: None,
        allow_missing: false,
    };
    let config = TrainConfig {
        data_dir: Some(scratch.path("people")),
        lfw_dir: Some(pairs.dir.clone()),
        lfw_pairs: pairs.pairs.clone(),
        lfw_nrof_folds: Some(2),
        epoch_size: 1,
        max_nrof_epochs: 1,
        ..scratch.config()
    };
    let (outcome, told) = listen(config.clone());
    outcome.expect("it trains");
    let (is_ema, before) = &told.scores[0];
    assert!(!is_ema);
    assert_ne!(*before, unsettled(&scratch, &config, &pairs));
}

/// Pictures of each forward pass in which a stage was counted on.
fn passes(config: TrainConfig, wanted: facenet_train::Stage) -> Vec<usize> {
    let (mut passes, mut before) = (Vec::new(), 0);
    let request = TrainRequest {
        config,
        command_line: Vec::new(),
    };
    train(&request, &mut |event: &Event<'_>| {
        if let Event::Progress { stage, done, .. } = event
            && *stage == wanted
        {
            passes.push(if *done > before { done - before } else { *done });
            before = *done;
        }
    })
    .expect("it trains");
    passes
}

/// A step of a batch far larger than what a forward pass may hold.
fn large(config: TrainConfig) -> TrainConfig {
    TrainConfig {
        synthetic_identities: 25,
        synthetic_test_identities: 25,
        people_per_batch: 25,
        images_per_person: 4,
        lfw_nrof_folds: Some(2),
        rule: facenet_train::miner::Rule::BatchHard,
        only_violating: false,
        batch_size: 34_560,
        epoch_size: 1,
        max_nrof_epochs: 1,
        ..config
    }
}

#[test]
fn a_large_batch_is_scored_and_mined_90_pictures_at_a_time() {
    use facenet_train::Stage::{Mine, Score};
    let scratch = Scratch::new();
    for stage in [Score, Mine] {
        let found = passes(large(scratch.config()), stage);
        let largest = found.iter().max().expect("there are passes");
        assert_eq!(*largest, 90, "{stage:?}: {found:?}");
    }
}
