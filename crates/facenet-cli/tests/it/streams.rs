//! Stdout and stderr that nobody reads, or that cannot take a line: never a panic, and a
//! training run goes on.

use std::fs::{File, OpenOptions};
use std::process::{Output, Stdio};

use crate::support::{DATA, RESOURCES, Scratch, USAGE, tiny};

/// A panic's exit code, which none of ours is.
const PANIC: i32 = 101;

/// The writing end of a pipe whose reader has gone.
fn closed() -> Stdio {
    let (_, writer) = std::io::pipe().expect("a pipe");
    writer.into()
}

/// A device without room, where the system has one.
fn full() -> Option<File> {
    let file = OpenOptions::new().write(true).open("/dev/full");
    file.map_err(|error| crate::skip::skip(format_args!("what is written to /dev/full: {error}")))
        .ok()
}

/// Runs `line`; it must end with `code`.
#[track_caller]
fn check(scratch: &Scratch, line: &str, stdout: Stdio, stderr: Stdio, code: i32) -> Output {
    let mut command = scratch.command();
    command.args(line.split_whitespace());
    let output = command.stdout(stdout).stderr(stderr).output();
    let output = output.expect("it starts");
    assert_ne!(output.status.code(), Some(PANIC), "{line}: {output:?}");
    assert_eq!(output.status.code(), Some(code), "{line}: {output:?}");
    output
}

const FAILURES: [(&str, i32); 3] = [
    ("train --no-such --json", USAGE),
    ("train --batch-size 4 --json", USAGE),
    ("pairs nowhere --output x.txt --json", DATA),
];

#[test]
fn a_failure_that_nobody_reads_keeps_its_exit_code() {
    let scratch = Scratch::new();
    for (line, code) in FAILURES {
        check(&scratch, line, closed(), Stdio::piped(), code);
        check(&scratch, line, Stdio::piped(), closed(), code);
        check(&scratch, line, closed(), closed(), code);
    }
}

#[test]
fn a_training_run_outlives_the_reader_of_its_progress() {
    let scratch = Scratch::with_faces();
    // The memory fraction brings a warning, which also goes to stderr.
    let flags = "--data-dir faces --gpu-memory-fraction 0.5";
    let line = format!("train --json {}", tiny(flags));
    for stderr in [Some(closed()), full().map(Stdio::from)] {
        let Some(stderr) = stderr else { continue };
        let output = check(&scratch, &line, Stdio::piped(), stderr, 0);
        let result = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(result.contains("\"steps\":2"), "{result}");
    }
    check(&scratch, &line, closed(), closed(), 0);
}

#[test]
fn a_log_line_that_nobody_reads_stops_nothing() {
    let scratch = Scratch::with_run();
    scratch.write("run/checkpoint-00000001/progress.json", "half");
    let line = "train --json --resume run/checkpoint-00000002 --max-nrof-epochs 2";
    let told = scratch.run(line).done();
    assert!(told.stderr.contains("passed over"), "{told:#?}");
    check(&scratch, line, Stdio::piped(), closed(), 0);
}

#[test]
fn a_result_that_finds_no_room_is_a_failure() {
    let scratch = Scratch::with_faces();
    let pairs = "pairs faces --folds 2 --pairs-per-fold 6 --output p.txt";
    for line in ["completions bash", pairs] {
        check(&scratch, line, closed(), Stdio::piped(), 0);
        if let Some(full) = full() {
            let output = check(&scratch, line, full.into(), Stdio::piped(), RESOURCES);
            let stderr = String::from_utf8(output.stderr).expect("UTF-8");
            assert!(stderr.contains("cannot write to stdout"), "{stderr}");
        }
    }
}
