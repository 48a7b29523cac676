//! Golden values of one training pass: loss, distances, gradients, running statistics.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use facenet_model::{Architecture, Mode, Model, Route, TrainPass, TripletLoss, triplet_loss};
use facenet_ops::with_isa;

use crate::case::{Case, Run, cases, lesser, one_at_a_time, values};
use crate::eval::check_stages;
use crate::tolerance::{
    F64_BACKWARD, F64_FORWARD, assert_near, check, check_number, distance, norm,
};

const F32_OWN: Run = Run {
    dtype: DType::F32,
    route: Route::Own,
};
const F64_OWN: Run = Run {
    dtype: DType::F64,
    route: Route::Own,
};
const F64_NATIVE: Run = Run {
    dtype: DType::F64,
    route: Route::Native,
};

/// Times torch's worst relative gradient error of the case that ours may have in float32: which
/// rectifiers and maxima flip is a matter of luck, how many is not.
const TIMES_WORST: f64 = 4.0;
/// A gradient that is zero but for rounding, relative to the whole gradient.
const ZERO_F32: f64 = 1e-5;
const ZERO_F64: f64 = 1e-13;

/// A training pass without dropout.
pub(crate) fn training(update_statistics: bool) -> Mode {
    Mode::Train(TrainPass {
        update_statistics,
        ..TrainPass::default()
    })
}

/// Gradients of all parameters by name.
pub(crate) fn gradients(model: &Model, loss: &Tensor) -> BTreeMap<String, Tensor> {
    let store = loss.backward().expect("every operation has a gradient");
    let parameters = model.parameters();
    let gradient = parameters.iter().map(|parameter| {
        let gradient = store
            .get(parameter.var)
            .expect("every parameter is in the graph");
        (parameter.name.to_owned(), gradient.clone())
    });
    gradient.collect()
}

fn check_loss(case: &Case, run: Run, made: &TripletLoss) {
    let loss = |precision: &str| case.json["loss"][precision].as_f64().expect("a loss");
    let (in_f64, in_f32) = (loss("f64"), loss("f32"));
    let (d_ap, d_an) = (case.pair("d_ap"), case.pair("d_an"));
    // A loss is a difference of distances: it cannot be nearer than they are.
    let seen = distance(d_ap.0, d_ap.1) + distance(d_an.0, d_an.1);
    let reference = (in_f64, in_f64 + seen.max((in_f32 - in_f64).abs()));
    let name = case.name();
    check_number(
        &format!("{name} loss"),
        run,
        values(&made.loss)[0],
        reference,
        F64_BACKWARD,
    );
    check(
        &format!("{name} d_ap"),
        run,
        &values(&made.d_ap),
        d_ap,
        F64_FORWARD,
    );
    check(
        &format!("{name} d_an"),
        run,
        &values(&made.d_an),
        d_an,
        F64_FORWARD,
    );
}

/// The largest value of a JSON object of numbers.
pub(crate) fn worst(case: &Case, key: &str) -> f64 {
    let numbers = case.json[key]
        .as_object()
        .expect("numbers by name")
        .values();
    numbers
        .map(|number| number.as_f64().expect("a number"))
        .fold(0.0, f64::max)
}

fn check_gradients(case: &Case, run: Run, gradients: &BTreeMap<String, Tensor>) {
    let relative = match run.dtype {
        DType::F64 => F64_BACKWARD,
        _ => TIMES_WORST * worst(case, "grad_rel_err_f32_vs_f64"),
    };
    let mut sum = 0.0;
    for (name, gradient) in gradients {
        let (what, ours) = (
            format!("{} gradient of {name}", case.name()),
            values(gradient),
        );
        let found = norm(&ours);
        sum += found * found;
        let Some(expected) = case.json["grad_norm"][name]["f64"].as_f64() else {
            continue;
        };
        if is_zero(case, name) {
            let bound = if run.dtype == DType::F64 {
                ZERO_F64
            } else {
                ZERO_F32
            };
            let whole = case.json["grad_norm_all"]["f64"].as_f64().expect("a norm");
            assert_near(&format!("{what} zero"), run, found, whole, bound * whole);
            continue;
        }
        let off = (found - expected).abs();
        assert_near(
            &format!("{what} norm"),
            run,
            off,
            expected,
            relative * expected,
        );
        check_head(
            &what,
            run,
            &ours,
            case.pair(&format!("grad.{name}.head")).0,
            relative,
        );
    }
    let expected = case.json["grad_norm_all"]["f64"].as_f64().expect("a norm");
    let (what, off) = (
        format!("{} whole gradient", case.name()),
        (sum.sqrt() - expected).abs(),
    );
    assert_near(&what, run, off, expected, relative * expected);
}

