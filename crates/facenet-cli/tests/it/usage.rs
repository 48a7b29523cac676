//! Help, completions, the exit codes of training, command lines of the reference.

use crate::support::{DIVERGED, Scratch, USAGE, check_train, tiny};

const COMMANDS: [&str; 20] = [
    "train",
    "evaluate",
    "embed",
    "calibrate",
    "cluster",
    "verify",
    "enroll",
    "identify",
    "forget",
    "import",
    "export",
    "pairs",
    "synth",
    "mine",
    "doctor",
    "report",
    "bench",
    "prove",
    "completions",
    "man",
];

#[test]
fn help_of_every_command_is_a_result() {
    let scratch = Scratch::new();
    let whole = scratch.run("--help").done();
    for command in COMMANDS {
        assert!(whole.stdout.contains(command), "{whole:#?}");
        let help = scratch.run(&format!("{command} --help")).done();
        let usage = format!("Usage: facenet {command}");
        assert!(help.stdout.contains(&usage), "{help:#?}");
        assert!(
            help.stdout.contains("--json") && help.stderr.is_empty(),
            "{help:#?}"
        );
    }
    assert!(
        scratch
            .run("--version")
            .done()
            .stdout
            .starts_with("facenet ")
    );
}

#[test]
fn an_unknown_flag_or_command_is_usage() {
    let scratch = Scratch::new();
    let lines = COMMANDS.map(|command| format!("{command} --no-such-flag"));
    for line in lines
        .iter()
        .map(String::as_str)
        .chain(["", "fly", "train --seed x"])
    {
        let plain = scratch.run(line);
        assert_eq!(
            (plain.code, plain.stdout.as_str()),
            (USAGE, ""),
            "{line}: {plain:#?}"
        );
        assert!(!plain.stderr.contains("panicked"), "{plain:#?}");
    }
    let json = scratch.run("train --no-such-flag --json");
    assert_eq!(
        (json.code, json.json()["exit_code"].as_i64()),
        (USAGE, Some(2))
    );
    assert!(
        json.json()["error"]
            .as_str()
            .expect("text")
            .contains("--no-such-flag")
    );
}

#[test]
fn an_object_says_all_that_was_found_wrong() {
    let scratch = Scratch::new();
    let error = |line: &str| {
        let run = scratch.run(line);
        assert_eq!(run.code, USAGE, "{run:#?}");
        run.json()["error"].as_str().expect("text").to_owned()
    };
    let missing = error("embed --json");
    for part in [
        "required",
        "--model <MODEL>",
        "--output <OUTPUT>",
        "<IMAGES>",
    ] {
        assert!(missing.contains(part), "lacks {part:?}: {missing}");
    }
    assert!(!missing.contains("Usage:"), "{missing}");
    let choice = error("evaluate --model m --use-flipped-images=both --json");
    assert!(
        choice.contains("[possible values: concat, sum]"),
        "{choice}"
    );
}

#[test]
fn completions_name_the_commands_in_every_shell() {
    let scratch = Scratch::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = scratch.run(&format!("completions {shell}")).done();
        for word in ["facenet", "evaluate", "embed"] {
            assert!(script.stdout.contains(word), "{shell} lacks {word}");
        }
    }
    assert_eq!(scratch.run("completions abacus").code, USAGE);
}

/// A training run with these flags ends with exit code 4 and says all of `parts`.
#[track_caller]
fn check_stops(changes: &str, parts: &[&str]) {
    let scratch = Scratch::with_faces();
    let line = tiny(&format!("--data-dir faces {changes}"));
    for run in
        [format!("train {line}"), format!("train --json {line}")].map(|line| scratch.run(&line))
    {
        assert_eq!(run.code, DIVERGED, "{run:#?}");
        for part in parts {
            assert!(run.error().contains(part), "lacks {part:?}: {run:#?}");
        }
        if !run.stdout.is_empty() {
            let expected = serde_json::json!({ "error": run.error(), "exit_code": DIVERGED });
            assert_eq!(run.json(), expected);
        }
    }
    let temporary = |name: &String| name.contains(".scratch-") || name.contains("/.");
    assert!(
        !scratch.names().iter().any(temporary),
        "{:?}",
        scratch.names()
    );
}

#[test]
fn a_run_that_diverges_says_where_and_what_to_do() {
    let flags = "--optimizer MOM --learning-rate 1e30";
    check_stops(flags, &["step 1: ", "NaN", "lower --learning-rate"]);
}

#[test]
fn a_run_that_starves_says_so_after_the_rounds_it_was_given() {
    let flags = "--rule semi-hard --margin 1e-30 --max-empty-rounds 2";
    check_stops(
        flags,
        &[
            "step 0: 2 rounds in a row gave no triplet",
            "raise --margin",
        ],
    );
}

