//! The staircase against TensorFlow's `exponential_decay`.

use facenet_train::ExponentialDecay;

use crate::golden::{number, numbers, optim};

/// Relative; powers of another mathematics library, over up to 1,800 periods.
const TOLERANCE: f64 = 1e-12;

#[test]
fn golden_exponential_decay_walks_every_case() {
    for case in optim("exponential_decay") {
        // TensorFlow keeps the factor in f32 (0.98 is 0.980000019...), the base in f64.
        let decay = ExponentialDecay {
            factor: f64::from(number(&case["decay_rate"]) as f32),
            steps: case["decay_steps"].as_u64().expect("a count"),
            is_staircase: case["staircase"].as_bool().expect("a claim"),
        };
        let expected = numbers(&case["expected"]);
        let steps = numbers(&case["steps"]);
        assert_eq!(steps.len(), expected.len());
        for (step, expected) in steps.into_iter().zip(expected) {
            let found = decay.rate(number(&case["base"]), step as u64);
            let is_close = (found - expected).abs() <= TOLERANCE * expected.abs();
            assert!(is_close, "step {step}: {found}, expected {expected}");
        }
    }
}
