//! Golden values of three Adagrad updates.

use std::collections::BTreeMap;

use candle_core::{DType, Result, Tensor};
use facenet_model::{Architecture, Model, Route, triplet_loss};

use crate::case::{Case, Run, cases, numbers, one_at_a_time, values};
use crate::tolerance::{F64_BACKWARD, assert_near, distance, norm};
use crate::train::{gradients, training, worst};

/// Times torch's worst float32 error of the case that ours may have in float32.
const TIMES_WORST: f64 = 8.0;

/// `acc += g²; v -= rate g / sqrt(acc)`, with accumulators from `start`.
struct Adagrad {
    rate: f64,
    start: f64,
    accumulators: BTreeMap<String, Tensor>,
}

impl Adagrad {
    fn of(case: &Case) -> Self {
        let settings = &case.json["optimizer"];
        assert_eq!(settings["name"], "ADAGRAD", "{}", case.name());
        let number = |key: &str| settings[key].as_f64().expect("a number");
        Self {
            rate: number("lr"),
            start: number("initial_accumulator"),
            accumulators: BTreeMap::new(),
        }
    }

    fn step(&mut self, model: &Model, gradients: &BTreeMap<String, Tensor>) -> Result<()> {
        for parameter in model.parameters() {
            let gradient = &gradients[parameter.name];
            let before = match self.accumulators.remove(parameter.name) {
                Some(accumulator) => accumulator,
                None => gradient.ones_like()?.affine(self.start, 0.0)?,
            };
            let accumulator = (before + gradient.sqr()?)?;
            let update = ((gradient / accumulator.sqrt()?)? * self.rate)?;
            parameter
                .var
                .set(&(parameter.var.as_detached_tensor() - update)?)?;
            self.accumulators
                .insert(parameter.name.to_owned(), accumulator);
        }
        Ok(())
    }
}

/// The losses before each update and after the last; the model is left as updated.
fn losses(case: &Case, run: Run, model: &Model) -> Vec<f64> {
    let images = case.input(run);
    let (mut optimizer, margin) = (Adagrad::of(case), case.number("alpha"));
    let steps = case.json["optimizer"]["steps"].as_u64().expect("a number");
    let mut losses = Vec::new();
    for step in 0..=steps {
        let embeddings = model.forward(&images, &training(true)).expect("its size");
        let made = triplet_loss(&embeddings, margin).expect("triplets");
        losses.push(values(&made.loss)[0]);
        if step < steps {
            optimizer
                .step(model, &gradients(model, &made.loss))
                .expect("on the CPU");
        }
    }
    losses
}

fn check_case(case: &Case, run: Run) {
    let model = case.model(run);
    let found = losses(case, run, &model);
    let stored = |precision: &str| numbers(&case.json["losses"][precision]);
    let (in_f64, in_f32) = (stored("f64"), stored("f32"));
    let bound = match run.dtype {
        DType::F64 => F64_BACKWARD * norm(&in_f64),
        _ => TIMES_WORST * distance(&in_f64, &in_f32),
    };
    let off = distance(&found, &in_f64);
    let what = format!("{} losses", case.name());
    assert_near(&what, run, off, norm(&in_f64), bound);
    let relative = match run.dtype {
        DType::F64 => F64_BACKWARD,
        _ => TIMES_WORST * worst(case, "param_rel_f32_vs_f64_head"),
    };
    let state = model.state();
    for name in case.tensor_names() {
        let parameter = name
            .strip_prefix("param.")
            .and_then(|name| name.strip_suffix(".head"));
        let parameter =
            parameter.unwrap_or_else(|| panic!("{}: {name} is not walked", case.name()));
        let (expected, ours) = (case.pair(name).0, values(&state[parameter]));
        let (off, scale) = (distance(&ours[..expected.len()], expected), norm(expected));
        let what = format!("{} {name}", case.name());
        assert_near(&what, run, off, scale, relative * scale);
    }
}

fn walk(architecture: Architecture) {
    let _turn = one_at_a_time();
    for case in cases(architecture, "steps") {
        for dtype in [DType::F64, DType::F32] {
            check_case(
                &case,
                Run {
                    dtype,
                    route: Route::Own,
                },
            );
        }
    }
}

#[test]
fn golden_steps_of_inception_resnet_v1() {
    walk(Architecture::InceptionResnetV1);
}

#[test]
fn golden_steps_of_mobilefacenet() {
    walk(Architecture::MobileFaceNet);
}
