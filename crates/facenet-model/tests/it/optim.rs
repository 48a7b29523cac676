//! Golden values of the loss and the normalisation alone.

use candle_core::{Device, Tensor, Var};
use facenet_model::{MIN_SQ_NORM, l2_normalise, triplet_loss};
use serde_json::Value;

use crate::case::{golden_dir, numbers, values};
use crate::tolerance::{distance, norm};

/// Everything is f64 on both sides; only orders of summation differ. Relative above 1.
const F64_SUMS: f64 = 1e-12;

#[track_caller]
fn check(what: &str, ours: &[f64], expected: &[f64]) {
    let (off, scale) = (distance(ours, expected), norm(expected).max(1.0));
    assert!(
        off <= F64_SUMS * scale,
        "{what}: off by {off:e} of {scale:e}"
    );
}

/// One kind of `optim.json`; `None`, aloud, where the folder has none of it.
fn kind(name: &str) -> Option<Value> {
    let path = golden_dir().join("optim.json");
    let found = path.exists().then(|| {
        let text = std::fs::read_to_string(&path).expect("a readable golden file");
        let mut json: Value = serde_json::from_str(&text).expect("JSON");
        json[name].take()
    });
    let found = found.filter(|kind| !kind.is_null());
    if found.is_none() {
        eprintln!("golden {name}: no case in {}", path.display());
    }
    found
}

fn check_loss(case: &Value) {
    let (prelogits, margin) = (
        numbers(&case["prelogits"]),
        case["alpha"].as_f64().expect("a margin"),
    );
    let dim = case["dim"].as_u64().expect("a number") as usize;
    let shape = (prelogits.len() / dim, dim);
    let prelogits = Var::from_vec(prelogits, shape, &Device::Cpu).expect("rows of dim");
    let unit = l2_normalise(&prelogits).expect("rows");
    let made = triplet_loss(&unit, margin).expect("triplets");
    check(
        "loss",
        &values(&made.loss),
        &[case["loss"].as_f64().expect("a loss")],
    );
    let basic = ((&made.d_ap - &made.d_an).expect("as long") + margin).expect("a number more");
    check("basic loss", &values(&basic), &numbers(&case["basic_loss"]));
    let store = made.loss.backward().expect("differentiable");
    let gradient = values(store.get(&prelogits).expect("in the graph"));
    check(
        "norm",
        &[norm(&gradient)],
        &[case["grad_norm"].as_f64().expect("a norm")],
    );
    let head = numbers(&case["grad_head"]);
    check("head", &gradient[..head.len()], &head);
    if !case["grad_prelogits"].is_null() {
        check("gradient", &gradient, &numbers(&case["grad_prelogits"]));
    }
}

#[test]
fn golden_triplet_loss_and_its_gradient() {
    let Some(cases) = kind("triplet_loss") else {
        return;
    };
    cases.as_array().expect("cases").iter().for_each(check_loss);
}

#[test]
fn golden_l2_normalisation() {
    let Some(case) = kind("l2_normalize") else {
        return;
    };
    assert_eq!(case["epsilon"].as_f64(), Some(MIN_SQ_NORM));
    let (inputs, expected) = (case["input"].as_array(), case["expected"].as_array());
    for (input, expected) in inputs.expect("rows").iter().zip(expected.expect("rows")) {
        let row = Tensor::new(numbers(input), &Device::Cpu).and_then(|row| row.unsqueeze(0));
        let unit = l2_normalise(&row.expect("a row")).expect("a row");
        check("row", &values(&unit), &numbers(expected));
    }
}
