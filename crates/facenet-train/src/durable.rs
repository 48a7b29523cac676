//! Writing that survives a crash: whole files appear complete under their name, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::error::TrainError;

/// What the name of unfinished work begins with; whoever finds such a thing may delete it.
pub(crate) const SCRATCH_PREFIX: &str = ".scratch-";

/// Writes a new file and waits until the disk has it.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|source| TrainError::io(path, "write this file", source))
}

/// Puts a whole file in place, whether or not there was one: a scratch file, then a rename.
///
/// # Errors
/// [`TrainError::Io`] naming the file.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let failed = |source| TrainError::io(path, "write this file", source);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(std::io::ErrorKind::InvalidInput.into()));
    };
    let scratch = folder.join(format!("{SCRATCH_PREFIX}{}", name.to_string_lossy()));
    let write = || {
        let mut file = File::create(&scratch)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&scratch, path)
    };
    if let Err(source) = write() {
        // The first error is the one to tell; a scratch file left behind is swept later.
        let _ = fs::remove_file(&scratch);
        return Err(failed(source));
    }
    sync_folder(folder)
}

/// Makes a folder that was not there: whole, as `fill` leaves it, or not at all.
///
/// - `flag`: what the folder's name was given by
pub(crate) fn new_folder(
    folder: &Path,
    flag: &'static str,
    fill: impl FnOnce(&Path) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    if folder.exists() {
        let problem = format!("{} exists; give a folder that does not", folder.display());
        return Err(TrainError::config(flag, problem));
    }
    let parent = folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent)
        .map_err(|source| TrainError::io(parent, "make this folder", source))?;
    let scratch = scratch_builder()
        .tempdir_in(parent)
        .map_err(|source| TrainError::io(parent, "make a scratch folder in it", source))?;
    fill(scratch.path())?;
    fs::rename(scratch.path(), folder)
        .map_err(|source| TrainError::io(folder, "give the folder its name", source))?;
    // Renamed away: there is nothing left to delete.
    let _ = scratch.keep();
    sync_folder(parent)
}

/// Scratch folders with the permissions of any new folder.
fn scratch_builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(SCRATCH_PREFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The process's mask takes its part away.
        builder.permissions(fs::Permissions::from_mode(0o777));
    }
    builder
}

/// Appends to a file, which may be new, in one write.
pub(crate) fn append(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let write = || {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)?
            .write_all(bytes)
    };
    write().map_err(|source| TrainError::io(path, "append to this file", source))
}

/// Waits until the disk has a folder's entries.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), TrainError> {
    // Only Unix can open a folder; elsewhere a rename is as durable as the system makes it.
    if cfg!(unix) {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        let synced = File::open(folder).and_then(|file| file.sync_all());
        synced.map_err(|source| TrainError::io(folder, "synchronise this folder", source))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder of ours");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("readable").file_name();
        entries
            .map(|entry| name(entry).to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn replacing_leaves_one_whole_file() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("a.txt");
        replace(&path, b"a longer first version").expect("writable");
        replace(&path, b"second").expect("writable");
        assert_eq!(fs::read(&path).expect("just written"), b"second");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_failed_replacement_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("taken");
        fs::create_dir_all(path.join("inside")).expect("writable");
        assert!(replace(&path, b"x").is_err(), "a folder is in the way");
        assert_eq!(names(folder.path()), ["taken"]);
        assert!(replace(&folder.path().join("no/such.txt"), b"x").is_err());
    }

    #[test]
    fn a_folder_appears_filled_or_not_at_all() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let folder = root.path().join("new");
        let failed = new_folder(&folder, "--output", |scratch| {
            fs::create_dir(scratch.join("half")).expect("writable");
            Err(TrainError::config("--flag", "refused"))
        });
        assert!(failed.is_err() && names(root.path()).is_empty());
        let fill = |scratch: &Path| write_new(&scratch.join("a.txt"), b"1");
        new_folder(&folder, "--output", fill).expect("writable");
        assert_eq!(names(&folder), ["a.txt"]);
        let taken = new_folder(&folder, "--output", |_| Ok(())).expect_err("taken");
        assert_eq!(taken.exit_class().code(), 2);
        assert_eq!(names(root.path()), ["new"]);
    }

    #[test]
    fn a_new_file_replaces_nothing() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("a.txt");
        write_new(&path, b"1").expect("writable");
        let message = write_new(&path, b"2").expect_err("taken").to_string();
        assert!(message.contains("cannot write this file"), "{message}");
        append(&path, b"3").expect("writable");
        assert_eq!(fs::read(&path).expect("just written"), b"13");
    }
}
