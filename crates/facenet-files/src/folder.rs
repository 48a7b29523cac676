//! Folders: whole under their name, or not there; and what a crash has left of them.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::durable::SCRATCH_PREFIX;
use crate::error::FileError;
use crate::scratch::{Patience, claim};
use crate::system::FileSystem;

/// What a folder is called while another takes its place, where names cannot be exchanged.
const REPLACED_PREFIX: &str = ".replaced-";

/// The folder that something lies in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Waits until the disk has a folder's entries.
///
/// # Errors
/// [`FileError`] naming the folder.
pub fn sync_folder(files: &dyn FileSystem, folder: &Path) -> Result<(), FileError> {
    let synced = files.sync_folder(folder);
    synced.map_err(|source| FileError::new(folder, "synchronise this folder", source))
}

/// Makes a folder that was not there, durably.
///
/// # Errors
/// [`FileError`] naming the folder; of kind [`io::ErrorKind::AlreadyExists`] where it is there.
pub fn make_folder(files: &dyn FileSystem, folder: &Path) -> Result<(), FileError> {
    let made = files.create_folder(folder);
    made.map_err(|source| FileError::new(folder, "make this folder", source))?;
    sync_folder(files, folder_of(folder))
}

/// Makes a folder, and those above it, where they are missing, durably.
///
/// # Errors
/// [`FileError`] naming the folder that cannot be made.
pub fn make_folders(files: &dyn FileSystem, folder: &Path) -> Result<(), FileError> {
    if folder.is_dir() {
        return Ok(());
    }
    let made = match make_folder(files, folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_folders(files, folder_of(folder))?;
            make_folder(files, folder)
        }
        made => made,
    };
    match made {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        made => made,
    }
}

/// Makes a folder that was not there, in one that may have to be made: as `fill` leaves it, or not
/// at all. A process that ends early leaves a folder of scratch beside it at most, which the next one
/// that makes such a folder deletes.
///
/// - `fill`: is given the scratch folder to fill, and synchronises what is to survive a crash
///
/// # Errors
/// Those of `fill`; [`FileError`] where the disk refuses, where there is such a folder, or where
/// another process is about to make it ([`io::ErrorKind::ResourceBusy`]).
pub fn new_folder<E: From<FileError>>(
    files: &dyn FileSystem,
    folder: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let absent = || match fs::symlink_metadata(folder) {
        Ok(_) => {
            let taken = io::ErrorKind::AlreadyExists.into();
            Err(FileError::new(folder, "make this folder", taken))
        }
        Err(_) => Ok(()),
    };
    absent()?;
    replace_folder(files, folder, |scratch| {
        fill(scratch)?;
        // Whoever made one meanwhile keeps it.
        Ok(absent()?)
    })
}

/// As [`new_folder`], in place of what has the name now: see [`put_folder`].
///
/// # Errors
/// Those of `fill`; [`FileError`] where the disk refuses, or where another process is making a folder
/// of that name.
pub fn replace_folder<E: From<FileError>>(
    files: &dyn FileSystem,
    folder: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    make_folders(files, folder_of(folder))?;
    let scratch = prefixed(folder, SCRATCH_PREFIX);
    let create = || {
        files.create_folder(&scratch)?;
        Ok(((), fs::File::open(&scratch)))
    };
    let failed = |source: io::Error| {
        let action = match source.kind() {
            io::ErrorKind::ResourceBusy => "make this folder while another process makes it",
            _ => "make this folder",
        };
        FileError::new(folder, action, source)
    };
    let ((), _hold) = claim(files, &scratch, Patience::Tell, create).map_err(failed)?;
    let made = sync_folder(files, folder_of(folder))
        .map_err(E::from)
        .and_then(|()| fill(&scratch))
        .and_then(|()| Ok(put_folder(files, &scratch, folder)?));
    if made.is_err() {
        // The first error is the one to tell.
        let _ = delete(files, &scratch);
    }
    made
}

