//! Models and checkpoints that cannot be used.

use std::fs;

use crate::support::{MODEL, Scratch, USAGE, check_train, tiny};

#[test]
fn a_model_that_is_no_model() {
    let scratch = Scratch::with_run();
    let weights = fs::read(scratch.path("run/model/model.safetensors")).expect("saved");
    let commands = |model: &str| {
        [
            format!("embed faces --model {model} --output x.csv"),
            format!("evaluate --model {model} --lfw-dir faces --lfw-nrof-folds 2"),
            format!(
                "train {}",
                tiny(&format!("--data-dir faces --pretrained-model {model}"))
            ),
        ]
    };
    let check = |model: &str, parts: &[&str]| {
        for line in commands(model) {
            scratch.refuses(&line, MODEL, parts);
        }
    };
    check(
        "nowhere",
        &[
            "nowhere/config.json: cannot read",
            "check that the path exists",
        ],
    );
    let broken = [
        ("empty", &weights[..0]),
        ("stump", &weights[..weights.len() / 2]),
        ("header", &weights[..20]),
    ];
    for (model, bytes) in broken {
        scratch.copy("run/model", model);
        scratch.write(&format!("{model}/model.safetensors"), bytes);
        check(model, &[&format!("{model}/model.safetensors: ")]);
    }
}

#[test]
fn a_model_whose_embeddings_are_no_numbers() {
    let scratch = Scratch::with_run();
    let mut weights = fs::read(scratch.path("run/model/model.safetensors")).expect("saved");
    let header = weights
        .first_chunk()
        .map(|bytes| u64::from_le_bytes(*bytes));
    // All bits of a NaN.
    weights[8 + header.expect("a length") as usize..].fill(0xff);
    scratch.copy("run/model", "nan");
    scratch.write("nan/model.safetensors", &weights);
    let faces = crate::support::files_below(&scratch.path("faces"));
    let images: Vec<_> = faces.keys().filter(|name| name.contains('/')).collect();
    for line in [
        "embed faces --model nan --output x.csv".to_owned(),
        "doctor faces --model nan".to_owned(),
        "cluster faces --model nan --threshold 1 --csv x.csv".to_owned(),
        format!("verify faces/{} faces/{} --model nan", images[0], images[1]),
    ] {
        scratch.refuses(&line, MODEL, &["nan: ", "embeddings that are not finite"]);
    }
}

#[test]
fn a_model_of_another_architecture_or_embedding_size_than_its_configuration_says() {
    let scratch = Scratch::with_run();
    let changes = [
        (
            "\"mobilefacenet\"",
            "\"inception_resnet_v1\"",
            "inception_resnet_v1",
        ),
        (
            "\"embedding_size\": 16",
            "\"embedding_size\": 32",
            "with 32 numbers",
        ),
    ];
    for (number, (from, to, part)) in changes.into_iter().enumerate() {
        let model = format!("model{number}");
        scratch.copy("run/model", &model);
        scratch.edit(&format!("{model}/config.json"), from, to);
        scratch.edit(
            &format!("{model}/config.json"),
            "\"image_size\": 32",
            "\"image_size\": 80",
        );
        let embed = format!("embed faces --model {model} --output x.csv");
        scratch.refuses(&embed, MODEL, &[part, "expected", "of one model"]);
    }
}

#[test]
fn flags_that_ask_for_another_network_than_the_pretrained_one() {
    let scratch = Scratch::with_run();
    let pretrained = "--data-dir faces --pretrained-model run/model";
    for flag in [
        "--embedding-size 32",
        "--image-size 48",
        "--model-def inception_resnet_v1",
    ] {
        let name = flag.split(' ').next().expect("a flag");
        let parts = [
            name,
            "run/model brings its own (mobilefacenet, 32 pixels, 16 numbers)",
        ];
        check_train(&scratch, &format!("{pretrained} {flag}"), USAGE, &parts);
    }
}

