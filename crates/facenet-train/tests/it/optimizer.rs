//! The update rules against TensorFlow's and against the formulas in f64.

use candle_core::{DType, Device, Tensor, Var};
use facenet_train::{Optimizer, OptimizerConfig, OptimizerKind, Update};
use serde_json::Value;

use crate::golden::{number, numbers, optim, rows};

/// The expected values come from the same formulas in f64; only the order of rounding differs.
const F64_TOLERANCE: f64 = 1e-12;
/// Times the stored difference of TensorFlow's f32 result from the f64 one.
const F32_FACTOR: f64 = 4.0;
/// And, where that difference happens to be small, as many units in the last place.
const F32_ULPS: f64 = 4.0;

#[test]
fn golden_optimizers_walk_every_case() {
    for case in optim("optimizers") {
        check_settings(&case);
        check_f64(&case);
        check_f32(&case);
    }
}

/// The parameter after each step, in `dtype`.
fn walk(case: &Value, dtype: DType) -> Vec<Vec<f64>> {
    let tensor = |values: Vec<f64>| {
        let tensor = Tensor::new(values, &Device::Cpu).expect("numbers on the CPU");
        tensor.to_dtype(dtype).expect("numbers on the CPU")
    };
    let var = Var::from_tensor(&tensor(numbers(&case["initial"]))).expect("a fresh tensor");
    let mut optimizer = Optimizer::new(&config(case));
    let mut after = Vec::new();
    for (gradient, rate) in rows(&case["gradients"])
        .into_iter()
        .zip(numbers(&case["learning_rate"]))
    {
        let grad = tensor(gradient);
        let update = Update {
            name: "w",
            var: &var,
            grad: &grad,
            decays: true,
        };
        optimizer.step(&[update], rate).expect("fitting gradients");
        let values = var.to_dtype(DType::F64).and_then(|w| w.to_vec1::<f64>());
        after.push(values.expect("one dimension"));
    }
    after
}

fn config(case: &Value) -> OptimizerConfig {
    let kind: OptimizerKind = case["optimizer"]
        .as_str()
        .expect("a name")
        .parse()
        .expect("one of the five");
    let mut config = OptimizerConfig {
        kind,
        ..OptimizerConfig::default()
    };
    if kind == OptimizerKind::Adam {
        config.adam_epsilon = number(&case["settings"]["epsilon"]);
    }
    config
}

/// Our constants are fixed: a case with others would be compared to the wrong formula.
fn check_settings(case: &Value) {
    let name = case["optimizer"].as_str().expect("a name");
    for (setting, value) in case["settings"].as_object().expect("named settings") {
        if (name, setting.as_str()) == ("ADAM", "epsilon") {
            continue;
        }
        let value = value.as_bool().map_or_else(|| number(value), f64::from);
        assert_eq!(
            value.to_bits(),
            our_setting(name, setting).to_bits(),
            "{name} {setting}"
        );
    }
}

fn our_setting(name: &str, setting: &str) -> f64 {
    match (name, setting) {
        ("ADAGRAD", "initial_accumulator") => 0.1,
        ("ADADELTA", "rho")
        | ("ADAM", "beta1")
        | ("RMSPROP", "decay")
        | ("RMSPROP" | "MOM", "momentum") => 0.9,
        ("ADADELTA", "epsilon") => 1e-6,
        ("ADAM", "beta2") => 0.999,
        ("RMSPROP", "epsilon" | "initial_mean_square") | ("MOM", "nesterov") => 1.0,
        other => panic!("unknown setting {other:?}"),
    }
}

fn check_f64(case: &Value) {
    compare(case, &walk(case, DType::F64), "expected_f64", |expected| {
        F64_TOLERANCE * (1.0 + expected.abs())
    });
}

fn check_f32(case: &Value) {
    let stored = number(&case["max_abs_diff_tf32_vs_f64"]);
    compare(
        case,
        &walk(case, DType::F32),
        "tensorflow_f32",
        |expected| F32_FACTOR * stored + F32_ULPS * f64::from(f32::EPSILON) * expected.abs(),
    );
}

fn compare(case: &Value, found: &[Vec<f64>], field: &str, tolerance: impl Fn(f64) -> f64) {
    let expected = rows(&case[field]);
    assert_eq!(found.len(), expected.len(), "steps");
    for (step, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found.len(), expected.len(), "values");
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() <= tolerance(*expected),
                "{} {} step {step}: {found}, {field} {expected}",
                case["optimizer"],
                case["gradients_kind"],
            );
        }
    }
}