/// Gives the finished folder `scratch` the name `path`, in place of what has it now.
///
/// Where the system can exchange names there is a folder of that name at every moment; elsewhere
/// there is none between two renames, and [`sweep`] brings the old one back after a crash there.
///
/// # Errors
/// [`FileError`]; the old folder has stayed then, or the new one is there and the old one, or a
/// part of it, is left as scratch.
pub fn put_folder(files: &dyn FileSystem, scratch: &Path, path: &Path) -> Result<(), FileError> {
    sync_folder(files, scratch)?;
    let replaced = prefixed(path, REPLACED_PREFIX);
    if fs::symlink_metadata(path).is_err() {
        rename(files, scratch, path)?;
        sync_folder(files, folder_of(path))?;
        return delete(files, &replaced);
    }
    match files.exchange(scratch, path) {
        Ok(()) => {
            sync_folder(files, folder_of(path))?;
            delete(files, scratch)
        }
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            put_by_renames(files, scratch, path, &replaced)
        }
        Err(source) => Err(FileError::new(path, "move a folder here", source)),
    }
}

fn put_by_renames(
    files: &dyn FileSystem,
    scratch: &Path,
    path: &Path,
    replaced: &Path,
) -> Result<(), FileError> {
    delete(files, replaced)?;
    rename(files, path, replaced)?;
    if let Err(error) = rename(files, scratch, path) {
        rename(files, replaced, path)?;
        return Err(error);
    }
    // Were the old one's files to go before the new one's name comes, a crash would leave neither.
    sync_folder(files, folder_of(path))?;
    delete(files, replaced)
}

/// Moves a file or folder to a name that nothing has. As durable as the folders, which are the
/// caller's to synchronise.
///
/// # Errors
/// [`FileError`] naming the new place.
pub fn rename(files: &dyn FileSystem, from: &Path, to: &Path) -> Result<(), FileError> {
    let moved = files.rename(from, to);
    moved.map_err(|source| FileError::new(to, "move a folder here", source))
}

/// Deletes a file, or a folder and all that is in it, that may be there.
///
/// # Errors
/// [`FileError`] naming what could not be deleted.
pub fn delete(files: &dyn FileSystem, path: &Path) -> Result<(), FileError> {
    let failed = |source| FileError::new(path, "delete this", source);
    match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => {
            let entries = match fs::read_dir(path) {
                Err(error) => return unless_gone(error).map_err(failed),
                Ok(entries) => entries,
            };
            for entry in entries {
                delete(files, &entry.map_err(failed)?.path())?;
            }
            files
                .remove_folder(path)
                .or_else(unless_gone)
                .map_err(failed)
        }
        Ok(_) => files.remove_file(path).or_else(unless_gone).map_err(failed),
        Err(_) => Ok(()),
    }
}

/// Another process may delete the same left-overs.
fn unless_gone(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }
}

/// Clears up what a killed process left in `folder`: unfinished folders and files go, and a folder
/// whose successor did not make it comes back. Only the process that writes there may call it.
///
/// # Errors
/// [`FileError`] when something cannot be listed, moved or deleted.
pub fn sweep(files: &dyn FileSystem, folder: &Path) -> Result<(), FileError> {
    let failed = |source| FileError::new(folder, "list this folder", source);
    let entries = fs::read_dir(folder).map_err(failed)?;
    let entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(failed)?;
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        if let Some(original) = name.strip_prefix(REPLACED_PREFIX) {
            bring_back(files, &path, &folder.join(original))?;
        } else if name.starts_with(SCRATCH_PREFIX) {
            delete(files, &path)?;
        }
    }
    Ok(())
}

fn bring_back(files: &dyn FileSystem, replaced: &Path, original: &Path) -> Result<(), FileError> {
    if fs::symlink_metadata(original).is_err() {
        rename(files, replaced, original)?;
        return sync_folder(files, folder_of(original));
    }
    // Its successor's name may not be on the disk yet.
    sync_folder(files, folder_of(original))?;
    delete(files, replaced)
}