#[test]
fn flags_that_the_batch_norms_of_the_pretrained_model_leave_no_room_for() {
    let scratch = Scratch::with_run();
    scratch.copy("run/model", "folded");
    let (from, to) = (
        "\"keep_probability\"",
        "\"has_folded_norms\": true, \"keep_probability\"",
    );
    scratch.edit("folded/config.json", from, to);
    let cases = [
        (
            "folded",
            "--freeze-bn=false",
            "--freeze-bn: found false",
            "give --unfold-bn",
        ),
        (
            "folded",
            "--bn-momentum 0.1",
            "--bn-momentum: statistics of frozen",
            "--unfold-bn",
        ),
        (
            "folded",
            "--strategy reference --mining-mode train",
            "--mining-mode: found train",
            "give eval",
        ),
        (
            "folded",
            "--freeze-bn --unfold-bn",
            "--unfold-bn: found beside",
            "drop one",
        ),
        (
            "run/model",
            "--freeze-bn --bn-momentum 0.1",
            "--bn-momentum: ",
            "drop it",
        ),
        (
            "run/model",
            "--unfold-bn",
            "--unfold-bn: the batch norms",
            "are not folded",
        ),
    ];
    for (model, flags, name, hint) in cases {
        let line = format!("--data-dir faces --pretrained-model {model} {flags}");
        check_train(&scratch, &line, USAGE, &[name, hint]);
    }
    for flag in ["--freeze-bn", "--unfold-bn"] {
        let parts = [flag, "there is no --pretrained-model"];
        check_train(&scratch, &format!("--data-dir faces {flag}"), USAGE, &parts);
    }
}

#[test]
fn a_checkpoint_that_is_not_the_runs_own() {
    let scratch = Scratch::with_run();
    let part = "a resumed run keeps its configuration";
    for flag in ["--embedding-size 32", "--model-def inception_resnet_v1"] {
        scratch.refuses(
            &format!("train --resume run {flag}"),
            USAGE,
            &[flag.split(' ').next().expect("a flag"), part],
        );
    }
    scratch.refuses(
        "train --resume faces",
        MODEL,
        &["faces: found no checkpoint", "expected", "give the folder"],
    );
    scratch.refuses(
        "train --resume nowhere",
        MODEL,
        &["nowhere: found no checkpoint"],
    );
    let changes = [
        ("\"mobilefacenet\"", "\"inception_resnet_v1\""),
        ("\"embedding_size\": 16", "\"embedding_size\": 32"),
    ];
    for (number, (from, to)) in changes.into_iter().enumerate() {
        let run = format!("run{number}");
        scratch.copy("run", &run);
        scratch.edit(&format!("{run}/checkpoint-00000002/config.json"), from, to);
        scratch.refuses(&format!("train --resume {run}"), MODEL, &["config.json"]);
    }
}

#[test]
fn a_checkpoint_whose_data_set_has_changed() {
    let scratch = Scratch::with_run();
    fs::remove_dir_all(scratch.path("faces/synth_00011")).expect("synthetic");
    scratch.write(
        "faces/pairs.txt",
        "2\t1\nsynth_00000\t1\t2\nsynth_00000\t1\tsynth_00001\t1\n\
         synth_00001\t1\t2\nsynth_00000\t2\tsynth_00001\t2\n",
    );
    let parts = [
        "the data set has changed",
        "11 identities",
        "12 identities",
        "--pretrained-model",
    ];
    scratch.refuses("train --resume run", MODEL, &parts);
}

#[test]
fn a_checkpoint_that_is_cut_short() {
    let scratch = Scratch::with_run();
    for file in [
        "model.safetensors",
        "optimizer.safetensors",
        "ema.safetensors",
        "progress.json",
        "manifest.json",
    ] {
        let run = format!("cut-{file}");
        scratch.copy("run", &run);
        let path = format!("{run}/checkpoint-00000002/{file}");
        let bytes = fs::read(scratch.path(&path)).expect("saved");
        for length in [0, bytes.len() / 2] {
            scratch.write(&path, &bytes[..length]);
            scratch.refuses(&format!("train --resume {run}"), MODEL, &[file]);
        }
    }
}
