//! Numbers that nobody can mean: refused by name, never a panic or the end of memory.

use crate::support::{DATA, Scratch, USAGE, check_train};

#[test]
fn sizes_that_a_network_does_not_have_are_usage() {
    let scratch = Scratch::with_faces();
    for (flag, part) in [
        (
            "--image-size 33",
            "image size: found 33, expected a multiple of 16",
        ),
        (
            "--image-size 1000000",
            "image size: found 1000000, expected",
        ),
        (
            "--embedding-size 1000000000000",
            "embedding size: found 1000000000000, expected",
        ),
        (
            "--embedding-size 0",
            "--embedding-size: found 0, expected at least 1",
        ),
    ] {
        check_train(
            &scratch,
            &format!("--data-dir faces {flag}"),
            USAGE,
            &[part],
        );
    }
}

#[test]
fn counts_that_no_memory_holds_are_usage() {
    let scratch = Scratch::with_faces();
    let most = "18446744073709551615";
    for flag in ["--batch-size", "--people-per-batch", "--images-per-person"] {
        let found = format!("{flag}: found {most}, expected at most");
        check_train(
            &scratch,
            &format!("--data-dir faces {flag} {most}"),
            USAGE,
            &[&found],
        );
    }
    for flag in [
        "--synthetic-images",
        "--synthetic-identities",
        "--synthetic-test-identities",
    ] {
        let found = format!("{flag}: found 4294967295, expected at most");
        check_train(&scratch, &format!("{flag} 4294967295"), USAGE, &[&found]);
    }
    for flag in ["--resize", "--centre-crop"] {
        let line = format!("--data-dir faces {flag} 4294967295");
        check_train(
            &scratch,
            &line,
            USAGE,
            &["is 4294967295, expected 1 to 8192"],
        );
    }
}

#[test]
fn data_sets_that_no_disk_holds_are_refused() {
    let scratch = Scratch::with_faces();
    for (line, code, part) in [
        (
            "synth x --side 0",
            USAGE,
            "--side: found 0, expected 1 to 4096",
        ),
        (
            "synth x --side 100000",
            USAGE,
            "--side: found 100000, expected 1 to 4096",
        ),
        (
            "synth x --identities 4294967295",
            USAGE,
            "expected at most 16777216",
        ),
        (
            "synth x --folds 4294967295",
            DATA,
            "ask for fewer folds or pairs",
        ),
        (
            "pairs faces --output x --folds 4294967295",
            DATA,
            "ask for fewer folds or pairs",
        ),
        (
            "pairs faces --output x --pairs-per-fold 4294967295",
            DATA,
            "ask for fewer",
        ),
    ] {
        scratch.refuses(line, code, &[part]);
    }
    // It would be 2 if it were cut to 32 bits.
    let run = scratch.run("pairs faces --output x --folds 4294967298 --pairs-per-fold 6");
    assert_eq!(run.code, USAGE, "{run:#?}");
}

#[test]
fn batches_and_threads_of_a_model_in_use() {
    let scratch = Scratch::with_run();
    let embed = "embed faces --model run/model --output x.csv";
    scratch.refuses(
        &format!("{embed} --batch-size 0"),
        USAGE,
        &["found 0, expected at least 1"],
    );
    scratch.refuses(
        &format!("{embed} --loader-threads 0"),
        USAGE,
        &["found 0, expected at least 1"],
    );
    scratch.refuses(
        &format!("{embed} --device tpu"),
        USAGE,
        &["--device: found \"tpu\", expected cpu"],
    );
    let resize = "--allow-recipe-mismatch --resize 4294967295";
    scratch.refuses(&format!("{embed} {resize}"), USAGE, &["expected 1 to 8192"]);
    let most = "--batch-size 18446744073709551615 --loader-threads 18446744073709551615";
    scratch.run(&format!("{embed} {most}")).done();
}
