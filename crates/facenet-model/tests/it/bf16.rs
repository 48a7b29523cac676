//! Both networks in bf16 beside f32, on the inputs and weights of the golden cases.

use candle_core::{DType, Tensor};
use facenet_model::{Architecture, Arithmetic, Mode, Model, Precision, Route, triplet_loss};

use crate::case::{Case, Run, cases, one_at_a_time, values};
use crate::tolerance::norm;
use crate::train::{gradients, training};

const F32_OWN: Run = Run {
    dtype: DType::F32,
    route: Route::Own,
};
const BF16: Arithmetic = Arithmetic {
    precision: Precision::Bf16,
    is_winograd: false,
};

/// What may lie between a pass in `bf16` and the same in `f32`.
struct Bounds {
    /// The largest of an embedding's numbers.
    embedding: f64,
    /// Of the whole gradient, at least.
    cosine: f64,
    /// Either way, relative.
    longer: f64,
}

/// By statistics that are given, measured 3.4e-3, 0.979 and 0.017.
const EVAL: Bounds = Bounds {
    embedding: 1e-2,
    cosine: 0.96,
    longer: 0.05,
};

/// By the statistics of 6 or 9 images, measured 0.048, 0.893 and 0.039. That much is in the
/// networks: rounding nothing but the images gives 0.011 and a cosine of 0.963 to 0.981, as
/// rectifiers and maxima turn over, and a hundred layers round as much again.
const TRAIN: Bounds = Bounds {
    embedding: 0.1,
    cosine: 0.8,
    longer: 0.1,
};

fn in_bf16(case: &Case) -> Model {
    case.model(F32_OWN).with_arithmetic(BF16)
}

/// Largest difference of two lists of values.
fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f64::max)
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let product: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    product / (norm(a) * norm(b))
}

/// Gradients of all parameters, one after the other.
fn whole_gradient(model: &Model, embeddings: &Tensor, margin: f64) -> Vec<f64> {
    let made = triplet_loss(embeddings, margin).expect("triplets");
    let by_name = gradients(model, &made.loss);
    by_name.values().flat_map(values).collect()
}

fn walk_eval(architecture: Architecture) {
    let _turn = one_at_a_time();
    for case in cases(architecture, "eval") {
        let images = case.input(F32_OWN);
        let rows = |model: Model| values(&model.embed(&images).expect("its size"));
        let (found, expected) = (rows(in_bf16(&case)), rows(case.model(F32_OWN)));
        assert_near(&case, "embeddings", (&found, &expected), EVAL.embedding);
    }
}

#[track_caller]
fn assert_near(case: &Case, what: &str, (found, expected): (&[f64], &[f64]), bound: f64) {
    assert!(
        found.iter().all(|v| v.is_finite()),
        "{} {what}",
        case.name()
    );
    let off = largest_difference(found, expected);
    println!("{} {what}: off by {off:e}", case.name());
    assert!(
        off <= bound,
        "{} {what}: off by {off}, bound {bound}",
        case.name()
    );
}

#[track_caller]
fn assert_parallel(case: &Case, what: &str, (found, expected): (&[f64], &[f64]), bounds: &Bounds) {
    let (cosine, longer) = (cosine(found, expected), norm(found) / norm(expected) - 1.0);
    let line = format!(
        "{} {what}: gradient of cosine {cosine}, longer by {longer}",
        case.name()
    );
    println!("{line}");
    assert!(
        cosine >= bounds.cosine && longer.abs() <= bounds.longer,
        "{line}"
    );
}

fn walk_train(architecture: Architecture) {
    let _turn = one_at_a_time();
    for case in cases(architecture, "train") {
        let images = case.input(F32_OWN);
        let modes = [
            ("training", training(true), TRAIN),
            ("eval", Mode::Eval, EVAL),
        ];
        for (what, mode, bounds) in modes {
            let pass = |model: Model| {
                let rows = model.forward(&images, &mode).expect("its size");
                let gradient = whole_gradient(&model, &rows, case.number("alpha"));
                (values(&rows), gradient)
            };
            let (found, expected) = (pass(in_bf16(&case)), pass(case.model(F32_OWN)));
            assert_near(&case, what, (&found.0, &expected.0), bounds.embedding);
            assert_parallel(&case, what, (&found.1, &expected.1), &bounds);
        }
    }
}

#[test]
fn embeddings_of_inception_resnet_v1_are_near_those_of_f32() {
    walk_eval(Architecture::InceptionResnetV1);
}

#[test]
fn embeddings_of_mobilefacenet_are_near_those_of_f32() {
    walk_eval(Architecture::MobileFaceNet);
}

#[test]
fn a_training_pass_of_inception_resnet_v1_is_near_that_of_f32() {
    walk_train(Architecture::InceptionResnetV1);
}

#[test]
fn a_training_pass_of_mobilefacenet_is_near_that_of_f32() {
    walk_train(Architecture::MobileFaceNet);
}

#[test]
fn f64_and_the_native_route_are_refused() {
    for (dtype, route) in [(DType::F64, Route::Own), (DType::F32, Route::Native)] {
        let case = &cases(Architecture::MobileFaceNet, "eval")[0];
        let run = Run { dtype, route };
        let model = case.model(run).with_arithmetic(BF16);
        let error = model.forward(&case.input(run), &Mode::Eval);
        let message = error.expect_err("only f32 on the own route").to_string();
        assert!(
            message.contains("expected f32 on the CPU by its own route"),
            "{message}"
        );
    }
}
