//! Writing that survives a crash: a whole file appears under its name, or nothing changes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::GalleryError;

/// What the name of unfinished work begins with; whoever finds such a file may delete it.
const SCRATCH_PREFIX: &str = ".scratch-";

/// Bytes that are written at a time.
const BUFFER: usize = 1 << 18;

impl GalleryError {
    pub(crate) fn io(path: &Path, what: &'static str, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            what,
            source,
        }
    }
}

/// A file's real place: writing goes through a link to what it shows.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// The folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Puts a whole file in place, whether or not there was one, that only its owner can read: a
/// scratch file, synchronised, then a rename, then its folder synchronised.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), GalleryError> {
    let failed = |source| GalleryError::io(path, "write this gallery", source);
    let Some(name) = path.file_name() else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    let folder = folder_of(path);
    let scratch = folder.join(format!("{SCRATCH_PREFIX}{}", name.to_string_lossy()));
    let put = || {
        // One that a crash has left is in the way, and may be anybody's to read.
        match fs::remove_file(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut writer = BufWriter::with_capacity(BUFFER, private(&scratch)?);
        write(&mut writer)?;
        writer.flush()?;
        writer.get_ref().sync_all()?;
        fs::rename(&scratch, path)
    };
    if let Err(source) = put() {
        // The first error is the one to tell; the next writer removes what is left behind.
        let _ = fs::remove_file(&scratch);
        return Err(failed(source));
    }
    sync_folder(folder)
}

/// A new file of mode 0600, where the system has modes.
fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn sync_folder(folder: &Path) -> Result<(), GalleryError> {
    // Only Unix can open a folder; elsewhere a rename is as durable as the system makes it.
    if cfg!(unix) {
        let synced = File::open(folder).and_then(|file| file.sync_all());
        synced.map_err(|source| GalleryError::io(folder, "synchronise this folder", source))?;
    }
    Ok(())
}

/// Waits until no other process changes a gallery in a file's folder, and keeps others waiting
/// until it is dropped. `None` where the file system has no locks: then it is the caller's care.
pub(crate) fn lock(path: &Path) -> Option<File> {
    let folder = File::open(folder_of(path)).ok()?;
    folder.lock().ok()?;
    Some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, bytes: &[u8]) -> Result<(), GalleryError> {
        replace(path, |to| to.write_all(bytes))
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder of ours");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("readable").file_name();
        let names = entries.map(|entry| name(entry).to_string_lossy().into_owned());
        names.collect()
    }

    #[test]
    fn replacing_leaves_one_whole_file_and_no_scratch_of_a_crash() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("g");
        fs::write(folder.path().join(".scratch-g"), b"half a gallery").expect("writable");
        put(&path, b"a longer first version").expect("writable");
        put(&path, b"second").expect("writable");
        assert_eq!(fs::read(&path).expect("just written"), b"second");
        assert_eq!(names(folder.path()), ["g"]);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_it_whatever_was_there() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("g");
        for _ in 0..2 {
            put(&path, b"x").expect("writable");
            let mode = |path: &Path| fs::metadata(path).expect("written").permissions().mode();
            assert_eq!(mode(&path) & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
        }
    }

    #[test]
    fn a_failed_write_changes_nothing() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("g");
        put(&path, b"first").expect("writable");
        let failing = replace(&path, |to| {
            to.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        let message = failing.expect_err("the disk is full").to_string();
        assert!(message.contains("cannot write this gallery"), "{message}");
        assert_eq!(fs::read(&path).expect("as before"), b"first");
        assert_eq!(names(folder.path()), ["g"]);
        assert!(put(&folder.path().join("no/g"), b"x").is_err());
        assert!(put(Path::new("/"), b"x").is_err());
    }

    #[test]
    fn a_bare_name_lies_in_the_current_folder() {
        assert_eq!(folder_of(Path::new("g")), Path::new("."));
        assert_eq!(folder_of(Path::new("a/g")), Path::new("a"));
    }
}
