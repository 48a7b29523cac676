//! Batch norms that keep their statistics in training.

use candle_core::{DType, Device, Tensor};
use facenet_model::{Architecture, Mode, Model, ModelConfig, Route, triplet_loss};

use crate::case::values;
use crate::network::{pictures, small};
use crate::tolerance::{distance, norm};
use crate::train::{gradients, training};

/// Float32 against float64 through some forty layers and back.
const F32_BACKWARD: f64 = 1e-4;
/// Central differences in float64 at steps of 1e-6: rounding over the step, 1e-16 / 1e-6, and the
/// step's square times a third derivative, where no rectifier turns in between.
const DIFFERENCES: f64 = 1e-6;

/// The small network with statistics that a batch has moved, its norms frozen.
fn frozen(dtype: DType, route: Route) -> Model {
    let model = small(1);
    model
        .recalibrate(&[pictures(12, 7)])
        .expect("twelve pictures");
    let config = ModelConfig::new(Architecture::MobileFaceNet, 16, 8);
    let (built, _) = Model::from_tensors(config, model.state(), dtype, &Device::Cpu).expect("its");
    built.with_route(route).with_frozen_norms(true)
}

fn loss(model: &Model, images: &Tensor) -> Tensor {
    let rows = model.forward(images, &training(true)).expect("they fit");
    triplet_loss(&rows, 1.0).expect("six rows").loss
}

#[test]
fn frozen_norms_go_by_running_statistics_in_training_and_never_move_them() {
    let model = frozen(DType::F32, Route::Own);
    let before = model.running_statistics().expect("small");
    let images = pictures(6, 1);
    let of = |mode: &Mode| values(&model.forward(&images, mode).expect("they fit"));
    assert!(!model.goes_by_batch(&training(true)) && small(1).goes_by_batch(&training(true)));
    // One layer after another is the same operation: not a bit differs.
    assert_eq!(of(&training(true)), of(&Mode::Eval));
    assert_ne!(of(&Mode::Eval), {
        let free = small(1);
        free.recalibrate(&[pictures(12, 7)]).expect("twelve");
        values(&free.forward(&images, &training(false)).expect("they fit"))
    });
    model.recalibrate(&[images]).expect("nothing to do");
    for (name, tensor) in model.running_statistics().expect("small") {
        assert_eq!(values(&tensor), values(&before[&name]), "{name}");
    }
    assert_eq!(model.updates(), 0);
    // A single value has no variance, and needs none.
    let one = model.forward(&pictures(1, 1), &training(true));
    assert_eq!(one.expect("one is enough").dims(), [1, 8]);
}

#[test]
fn the_gradient_with_frozen_norms_is_candles_own_in_f64() {
    let images = pictures(6, 1);
    let wide = images.to_dtype(DType::F64).expect("a cast");
    let flat = |dtype, route, images: &Tensor| {
        let model = frozen(dtype, route);
        let all = gradients(&model, &loss(&model, images)).into_values();
        all.flat_map(|gradient| values(&gradient))
            .collect::<Vec<_>>()
    };
    let expected = flat(DType::F64, Route::Native, &wide);
    let own = flat(DType::F64, Route::Own, &wide);
    let off = distance(&own, &expected) / norm(&expected);
    assert!(off < 1e-12, "{off}");
    let ours = flat(DType::F32, Route::Own, &images);
    let off = distance(&ours, &expected) / norm(&expected);
    assert!(off < F32_BACKWARD, "{off}");
}

#[test]
fn the_gradient_with_frozen_norms_is_that_of_finite_differences() {
    let model = frozen(DType::F64, Route::Own);
    let images = pictures(6, 1).to_dtype(DType::F64).expect("a cast");
    let found = gradients(&model, &loss(&model, &images));
    for parameter in model.parameters() {
        let is_norm = parameter.name.contains("bn.");
        if !(is_norm || parameter.name == "conv1.conv.weight") {
            continue;
        }
        let at = parameter.var.elem_count() / 2;
        let shifted = |step: f64| {
            let kept = parameter.var.as_detached_tensor().copy().expect("small");
            let mut numbers = values(&kept);
            numbers[at] += step;
            let moved = Tensor::from_vec(numbers, kept.shape(), &Device::Cpu).expect("as many");
            parameter.var.set(&moved).expect("its shape");
            let loss = values(&loss(&model, &images))[0];
            parameter.var.set(&kept).expect("its shape");
            loss
        };
        let expected = (shifted(1e-6) - shifted(-1e-6)) / 2e-6;
        let ours = values(&found[parameter.name])[at];
        let off = (ours - expected).abs();
        assert!(off <= DIFFERENCES, "{}: {ours} {expected}", parameter.name);
    }
}
