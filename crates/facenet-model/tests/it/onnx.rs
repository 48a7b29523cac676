//! Models as ONNX files: what the files say and hold, and what other code computes from them.

use std::collections::BTreeSet;

use candle_core::{DType, Device, Tensor};
use facenet_model::{
    Architecture, Model, ModelConfig, ONNX_INPUT, ONNX_OUTPUT, import_file, tensors_to_bytes,
};
use rten::{ModelOptions, ShapeInferenceMode, Value};

use crate::case::values;
use crate::filler;
use crate::python::Python;
use crate::wire::{numbers, parts, texts};

/// Other sums, and norms folded into weights that are rounded once more: embeddings are 1 long.
const OTHER_SUMS: f64 = 1e-5;

/// The networks, small, no tensor as a new one has it.
fn filled() -> [Model; 3] {
    let model = |(architecture, side)| {
        let config = ModelConfig::new(architecture, side, 24);
        let model = Model::new(config, 1, DType::F32, &Device::Cpu).expect("a size it can have");
        filler::fill(&model, "onnx");
        model
    };
    [
        (Architecture::InceptionResnetV1, 80),
        (Architecture::MobileFaceNet, 32),
        (Architecture::Tiny, 16),
    ]
    .map(model)
}

fn images(model: &Model, n: usize) -> Tensor {
    filler::input("onnx", n, model.config().image_size, DType::F32)
}

#[track_caller]
pub(crate) fn check_near(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let off = off.fold(0.0, f64::max);
    println!("{what}: off by {off:e}");
    assert!(off <= OTHER_SUMS, "{what}: off by {off:e}");
}

/// What a runtime that shares no code with us makes of a file, as it stands: no operator is
/// replaced by another, and every shape must follow from the file.
fn by_rten(bytes: &[u8], images: &Tensor) -> Vec<f64> {
    let model = ModelOptions::with_all_ops()
        .enable_optimization(false)
        .shape_inference(ShapeInferenceMode::Strict)
        .load(bytes.to_vec());
    let model = model.expect("a sound file");
    let pixels = images.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
    let input = Value::from_shape(images.dims(), pixels.expect("f32"));
    let output = model.run_one(input.expect("as many as it says").into(), None);
    let rows = output
        .expect("a model that runs")
        .into_shape_vec::<f32, 2>();
    let (_, rows) = rows.expect("rows of f32");
    rows.into_iter().map(f64::from).collect()
}

#[test]
fn rten_embeds_alike_at_any_batch() {
    for model in filled() {
        let bytes = model.to_onnx(&[]).expect("encodable");
        for n in [1, 3] {
            let images = images(&model, n);
            let expected = values(&model.embed(&images).expect("they fit"));
            let what = format!("{} by {n}", model.config().architecture);
            check_near(&what, &by_rten(&bytes, &images), &expected);
        }
    }
}

/// The larger network with the statistics that reading a graph with folded norms gives its norms.
fn folded() -> Model {
    let [model, ..] = filled();
    let set = |(name, tensor): (String, Tensor)| {
        let value = match name.rsplit_once(".bn.").map(|(_, part)| part) {
            Some("running_mean") => Some(0.0),
            Some("running_var") => Some(0.999),
            Some("weight") => Some(1.0),
            _ => None,
        };
        let tensor = value.map_or(Ok(tensor.clone()), |value: f32| {
            Tensor::full(value, tensor.shape(), &Device::Cpu)
        });
        (name, tensor.expect("small"))
    };
    let state = model.state().into_iter().map(set).collect();
    let config = ModelConfig {
        has_folded_norms: true,
        ..model.config().clone()
    };
    let built = Model::from_tensors(config, state, DType::F32, &Device::Cpu);
    built.expect("all tensors").0
}

#[test]
fn a_folded_model_that_was_imported_is_folded_still_and_rten_embeds_alike() {
    let model = folded();
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = folder.path().join("folded.safetensors");
    let bytes = tensors_to_bytes(&model.state()).expect("encodable");
    std::fs::write(&path, bytes).expect("writable");
    let imported = import_file(&path, 80).expect("its own").model;
    assert!(imported.config().has_folded_norms && imported.has_frozen_norms());
    let images = images(&imported, 2);
    let expected = values(&model.embed(&images).expect("they fit"));
    let found = values(&imported.embed(&images).expect("they fit"));
    assert_eq!(found, expected);
    let bytes = imported.to_onnx(&[]).expect("encodable");
    check_near("folded", &by_rten(&bytes, &images), &expected);
}

/// Dimensions of an input or output: lengths, and names of those that are free.
fn axes(value: &[u8]) -> (Vec<usize>, Vec<&str>) {
    let shape = parts(parts(parts(value, 2)[0], 1)[0], 2)[0];
    let axes = parts(shape, 1);
    let lengths = axes.iter().flat_map(|axis| numbers(axis, 1)).collect();
    (
        lengths,
        axes.iter().flat_map(|axis| texts(axis, 2)).collect(),
    )
}

#[test]
fn a_file_says_its_sizes_and_has_no_norms_left() {
    for model in filled() {
        let config = model.config();
        let bytes = model.to_onnx(&[("recipe", "{\"resize\":32}")]);
        let bytes = bytes.expect("encodable");
        let graph = parts(&bytes, 7)[0];
        let (input, output) = (parts(graph, 11)[0], parts(graph, 12)[0]);
        assert_eq!(texts(input, 1), [ONNX_INPUT]);
        let side = config.image_size;
        assert_eq!(axes(input), (vec![3, side, side], vec!["n"]));
        assert_eq!(texts(output, 1), [ONNX_OUTPUT]);
        assert_eq!(axes(output), (vec![config.embedding_size], vec!["n"]));
        let said: Vec<_> = parts(&bytes, 14)
            .into_iter()
            .map(|entry| (texts(entry, 1)[0], texts(entry, 2)[0]))
            .collect();
        assert!(said.contains(&("recipe", "{\"resize\":32}")), "{said:?}");
        assert!(said.contains(&("architecture", config.architecture.name())));
        let operators: BTreeSet<_> = parts(graph, 1)
            .into_iter()
            .flat_map(|node| texts(node, 4))
            .collect();
        assert!(!operators.contains("BatchNormalization"), "{operators:?}");
        assert!(operators.contains("Conv") && operators.contains("Gemm"));
    }
}

#[test]
fn equal_models_give_equal_files() {
    let [.., model] = filled();
    let bytes = || model.to_onnx(&[("recipe", "{}")]).expect("encodable");
    assert_eq!(bytes(), bytes());
}

/// Checks the file strictly, runs it on `images` and writes what it gives.
const RUN: &str = "
import numpy, onnx, onnxruntime
onnx.checker.check_model('model', full_check=True)
session = onnxruntime.InferenceSession('model', providers=['CPUExecutionProvider'])
session.run(['embeddings'], {'images': images})[0].astype('<f4').tofile('rows')
";

#[test]
fn onnxruntime_embeds_alike() {
    let Some(python) = Python::with(&["numpy", "onnx", "onnxruntime"]) else {
        return;
    };
    for model in filled() {
        let images = images(&model, 3);
        let bytes = model.to_onnx(&[("recipe", "{}")]).expect("encodable");
        let found = python.embed(RUN, &bytes, &images);
        let expected = values(&model.embed(&images).expect("they fit"));
        check_near(model.config().architecture.name(), &found, &expected);
    }
}
