//! Every exit code, by a real command.

use crate::support::{DATA, DIVERGED, MODEL, RESOURCES, Scratch, USAGE, tiny};

#[track_caller]
fn check(line: &str, code: i32) {
    let scratch = Scratch::with_run();
    scratch.write("file", "a file");
    let run = scratch.run(line);
    assert_eq!(run.code, code, "{line}: {run:#?}");
    assert!(!run.stderr.contains("panicked"), "{run:#?}");
}

#[test]
fn what_is_done_is_0() {
    check(
        "evaluate --model run/model --lfw-dir faces --lfw-nrof-folds 2",
        0,
    );
}

#[test]
fn what_cannot_be_asked_is_2() {
    check("train --data-dir faces --batch-size 91", USAGE);
}

#[test]
fn images_that_are_missing_are_3() {
    check("pairs nowhere --output pairs.txt", DATA);
}

#[test]
fn a_run_without_triplets_is_4() {
    let line = tiny("--data-dir faces --rule semi-hard --margin 1e-30 --max-empty-rounds 2");
    check(&format!("train {line}"), DIVERGED);
}

#[test]
fn a_checkpoint_that_is_missing_is_5() {
    check("train --resume faces", MODEL);
}

#[test]
fn a_file_that_cannot_be_written_is_6() {
    check(
        "embed faces --model run/model --output file/embeddings.npy",
        RESOURCES,
    );
}

#[cfg(unix)]
mod signals {
    use std::fs;
    use std::process::{Child, Command, ExitStatus, Stdio};
    use std::thread::sleep;
    use std::time::Duration;

    use crate::support::{Scratch, tiny};

    /// Far more steps than are made before a signal comes.
    fn long(scratch: &Scratch) -> Child {
        let errors = fs::File::create(scratch.path("stderr")).expect("writable");
        start(scratch, errors.into())
    }

    fn start(scratch: &Scratch, errors: Stdio) -> Child {
        let line = tiny("--model-def tiny --max-nrof-epochs 100000");
        let mut command = scratch.command();
        command.arg("train").args(line.split_whitespace());
        command.args(["--synthetic-identities", "8", "--synthetic-images", "4"]);
        command.args(["--synthetic-test-identities", "0"]);
        command.stdout(Stdio::null()).stderr(errors);
        command.spawn().expect("it starts")
    }

    /// Waits until the run has made a step, and so listens.
    fn wait_for_a_step(scratch: &Scratch, child: &mut Child) {
        while !scratch.read("stderr").contains("Epoch: [0][1/") {
            let ended = child.try_wait().expect("ours");
            assert_eq!(ended, None, "{}", scratch.read("stderr"));
            sleep(Duration::from_millis(5));
        }
    }

    /// By the shell's own `kill`: the child has not been waited for, so its number is its own.
    fn send(child: &Child, signals: &[&str]) {
        let line = |signal: &&str| format!("kill -s {signal} {};", child.id());
        let lines: String = signals.iter().map(line).collect();
        let sent = Command::new("sh").args(["-c", &lines]).status();
        assert!(sent.expect("every Unix has a shell").success());
    }

    #[track_caller]
    fn check(signal: &str, code: i32) {
        let scratch = Scratch::new();
        let mut child = long(&scratch);
        wait_for_a_step(&scratch, &mut child);
        send(&child, &[signal]);
        let status: ExitStatus = child.wait().expect("ours");
        let said = scratch.read("stderr");
        assert_eq!(status.code(), Some(code), "{said}");
        let expected = format!("error: stopped by SIG{signal} after step ");
        let rest = said
            .lines()
            .last()
            .and_then(|line| line.strip_prefix(&expected));
        let rest = rest.unwrap_or_else(|| panic!("{said}"));
        let (step, rest) = rest.split_once(',').expect("a number");
        let (_, dir) = rest.split_once("--resume ").expect("how to go on");
        // The command that it names goes on, here for the rest of an epoch of two steps.
        let step: u64 = step.parse().expect("a number");
        let epochs = step / 2 + 1;
        let line = format!("train --resume {dir} --max-nrof-epochs {epochs} --json");
        assert_eq!(scratch.run(&line).done().json()["steps"], 2 * epochs);
    }

    #[test]
    fn an_interrupt_is_130() {
        check("INT", 130);
    }

    #[test]
    fn a_termination_is_143() {
        check("TERM", 143);
    }

    /// The run is held up by a pipe that nobody reads, so that it cannot stop by itself.
    #[test]
    fn a_second_signal_quits_at_once() {
        let scratch = Scratch::new();
        let mut child = start(&scratch, Stdio::piped());
        let steps = || {
            let runs = fs::read_dir(scratch.path("logs")).into_iter().flatten();
            let logs = runs.flatten().map(|run| run.path().join("steps.jsonl"));
            logs.filter_map(|log| fs::metadata(log).ok())
                .map(|log| log.len())
                .sum::<u64>()
        };
        let (mut before, mut after) = (0, steps());
        while after == 0 || after != before {
            assert_eq!(child.try_wait().expect("ours"), None, "it ended by itself");
            // Longer than any step of this size, also where others have the processor.
            sleep(Duration::from_secs(3));
            (before, after) = (after, steps());
        }
        send(&child, &["INT"]);
        sleep(Duration::from_secs(1));
        assert_eq!(child.try_wait().expect("ours"), None, "it cannot stop");
        send(&child, &["TERM"]);
        assert_eq!(child.wait().expect("ours").code(), Some(143));
    }

    #[test]
    fn signals_that_come_together_are_one_wish() {
        let scratch = Scratch::new();
        let mut child = long(&scratch);
        wait_for_a_step(&scratch, &mut child);
        send(&child, &["TERM", "INT", "TERM"]);
        let status = child.wait().expect("ours");
        assert!(matches!(status.code(), Some(130 | 143)), "{status}");
        assert!(
            scratch.read("stderr").contains("error: stopped by SIG"),
            "its last complete step is kept"
        );
    }

    #[test]
    fn other_commands_end_as_the_system_has_it() {
        use std::os::unix::process::ExitStatusExt;
        let scratch = Scratch::new();
        let mut command = scratch.command();
        command.args("synth people --identities 100000 --side 112".split(' '));
        let mut child = command.stdout(Stdio::null()).spawn().expect("it starts");
        sleep(Duration::from_millis(50));
        send(&child, &["TERM"]);
        assert_eq!(child.wait().expect("ours").signal(), Some(15));
        assert!(
            !scratch.path("people").exists(),
            "nothing half-written has its name"
        );
    }
}
