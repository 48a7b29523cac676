//! `train`: what it reports, what it writes, people lists, pretrained weights, going on.

use std::fs;

use serde_json::Value;

use crate::support::{DATA, Scratch, USAGE, tiny};

/// Trains with `changes`; the object on stdout, which is all that stdout has.
#[track_caller]
fn train(scratch: &Scratch, changes: &str) -> Value {
    let run = scratch
        .run(&format!("train --json {}", tiny(changes)))
        .done();
    assert_eq!(run.stdout.lines().count(), 1, "{run:#?}");
    run.json()
}

/// The file `name` in the folder that `object` has under `key`.
#[track_caller]
fn file_of(scratch: &Scratch, object: &Value, key: &str, name: &str) -> String {
    let folder = object[key].as_str().expect("a path");
    scratch.read(&format!("{folder}/{name}"))
}

const KEYS: [&str; 16] = [
    "status",
    "steps",
    "images",
    "unreadable_images",
    "seconds",
    "accuracy_before",
    "accuracy_after",
    "ema_accuracy",
    "val",
    "far",
    "health",
    "rollbacks",
    "model_dir",
    "log_dir",
    "memory",
    "peak_rss_mib",
];

#[test]
fn the_result_has_its_keys_and_null_where_nothing_is_scored() {
    let scratch = Scratch::with_faces();
    let plain = train(&scratch, "--data-dir faces");
    let scored = train(
        &scratch,
        "--data-dir faces --lfw-dir faces --lfw-nrof-folds 2",
    );
    for (object, is_scored) in [(&plain, false), (&scored, true)] {
        let keys: Vec<_> = object.as_object().expect("an object").keys().collect();
        let mut expected = KEYS.to_vec();
        expected.sort_unstable();
        assert_eq!(
            {
                let mut keys = keys;
                keys.sort_unstable();
                keys
            },
            expected
        );
        assert_eq!(
            (&object["status"], &object["steps"]),
            (&"done".into(), &2.into()),
            "{object}"
        );
        for key in &KEYS[5..10] {
            assert_eq!(object[*key].is_number(), is_scored, "{key}: {object}");
            assert_eq!(object[*key].is_null(), !is_scored, "{key}: {object}");
        }
        assert!(
            object["images"].as_u64() >= Some(6) && object["seconds"].is_number(),
            "{object}"
        );
    }
}

#[test]
fn a_run_leaves_a_model_a_checkpoint_and_its_logs() {
    let scratch = Scratch::with_faces();
    let object = train(
        &scratch,
        "--data-dir faces --lfw-dir faces --lfw-nrof-folds 2",
    );
    for name in ["config.json", "README.md"] {
        assert!(!file_of(&scratch, &object, "model_dir", name).is_empty());
    }
    let arguments = file_of(&scratch, &object, "log_dir", "arguments.txt");
    assert!(
        arguments.lines().any(|line| line == "batch_size: 6"),
        "{arguments}"
    );
    let revision = file_of(&scratch, &object, "log_dir", "revision_info.txt");
    assert!(revision.contains("--data-dir faces"), "{revision}");
    let results = file_of(&scratch, &object, "log_dir", "lfw_result.txt");
    let last: Vec<_> = results
        .lines()
        .last()
        .expect("scored")
        .split('\t')
        .collect();
    let after = object["accuracy_after"].as_f64().expect("scored");
    assert_eq!(last[..2], ["2", format!("{after:.5}").as_str()]);
    let names = scratch.names();
    assert!(
        names
            .iter()
            .any(|name| name.ends_with("checkpoint-00000002/optimizer.safetensors"))
    );
    assert!(
        names
            .iter()
            .any(|name| name.contains("/events.out.tfevents."))
    );
    assert!(!names.iter().any(|name| name.contains("/.")), "{names:?}");
}

#[test]
fn people_read_the_summary_on_stdout_and_the_course_on_stderr() {
    let scratch = Scratch::with_faces();
    let line = tiny("--data-dir faces --lfw-dir faces --lfw-nrof-folds 2");
    let run = scratch.run(&format!("train {line}")).done();
    assert!(run.stdout.starts_with("done: 2 steps, "), "{run:#?}");
    for part in ["Accuracy: ", " before, ", "Model: models/", "Logs:  logs/"] {
        assert!(run.stdout.contains(part), "{run:#?}");
    }
    assert!(run.stderr.contains("Epoch: [0][2/2]"), "{run:#?}");
    assert!(
        !run.stderr.contains("skipped"),
        "pairs.txt belongs there: {run:#?}"
    );
    let quiet = scratch.run(&format!("train --quiet {line}")).done();
    let warned = quiet.stderr.trim_end();
    assert!(
        !warned.contains('\n') && warned.contains("have the name of one to train on"),
        "{quiet:#?}"
    );
}

