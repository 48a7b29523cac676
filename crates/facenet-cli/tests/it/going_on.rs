//! Going on with a run, and with a model, as a person does it: from where they are.

use serde_json::{Value, json};

use crate::support::{MODEL, Scratch, USAGE, check_train, tiny};

/// Adds a tensor `logits.bias` of one number to a safetensors file.
fn add_stray(scratch: &Scratch, name: &str) {
    let bytes = std::fs::read(scratch.path(name)).expect("a tensor file");
    let (length, rest) = bytes.split_at(8);
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
    let (header, tensors) = rest.split_at(length);
    let mut header: Value = serde_json::from_slice(header).expect("a JSON header");
    let offsets = [tensors.len(), tensors.len() + 4];
    header["logits.bias"] = json!({ "dtype": "F32", "shape": [1], "data_offsets": offsets });
    let header = header.to_string();
    let parts = [
        &(header.len() as u64).to_le_bytes(),
        header.as_bytes(),
        tensors,
        &[0; 4],
    ];
    scratch.write(name, parts.concat());
}

#[test]
fn a_pretrained_models_stray_tensors_are_named_also_when_quiet() {
    let scratch = Scratch::with_run();
    add_stray(&scratch, "run/model/model.safetensors");
    let own = "--data-dir faces --pretrained-model run/model --batch-size 6 --people-per-batch 4 \
        --images-per-person 3 --epoch-size 1 --max-nrof-epochs 1 --models-base-dir models \
        --logs-base-dir logs";
    let score = "evaluate --model run/model --lfw-dir faces --lfw-nrof-folds 2";
    for line in [format!("train --quiet {own}"), format!("{score} --quiet")] {
        let run = scratch.run(&line).done();
        let expected = "warning: run/model: ignored tensors of no use here: logits.bias";
        assert!(run.stderr.contains(expected), "{line}: {run:#?}");
    }
}

#[test]
fn a_run_goes_on_by_the_folder_it_named_and_at_another_rate() {
    let scratch = Scratch::with_faces();
    let line = tiny("--data-dir faces --lfw-dir faces --lfw-nrof-folds 2");
    let first = scratch.run(&format!("train --json {line}")).done().json();
    // The model folder that the first run named serves as the run's.
    let model = first["model_dir"].as_str().expect("a path");
    let line = format!("train --json --resume {model} --max-nrof-epochs 2 --learning-rate 0.01");
    let second = scratch.run(&line).done();
    assert_eq!(second.json()["steps"], 4);
    let told = &second.stderr;
    assert!(told.contains("from here on: "), "{told}");
    assert!(told.contains("→ 0.01"), "{told}");
    assert!(told.contains("max_nrof_epochs: 1 → 2"), "{told}");
}

#[test]
fn drawn_identities_beside_a_folder_are_refused() {
    let scratch = Scratch::with_faces();
    let line = "--data-dir faces --synthetic-images 3";
    let expected = "--synthetic-images: --data-dir trains on images of its own";
    check_train(&scratch, line, USAGE, &[expected]);
}

#[test]
fn a_changed_flag_is_refused_with_all_others_unless_changes_are_allowed() {
    let scratch = Scratch::with_run();
    let line = "train --resume run --seed 7 --weight-decay 0.25 --max-nrof-epochs 2";
    let parts = [
        "--seed: a resumed run keeps",
        "seed: 666 → 7",
        "weight_decay: ",
        "--allow-change",
    ];
    scratch.refuses(line, USAGE, &parts);
    assert_eq!(scratch.run("train --allow-change").code, USAGE);
    let changed = scratch.run(&format!("{line} --allow-change --json")).done();
    assert_eq!(changed.json()["steps"], 4);
    let config = scratch.read("run/checkpoint-00000004/progress.json");
    let config: Value = serde_json::from_str(&config).expect("as written");
    assert_eq!(config["config"]["seed"], 7);
    // A network is not changed by a flag: its tensors do not fit.
    let other = "train --resume run --embedding-size 32 --allow-change";
    assert_eq!(scratch.run(other).code, MODEL);
}

#[test]
fn a_flag_with_the_runs_own_value_changes_nothing() {
    let scratch = Scratch::with_run();
    let line = "train --resume run --seed 666 --embedding-size 16 --max-nrof-epochs 2 --json";
    assert_eq!(scratch.run(line).done().json()["steps"], 4);
}
