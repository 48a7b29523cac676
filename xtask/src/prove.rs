//! `cargo xtask prove`: properties on very many cases, in release, and the claims of RELIABILITY.md.

pub(crate) mod claims;

use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Time between two lines of progress.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Time between two looks at whether the tests have ended.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs the tests of a crate in release with `PROPTEST_CASES` set to `cases`.
pub(crate) fn run(root: &Path, package: &str, cases: u32) -> Result<()> {
    let tests = Command::new(env!("CARGO"))
        .args(["test", "--release", "--locked", "--package", package])
        .current_dir(root)
        .env("PROPTEST_CASES", cases.to_string())
        .spawn()
        .context("cannot start cargo")?;
    let start = Instant::now();
    let status = wait(tests, |elapsed| {
        eprintln!("prove: {package}, {cases} cases a property: {elapsed} s so far");
    })?;
    let elapsed = start.elapsed().as_secs();
    if !status.success() {
        bail!(
            "{package}, {cases} cases a property: found {status} after {elapsed} s, expected success"
        );
    }
    println!(
        "prove: {package}: its tests pass with PROPTEST_CASES={cases}; {elapsed} s with the build"
    );
    Ok(())
}

/// Waits for the end, and speaks every [`HEARTBEAT`].
fn wait(mut child: Child, mut speak: impl FnMut(u64)) -> Result<ExitStatus> {
    let start = Instant::now();
    let mut next = HEARTBEAT;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for it")? {
            return Ok(status);
        }
        if start.elapsed() >= next {
            speak(start.elapsed().as_secs());
            next += HEARTBEAT;
        }
        sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_the_childs() -> Result<()> {
        for (flag, succeeds) in [("--version", true), ("--no-such-flag", false)] {
            let child = Command::new(env!("CARGO")).arg(flag).spawn()?;
            assert_eq!(wait(child, |_| ())?.success(), succeeds, "{flag}");
        }
        Ok(())
    }
}
