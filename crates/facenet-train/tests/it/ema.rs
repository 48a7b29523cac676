//! The moving average against TensorFlow's.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use facenet_train::model::load_tensors;
use facenet_train::{Ema, TrainConfig};

use crate::golden::{number, numbers, optim};
use crate::runs::{Scratch, run};

/// The expected values are f64; only the order of rounding may differ.
const TOLERANCE: f64 = 1e-12;

fn state(value: f64) -> BTreeMap<String, Tensor> {
    let tensor = Tensor::new(&[value], &Device::Cpu).expect("a number on the CPU");
    BTreeMap::from([("w".to_owned(), tensor)])
}

#[test]
fn golden_ema_walks_every_case() {
    for case in optim("ema") {
        let (values, expected) = (numbers(&case["values"]), numbers(&case["expected"]));
        assert_eq!(values.len(), expected.len());
        let first = case["num_updates_from"].as_u64();
        let mut ema = Ema::new(number(&case["decay"]), &state(values[0])).expect("a good decay");
        for (index, (value, expected)) in values.into_iter().zip(expected).enumerate() {
            let num_updates = first.map(|first| first + index as u64);
            ema.update(&state(value), num_updates)
                .expect("the same names");
            let found = ema.shadow()["w"].to_vec1::<f64>().expect("one number")[0];
            assert!(
                (found - expected).abs() <= TOLERANCE,
                "{index}: {found}, {expected}"
            );
        }
    }
}

/// The learned numbers of `last_linear`.
fn last_linear(dir: &Path) -> Vec<f32> {
    let tensors = load_tensors(&dir.join("model.safetensors")).expect("a model folder");
    let values = tensors["last_linear.weight"].flatten_all();
    values
        .and_then(|values| values.to_vec1())
        .expect("f32 on the CPU")
}

/// One step, so that the decay is min(0.9, 1 / 10).
#[test]
fn the_first_average_of_a_run_is_a_tenth_of_where_it_began() {
    let scratch = Scratch::new();
    let one_step = |learning_rate: f64| {
        run(TrainConfig {
            learning_rate,
            weight_decay: 0.0,
            epoch_size: 1,
            max_nrof_epochs: 1,
            ..scratch.config()
        })
    };
    let (still, moved) = (one_step(1e-30), one_step(0.1));
    let (began, ended) = (last_linear(&still.model_dir), last_linear(&moved.model_dir));
    let average = last_linear(&moved.model_dir.with_file_name("model-ema"));
    assert_ne!(began, ended);
    for ((began, ended), average) in began.iter().zip(&ended).zip(average) {
        let expected = 0.1 * began + 0.9 * ended;
        // A few roundings of numbers below one.
        assert!(
            (average - expected).abs() <= 4.0 * f32::EPSILON,
            "{average}, {expected}"
        );
    }
}
