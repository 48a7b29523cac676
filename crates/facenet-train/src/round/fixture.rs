//! A round for tests, and a network to take it through.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device};
use facenet_dataset::ImageId;
use facenet_model::{Architecture, DropoutKey, Mode, Model, ModelConfig, Parameter, TrainPass};

use super::Round;

/// Side of a picture.
pub(crate) const SIDE: usize = 16;

/// A small network with dropout.
pub(crate) fn model() -> Model {
    let mut config = ModelConfig::new(Architecture::MobileFaceNet, SIDE, 8);
    config.keep_probability = 0.8;
    Model::new(config, 1, DType::F32, &Device::Cpu).expect("a size it can have")
}

/// Spoils a number of one picture.
pub(crate) fn spoil(round: &mut Round, picture: usize, value: f32) {
    round.pixels[picture * 3 * SIDE * SIDE + 5] = value;
}

/// 12 pictures of four identities.
pub(crate) fn round() -> Round {
    let id = |row: u32| ImageId {
        identity: row / 3,
        image: row % 3,
    };
    let pixel = |i: u32| (i.wrapping_mul(2_654_435_761) % 2001) as f32 / 1000.0 - 1.0;
    Round {
        pixels: (0..12 * 3 * (SIDE * SIDE) as u32).map(pixel).collect(),
        ids: (0..12).map(id).collect(),
    }
}

/// A pass that trains, with draws of its own.
pub(crate) fn training() -> Mode {
    Mode::Train(TrainPass {
        dropout: Some(DropoutKey {
            seed: 1,
            epoch: 2,
            step: 3,
        }),
        update_statistics: true,
        ..TrainPass::default()
    })
}

/// The parameters' gradients, one after the other.
pub(crate) fn numbers(model: &Model, store: &GradStore) -> Vec<f64> {
    let of = |parameter: Parameter<'_>| {
        let grad = store.get(parameter.var).expect("every parameter has one");
        let grad = grad.flatten_all()?.to_dtype(DType::F64)?;
        grad.to_vec1::<f64>()
    };
    let all: candle_core::Result<Vec<_>> = model.parameters().into_iter().map(of).collect();
    all.expect("on the CPU").concat()
}

/// L2 of the difference over that of `expected`.
pub(crate) fn relative(found: &[f64], expected: &[f64]) -> f64 {
    let squares =
        |x: &[f64], y: &[f64]| -> f64 { x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum() };
    let zeros = vec![0.0; expected.len()];
    (squares(found, expected) / squares(expected, &zeros)).sqrt()
}
