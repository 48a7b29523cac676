//! Runs that go wrong on purpose: each is stopped in time, with its name and a remedy.

use serde_json::Value;

use crate::support::{DIVERGED, Scratch, tiny};

/// Trains, and is stopped with exit code 4 and all of `parts`, as JSON too.
#[track_caller]
fn check_stopped(scratch: &Scratch, flags: &str, parts: &[&str]) {
    let run = scratch.run(&format!("train --json {flags}"));
    assert_eq!(run.code, DIVERGED, "{run:#?}");
    for part in parts {
        assert!(run.error().contains(part), "lacks {part:?}: {run:#?}");
    }
    let expected = serde_json::json!({ "error": run.error(), "exit_code": DIVERGED });
    assert_eq!(run.json(), expected);
}

/// The lines of the only run's `steps.jsonl`.
fn steps(scratch: &Scratch) -> Vec<Value> {
    let mut names = scratch.names().into_iter();
    let name = names.find(|name| name.ends_with("/steps.jsonl"));
    let text = scratch.read(&name.expect("a log"));
    let line = |line| serde_json::from_str(line).expect("an object");
    text.lines().map(line).collect()
}

/// Ten times the reference's rate, and triplets that pull together more than they part.
#[track_caller]
fn check_collapse(strategy: &str) {
    let scratch = Scratch::new();
    let flags = tiny(
        "--synthetic-identities 60 --synthetic-images 6 --synthetic-test-identities 0 \
         --rule batch-hard --optimizer ADAGRAD --learning-rate 1.0 --people-per-batch 8 \
         --epoch-size 200",
    );
    let flags = flags.replace("--batch-size 6", strategy);
    let parts = [
        "the embeddings have collapsed: for 25 steps the loss has been within 1 % of 0.2",
        "their spread has fallen from",
        "lower --learning-rate",
    ];
    check_stopped(&scratch, &flags, &parts);
    let losses: Vec<_> = steps(&scratch)
        .iter()
        .map(|step| step["loss"].as_f64())
        .collect();
    let near = |loss: &Option<f64>| (loss.expect("a number") - 0.2).abs() <= 0.002;
    let since = losses.iter().rev().take_while(|loss| near(loss)).count();
    assert!(since <= 50, "{since} steps at the margin: {losses:?}");
}

#[test]
fn a_collapse_is_named_within_50_steps_of_its_beginning() {
    check_collapse("--chunk-size 90");
    check_collapse("--batch-size 60");
}

#[test]
fn a_collapse_can_be_rolled_back_and_the_run_ends_well() {
    let scratch = Scratch::new();
    let flags = tiny(
        "--synthetic-identities 60 --synthetic-images 6 --synthetic-test-identities 0 \
         --rule batch-hard --optimizer ADAGRAD --learning-rate 1.0 --people-per-batch 8 \
         --epoch-size 60 --on-collapse rollback",
    );
    let flags = flags.replace("--batch-size 6", "--chunk-size 90");
    let run = scratch.run(&format!("train --json {flags}")).done();
    let rollbacks = run.json()["rollbacks"].as_u64().expect("a number");
    assert!((1..=3).contains(&rollbacks), "{run:#?}");
    assert!(
        run.stderr
            .contains("; rollback 1 of 3: going back to step 0, with"),
        "{run:#?}"
    );
    let rates: Vec<_> = steps(&scratch)
        .iter()
        .map(|step| step["learning_rate"].as_f64())
        .collect();
    assert_eq!(
        (rates[0], rates.last()),
        (Some(1.0), Some(&Some(0.25f64.powi(rollbacks as i32))))
    );
}

#[test]
fn numbers_that_are_none_are_named_at_the_next_step() {
    for strategy in ["--chunk-size 90", "--batch-size 6"] {
        let scratch = Scratch::with_faces();
        let flags = tiny("--data-dir faces --optimizer MOM --learning-rate 1e30 --epoch-size 9");
        let flags = flags.replace("--batch-size 6", strategy);
        check_stopped(&scratch, &flags, &["step 1: ", "lower --learning-rate"]);
        assert_eq!(steps(&scratch).len(), 1);
    }
}

#[test]
fn one_readable_identity_starves_a_run_within_the_rounds_it_was_given() {
    for strategy in ["--chunk-size 90", "--batch-size 6"] {
        let scratch = Scratch::with_faces();
        for name in scratch
            .names()
            .iter()
            .filter(|name| name.contains("/synth_"))
        {
            if !name.contains("synth_00003") {
                scratch.write(name, "\u{89}PNG no more");
            }
        }
        let changes = "--data-dir faces --max-bad-share 1 --people-per-batch 12 \
                       --images-per-person 4 --max-empty-rounds 3";
        let flags = tiny(changes).replace("--batch-size 6", strategy);
        let parts = [
            "step 0: 3 rounds in a row gave no triplet",
            "all images of the last round are of one identity",
            "add identities with readable images",
        ];
        check_stopped(&scratch, &flags, &parts);
    }
}
