//! Files that mean harm, and real photographs, through the command. They lie in the folder that
//! `FACENET_TEST_DATA` names; they are unpacked to a scratch folder and never come here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::support::{DATA, Run, Scratch, tiny};

/// What the program may take on any of these files, in KiB.
const CEILING: u64 = 512 << 10;
/// How often the program's memory is read; its peak only grows, so little is missed.
const EVERY: Duration = Duration::from_millis(2);

/// `FACENET_TEST_DATA/<name>`; without the variable a message, and `None`.
fn real(name: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("FACENET_TEST_DATA") else {
        crate::skip::skip(format_args!(
            "FACENET_TEST_DATA is not set, so {name} is not tested"
        ));
        return None;
    };
    let path = PathBuf::from(root).join(name);
    assert!(path.exists(), "{}: not there", path.display());
    Some(path)
}

/// A trained model, `tree.tar` unpacked, and the single files as the people `broken` and `odd`.
fn hostile() -> Option<Scratch> {
    let folder = real("hostile")?;
    let scratch = Scratch::with_run();
    let archive = fs::File::open(folder.join("tree.tar")).expect("the archive");
    tar::Archive::new(archive)
        .unpack(scratch.path(""))
        .expect("unpacked");
    for (from, to) in [("broken", "files/broken"), ("odd_valid", "files/odd")] {
        for entry in fs::read_dir(folder.join(from)).expect("a folder") {
            let path = entry.expect("listable").path();
            let name = path
                .file_name()
                .expect("listed")
                .to_string_lossy()
                .into_owned();
            scratch.write(&format!("{to}/{name}"), fs::read(&path).expect("readable"));
        }
    }
    Some(scratch)
}

