//! Names that are no text, no names, or no files: told at once, and nothing is lost in silence.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use crate::support::{DATA, Scratch, USAGE};

/// Where names may be any bytes: two folders and a file whose names would read as U+FFFD.
#[cfg(target_os = "linux")]
#[test]
fn what_is_not_utf8_is_skipped_with_the_reason_by_every_command() {
    let scratch = Scratch::with_run();
    let faces = scratch.path("faces");
    let odd = |name: &[u8]| faces.join(OsStr::from_bytes(name));
    fs::rename(faces.join("synth_00001"), odd(b"\xfe")).expect("ours");
    fs::rename(faces.join("synth_00002"), odd(b"\xff")).expect("ours");
    let image = faces.join("synth_00003/synth_00003_0001.png");
    fs::rename(image, odd(b"synth_00003/\xff.png")).expect("ours");

    let enrolled = scratch
        .run("enroll g --model run/model --data-dir faces --json")
        .done();
    let report = enrolled.json();
    assert_eq!(
        (&report["people"], &report["added"]),
        (&10.into(), &39.into())
    );
    assert_eq!(report["skipped"].as_array().map(Vec::len), Some(3));
    assert_eq!(enrolled.stderr.matches("not UTF-8; rename it").count(), 3);

    let cluster = "cluster faces --model run/model --threshold 0.2 --output out --json";
    let found = scratch.run(cluster).done().json();
    assert_eq!(
        (
            &found["n_images"],
            found["skipped"].as_array().map(Vec::len)
        ),
        (&39.into(), Some(3))
    );

    let doctor = scratch.run("doctor faces --html page.html --json");
    let findings = doctor.json();
    assert_eq!(findings["counts"]["passed-over"], 3, "{findings}");

    let mut command = scratch.command();
    command.args(["embed", "--model", "run/model", "--output", "e.csv"]);
    let run = crate::support::Run::of(command.arg(odd(b"\xff")));
    assert_eq!(run.code, USAGE);
    assert!(run.error().contains("invalid UTF-8"), "{run:#?}");
}

#[test]
fn enrolling_tells_before_it_embeds_what_it_cannot_write() {
    let scratch = Scratch::with_run();
    let enroll = |rest: &str| format!("enroll {rest} --model run/model");
    let nowhere = ["no/g: cannot read this gallery"];
    // Were the images looked at first, their folder would be named.
    scratch.refuses(&enroll("no/g --data-dir nowhere"), DATA, &nowhere);
    fs::rename(
        scratch.path("faces/synth_00001"),
        scratch.path("faces/a\tb"),
    )
    .expect("ours");
    let name = ["\"a\\tb\" cannot be a name: it has control characters"];
    scratch.refuses(&enroll("g --data-dir faces"), USAGE, &name);
    let run = scratch.run_words([
        "enroll",
        "g",
        "--model",
        "run/model",
        "--name",
        "a\nb",
        "nowhere",
    ]);
    assert_eq!(run.code, USAGE, "{run:#?}");
}

/// Opening it would wait for whoever writes to it.
#[test]
fn a_pipe_is_not_waited_for() {
    let scratch = Scratch::with_run();
    let made = Command::new("mkfifo").arg(scratch.path("pipe")).status();
    assert!(made.expect("POSIX has it").success());
    for line in [
        "forget pipe Ann",
        "identify pipe faces --model run/model",
        "enroll pipe --name Ann faces --model run/model",
        "verify pipe pipe --model run/model",
        "evaluate --embeddings pipe",
        "cluster pipe --threshold 0.5",
        "mine --embeddings pipe",
    ] {
        let run = scratch.run(line);
        let is_named = run.error().contains("pipe");
        assert!(run.code == DATA && is_named, "{line}: {run:#?}");
    }
}