#[test]
fn a_score_on_others_than_those_trained_on_gets_no_warning() {
    let scratch = Scratch::with_faces();
    let pairs = scratch.read("faces/pairs.txt");
    let names = pairs.lines().skip(1).flat_map(|line| {
        let words = line.split('\t');
        words.filter(|word| scratch.path("faces").join(word).is_dir())
    });
    let names: std::collections::BTreeSet<_> = names.collect();
    for name in &names {
        scratch.copy(&format!("faces/{name}"), &format!("others/x{name}"));
        scratch.copy(&format!("faces/{name}"), &format!("both/x{name}"));
        scratch.copy(&format!("faces/{name}"), &format!("both/{name}"));
    }
    scratch.write("names.txt", Vec::from_iter(names).join("\n"));
    for data in ["others", "both --exclude-people names.txt"] {
        let line = format!("--data-dir {data} --lfw-dir faces --lfw-nrof-folds 2");
        let quiet = scratch
            .run(&format!("train --quiet {}", tiny(&line)))
            .done();
        assert_eq!(quiet.stderr, "", "{data}");
        assert!(quiet.stdout.contains("Accuracy: "), "{quiet:#?}");
    }
}

#[test]
fn the_demo_says_the_settings_that_nobody_typed() {
    let scratch = Scratch::new();
    let line = tiny("--synthetic-identities 8 --synthetic-images 4 --synthetic-test-identities 30");
    let run = scratch.run(&format!("train {line}")).done();
    for part in [
        "No --data-dir: the demo",
        " train \\\n  --adam-epsilon 0.001 \\\n",
        "--random-flip=true",
        "and without --centre-crop, --checkpoint-every, --clip-gradient-norm, --data-dir",
        "--margin 0.2 ",
        "--seed 666",
        "--batch-size 6",
        "--optimizer ADAM",
    ] {
        assert!(run.stderr.contains(part), "{run:#?}");
    }
    assert!(run.stdout.contains("Accuracy: "), "{run:#?}");
    let quiet = scratch.run(&format!("train --quiet {line}")).done();
    assert_eq!(quiet.stderr, "");
}

#[test]
fn a_margin_is_written_as_it_was_typed() {
    let scratch = Scratch::with_faces();
    let object = train(&scratch, "--data-dir faces --margin 0.3");
    let arguments = file_of(&scratch, &object, "log_dir", "arguments.txt");
    assert!(
        arguments.lines().any(|line| line == "margin: 0.3"),
        "{arguments}"
    );
    let card = file_of(&scratch, &object, "model_dir", "README.md");
    assert!(card.contains("| margin | 0.3 |"), "{card}");
    let config = file_of(&scratch, &object, "model_dir", "config.json");
    let config: Value = serde_json::from_str(&config).expect("JSON");
    assert_eq!(config["training"]["margin"], 0.3, "{config}");
}

#[test]
fn a_tilde_is_the_home_folder_in_lists_and_recipes() {
    let scratch = Scratch::with_faces();
    let people: Vec<_> = (0..6).map(|number| format!("synth_{number:05}")).collect();
    scratch.write("six.txt", people.join("\n"));
    scratch.write("one.txt", "synth_00000\n");
    scratch.write("own.toml", "resize = 32\nstandardisation = \"fixed\"\n");
    let flags = tiny(
        "--data-dir ~/faces --train-people ~/six.txt --exclude-people ~/one.txt \
         --recipe ~/own.toml",
    );
    let run = scratch.run_at_home(&format!("train --json {flags}")).done();
    let found = progress(&scratch, &run.json());
    assert!(found.contains("5 identities, 20 images"), "{found}");
    let line = "pairs ~/faces --folds 2 --pairs-per-fold 6 --people ~/six.txt --output ~/p.txt";
    let run = scratch.run_at_home(&format!("{line} --json")).done();
    assert_eq!(run.json()["people"], 6, "{run:#?}");
}

#[test]
fn without_a_number_the_folds_are_those_of_the_pairs_file() {
    let scratch = Scratch::with_faces();
    let scored = "--data-dir faces --lfw-dir faces";
    let own = train(&scratch, scored);
    let two = train(&scratch, &format!("{scored} --lfw-nrof-folds 2"));
    for key in ["accuracy_before", "accuracy_after", "val", "far"] {
        assert_eq!(own[key], two[key], "{key}: {own} {two}");
    }
    let line = tiny(&format!("{scored} --lfw-nrof-folds 10"));
    let run = scratch.run(&format!("train --quiet {line}")).done();
    assert!(run.stderr.contains("hold same pairs only"), "{run:#?}");
}