/// The name beside `path` that begins with `prefix`.
pub fn prefixed(path: &Path, prefix: &str) -> PathBuf {
    let mut name = OsString::from(prefix);
    name.push(path.file_name().unwrap_or_default());
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::tests::names;
    use crate::{Disk, write_new};

    #[test]
    fn a_folder_appears_filled_or_not_at_all() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let folder = root.path().join("above/new");
        let failed = new_folder(&Disk, &folder, |scratch| {
            write_new(&Disk, &scratch.join("half"), b"1")?;
            write_new(&Disk, &scratch.join("half"), b"1")
        });
        assert!(failed.is_err() && names(&root.path().join("above")).is_empty());
        let fill = |scratch: &Path| write_new(&Disk, &scratch.join("a.txt"), b"1");
        new_folder(&Disk, &folder, fill).expect("writable");
        assert_eq!(names(&folder), ["a.txt"]);
        new_folder(&Disk, &folder, fill).expect_err("it is there, and not empty");
        assert_eq!(names(&root.path().join("above")), ["new"]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let root = tempfile::tempdir().expect("a scratch folder");
        fs::write(root.path().join("file"), "in the way").expect("writable");
        let message = make_folders(&Disk, &root.path().join("file/x")).expect_err("a file");
        assert!(
            message.to_string().contains("file/x: cannot make"),
            "{message}"
        );
        make_folders(&Disk, &root.path().join("a/b/c")).expect("writable");
        assert!(root.path().join("a/b/c").is_dir());
    }

    #[test]
    fn a_folder_takes_anothers_place() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let path = root.path().join("a");
        for text in ["old", "new"] {
            let scratch = root.path().join(".scratch-a");
            make_folder(&Disk, &scratch).expect("writable");
            write_new(&Disk, &scratch.join(text), b"").expect("writable");
            put_folder(&Disk, &scratch, &path).expect("writable");
        }
        assert_eq!(
            (names(root.path()), names(&path)),
            (vec!["a".to_owned()], vec!["new".to_owned()])
        );
    }

    #[test]
    fn a_folder_that_cannot_be_moved_stays() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let path = root.path().join("a");
        make_folder(&Disk, &path).expect("writable");
        // No folder can be moved into itself.
        let message = put_folder(&Disk, &path, root.path())
            .expect_err("its own parent")
            .to_string();
        assert!(message.contains("move a folder here"), "{message}");
        assert_eq!(names(root.path()), ["a"]);
    }

    #[test]
    fn sweeping_deletes_scratch_and_restores_what_was_replaced() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let folder = |name: &str| root.path().join(name);
        for name in [".replaced-one", ".replaced-two", "two", ".scratch-3/x"] {
            fs::create_dir_all(folder(name)).expect("writable");
        }
        for name in [".scratch-a.txt", "notes.txt"] {
            fs::write(folder(name), "").expect("writable");
        }
        sweep(&Disk, root.path()).expect("ours");
        assert_eq!(names(root.path()), ["notes.txt", "one", "two"]);
        assert!(sweep(&Disk, &folder("none")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn deleting_does_not_follow_links() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let path = |name: &str| root.path().join(name);
        fs::create_dir_all(path("gone/inside")).expect("writable");
        fs::write(path("kept"), "").expect("writable");
        std::os::unix::fs::symlink(root.path(), path("gone/link")).expect("writable");
        delete(&Disk, &path("gone")).expect("ours");
        delete(&Disk, &path("gone")).expect("not there");
        assert_eq!(names(root.path()), ["kept"]);
    }

    #[test]
    fn a_bare_name_lies_in_the_current_folder() {
        assert_eq!(folder_of(Path::new("g")), Path::new("."));
        assert_eq!(folder_of(Path::new("a/g")), Path::new("a"));
    }
}
