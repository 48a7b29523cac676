//! Writing to stdout and stderr without a panic: either may be closed, or full, at any time.
//!
//! `println!` and `eprintln!` panic where the other end of a pipe has gone (`facenet … | head`),
//! which would end a training run for a line that nobody reads.

use std::io::{ErrorKind, Write};

use crate::failure::Failure;

/// A line on stderr; lost where nobody can take it.
pub(crate) fn tell(line: &str) {
    let mut stderr = std::io::stderr().lock();
    // There is no other place to say that stderr is gone.
    let _ = writeln!(stderr, "{line}");
}

/// Text on stdout, as it is, all of it gone when this returns. A reader that has left early has
/// what it wanted.
///
/// # Errors
/// A [`Failure`] of class resources where stdout cannot take it, as on a full disk.
pub(crate) fn put(text: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::resources(format!(
            "cannot write to stdout: {error}; check that the disk has room"
        ))),
        _ => Ok(()),
    }
}
