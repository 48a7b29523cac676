//! `--threads`, `--precision` and `--winograd`.

use serde_json::{Value, json};

use crate::support::{Files, Scratch, USAGE, check_train, files_below, tiny};

/// Trains with `flags`; gives the model's files and the log's lines of the configuration.
#[track_caller]
fn trained(scratch: &Scratch, flags: &str) -> (Files, String) {
    let line = tiny(&format!("--data-dir faces {flags}"));
    let outcome = scratch.run(&format!("train --json {line}")).done().json();
    let path = |key: &str| outcome[key].as_str().expect("a path").to_owned();
    let files = files_below(&scratch.path(&path("model_dir")));
    (
        files,
        scratch.read(&format!("{}/arguments.txt", path("log_dir"))),
    )
}

#[test]
fn a_model_does_not_depend_on_threads_and_says_how_it_was_computed() {
    let scratch = Scratch::with_faces();
    let (model, _) = trained(&scratch, "");
    let config: Value = serde_json::from_slice(&model["config.json"]).expect("JSON");
    let training = &config["training"];
    assert_eq!(
        (&training["precision"], &training["winograd"]),
        (&json!("f32"), &json!(true))
    );
    for threads in [1, 2] {
        let flags = format!("--threads {threads} --precision f32 --winograd on");
        let (again, arguments) = trained(&scratch, &flags);
        assert!(again == model, "{threads} threads");
        for line in [format!("threads: {threads}"), "precision: f32".to_owned()] {
            assert!(
                arguments.lines().any(|found| found == line),
                "{line}: {arguments}"
            );
        }
    }
}

/// The run's model's embeddings of the faces, as text.
fn rows(scratch: &Scratch, flags: &str) -> String {
    let line = format!("embed faces --model run/model --output rows.csv {flags}");
    scratch.run(&line).done();
    scratch.read("rows.csv")
}

#[test]
fn embeddings_do_not_depend_on_threads() {
    let scratch = Scratch::with_run();
    let whole = rows(&scratch, "");
    assert!(rows(&scratch, "--threads 1") == whole);
    assert!(rows(&scratch, "--threads 2 --winograd on") == whole);
}

#[test]
fn a_run_in_bf16_says_so_and_does_not_depend_on_threads() {
    let scratch = Scratch::with_faces();
    let (model, arguments) = trained(&scratch, "--precision bf16 --threads 1");
    let config: Value = serde_json::from_slice(&model["config.json"]).expect("JSON");
    assert_eq!(config["training"]["precision"], "bf16");
    assert!(
        arguments.lines().any(|line| line == "precision: bf16"),
        "{arguments}"
    );
    let (again, _) = trained(&scratch, "--precision bf16 --threads 2");
    assert!(again == model);
    let (single, _) = trained(&scratch, "--precision f32");
    assert!(single["model.safetensors"] != model["model.safetensors"]);
}

#[test]
fn a_run_in_bf16_goes_on_in_bf16() {
    let scratch = Scratch::with_faces();
    let (whole, _) = trained(&scratch, "--precision bf16 --max-nrof-epochs 2");
    let line = tiny("--data-dir faces --precision bf16");
    let first = scratch.run(&format!("train --json {line}")).done().json();
    let model = first["model_dir"].as_str().expect("a path");
    let line = format!("train --json --resume {model} --max-nrof-epochs 2");
    let second = scratch.run(&line).done().json();
    let model = second["model_dir"].as_str().expect("a path");
    let resumed = files_below(&scratch.path(model));
    assert!(resumed["model.safetensors"] == whole["model.safetensors"]);
}

#[test]
fn a_model_embeds_and_scores_in_bf16_too() {
    let scratch = Scratch::with_run();
    let (single, half) = (rows(&scratch, ""), rows(&scratch, "--precision bf16"));
    assert!(single != half && half == rows(&scratch, "--precision bf16 --threads 1"));
    let line = "evaluate --model run/model --lfw-dir faces --lfw-nrof-folds 2 --json";
    let score = scratch
        .run(&format!("{line} --precision bf16"))
        .done()
        .json();
    let accuracy = score["accuracy_mean"].as_f64().expect("a number");
    assert!((0.0..=1.0).contains(&accuracy), "{score}");
}

#[test]
fn a_run_goes_on_with_other_threads_and_no_other_arithmetic() {
    let scratch = Scratch::with_run();
    for flag in ["--winograd off", "--bn-momentum 0.5"] {
        let name = flag.split(' ').next().expect("a flag");
        let line = format!("train --resume run {flag}");
        scratch.refuses(
            &line,
            USAGE,
            &[name, "keeps its configuration", "--threads"],
        );
    }
}

#[test]
fn numbers_of_threads_and_arithmetic_that_there_are_not_are_usage() {
    let scratch = Scratch::with_run();
    let embed = "embed faces --model run/model --output x.csv";
    let evaluate = "evaluate --model run/model --lfw-dir faces";
    for flag in [
        "--threads 0",
        "--threads 1025",
        "--threads two",
        "--precision f64",
        "--winograd 1",
    ] {
        for line in [embed, evaluate, "train --data-dir faces"] {
            let run = scratch.run(&format!("{line} {flag}"));
            assert_eq!(run.code, USAGE, "{line} {flag}: {run:#?}");
        }
    }
    let parts = ["--precision: found bf16 with --device cuda:0, expected f32"];
    let flags = "--precision bf16 --device cuda:0";
    scratch.refuses(&format!("{embed} {flags}"), USAGE, &parts);
    check_train(
        &scratch,
        &format!("--data-dir faces {flags}"),
        USAGE,
        &parts,
    );
}