#[test]
fn numbers_below_zero_are_refused_as_values() {
    let scratch = Scratch::with_faces();
    for flag in [
        "--margin",
        "--weight-decay",
        "--keep-probability",
        "--bn-momentum",
        "--adam-epsilon",
        "--moving-average-decay",
        "--learning-rate-decay-factor",
        "--gpu-memory-fraction",
        "--max-bad-share",
    ] {
        let found = format!("{flag}: found -1, expected");
        check_train(
            &scratch,
            &format!("--data-dir faces {flag} -1"),
            USAGE,
            &[&found],
        );
    }
    let run = scratch.run("evaluate --model m --lfw-dir faces --far-target -1");
    assert!(!run.stderr.contains("unexpected argument"), "{run:#?}");
}

#[test]
fn an_unknown_optimizer_is_told_once() {
    let run = Scratch::new().run("train --optimizer SGD --json");
    assert_eq!(run.code, USAGE, "{run:#?}");
    let error = run.error();
    assert_eq!(error.matches("--optimizer").count(), 1, "{error}");
    assert!(error.contains("expected one of ADAGRAD"), "{error}");
    assert_eq!(run.json()["error"], error);
}

#[test]
fn a_command_line_of_the_reference_pastes() {
    let scratch = Scratch::with_faces();
    scratch.write("rates.txt", "# epoch: rate\n0: 0.05\n1: 0.005\n");
    let line = "train --seed 7 --random_flip --logs_base_dir logs --models_base_dir models --data_dir faces \
        --model_def models.mobilefacenet --max_nrof_epochs 1 --batch_size 6 --image_size 32 \
        --people_per_batch 4 --images_per_person 3 --epoch_size 2 --alpha 0.2 \
        --embedding_size 16 --random_crop --random_flip --keep_probability 0.8 \
        --weight_decay 1e-4 --optimizer RMSPROP --learning_rate -1 \
        --learning_rate_decay_epochs 4 --learning_rate_decay_factor 0.98 \
        --moving_average_decay 0.99 --seed 1 --learning_rate_schedule_file rates.txt \
        --gpu_memory_fraction 0.7 --lfw_dir '' --lfw_pairs data/pairs.txt --lfw_nrof_folds 5";
    let run = scratch.run(line).done();
    assert!(
        run.stderr.contains("--gpu-memory-fraction does not act"),
        "{run:#?}"
    );
    let logs = run
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("Logs:"));
    let logs = logs.expect("the summary names the logs").trim();
    let arguments = scratch.read(&format!("{logs}/arguments.txt"));
    for line in [
        "margin: 0.2",
        "learning_rate: -1.0",
        "random_crop: true",
        // Given twice: the last counts.
        "seed: 1",
        "lfw_dir: none",
    ] {
        assert!(
            arguments.lines().any(|found| found.starts_with(line)),
            "{line}: {arguments}"
        );
    }
}

#[test]
fn a_flag_of_the_other_strategy_is_refused_with_what_to_do() {
    let scratch = Scratch::with_faces();
    let batch = "--batch-size: belongs to --strategy reference, found beside";
    let chunk = "--chunk-size: belongs to --strategy one-pass, found beside";
    let cases = [
        (
            "--strategy one-pass --batch-size 6",
            batch,
            "--strategy one-pass",
        ),
        (
            "--strategy reference --chunk-size 6",
            chunk,
            "--strategy reference",
        ),
        ("--batch-size 6 --chunk-size 6", chunk, "--batch-size"),
    ];
    for (flags, found, beside) in cases {
        let line = format!("train --data-dir faces {flags}");
        let run = scratch.run(&line);
        assert_eq!(run.code, USAGE, "{run:#?}");
        let expected = format!("{found} {beside}; drop one of the two");
        assert_eq!(run.error(), expected);
    }
    let run = scratch.run("train --data-dir faces --strategy fast");
    assert_eq!(run.code, USAGE, "{run:#?}");
    assert!(run.stderr.contains("one-pass"), "{run:#?}");
}

#[test]
fn a_strategy_that_a_flag_selects_is_told_and_trains() {
    let scratch = Scratch::with_faces();
    let line = "train --data-dir faces --model-def mobilefacenet --image-size 32 \
        --embedding-size 16 --people-per-batch 4 --images-per-person 3 --epoch-size 2 \
        --max-nrof-epochs 1 --models-base-dir models --logs-base-dir logs";
    for (flags, strategy) in [
        ("--chunk-size 6", "one-pass"),
        ("--batch-size 6", "reference"),
    ] {
        let run = scratch.run(&format!("{line} {flags} --json")).done();
        let flag = flags.split(' ').next().expect("a flag");
        let said = format!("{flag} selects --strategy {strategy}");
        assert!(run.stderr.lines().any(|line| line == said), "{run:#?}");
        let logs = run.json()["log_dir"].as_str().expect("a folder").to_owned();
        let arguments = scratch.read(&format!("{logs}/arguments.txt"));
        let kept = format!("strategy: {strategy}");
        assert!(arguments.lines().any(|line| line == kept), "{arguments}");
    }
}