#[test]
fn lists_say_who_is_trained_on() {
    let scratch = Scratch::with_faces();
    let person = |number: usize| format!("synth_{number:05}");
    let plain: Vec<_> = (0..6).map(person).collect();
    scratch.write("six.txt", plain.join("\n"));
    let lines = |numbers: std::ops::Range<usize>| -> Vec<String> {
        let count = numbers.len().to_string();
        let people = numbers.map(|number| format!("{}\t4", person(number)));
        std::iter::once(count).chain(people).collect()
    };
    let folds = [vec!["3".to_owned()], lines(0..4), lines(4..6), lines(6..12)];
    scratch.write("people.txt", folds.concat().join("\n"));
    let whole = train(&scratch, "--data-dir faces");
    let whole = progress(&scratch, &whole);
    assert!(whole.contains("12 identities, 48 images"), "{whole}");
    let same = [
        "--train-people six.txt",
        "--train-people people.txt:1-2",
        "--exclude-people people.txt:3",
        "--train-people people.txt --exclude-people people.txt:3",
        "--train_people people.txt:1,2",
    ];
    for flags in same {
        let object = train(&scratch, &format!("--data-dir faces {flags}"));
        let found = progress(&scratch, &object);
        assert!(
            found.contains("6 identities, 24 images"),
            "{flags}: {found}"
        );
    }
}

/// What the run's checkpoint says of its data.
fn progress(scratch: &Scratch, object: &Value) -> String {
    let folder = object["model_dir"].as_str().expect("a path");
    let folder = folder
        .strip_suffix("model")
        .expect("below the run's folder");
    scratch.read(&format!("{folder}checkpoint-00000002/progress.json"))
}

#[test]
fn lists_that_do_not_serve_are_refused() {
    let scratch = Scratch::with_faces();
    scratch.write("nobody.txt", "Nobody\n");
    scratch.write("empty.txt", "# no one\n");
    scratch.write("people.txt", "2\n1\nsynth_00000\t4\n1\nsynth_00001\tfour\n");
    let cases = [
        ("--train-people gone.txt", DATA, "gone.txt: cannot read"),
        (
            "--train-people empty.txt",
            DATA,
            "empty.txt: no names, expected one a line",
        ),
        (
            "--train-people nobody.txt",
            USAGE,
            "none of the people named have a folder in faces",
        ),
        (
            "--exclude-people people.txt:1",
            DATA,
            "people.txt:5: found \"synth_00001\\tfour\", expected",
        ),
        (
            "--train-people nobody.txt:1-2",
            DATA,
            "nobody.txt:1: a list of names has no folds",
        ),
    ];
    for (flags, code, part) in cases {
        let line = format!("train {}", tiny(&format!("--data-dir faces {flags}")));
        scratch.refuses(&line, code, &[part]);
    }
}

#[test]
fn a_finished_run_goes_on_for_more_epochs() {
    let scratch = Scratch::with_run();
    let scored = "--data-dir faces --lfw-dir faces --lfw-nrof-folds 2 --max-nrof-epochs 2";
    let fresh = train(&scratch, scored);
    let line = "train --json --resume run --max-nrof-epochs 2";
    let resumed = scratch.run(line).done().json();
    assert_eq!(resumed["steps"], 4, "{resumed}");
    assert_eq!(
        resumed["images"], fresh["images"],
        "the same rounds: {resumed} {fresh}"
    );
    assert!(
        resumed["accuracy_after"].is_number(),
        "it is scored as before: {resumed}"
    );
    let weights = |object: &Value| {
        let folder = object["model_dir"].as_str().expect("a path");
        fs::read(scratch.path(&format!("{folder}/model.safetensors"))).expect("saved")
    };
    assert!(
        weights(&resumed) == weights(&fresh),
        "as if it had never stopped"
    );
}

#[test]
fn a_pretrained_models_own_values_may_be_said_again_and_others_are_refused_by_name() {
    let scratch = Scratch::with_run();
    let line = "train --data-dir faces --pretrained-model run/model --batch-size 6 \
        --people-per-batch 4 --images-per-person 3 --epoch-size 1 --max-nrof-epochs 1 \
        --models-base-dir models --logs-base-dir logs";
    let same = "--image-size 32 --embedding-size 16 --model-def models.mobilefacenet \
        --standardisation per-image";
    scratch.refuses(
        &format!("{line} {same} --resize 40"),
        USAGE,
        &["--resize: run/model brings its own (mobilefacenet, 32 pixels, 16 numbers"],
    );
    scratch.refuses(
        &format!("{line} --image-size 48 --embedding-size 16 --recipe facenet-fixed-160"),
        USAGE,
        &["--image-size, --recipe: run/model brings its own"],
    );
    scratch.run(&format!("{line} {same}")).done();
    scratch.run(&format!("{line} --recipe reference")).done();
}

