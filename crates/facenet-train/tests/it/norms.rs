//! Fine-tuning with batch norms frozen, folded and unfolded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use facenet_train::model::{load_config, load_tensors, save_model};
use facenet_train::{ExitClass, Outcome, ResumeOverrides, Strategy, TrainConfig, saved_model};

use crate::one_pass::one_pass;
use crate::runs::{
    Scratch, check_error, checkpoint_of, contents, copy, go_on, listen, run, run_dir,
};

/// The tensors of a model folder as bits.
fn bits(dir: &Path) -> BTreeMap<String, Vec<u32>> {
    let tensors = load_tensors(&dir.join("model.safetensors")).expect("a model folder");
    let bits = |(name, tensor): (String, Tensor)| {
        let values = numbers(&tensor).into_iter().map(f32::to_bits).collect();
        (name, values)
    };
    tensors.into_iter().map(bits).collect()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    let values = tensor.flatten_all().and_then(|values| values.to_vec1());
    values.expect("f32")
}

/// Names and values of running statistics.
fn statistics(dir: &Path) -> BTreeMap<String, Vec<u32>> {
    let mut all = bits(dir);
    all.retain(|name, _| name.contains("running_"));
    all
}

/// Folds each norm but the last into its convolution, as graphs for inference have it.
fn fold(tensors: &mut BTreeMap<String, Tensor>) {
    let norms: Vec<_> = tensors
        .keys()
        .filter_map(|name| name.strip_suffix(".bn.running_var"))
        .map(str::to_owned)
        .collect();
    for layer in norms {
        let of = |part: &str| numbers(&tensors[&format!("{layer}.bn.{part}")]);
        let (weight, bias) = (of("weight"), of("bias"));
        let (mean, variance) = (of("running_mean"), of("running_var"));
        let c = weight.len();
        let scale: Vec<f32> = (0..c)
            .map(|c| weight[c] / (variance[c] + 1e-3).sqrt())
            .collect();
        let shift: Vec<f32> = (0..c).map(|c| bias[c] - mean[c] * scale[c]).collect();
        let filter = &tensors[&format!("{layer}.conv.weight")];
        let by_channel = Tensor::from_vec(scale, (c, 1, 1, 1), &Device::Cpu).expect("as many");
        let filter = filter.broadcast_mul(&by_channel).expect("a scale each");
        tensors.insert(format!("{layer}.conv.weight"), filter);
        let parts = [
            ("weight", vec![1.0; c]),
            ("bias", shift),
            ("running_mean", vec![0.0; c]),
            ("running_var", vec![0.999; c]),
        ];
        for (part, values) in parts {
            let values = Tensor::from_vec(values, c, &Device::Cpu).expect("as many");
            tensors.insert(format!("{layer}.bn.{part}"), values);
        }
    }
}

/// A trained model, and the same with its norms folded.
fn models(scratch: &Scratch) -> (PathBuf, PathBuf) {
    let trained = run(scratch.config()).model_dir;
    let mut tensors = load_tensors(&trained.join("model.safetensors")).expect("a model folder");
    fold(&mut tensors);
    let mut config = load_config(&trained).expect("a model folder");
    config.model.has_folded_norms = true;
    let folded = scratch.path("folded");
    save_model(&folded, &tensors, &config, "card").expect("writable");
    (trained, folded)
}

/// Fine-tuning of the model in `dir`, with `change` before the model is taken over.
fn tuning(scratch: &Scratch, dir: &Path, change: impl FnOnce(&mut TrainConfig)) -> TrainConfig {
    let mut config = TrainConfig {
        pretrained_model: Some(dir.to_owned()),
        ..scratch.config()
    };
    change(&mut config);
    config.take_model(&saved_model(dir).expect("a model folder"));
    config
}

/// Whether the saved model of a run says that its norms are folded.
fn is_folded(outcome: &Outcome) -> bool {
    let saved = saved_model(&outcome.model_dir).expect("a model folder");
    saved.model.has_folded_norms
}

