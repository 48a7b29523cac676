//! Whole files: they appear complete under their name, or nothing changes.

use std::fs::File;
use std::io::{self, BufWriter, IntoInnerError, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::FileError;
use crate::folder::{folder_of, prefixed, sync_folder};
use crate::scratch::{Hold, Patience, claim};
use crate::system::{Access, FileSystem, Output};

/// What the name of unfinished work begins with; whoever finds such a thing may delete it.
pub const SCRATCH_PREFIX: &str = ".scratch-";

/// Bytes that are written at a time.
const BUFFER: usize = 1 << 18;

/// A file that is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Its length, for the message where there is no room.
    pub bytes: u64,
    /// Who may read it.
    pub access: Access,
}

/// Writes a new file and waits until the disk has it. Its name is as durable as its folder, which
/// is the caller's to synchronise; a failed write leaves a part of it.
///
/// # Errors
/// [`FileError`] naming the file, which was there before, perhaps.
pub fn write_new(files: &dyn FileSystem, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    create(files, path, bytes, true)
}

/// Writes a new file, and does not wait for the disk: for very many files of a folder that can be
/// made anew. A failed write leaves a part of it.
///
/// # Errors
/// As [`write_new`].
pub fn write_loose(files: &dyn FileSystem, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    create(files, path, bytes, false)
}

fn create(
    files: &dyn FileSystem,
    path: &Path,
    bytes: &[u8],
    synced: bool,
) -> Result<(), FileError> {
    let write = || {
        let mut file = files.create(path, Access::Usual)?;
        file.write_all(bytes)?;
        if synced { file.sync() } else { Ok(()) }
    };
    write().map_err(|source| FileError::write(files, path, bytes.len() as u64, source))
}

/// Puts a whole file in place, whether or not there was one: a scratch file beside it,
/// synchronised, then a rename, then its folder synchronised. Processes that replace one file take
/// turns, where the file system has locks.
///
/// # Errors
/// [`FileError`] naming the file. It is as before then, or, where its folder could not be
/// synchronised, the new one.
pub fn replace(files: &dyn FileSystem, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let whole = Whole {
        bytes: bytes.len() as u64,
        access: Access::Usual,
    };
    replace_with(files, path, whole, |to| to.write_all(bytes))
}

/// As [`replace`], with contents that `write` makes on the way.
///
/// # Errors
/// Those of [`replace`] and of `write`.
pub fn replace_with(
    files: &dyn FileSystem,
    path: &Path,
    whole: Whole,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FileError> {
    let put = || {
        let written = Written::new(files, path, whole.access, write)?;
        // The first error is the one to tell; the next writer removes what is left behind.
        written.put(files).inspect_err(|_| written.discard(files))
    };
    put().map_err(|source| FileError::write(files, path, whole.bytes, source))?;
    sync_folder(files, folder_of(path))
}

/// Puts files in place that belong together, of which a reader takes the last one first: it is
/// there only while the others are those that it belongs to.
///
/// Nothing changes before all of them are written. A crash within the renames that follow may
/// leave the last one absent, but never beside others than its own.
///
/// - `members`: path and contents of each, in one folder
///
/// # Errors
/// As [`replace`], with the bytes of all of them where there is no room.
pub fn replace_together(
    files: &dyn FileSystem,
    members: &[(&Path, &[u8])],
) -> Result<(), FileError> {
    let Some(&(last, _)) = members.last() else {
        return Ok(());
    };
    let mut written = Vec::with_capacity(members.len());
    let mut put = || {
        for (path, bytes) in members {
            let one = Written::new(files, path, Access::Usual, |to| to.write_all(bytes));
            written.push(one?);
        }
        put_together(files, last, &mut written)
    };
    let put = put();
    for left in &written {
        left.discard(files);
    }
    let needed = members.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    put.map_err(|source| FileError::write(files, last, needed, source))
}

/// Takes out what is in place.
fn put_together(
    files: &dyn FileSystem,
    last: &Path,
    written: &mut Vec<Written<'_>>,
) -> io::Result<()> {
    let folder = folder_of(last);
    if last.is_file() {
        files.remove_file(last)?;
        files.sync_folder(folder)?;
    }
    while let Some(one) = written.first() {
        if one.path == last {
            files.sync_folder(folder)?;
        }
        one.put(files)?;
        written.remove(0);
    }
    files.sync_folder(folder)
}

/// A file that is whole and synchronised, under a scratch name that no other process takes.
struct Written<'a> {
    path: &'a Path,
    scratch: PathBuf,
    _hold: Hold,
}