#[test]
fn a_pretrained_model_brings_its_own_network() {
    let scratch = Scratch::with_run();
    let line = "train --json --data-dir faces --pretrained-model run/model --batch-size 6 \
        --people-per-batch 4 --images-per-person 3 --epoch-size 1 --max-nrof-epochs 1 \
        --models-base-dir models --logs-base-dir logs";
    let object = scratch.run(line).done().json();
    let config = |text: String| -> Value { serde_json::from_str(&text).expect("JSON") };
    let own = config(scratch.read("run/model/config.json"));
    let new = config(file_of(&scratch, &object, "model_dir", "config.json"));
    assert_eq!(new["model"]["architecture"], own["model"]["architecture"]);
    assert_eq!(new["model"]["embedding_size"], 16, "{new}");
    assert_eq!(new["model"]["image_size"], 32, "{new}");
}

#[test]
fn a_pretrained_model_brings_the_momentum_of_its_norms_unless_one_is_typed() {
    let scratch = Scratch::with_run();
    let momentum = "\"bn_momentum\": ";
    scratch.edit(
        "run/model/config.json",
        &format!("{momentum}0.1"),
        &format!("{momentum}0.005"),
    );
    for (flags, expected) in [("", 0.005), ("--bn-momentum 0.2", 0.2)] {
        let line = format!(
            "train --json --data-dir faces --pretrained-model run/model --people-per-batch 4 \
             --images-per-person 3 --epoch-size 1 --max-nrof-epochs 1 --models-base-dir models \
             --logs-base-dir logs {flags}"
        );
        let object = scratch.run(&line).done().json();
        let text = file_of(&scratch, &object, "model_dir", "config.json");
        let config: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(config["model"]["bn_momentum"], expected, "{flags}");
    }
}

/// What a plan may be off by, of what is measured.
const PLANNED_WITHIN: f64 = 0.15;

/// A dry run on drawn people takes what it plans.
#[track_caller]
fn check_planned(scratch: &Scratch, flags: &str) {
    let run = scratch.run(&format!("train --json --dry-run --threads 1 {flags}"));
    let run = run.done();
    let object = run.json();
    let planned = object["memory"]["step_mib"].as_f64().expect("a plan");
    assert!(object["images_per_second"].as_f64() > Some(0.0), "{object}");
    assert!(run.stderr.contains("Memory: about"), "{run:#?}");
    // Elsewhere the system does not say.
    if cfg!(target_os = "linux") {
        let measured = object["peak_rss_mib"].as_f64().expect("Linux tells");
        let off = (planned / measured - 1.0).abs();
        println!("planned {planned} MiB, measured {measured}");
        assert!(off < PLANNED_WITHIN, "{flags}: {object}");
    }
}

#[test]
fn a_dry_run_plans_a_classifiers_and_the_samplers_memory_too() {
    let scratch = Scratch::new();
    let small = "--image-size 32 --model-def tiny --people-per-batch 8 --images-per-person 5 \
        --chunk-size 20 --synthetic-images 5 --synthetic-test-identities 0 --models-base-dir models";
    // Weights of 15 MB, their gradient, and Adam's two numbers for each.
    let head = "--loss softmax --embedding-size 128 --synthetic-identities 30000";
    // Codes of 19 MB.
    let alike = "--sampler look-alike --embedding-size 16 --synthetic-identities 400000";
    for flags in [head, alike] {
        check_planned(&scratch, &format!("{small} {flags}"));
    }
    assert!(scratch.names().is_empty());
}

#[test]
fn a_dry_run_takes_the_memory_that_it_plans_and_leaves_nothing() {
    let scratch = Scratch::new();
    for strategy in ["one-pass --chunk-size 20", "reference --batch-size 60"] {
        for precision in ["f32", "bf16"] {
            let flags = format!(
                "--strategy {strategy} --precision {precision} --image-size 64 --model-def mobilefacenet --people-per-batch 8 \
                 --images-per-person 5 --synthetic-identities 20 --synthetic-images 5 \
                 --synthetic-test-identities 0 --rule violating --models-base-dir models"
            );
            check_planned(&scratch, &flags);
        }
    }
    assert!(scratch.names().is_empty());
}
