//! The moving average against TensorFlow's.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use facenet_train::Ema;

use crate::golden::{number, numbers, optim};

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
