//! Running statistics: updates, recalibration, what counts.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use facenet_model::{Architecture, Mode, Model, ModelConfig, TrainPass};

use crate::case::values;
use crate::network::{pictures, small};
use crate::tolerance::{distance, norm};
use crate::train::training;

/// Float32 sums of a few hundred numbers below 10, in another order.
const F32_SUMS: f64 = 1e-5;

fn statistic(model: &Model, name: &str) -> Vec<f64> {
    values(&model.running_statistics().expect("small")[name])
}

/// Mean and unbiased variance of the first convolution's channels, by definition.
fn by_definition(model: &Model, images: &Tensor) -> (Vec<f64>, Vec<f64>) {
    let weight = &model.state()["conv1.conv.weight"];
    let outputs = images.conv2d(weight, 1, 2, 1, 1).expect("fits");
    let (n, c, h, w) = outputs.dims4().expect("nchw");
    let count = (n * h * w) as f64;
    let channels = outputs
        .transpose(0, 1)
        .and_then(|channels| channels.reshape((c, n * h * w)));
    let channels: Vec<Vec<f32>> = channels
        .and_then(|channels| channels.to_vec2())
        .expect("small");
    let mean = |x: &[f32]| x.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let means: Vec<_> = channels.iter().map(|channel| mean(channel)).collect();
    let variance = |(x, m): (&Vec<f32>, &f64)| {
        x.iter().map(|&x| (f64::from(x) - m).powi(2)).sum::<f64>() / (count - 1.0)
    };
    let variances = channels.iter().zip(&means).map(variance).collect();
    (means, variances)
}

#[track_caller]
fn check_near(ours: &[f64], expected: impl IntoIterator<Item = f64>) {
    let expected: Vec<_> = expected.into_iter().collect();
    assert_eq!(ours.len(), expected.len());
    for (x, y) in ours.iter().zip(&expected) {
        assert!((x - y).abs() <= F32_SUMS * y.abs().max(1.0), "{x} {y}");
    }
}

#[test]
fn the_new_batch_has_the_share_of_the_momentum() {
    for momentum in [None, Some(0.25), Some(1.0)] {
        let (model, images) = (small(1), pictures(2, 1));
        let mode = TrainPass {
            update_statistics: true,
            momentum,
            ..TrainPass::default()
        };
        model.forward(&images, &Mode::Train(mode)).expect("fits");
        let (means, variances) = by_definition(&model, &images);
        let share = momentum.unwrap_or(0.1);
        let mean = statistic(&model, "conv1.bn.running_mean");
        check_near(&mean, means.iter().map(|m| share * m));
        let variance = statistic(&model, "conv1.bn.running_var");
        check_near(
            &variance,
            variances.iter().map(|v| (1.0 - share) + share * v),
        );
    }
}

#[test]
fn recalibration_averages_over_the_batches() {
    let batches = [pictures(2, 1), pictures(4, 2), pictures(3, 3)];
    let model = small(1);
    // Whatever was there before must not matter.
    model
        .forward(&pictures(5, 9), &training(true))
        .expect("fits");
    let updates = model.updates();
    model.recalibrate(&batches).expect("fit");
    assert_eq!(model.updates(), updates);
    let (means, variances): (Vec<_>, Vec<_>) = batches
        .iter()
        .map(|images| by_definition(&model, images))
        .unzip();
    let average = |each: &[Vec<f64>]| -> Vec<f64> {
        (0..64)
            .map(|channel| each.iter().map(|batch| batch[channel]).sum::<f64>() / 3.0)
            .collect()
    };
    check_near(&statistic(&model, "conv1.bn.running_mean"), average(&means));
    check_near(
        &statistic(&model, "conv1.bn.running_var"),
        average(&variances),
    );
}

/// How far eval mode is from training mode, relative, after recalibration on `n` images.
fn eval_against_training(n: usize) -> f64 {
    let (model, images) = (small(1), pictures(n, 1));
    let train = values(&model.forward(&images, &training(false)).expect("fits"));
    model
        .recalibrate(std::slice::from_ref(&images))
        .expect("fits");
    let eval = values(&model.embed(&images).expect("fits"));
    distance(&eval, &train) / norm(&train)
}

#[test]
fn recalibrated_on_the_batch_eval_is_nearly_training() {
    // Between them is only the n / (n - 1) of the variance, in some 40 layers of which most
    // have one value an image at 16 pixels: it fades as 1 / n.
    let (few, many) = (eval_against_training(30), eval_against_training(240));
    assert!(many < 0.02 && many < few / 6.0, "{few} {many}");
}

#[test]
fn single_images_are_passed_over_in_recalibration() {
    let (with, without) = (small(1), small(1));
    with.recalibrate(&[pictures(1, 5), pictures(2, 1), pictures(1, 6)])
        .expect("one is enough");
    without.recalibrate(&[pictures(2, 1)]).expect("fits");
    let of = |model: &Model| statistic(model, "gdc.bn.running_mean");
    assert_eq!(of(&with), of(&without));
    let message = small(1)
        .recalibrate(&[pictures(1, 5)])
        .expect_err("none is enough")
        .to_string();
    assert!(message.contains("n from 2"), "{message}");
    small(1).recalibrate(&[]).expect("nothing to do");
}

#[test]
fn a_single_image_in_training_is_an_error_and_no_number() {
    let model = small(1);
    let before = model.running_statistics().expect("small");
    assert!(model.forward(&pictures(1, 1), &training(true)).is_err());
    for (name, tensor) in model.running_statistics().expect("small") {
        assert_eq!(values(&tensor), values(&before[&name]), "{name}");
    }
    assert_eq!(model.updates(), 0);
}

#[test]
fn only_passes_that_move_statistics_count() {
    let (model, images) = (small(1), pictures(2, 1));
    model.forward(&images, &Mode::Eval).expect("fits");
    model.forward(&images, &training(false)).expect("fits");
    model.embed(&images).expect("fits");
    assert_eq!(model.updates(), 0);
    model.forward(&images, &training(true)).expect("fits");
    model.forward(&images, &training(true)).expect("fits");
    assert_eq!(model.updates(), 2);
    model.set_updates(40);
    model.forward(&images, &training(true)).expect("fits");
    assert_eq!(model.updates(), 41);
}

#[test]
fn statistics_are_copies_and_can_be_put_back() {
    let (model, images) = (small(1), pictures(2, 1));
    let before = model.running_statistics().expect("small");
    assert!(before.keys().all(|name| name.contains("running_")));
    let embeddings = |model: &Model| values(&model.embed(&images).expect("fits"));
    let untouched = embeddings(&model);
    model.forward(&images, &training(true)).expect("fits");
    assert_ne!(embeddings(&model), untouched);
    model
        .set_running_statistics(&before)
        .expect("the model's own");
    assert_eq!(embeddings(&model), untouched);
    assert!(
        model.set_running_statistics(&model.state()).is_err(),
        "parameters are none"
    );
    assert!(
        model.set_running_statistics(&BTreeMap::new()).is_err(),
        "all are missing"
    );
}

#[test]
fn both_routes_move_statistics_alike() {
    let config = ModelConfig::new(Architecture::MobileFaceNet, 16, 8);
    let run = |route| {
        let model = Model::new(config.clone(), 1, DType::F32, &Device::Cpu).expect("its size");
        let model = model.with_route(route);
        model
            .forward(&pictures(4, 1), &training(true))
            .expect("fits");
        statistic(&model, "last_bn.running_var")
    };
    let (own, native) = (
        run(facenet_model::Route::Own),
        run(facenet_model::Route::Native),
    );
    check_near(&own, native);
}
