//! Disks that are really full: a limit for one file, and a small file system.

use std::process::Command;

use crate::support::{Files, RESOURCES, Run, Scratch, files_below, tiny};

/// A finished run of one epoch, and its folder's name below `models` and `logs`.
fn trained() -> (Scratch, String) {
    let scratch = Scratch::new();
    let flags = "--synthetic-identities 12 --synthetic-images 4 --synthetic-test-identities 0";
    scratch.run(&format!("train {}", tiny(flags))).done();
    let name = std::fs::read_dir(scratch.path("models")).expect("a run");
    let name = name.last().expect("one run").expect("readable").file_name();
    (scratch, name.to_string_lossy().into_owned())
}

/// A run that goes on, by a shell that has done `before`; `$0` is the program.
fn go_on(scratch: &Scratch, before: &str, run: &str) -> Run {
    let mut shell = Command::new("sh");
    shell.current_dir(scratch.path("."));
    shell.args(["-c", &format!("{before}; exec \"$0\" \"$@\"")]);
    shell.arg(env!("CARGO_BIN_EXE_facenet"));
    Run::of(shell.args(["train", "--resume", run, "--max-nrof-epochs", "2"]))
}

/// Everything of before is there as it was, and nothing unfinished.
#[track_caller]
fn check_intact(before: &Files, after: &Files) {
    for (name, bytes) in before {
        assert!(after.get(name) == Some(bytes), "{name} has changed");
    }
    let unfinished = after
        .keys()
        .find(|name| name.contains("/.") || name.starts_with('.'));
    assert_eq!(unfinished, None);
}

/// Bytes of the folder of a checkpoint.
fn bytes_of(files: &Files, checkpoint: &str) -> usize {
    let of_it = files.iter().filter(|(name, _)| name.contains(checkpoint));
    of_it.map(|(_, bytes)| bytes.len()).sum()
}

/// The error names the checkpoint, and about as many bytes as the one before it has.
#[track_caller]
fn check_told(run: &Run, like: usize, why: &str) {
    assert_eq!(run.code, RESOURCES, "{run:#?}");
    let told = run.error();
    assert!(
        told.contains("checkpoint-00000004: cannot write this folder"),
        "{told}"
    );
    assert!(told.contains(why), "{told}");
    let (_, rest) = told.split_once("it needs ").expect("what it needs");
    let bytes: usize = rest
        .split_once(' ')
        .and_then(|(bytes, _)| bytes.parse().ok())
        .expect(rest);
    assert!(
        bytes.abs_diff(like) < 10_000,
        "{bytes}, the one before has {like}"
    );
}

/// A shell whose files may have up to 200 blocks.
const LIMITED: &str = "ulimit -f 200";

#[cfg(unix)]
#[test]
fn a_checkpoint_above_the_limit_for_a_file_leaves_the_one_before() {
    let (scratch, name) = trained();
    let dir = format!("models/{name}");
    let before = files_below(&scratch.path(&dir));
    let like = bytes_of(&before, "checkpoint-00000002");
    let stopped = go_on(&scratch, LIMITED, &dir);
    check_told(&stopped, like, "no file there may have so many");
    check_intact(&before, &files_below(&scratch.path(&dir)));
    go_on(&scratch, "true", &dir).done();
}

/// Goes on with a run on a file system of `$SIZE` bytes, mounted on `small` where nobody else
/// sees it, and leaves what it then holds in `left`; exit code 77 where nothing can be mounted.
#[cfg(target_os = "linux")]
const ON_A_SMALL_DISK: &str = "mount -t tmpfs -o size=$SIZE none small || exit 77
    cp -r models logs small && cd small || exit 1
    $PROGRAM train --resume $RUN --max-nrof-epochs 2
    code=$?; cp -r models logs ../left; exit $code";

#[cfg(target_os = "linux")]
#[test]
fn a_checkpoint_that_a_small_disk_has_no_room_for_leaves_the_one_before() {
    let (scratch, name) = trained();
    let dir = format!("models/{name}");
    let before = files_below(&scratch.path("models"));
    let like = bytes_of(&before, "checkpoint-00000002");
    for folder in ["small", "left"] {
        std::fs::create_dir(scratch.path(folder)).expect("writable");
    }
    // Files take whole pages; logs and a half of the checkpoint have room besides.
    let pages: usize = before
        .values()
        .map(|bytes| bytes.len().next_multiple_of(4096))
        .sum();
    let mut command = Command::new("unshare");
    command.current_dir(scratch.path("."));
    command.env("SIZE", (pages + like / 2).to_string());
    command
        .env("PROGRAM", env!("CARGO_BIN_EXE_facenet"))
        .env("RUN", &dir);
    command.args([
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        ON_A_SMALL_DISK,
    ]);
    let mut trial = Command::new("unshare");
    trial.args(["--user", "--map-root-user", "--mount", "true"]);
    let may_mount = trial.status().is_ok_and(|status| status.success());
    let stopped = may_mount
        .then(|| Run::of(&mut command))
        .filter(|run| run.code != 77);
    let Some(stopped) = stopped else {
        crate::skip::skip(format_args!(
            "a_checkpoint_that_a_small_disk_has_no_room_for: cannot mount one"
        ));
        return;
    };
    check_told(&stopped, like, "bytes, and the disk has ");
    check_intact(&before, &files_below(&scratch.path("left/models")));
    go_on(&scratch, "cd left", &dir).done();
    println!("faults: small disk: a checkpoint of {like} bytes, half of it free");
}