/// The largest resident size of a process so far, in KiB, where the system tells.
fn peak_of(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Runs `line` within the ceiling of memory; it must not panic.
#[track_caller]
fn run(scratch: &Scratch, line: &str) -> Run {
    let (out, err) = (scratch.path("stdout"), scratch.path("stderr"));
    let file = |path: &Path| Stdio::from(fs::File::create(path).expect("writable"));
    let mut command = scratch.command();
    command
        .args(line.split_whitespace())
        .stdout(file(&out))
        .stderr(file(&err));
    let mut child = command.spawn().expect("it starts");
    let mut peak = 0;
    let status = loop {
        peak = peak.max(peak_of(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait().expect("our child") {
            break status;
        }
        std::thread::sleep(EVERY);
    };
    let run = Run {
        code: status.code().expect("no signal ended it"),
        stdout: scratch.read("stdout"),
        stderr: scratch.read("stderr"),
    };
    eprintln!("{line}: {} MiB at most", peak >> 10);
    assert!(peak < CEILING, "{peak} KiB: {run:#?}");
    assert!(!run.stderr.contains("panicked"), "{run:#?}");
    run
}

#[test]
fn a_hostile_tree_is_embedded_and_what_is_skipped_is_named() {
    let Some(scratch) = hostile() else { return };
    let line = "embed tree --model run/model --output x.npy --json";
    let object = run(&scratch, line).done().json();
    assert_eq!(
        (&object["embeddings"], &object["dim"]),
        (&10.into(), &16.into()),
        "{object}"
    );
    let skipped = object["skipped"].as_array().expect("a list");
    assert_eq!(skipped.len(), 16, "{object}");
    for part in [
        "loop",
        "mutual_a",
        "dangling_0003.jpg",
        "bad_0002.jpg",
        "Thumbs.db",
    ] {
        let named = |entry: &&serde_json::Value| entry.to_string().contains(part);
        assert!(
            skipped.iter().any(|entry| named(&entry)),
            "{part}: {object}"
        );
    }
    assert_eq!(scratch.read("x.npy.paths.txt").lines().count(), 10);
}

#[test]
fn training_on_a_hostile_tree_is_refused_or_passes_over_what_is_broken() {
    let Some(scratch) = hostile() else { return };
    let train = |changes: &str| {
        run(
            &scratch,
            &format!("train {}", tiny(&format!("--data-dir tree {changes}"))),
        )
    };
    let few = train("");
    assert_eq!(few.code, DATA, "{few:#?}");
    assert!(
        few.error().contains("the 7 identities offer 10"),
        "{few:#?}"
    );
    let rounds = "--people-per-batch 4 --images-per-person 2 --rule batch-all --epoch-size 6";
    let bad = train(&format!("{rounds} --max-bad-share 0"));
    assert_eq!(bad.code, DATA, "{bad:#?}");
    assert!(bad.error().contains("bad_0002.jpg"), "{bad:#?}");
    let good = train(&format!("{rounds} --max-bad-share 1")).done();
    assert!(good.stdout.starts_with("done: 6 steps"), "{good:#?}");
    assert!(
        good.stderr.contains("16 files skipped under tree"),
        "{good:#?}"
    );
}

#[test]
fn hostile_files_are_embedded_or_named_within_the_memory() {
    let Some(scratch) = hostile() else { return };
    let object = run(
        &scratch,
        "embed files --model run/model --output x.csv --json",
    )
    .done()
    .json();
    let skipped = object["skipped"].to_string();
    let broken = scratch.names();
    let broken = broken
        .iter()
        .filter(|name| name.starts_with("files/broken/"));
    assert!(broken.clone().count() >= 15, "the folder is whole");
    for name in broken {
        assert!(
            skipped.contains(name.as_str()),
            "{name} was taken for a picture: {skipped}"
        );
    }
    let line = tiny("--data-dir files --people-per-batch 2 --images-per-person 6");
    let refused = run(&scratch, &format!("train {line}"));
    assert_eq!(refused.code, DATA, "{refused:#?}");
    assert!(
        refused.error().contains("cannot be read, expected at most"),
        "{refused:#?}"
    );
}

#[test]
fn hostile_pairs_files_are_scored_or_refused_by_line() {
    let (Some(scratch), Some(pairs), Some(lfw)) = (hostile(), real("hostile/pairs"), real("lfw"))
    else {
        return;
    };
    for (name, code, part) in [
        ("crlf", 0, ""),
        ("bom", DATA, "1 fold(s) of 2 pairs, expected from 2 folds"),
        (
            "bad_number",
            DATA,
            "_pairs.txt:2: image is \"one\", expected",
        ),
        ("empty", DATA, "_pairs.txt: empty file"),
        ("five_columns", DATA, "_pairs.txt:2: 5 columns, expected 3"),
        (
            "huge_header",
            DATA,
            "1 pair lines, but the header promises 18446744073709551615",
        ),
        (
            "missing_image",
            DATA,
            "Aaron_Peirsol_9999, Nobody_Here/Nobody_Here_0001",
        ),
        (
            "path_escape",
            DATA,
            "_pairs.txt:2: name is \"../../lfw/Aaron_Peirsol\"",
        ),
        ("short", DATA, "1 pair lines, but the header promises 10"),
    ] {
        let file = pairs.join(format!("{name}_pairs.txt"));
        let folds = if name == "bom" { 1 } else { 2 };
        let (file, lfw) = (file.display(), lfw.display());
        let line = format!(
            "evaluate --model run/model --pairs {file} --lfw-dir {lfw} --nrof-folds {folds}"
        );
        let run = run(&scratch, &line);
        assert_eq!(run.code, code, "{name}: {run:#?}");
        if code == 0 {
            assert!(
                run.stdout.contains("Pairs: 2 same, 2 different, 2 folds"),
                "{run:#?}"
            );
        } else {
            assert!(
                run.error().contains(part),
                "{name} lacks {part:?}: {run:#?}"
            );
        }
    }
}

/// What needs no good model: every picture is enrolled, is found as itself, and is gone when forgotten.
#[track_caller]
fn check_orl(scratch: &Scratch, orl: &str, model: &str) {
    let json = |line: &str| run(scratch, &format!("{line} --json")).done().json();
    let found = json(&format!("doctor {orl}"));
    assert_eq!(
        (&found["identities"], &found["readable"], &found["grave"]),
        (&40.into(), &400.into(), &0.into())
    );
    let enrolled = json(&format!("enroll g --model {model} --data-dir {orl}"));
    assert_eq!(
        (&enrolled["people"], &enrolled["added"]),
        (&40.into(), &400.into())
    );
    let name = || {
        let line = format!("identify g {orl}/s1/1.pgm --model {model} --threshold 0.000001");
        json(&line)["images"][0]["name"].clone()
    };
    assert_eq!(name(), "s1");
    run(scratch, "forget g s1").done();
    assert!(name().is_null());
}

#[test]
fn real_photographs_are_trained_on_and_scored() {
    let (Some(orl), Some(lfw)) = (real("orl"), real("lfw")) else {
        return;
    };
    let scratch = Scratch::new();
    let (orl, lfw) = (orl.display(), lfw.display());
    let train = format!("train --json {}", tiny(&format!("--data-dir {orl}")));
    let object = run(&scratch, &train).done().json();
    let model = object["model_dir"].as_str().expect("a path");
    let score = format!(
        "evaluate --json --model {model} --lfw-dir {lfw} --pairs {lfw}/pairs.txt --lfw-folds 9,10"
    );
    let score = run(&scratch, &score).done().json();
    assert_eq!(
        (&score["n_same"], &score["n_different"]),
        (&600.into(), &600.into()),
        "{score}"
    );
    check_orl(&scratch, &orl.to_string(), model);
    let people = format!(
        "--data-dir {lfw} --train-people {lfw}/people.txt:1-8 --exclude-people {lfw}/people.txt:9-10"
    );
    run(&scratch, &format!("train {}", tiny(&people))).done();
}