impl<'a> Written<'a> {
    /// Waits while another process writes the same.
    fn new(
        files: &dyn FileSystem,
        path: &'a Path,
        access: Access,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Self> {
        path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let scratch = prefixed(path, SCRATCH_PREFIX);
        // One that a crash has left may be anybody's to read: it is not written to.
        let create = || {
            let file = files.create(&scratch, access)?;
            let handle = file.handle();
            Ok((file, handle))
        };
        let (file, hold) = claim(files, &scratch, Patience::Wait, create)?;
        let written = Self {
            path,
            scratch,
            _hold: hold,
        };
        match fill(file, write) {
            Ok(()) => Ok(written),
            Err(error) => {
                written.discard(files);
                Err(error)
            }
        }
    }

    fn put(&self, files: &dyn FileSystem) -> io::Result<()> {
        files.rename(&self.scratch, self.path)
    }

    /// As far as it can be: another error is told already.
    fn discard(&self, files: &dyn FileSystem) {
        let _ = files.remove_file(&self.scratch);
    }
}

fn fill(
    file: Box<dyn Output>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut writer = BufWriter::with_capacity(BUFFER, file);
    write(&mut writer)?;
    let mut file = writer.into_inner().map_err(IntoInnerError::into_error)?;
    file.sync()
}

/// Appends a line to a text file, which may be new, in one write. Where the last line is torn, by
/// a crash or a full disk, this one begins after it on a line of its own.
///
/// - `line`: with its line feed
///
/// # Errors
/// [`FileError`] naming the file, which may then end in a part of the line.
pub fn append_line(files: &dyn FileSystem, path: &Path, line: &[u8]) -> Result<(), FileError> {
    let append = || {
        let torn = is_torn(path)?;
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend(torn.then_some(b'\n'));
        bytes.extend(line);
        files.append(path)?.write_all(&bytes)
    };
    append().map_err(|source| {
        let error = FileError::new(path, "append to this file", source);
        error.needing(files, path, line.len() as u64)
    })
}

/// Whether a text file ends within a line.
fn is_torn(path: &Path) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    // A device has no end to look at.
    if !file.metadata()?.is_file() || file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Disk;
    use std::fs;

    /// Names in a folder, sorted.
    pub(crate) fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder of ours");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("readable").file_name();
        let names = entries.map(|entry| name(entry).to_string_lossy().into_owned());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn replacing_leaves_one_whole_file_and_no_scratch_of_a_crash() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("a.txt");
        fs::write(folder.path().join(".scratch-a.txt"), b"half a file").expect("writable");
        replace(&Disk, &path, b"a longer first version").expect("writable");
        replace(&Disk, &path, b"second").expect("writable");
        assert_eq!(fs::read(&path).expect("just written"), b"second");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_failed_replacement_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("taken");
        fs::create_dir_all(path.join("inside")).expect("writable");
        assert!(
            replace(&Disk, &path, b"x").is_err(),
            "a folder is in the way"
        );
        assert_eq!(names(folder.path()), ["taken"]);
        assert!(replace(&Disk, &folder.path().join("no/such.txt"), b"x").is_err());
        assert!(replace(&Disk, Path::new("/"), b"x").is_err());
    }

    #[test]
    fn a_writer_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("a");
        replace(&Disk, &path, b"first").expect("writable");
        let whole = Whole {
            bytes: 12,
            access: Access::Usual,
        };
        let failing = replace_with(&Disk, &path, whole, |to| {
            to.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        let message = failing.expect_err("the disk is full").to_string();
        assert!(message.contains("it needs 12 bytes"), "{message}");
        assert_eq!(fs::read(&path).expect("as before"), b"first");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_a_private_file_whatever_was_there() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("g");
        let whole = Whole {
            bytes: 1,
            access: Access::Private,
        };
        for _ in 0..2 {
            replace_with(&Disk, &path, whole, |to| to.write_all(b"x")).expect("writable");
            let mode = fs::metadata(&path).expect("written").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
        }
    }

    #[test]
    fn a_new_file_replaces_nothing() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("a.txt");
        write_new(&Disk, &path, b"1").expect("writable");
        for taken in [write_new, write_loose] {
            let message = taken(&Disk, &path, b"2").expect_err("taken").to_string();
            assert!(message.contains("cannot write this file"), "{message}");
        }
        assert_eq!(fs::read(&path).expect("just written"), b"1");
    }

    #[test]
    fn a_torn_line_is_not_gone_on_with() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("a.txt");
        for line in ["1\n", "2\n"] {
            append_line(&Disk, &path, line.as_bytes()).expect("writable");
        }
        let mut file = Disk.append(&path).expect("writable");
        file.write_all(b"tor").expect("writable");
        append_line(&Disk, &path, b"3\n").expect("writable");
        append_line(&Disk, &path, b"4\n").expect("writable");
        assert_eq!(fs::read(&path).expect("written"), b"1\n2\ntor\n3\n4\n");
    }

    #[test]
    fn files_that_belong_together_come_together() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let [list, rows] = ["list", "rows"].map(|name| folder.path().join(name));
        for text in [b"first", b"other"] {
            replace_together(&Disk, &[(&list, text), (&rows, text)]).expect("writable");
            assert_eq!(fs::read(&list).expect("written"), text);
            assert_eq!(fs::read(&rows).expect("written"), text);
        }
        let nowhere = folder.path().join("no/list");
        replace_together(&Disk, &[(&list, b"new"), (&nowhere, b"new")]).expect_err("nowhere");
        assert_eq!(fs::read(&list).expect("as before"), b"other");
        assert_eq!(names(folder.path()).len(), 2, "no scratch is left");
    }

    /// A device that is always full.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_device_is_told_with_the_bytes_needed() {
        let error = append_line(&Disk, Path::new("/dev/full"), b"12345\n").expect_err("full");
        assert!(
            matches!(error, FileError::Full { needed: 6, .. }),
            "{error:?}"
        );
    }
}