#[test]
fn folded_norms_are_frozen_by_both_strategies_and_stay_folded() {
    let scratch = Scratch::new();
    let (_, folded) = models(&scratch);
    for strategy in [Strategy::Reference, Strategy::OnePass] {
        let config = TrainConfig {
            strategy,
            chunk_size: 5,
            models_base_dir: scratch.path(&format!("{strategy:?}")),
            ..tuning(&scratch, &folded, |_| ())
        };
        assert!(config.freeze_bn && config.folded_bn);
        let (outcome, told) = listen(config);
        let outcome = outcome.expect("it trains");
        let notes = told.notes.iter();
        assert_eq!(notes.filter(|note| note.contains("frozen")).count(), 1);
        for model in [&outcome.model_dir, &run_dir(&outcome).join("model-ema")] {
            assert!(statistics(model) == statistics(&folded), "{strategy:?}");
        }
        let (before, after) = (bits(&folded), bits(&outcome.model_dir));
        for name in ["conv1.conv.weight", "conv1.bn.weight", "last_bn.bias"] {
            assert!(before[name] != after[name], "{strategy:?}: {name}");
        }
        assert!(is_folded(&outcome));
        let again = resumed(&scratch, &outcome, &format!("{strategy:?}"));
        assert!(is_folded(&again) && bits(&again.model_dir) == after);
    }
}

#[test]
fn frozen_norms_of_any_model_stay_through_young_statistics_and_a_resume() {
    let scratch = Scratch::new();
    let (trained, _) = models(&scratch);
    for (name, is_one_pass) in [("reference", false), ("one", true)] {
        let config = TrainConfig {
            models_base_dir: scratch.path(name),
            ..tuning(&scratch, &trained, |config| config.freeze_bn = true)
        };
        let config = if is_one_pass {
            one_pass(config)
        } else {
            config
        };
        let whole = run(config);
        assert!(
            statistics(&whole.model_dir) == statistics(&trained),
            "{name}"
        );
        assert!(!is_folded(&whole));
        let again = resumed(&scratch, &whole, name);
        assert!(bits(&again.model_dir) == bits(&whole.model_dir), "{name}");
    }
}

/// The run once more from its sixth step on, in a place of its own.
fn resumed(scratch: &Scratch, whole: &Outcome, name: &str) -> Outcome {
    let checkpoint = checkpoint_of(whole, 6);
    let elsewhere = scratch.path("again").join(name);
    let elsewhere = elsewhere.join(checkpoint.file_name().expect("checkpoint-<step>"));
    copy(&checkpoint, &elsewhere);
    assert!(!contents(&elsewhere).is_empty());
    go_on(&elsewhere, ResumeOverrides::default()).expect("whole")
}

#[test]
fn unfolded_norms_have_statistics_that_move_and_a_resume_goes_on_with_them() {
    let scratch = Scratch::new();
    let (_, folded) = models(&scratch);
    let config = tuning(&scratch, &folded, |config| config.unfold_bn = true);
    assert!(config.folded_bn && !config.freeze_bn);
    let (outcome, told) = listen(config);
    let outcome = outcome.expect("it trains");
    let notes = told.notes.join("\n");
    // All 48 images, and rounding: embeddings are 1 long.
    assert!(
        notes.contains("statistics of 48 training images"),
        "{notes}"
    );
    let moved = notes.split("moved by more than ").nth(1).expect("a figure");
    let moved: f32 = moved
        .split_whitespace()
        .next()
        .expect("a figure")
        .parse()
        .expect("a number");
    assert!(moved < 1e-5, "{notes}");
    assert!(!is_folded(&outcome));
    let after = statistics(&outcome.model_dir);
    assert!(
        after
            .iter()
            .all(|(name, values)| *values != statistics(&folded)[name])
    );
    let again = resumed(&scratch, &outcome, "unfolded");
    assert!(bits(&again.model_dir) == bits(&outcome.model_dir));
}

#[test]
fn a_configuration_that_does_not_know_of_folded_norms_is_refused() {
    let scratch = Scratch::new();
    let (trained, folded) = models(&scratch);
    let (outcome, _) = listen(TrainConfig {
        pretrained_model: Some(folded),
        ..scratch.config()
    });
    let error = outcome.expect_err("it has not been taken over");
    check_error(&error, ExitClass::Usage, "its batch norms are folded");
    let (outcome, _) = listen(TrainConfig {
        pretrained_model: Some(trained),
        folded_bn: true,
        unfold_bn: true,
        ..scratch.config()
    });
    let error = outcome.expect_err("nothing is folded");
    check_error(&error, ExitClass::Usage, "its batch norms are not folded");
}
