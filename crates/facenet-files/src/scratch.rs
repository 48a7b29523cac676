//! Scratch: one maker at a time, and what a maker who is gone has left goes.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use crate::folder::delete;
use crate::lock::lock_soon;
use crate::system::FileSystem;

/// What to do while another maker is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Wait: a file takes moments.
    Wait,
    /// Say so, by [`io::ErrorKind::ResourceBusy`]: a folder may take hours.
    Tell,
}

/// What a maker keeps until the scratch has its last name: a lock, which the system takes back when
/// its process ends. `None` where the file system has no locks.
pub(crate) type Hold = Option<File>;

/// Makes scratch by `make`, which says so where the name is taken; then by whoever is at work on it,
/// or was when the process ended: what such a one has left is deleted.
///
/// - `make`: gives what it has made and a handle of it
///
/// # Errors
/// Those of `make` and of deleting, and see [`Patience`].
pub(crate) fn claim<T>(
    files: &dyn FileSystem,
    scratch: &Path,
    patience: Patience,
    mut make: impl FnMut() -> io::Result<(T, io::Result<File>)>,
) -> io::Result<(T, Hold)> {
    loop {
        let (made, handle) = match make() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                clear(files, scratch, patience)?;
                continue;
            }
            made => made?,
        };
        let hold = match handle {
            // A folder that is gone before it could be opened.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            handle => handle.ok(),
        };
        let Some(hold) = hold else {
            return Ok((made, None));
        };
        match lock(&hold, patience) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => return Err(error),
            // Without locks it is the caller's care.
            Err(_) => return Ok((made, None)),
            // Between making and locking, another maker may have taken it for left behind.
            Ok(()) if is_at(&hold, scratch) => return Ok((made, Some(hold))),
            Ok(()) => {}
        }
    }
}

fn lock(file: &File, patience: Patience) -> io::Result<()> {
    match patience {
        Patience::Wait => file.lock(),
        Patience::Tell => lock_soon(file).map_err(|error| match error {
            TryLockError::WouldBlock => io::ErrorKind::ResourceBusy.into(),
            TryLockError::Error(error) => error,
        }),
    }
}

/// Deletes what is in the way, unless its maker is alive. Only who holds a lock may delete what it
/// is on, so that nobody deletes what another has made meanwhile.
fn clear(files: &dyn FileSystem, scratch: &Path, patience: Patience) -> io::Result<()> {
    let kind = fs::symlink_metadata(scratch);
    let is_ours = kind.is_ok_and(|kind| kind.is_file() || kind.is_dir());
    // Opening a pipe would wait for who writes to it.
    if let Some(left) = is_ours.then(|| File::open(scratch).ok()).flatten() {
        match lock(&left, patience) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => return Err(error),
            Ok(()) if !is_at(&left, scratch) => return Ok(()),
            // Without locks it is the caller's care.
            Ok(()) | Err(_) => return delete(files, scratch).map_err(Into::into),
        }
    }
    delete(files, scratch).map_err(Into::into)
}

/// Whether an open file or folder still has this name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |data: fs::Metadata| (data.dev(), data.ino());
    let [open, named] = [file.metadata(), fs::symlink_metadata(path)].map(|data| data.map(place));
    matches!((open, named), (Ok(open), Ok(named)) if open == named)
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::tests::names;
    use crate::{Disk, FileError, make_folder, new_folder, replace, write_new};

    /// What a killed process leaves: files and folders, and no lock on them.
    #[test]
    fn what_makers_who_are_gone_have_left_goes() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let path = |name: &str| root.path().join(name);
        fs::create_dir_all(path(".scratch-out/cluster_0001")).expect("writable");
        fs::write(path(".scratch-out/cluster_0001/1.png"), "a face").expect("writable");
        fs::write(path(".scratch-a"), "half").expect("writable");
        replace(&Disk, &path("a"), b"whole").expect("writable");
        let fill = |scratch: &Path| write_new(&Disk, &scratch.join("x"), b"");
        new_folder(&Disk, &path("out"), fill).expect("writable");
        assert_eq!(names(root.path()), ["a", "out"]);
        assert_eq!(names(&path("out")), ["x"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_of_a_maker_who_lives_is_left_alone() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let path = |name: &str| root.path().join(name);
        let within = new_folder(&Disk, &path("out"), |scratch| {
            make_folder(&Disk, &scratch.join("mine"))?;
            let other = new_folder(&Disk, &path("out"), |_| Ok::<(), FileError>(()));
            let busy = other.expect_err("one is at work").kind();
            assert_eq!(busy, io::ErrorKind::ResourceBusy);
            Ok::<(), FileError>(())
        });
        within.expect("writable");
        assert_eq!(
            (names(root.path()), names(&path("out"))),
            (vec!["out".into()], vec!["mine".into()])
        );
    }

    /// Links and pipes are deleted, and not followed or waited for.
    #[cfg(unix)]
    #[test]
    fn what_is_in_the_way_may_be_a_link_to_nothing() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let path = |name: &str| root.path().join(name);
        std::os::unix::fs::symlink(path("nothing"), path(".scratch-a")).expect("writable");
        replace(&Disk, &path("a"), b"whole").expect("writable");
        assert_eq!(names(root.path()), ["a"]);
    }

    /// Writers of one file at once: each succeeds, and what is there at the end is one's whole work.
    #[cfg(unix)]
    #[test]
    fn writers_of_one_file_take_turns() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let path = root.path().join("a");
        let write = |byte: u8| {
            for _ in 0..10 {
                replace(&Disk, &path, &vec![byte; 300_000]).expect("in its turn");
                let found = fs::read(&path).expect("there");
                assert!(found.len() == 300_000 && found.iter().all(|&x| x == found[0]));
            }
        };
        std::thread::scope(|scope| {
            for byte in 0..4 {
                scope.spawn(move || write(byte));
            }
        });
        assert_eq!(names(root.path()), ["a"]);
    }
}
