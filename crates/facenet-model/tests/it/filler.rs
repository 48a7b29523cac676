//! The generator of the golden values' parameters and pictures (`fixtures/golden/README.md`).

use candle_core::{DType, Device, Tensor};
use facenet_model::Model;
use serde_json::Value;

use crate::case::{golden_dir, numbers, singles};

/// FNV-1a, 64 bit.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The first `n` numbers in `[-1, 1)` of the `SplitMix64` seeded by `name`.
fn units(name: &str, n: usize) -> Vec<f64> {
    let mut state = fnv1a(name);
    let unit = |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 40) as f64 * 2f64.powi(-23) - 1.0
    };
    (0..n).map(unit).collect()
}

/// Values of the parameter `name`, rounded to float32.
fn filled(salt: &str, name: &str, shape: &[usize]) -> Vec<f32> {
    let fan_in: usize = shape.iter().skip(1).product();
    let value = |u: f64| {
        if name.ends_with("prelu.weight") {
            0.25 + 0.1 * u
        } else if shape.len() > 1 {
            (3.0 / fan_in as f64).sqrt() * u
        } else if name.ends_with("running_var") {
            1.0 + 0.1 * u.abs()
        } else if name.ends_with("weight") {
            1.0 + 0.1 * u
        } else {
            0.1 * u
        }
    };
    let units = units(&format!("{salt}{name}"), shape.iter().product());
    units.into_iter().map(|u| value(u) as f32).collect()
}

/// Pictures `[n, 3, side, side]`: squares of 16 pixels with noise.
fn pictures(seed: &str, n: usize, side: usize) -> Vec<f32> {
    let cells = side / 16;
    let rounded = |tag: &str, a: f64, n: usize| -> Vec<f32> {
        let units = units(&format!("{seed}.{tag}"), n);
        units.into_iter().map(|u| (a * u) as f32).collect()
    };
    let coarse = rounded("coarse", 3f64.sqrt(), n * 3 * cells * cells);
    let mut pixels = rounded("fine", 0.5, n * 3 * side * side);
    for (place, pixel) in pixels.iter_mut().enumerate() {
        let (plane, y, x) = (place / (side * side), place / side % side, place % side);
        *pixel += coarse[(plane * cells + y / 16) * cells + x / 16];
    }
    pixels
}

/// [`pictures`] as a tensor.
pub(crate) fn input(seed: &str, n: usize, side: usize, dtype: DType) -> Tensor {
    let pixels = pictures(seed, n, side);
    let pixels = Tensor::from_vec(pixels, (n, 3, side, side), &Device::Cpu).expect("n pictures");
    pixels.to_dtype(dtype).expect("float32 widens")
}

/// Gives every tensor of the model the filler's values.
pub(crate) fn fill(model: &Model, salt: &str) {
    let mut state = model.state();
    for (name, tensor) in &mut state {
        let values = filled(salt, name, tensor.dims());
        *tensor = Tensor::from_vec(values, tensor.shape(), &Device::Cpu).expect("as many");
    }
    model.set_state(&state).expect("the model's own names");
}

fn check_vector(vector: &Value) {
    let name = vector["name"].as_str().expect("a name");
    assert_eq!(
        vector["fnv1a64"],
        format!("{:#018x}", fnv1a(name)),
        "{name}"
    );
    let first: Vec<_> = units(name, 4).iter().map(|&u| u as f32).collect();
    assert_eq!(first, singles(&vector["units_first4"]), "{name}");
    if vector["shape"].is_null() {
        return;
    }
    let shape: Vec<_> = numbers(&vector["shape"])
        .iter()
        .map(|&n| n as usize)
        .collect();
    let values = filled("", name, &shape);
    assert_eq!(values[..4], singles(&vector["filled_first4"]), "{name}");
    let last = vector["filled_last"].as_f64().map(|last| last as f32);
    assert_eq!(values.last().copied(), last, "{name}");
    let sum: f64 = values.into_iter().map(f64::from).sum();
    let expected = vector["filled_sum_f64"].as_f64().expect("a sum");
    // Sums in f64 of up to a million values below 1 in another order.
    assert!((sum - expected).abs() < 1e-7, "{name}: {sum} {expected}");
}

#[test]
fn golden_filler_has_its_published_values() {
    let Ok(text) = std::fs::read_to_string(golden_dir().join("filler.json")) else {
        return;
    };
    let json: Value = serde_json::from_str(&text).expect("JSON");
    json["tensors"]
        .as_array()
        .expect("vectors")
        .iter()
        .for_each(check_vector);
    for (tag, expected) in json.as_object().expect("an object") {
        if !tag.starts_with("input.") {
            continue;
        }
        let shape = numbers(&expected["shape"]);
        let (n, side) = (shape[0] as usize, shape[3] as usize);
        let pixels = pictures(tag, n, side);
        assert_eq!(pixels[..4], singles(&expected["x[0,0,0,0..4]"]), "{tag}");
        let sum: f64 = pixels.into_iter().map(f64::from).sum();
        assert!(
            (sum - expected["sum_f64"].as_f64().expect("a sum")).abs() < 1e-7,
            "{tag}"
        );
    }
}
