//! `facenet prove`: runs that are killed and stopped, and one that has been tampered with.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Scratch;

/// What a proof says, and nothing of it stays in the folder.
#[track_caller]
fn check(line: &str, times: u64) -> Value {
    let scratch = Scratch::new();
    let run = scratch.run(&format!("prove {line} --json")).done();
    let proof = run.json();
    assert_eq!(proof["status"], "proven", "{run:#?}");
    let strategies = proof["strategies"].as_array().expect("a list");
    for (one, name) in strategies
        .iter()
        .zip(["one-pass", "reference", "classifier"])
    {
        assert_eq!(one["strategy"], name);
        assert_eq!(one["disturbances"], times, "{one}");
        assert_eq!(
            one["differences"].as_array().map(Vec::len),
            Some(0),
            "{one}"
        );
    }
    assert_eq!(strategies.len(), 3);
    assert_eq!(
        scratch.names(),
        Vec::<String>::new(),
        "the folder is as it was"
    );
    println!("{proof}");
    proof
}

#[test]
fn a_run_killed_anywhere_and_resumed_is_the_uninterrupted_one() {
    let proof = check("resume --kills 10", 10);
    for one in proof["strategies"].as_array().expect("a list") {
        let kills = one["kills"].as_object().expect("counts");
        let landed: u64 = kills.values().filter_map(Value::as_u64).sum();
        assert_eq!(landed, 10, "each landed somewhere: {one}");
        let hashes = one["sha256"].as_array().expect("a list");
        assert!(
            hashes
                .iter()
                .all(|hash| hash.as_str().map(str::len) == Some(64))
        );
    }
}

#[cfg(unix)]
#[test]
fn a_run_stopped_by_a_signal_keeps_its_last_step_and_goes_on_to_the_same_end() {
    let proof = check("stop --signals 7", 7);
    for one in proof["strategies"].as_array().expect("a list") {
        let signals = &one["signals"];
        let count = |name: &str| signals[name].as_u64().expect("a count");
        assert_eq!(count("kept") + count("before_it_listened"), 7, "{one}");
        assert!(count("kept") > 0, "{one}");
    }
}

/// The one who proves may be interrupted too: its folder goes, and so does the run at work in it.
#[cfg(unix)]
#[test]
fn a_proof_that_is_interrupted_leaves_nothing() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let scratch = Scratch::new();
        let mut command = scratch.command();
        command.args(["prove", "resume", "--kills", "1000"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut proof = command.spawn().expect("it starts");
        let began = Instant::now();
        // A run is at work, so signals are listened to.
        while scratch
            .names()
            .iter()
            .all(|name| !name.contains("/models/"))
        {
            assert!(began.elapsed() < Duration::from_mins(1), "no run has begun");
            sleep(Duration::from_millis(10));
        }
        let kill = format!("kill -s {signal} {}", proof.id());
        let sent = Command::new("sh").args(["-c", &kill]).status();
        assert!(sent.expect("a shell").success());
        let status = proof.wait().expect("it was started");
        assert_eq!(status.code(), Some(code));
        assert_eq!(scratch.names(), Vec::<String>::new());
    }
}

#[test]
fn a_folder_that_is_not_there_cannot_be_worked_in() {
    let scratch = Scratch::new();
    let parts = ["--dir: nowhere: cannot make a folder there"];
    scratch.refuses(
        "prove resume --kills 1 --dir nowhere",
        crate::support::RESOURCES,
        &parts,
    );
}
