//! Models from elsewhere, and taken elsewhere: the examples of `--help`, and round trips.

use std::fs;

use crate::support::{MODEL, Scratch, USAGE, example};

#[test]
fn the_examples_run_and_a_model_comes_back_as_it_was() {
    let scratch = Scratch::with_run();
    let (import, export) = (example(&scratch, "import"), example(&scratch, "export"));
    let file = import.split(' ').nth(1).expect("a file").to_owned();
    scratch
        .run(&format!("export run/model --pytorch {file}"))
        .done();
    let imported = scratch.run(&format!("{import} --json")).done().json();
    assert_eq!(imported["form"], "PyTorch state dictionary");
    assert_eq!(imported["image_size"], 32);
    let read = |name: &str| fs::read(scratch.path(name)).expect(name);
    let weights = "model.safetensors";
    assert_eq!(
        read(&format!("models/published/{weights}")),
        read(&format!("run/model/{weights}"))
    );
    let exported = scratch.run(&format!("{export} --json")).done().json();
    let file = &exported["files"][0];
    assert_eq!(file["form"], "ONNX");
    let bytes = read(file["path"].as_str().expect("a path"));
    assert_eq!(file["bytes"], bytes.len());
}

#[test]
fn safetensors_are_taken_too_and_an_export_without_a_file_is_usage() {
    let scratch = Scratch::with_run();
    let line = scratch.run("export run/model --safetensors a.safetensors --onnx a.onnx");
    let told = line.done().stdout;
    assert_eq!(told.lines().count(), 2, "{told}");
    let imported = scratch.run("import a.safetensors --output b --json").done();
    assert_eq!(imported.json()["form"], "safetensors file");
    assert_eq!(scratch.run("export run/model").code, USAGE);
    assert_eq!(scratch.run("export nowhere --onnx a.onnx").code, MODEL);
    let other = scratch.run("import a.onnx --output c");
    assert_eq!(other.code, MODEL);
    assert!(!scratch.path("c").exists(), "nothing is half-loaded");
}