/// The head of a gradient, relative to itself or to its share of the whole where it is smaller.
#[track_caller]
fn check_head(what: &str, run: Run, ours: &[f64], head: &[f64], relative: f64) {
    let share = norm(ours) * (head.len() as f64 / ours.len() as f64).sqrt();
    let bound = relative * share.max(norm(head));
    let found = distance(&ours[..head.len()], head);
    assert_near(&format!("{what} head"), run, found, bound / relative, bound);
}

fn is_zero(case: &Case, name: &str) -> bool {
    let zeros = case.json["zero_gradient"].as_array().expect("names");
    zeros.iter().any(|zero| zero == name)
}

fn check_statistics(case: &Case, run: Run, model: &Model) -> usize {
    let state = model.state();
    let is_statistic = |name: &&str| name.contains(".running_") && !name.starts_with("act.");
    let names: Vec<_> = case.tensor_names().filter(is_statistic).collect();
    for name in &names {
        let ours = values(&state[*name]);
        check(
            &format!("{} {name}", case.name()),
            run,
            &ours,
            case.pair(name),
            F64_FORWARD,
        );
    }
    names.len()
}

/// Every tensor and every gradient norm of the case belongs to something that is compared.
fn check_nothing_else(case: &Case, n_statistics: usize) {
    let stages = case.json["stages"].as_object().expect("stages").len();
    let norms = case.json["grad_norm"].as_object().expect("norms");
    let heads = case
        .tensor_names()
        .filter(|name| name.starts_with("grad."))
        .count();
    let walked = stages + heads + n_statistics + ["embeddings", "d_ap", "d_an"].len();
    assert_eq!(case.tensor_names().count(), walked, "{}", case.name());
    for name in case
        .tensor_names()
        .filter_map(|name| name.strip_prefix("grad."))
    {
        let name = name.strip_suffix(".head").expect("a head");
        assert!(
            norms.contains_key(name),
            "{}: {name} has no norm",
            case.name()
        );
    }
}

fn walk(architecture: Architecture, runs: &[Run]) {
    let _turn = one_at_a_time();
    for case in cases(architecture, "train") {
        for &run in runs {
            let (model, images) = (case.model(run), case.input(run));
            let stages = model
                .activations(&images, &training(false))
                .expect("its size");
            check_stages(&case, run, &stages);
            drop(stages);
            let embeddings = model.forward(&images, &training(true)).expect("its size");
            let what = format!("{} embeddings", case.name());
            check(
                &what,
                run,
                &values(&embeddings),
                case.pair("embeddings"),
                F64_FORWARD,
            );
            let made = triplet_loss(&embeddings, case.number("alpha")).expect("triplets");
            check_loss(&case, run, &made);
            let gradients = gradients(&model, &made.loss);
            for name in case.json["grad_norm"].as_object().expect("norms").keys() {
                assert!(
                    gradients.contains_key(name),
                    "{}: no parameter {name}",
                    case.name()
                );
            }
            check_gradients(&case, run, &gradients);
            let n_statistics = check_statistics(&case, run, &model);
            check_nothing_else(&case, n_statistics);
        }
    }
}

#[test]
fn golden_training_pass_of_inception_resnet_v1() {
    walk(Architecture::InceptionResnetV1, &[F64_OWN, F32_OWN]);
}

#[test]
fn golden_training_pass_of_mobilefacenet() {
    walk(Architecture::MobileFaceNet, &[F64_OWN, F64_NATIVE, F32_OWN]);
}

#[test]
fn golden_training_pass_on_lesser_instruction_sets() {
    for isa in lesser() {
        let walked = with_isa(isa, || {
            walk(Architecture::InceptionResnetV1, &[F32_OWN]);
            walk(Architecture::MobileFaceNet, &[F32_OWN]);
            Ok(())
        });
        walked.expect("this machine has it");
    }
}
