//! Models from elsewhere, and taken elsewhere: the examples of `--help`, and round trips.

use std::fs;

use safetensors::SafeTensors;

use crate::support::{MODEL, Scratch, USAGE, example};

#[test]
fn the_examples_run_and_a_model_comes_back_as_it_was() {
    let scratch = Scratch::with_run();
    let (import, export) = (example(&scratch, "import"), example(&scratch, "export"));
    let file = import.split(' ').nth(1).expect("a file").to_owned();
    scratch
        .run(&format!("export run/model --safetensors {file}"))
        .done();
    let imported = scratch.run(&format!("{import} --json")).done().json();
    assert_eq!(imported["form"], "safetensors file");
    assert_eq!(imported["image_size"], 32);
    assert_eq!(imported["recipe_origin"], "file");
    let config = |model: &str| {
        let text = fs::read(scratch.path(model).join("config.json")).expect(model);
        serde_json::from_slice::<serde_json::Value>(&text).expect("JSON")
    };
    assert_eq!(
        config("models/published")["recipe"],
        config("run/model")["recipe"]
    );
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
fn a_file_that_says_no_recipe_asks_for_one_unless_it_is_of_the_published_size() {
    let scratch = Scratch::with_run();
    scratch.run("export run/model --safetensors noted").done();
    let noted = fs::read(scratch.path("noted")).expect("written");
    let tensors = SafeTensors::deserialize(&noted).expect("safetensors");
    let silent = safetensors::serialize(tensors.tensors(), None).expect("encodable");
    scratch.write("a", silent);
    let refused = scratch.run("import a --output b");
    assert_eq!(refused.code, USAGE);
    for part in ["--recipe: ", "a network for 32 pixels, expected 160"] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    let contradicted = scratch.run("import a --output b --recipe reference --image-size 48");
    assert_eq!(contradicted.code, USAGE);
    assert!(!scratch.path("b").exists(), "nothing is half-loaded");
    let line = scratch.run("import a --output b --recipe reference --json");
    assert_eq!(line.done().json()["recipe_origin"], "given");
}

#[test]
fn a_model_in_pytorchs_form_brings_its_recipe() {
    let scratch = Scratch::with_run();
    scratch.run("export run/model --pytorch a.pt").done();
    let imported = scratch.run("import a.pt --output b --json").done().json();
    assert_eq!(imported["form"], "PyTorch state dictionary");
    assert_eq!(imported["recipe_origin"], "file");
    assert_eq!(imported["image_size"], 32);
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
