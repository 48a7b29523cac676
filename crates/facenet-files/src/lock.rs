//! Locks that are another's, or were until a moment ago.

use std::fs::{File, TryLockError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Time that a lock is waited for. While a process starts another, that one has its locks too, until
/// it is a program of its own: a lock may outlive its holder by moments.
const MOMENT: Duration = Duration::from_secs(1);
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// Locks a file or folder for this process, unless another keeps it for longer than a moment.
///
/// # Errors
/// [`TryLockError::WouldBlock`] where another has it; else what the system says: some file systems
/// have no locks.
pub fn lock_soon(file: &File) -> Result<(), TryLockError> {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if began.elapsed() < MOMENT => sleep(PAUSE),
            locked => return locked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_lock_is_had_when_it_is_given_back_and_not_before() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("a");
        let open = || {
            File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
        };
        let (holder, other) = (open().expect("writable"), open().expect("writable"));
        lock_soon(&holder).expect("nobody has it");
        let kept = lock_soon(&other).expect_err("it is kept");
        assert!(matches!(kept, TryLockError::WouldBlock), "{kept}");
        thread::scope(|scope| {
            let waits = scope.spawn(|| lock_soon(&other));
            sleep(5 * PAUSE);
            drop(holder);
            waits.join().expect("no panic").expect("it was given back");
        });
    }
}
