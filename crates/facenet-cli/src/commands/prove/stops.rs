//! Stopping a run by a signal at a drawn moment.

use std::fs;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use super::draws::Draws;
use super::run::{Run, end};
use super::tally::Tally;
use crate::failure::Failure;
use crate::signals::Signal;

/// What a run has, from the signal to its end.
const WITHIN: Duration = Duration::from_secs(10);

/// Starts the run and sends it a signal; true where it was done before.
///
/// # Errors
/// A failure where the run did not stop in time, with the code that says so, and with its last
/// complete step kept.
pub(super) fn disturb(run: &Run, draws: &mut Draws, tally: &mut Tally) -> Result<bool, Failure> {
    let draw = draws.next();
    let signal = if draw.is_interrupt {
        Signal::INTERRUPT
    } else {
        Signal::TERMINATE
    };
    let before = run.unfinished();
    let mut child = run.start()?;
    let mut ended = run.wait_for(&mut child, draw.moment, &before)?;
    if ended.is_none() {
        let sent = Instant::now();
        send(run, &child, signal)?;
        ended = run.wait(&mut child, WITHIN)?;
        tally.slowest = tally.slowest.max(sent.elapsed());
    }
    let Some(status) = ended else {
        end(&mut child);
        let (name, seconds) = (signal.name(), WITHIN.as_secs());
        return Err(run.gone_wrong(&format!("{seconds} s after {name} it still ran")));
    };
    if status.success() {
        return Ok(true);
    }
    tally.landed += 1;
    if status.code() == Some(128 + i32::from(signal.0)) {
        check_kept(run)?;
        tally.kept += 1;
    } else if was_ended_by(status, signal) {
        tally.before_it_listened += 1;
    } else {
        return Err(run.gone_wrong(&format!("{} ended it with {status}", signal.name())));
    }
    Ok(false)
}

/// The newest checkpoint is of the last step that the run has logged.
fn check_kept(run: &Run) -> Result<(), Failure> {
    let Some((dir, step)) = run.newest()? else {
        return Err(run.gone_wrong("it was stopped and left no checkpoint"));
    };
    let name = dir.file_name().expect("a run's folder has a name");
    let log = run.root.join("logs").join(name).join("steps.jsonl");
    let log = fs::read_to_string(log).unwrap_or_default();
    let last = log.lines().last().map_or(Ok(0), |line| {
        let line: Result<serde_json::Value, _> = serde_json::from_str(line);
        line.map(|line| line["step"].as_u64().unwrap_or_default())
    });
    match last {
        Ok(last) if last == step => Ok(()),
        Ok(last) => Err(run.gone_wrong(&format!(
            "it was stopped after step {last}, and its newest checkpoint is of step {step}"
        ))),
        Err(error) => Err(run.gone_wrong(&format!("its log of steps is broken ({error})"))),
    }
}

/// By the shell's own `kill`, which every Unix has.
#[cfg(unix)]
fn send(run: &Run, child: &Child, signal: Signal) -> Result<(), Failure> {
    // Not waited for yet: the number is still its own.
    let sent = std::process::Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", signal.short_name()])
        .arg(child.id().to_string())
        .status();
    match sent {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(run.gone_wrong(&format!("cannot send it a signal ({status})"))),
        Err(error) => Err(run.gone_wrong(&format!("cannot send it a signal ({error})"))),
    }
}

#[cfg(not(unix))]
fn send(_: &Run, _: &Child, _: Signal) -> Result<(), Failure> {
    Err(Failure::usage(
        "prove stop: this system has no signals to send",
    ))
}

#[cfg(unix)]
fn was_ended_by(status: ExitStatus, signal: Signal) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(i32::from(signal.0))
}

#[cfg(not(unix))]
fn was_ended_by(_: ExitStatus, _: Signal) -> bool {
    false
}
