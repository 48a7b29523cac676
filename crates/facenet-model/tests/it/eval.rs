//! Golden values in eval mode, and of every stage.

use candle_core::{DType, Tensor};
use facenet_model::{Architecture, Mode, Route};
use facenet_ops::with_isa;
use serde_json::Value;

use crate::case::{Case, Run, cases, lesser, one_at_a_time, values};
use crate::tolerance::{F64_FORWARD, check, check_number};

const F32_OWN: Run = Run {
    dtype: DType::F32,
    route: Route::Own,
};
const F32_NATIVE: Run = Run {
    dtype: DType::F32,
    route: Route::Native,
};
const F64_OWN: Run = Run {
    dtype: DType::F64,
    route: Route::Own,
};
const F64_NATIVE: Run = Run {
    dtype: DType::F64,
    route: Route::Native,
};

/// Mean, population standard deviation and largest absolute value.
fn summary(values: &[f64]) -> [(&'static str, f64); 3] {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let absmax = values.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    [("mean", mean), ("std", variance.sqrt()), ("absmax", absmax)]
}

/// Compares all stages that the case names.
pub(crate) fn check_stages(case: &Case, run: Run, stages: &[(String, Tensor)]) {
    let expected = case.json["stages"].as_object().expect("stages");
    for (name, expected) in expected {
        let what = format!("{} {name}", case.name());
        let found = stages.iter().find(|(stage, _)| stage == name);
        let ours = values(&found.unwrap_or_else(|| panic!("{what}: no such stage")).1);
        assert_eq!(
            expected["elements"].as_u64(),
            Some(ours.len() as u64),
            "{what}"
        );
        let head = case.pair(&format!("act.{name}.head"));
        check(&what, run, &ours[..head.0.len()], head, F64_FORWARD);
        check_summary(&what, run, &ours, expected);
    }
}

fn check_summary(what: &str, run: Run, ours: &[f64], expected: &Value) {
    let number = |precision: &str, key: &str| expected[precision][key].as_f64().expect("a number");
    let relative = expected["rel_f32_vs_f64_head"].as_f64().expect("a number");
    for (key, found) in summary(ours) {
        let in_f64 = number("f64", key);
        // A mean may be near zero and a maximum is one element: figures are held to the spread
        // of the values, and to the largest of them.
        let scale = number("f64", "std").max(number("f64", "absmax"));
        let seen = (number("f32", key) - in_f64).abs().max(relative * scale);
        let reference = (scale, scale + seen);
        let shifted = found - in_f64 + scale;
        check_number(
            &format!("{what} {key}"),
            run,
            shifted,
            reference,
            F64_FORWARD,
        );
    }
}

/// Every tensor of the file has been compared.
fn check_nothing_else(case: &Case) {
    let stages = case.json["stages"].as_object().expect("stages");
    for name in case.tensor_names() {
        let stage = name
            .strip_prefix("act.")
            .and_then(|name| name.strip_suffix(".head"));
        let is_known = name == "embeddings" || stage.is_some_and(|s| stages.contains_key(s));
        assert!(is_known, "{}: {name} is not walked", case.name());
    }
}

fn walk(architecture: Architecture, runs: &[Run]) {
    let _turn = one_at_a_time();
    for case in cases(architecture, "eval") {
        check_nothing_else(&case);
        for &run in runs {
            let (model, images) = (case.model(run), case.input(run));
            let embeddings = values(&model.embed(&images).expect("pictures of its size"));
            let what = format!("{} embeddings", case.name());
            check(
                &what,
                run,
                &embeddings,
                case.pair("embeddings"),
                F64_FORWARD,
            );
            let stages = model
                .activations(&images, &Mode::Eval)
                .expect("pictures of its size");
            check_stages(&case, run, &stages);
        }
    }
}

#[test]
fn golden_eval_of_inception_resnet_v1() {
    walk(
        Architecture::InceptionResnetV1,
        &[F32_OWN, F32_NATIVE, F64_OWN],
    );
}

#[test]
fn golden_eval_of_mobilefacenet() {
    walk(
        Architecture::MobileFaceNet,
        &[F32_OWN, F32_NATIVE, F64_OWN, F64_NATIVE],
    );
}

#[test]
fn golden_eval_on_lesser_instruction_sets() {
    for isa in lesser() {
        let walked = with_isa(isa, || {
            walk(Architecture::InceptionResnetV1, &[F32_OWN]);
            walk(Architecture::MobileFaceNet, &[F32_OWN]);
            Ok(())
        });
        walked.expect("this machine has it");
    }
}
