//! The operations that writing needs, and the real ones.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Who may read a new file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Whom the process's mask lets.
    #[default]
    Usual,
    /// Its owner only: mode 0600, where the system has modes.
    Private,
}

/// A file that is being written.
pub trait Output: Write + Debug + Send {
    /// Waits until the disk has what was written.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&mut self) -> io::Result<()>;

    /// Another handle of the same file, for a lock.
    ///
    /// # Errors
    /// What the system says.
    fn handle(&self) -> io::Result<File>;
}

/// Where files are written. Errors are the system's; [`FileError`](crate::FileError) is what the
/// durable verbs make of them.
pub trait FileSystem: Debug + Send + Sync {
    /// Makes a file that was not there.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::AlreadyExists`] where the name is taken.
    fn create(&self, path: &Path, access: Access) -> io::Result<Box<dyn Output>>;

    /// Opens a file, which may be new, to be written at its end.
    ///
    /// # Errors
    /// What the system says.
    fn append(&self, path: &Path) -> io::Result<Box<dyn Output>>;

    /// Gives a file or folder another name; a file of that name is replaced.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Exchanges the names of two files or folders at once.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::Unsupported`] where it cannot do so.
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()>;

    /// Gives a file a second name.
    ///
    /// # Errors
    /// What the system says, which may be that it cannot.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder that was not there, in one that is.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::AlreadyExists`] where the name is taken.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    /// What the system says.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Waits until the disk has a folder's entries.
    ///
    /// # Errors
    /// What the system says.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Bytes that a file in this folder may still have; `None` where the system does not tell.
    fn room(&self, folder: &Path) -> Option<u64>;
}

/// The file systems of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Output for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }

    fn handle(&self) -> io::Result<File> {
        self.try_clone()
    }
}

impl FileSystem for Disk {
    fn create(&self, path: &Path, access: Access) -> io::Result<Box<dyn Output>> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if access == Access::Private {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        #[cfg(not(unix))]
        let _ = access;
        Ok(Box::new(options.open(path)?))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        exchange(one, other)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        // Only Unix can open a folder; elsewhere a rename is as durable as the system makes it.
        if cfg!(unix) {
            File::open(path)?.sync_all()?;
        }
        Ok(())
    }

    #[cfg(unix)]
    fn room(&self, folder: &Path) -> Option<u64> {
        let told = rustix::fs::statvfs(folder).ok()?;
        told.f_bavail.checked_mul(told.f_frsize)
    }

    #[cfg(not(unix))]
    fn room(&self, _: &Path) -> Option<u64> {
        None
    }
}

#[cfg(target_os = "linux")]
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).map_err(|error| match error {
        // Old kernels, and file systems that do not know the flag.
        Errno::INVAL | Errno::NOSYS => io::ErrorKind::Unsupported.into(),
        other => other.into(),
    })
}

#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_once_and_appended_to() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("a");
        let mut file = Disk.create(&path, Access::Usual).expect("writable");
        file.write_all(b"1").and_then(|()| file.sync()).expect("1");
        let taken = Disk.create(&path, Access::Usual).expect_err("taken");
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        let mut file = Disk.append(&path).expect("writable");
        file.write_all(b"2").expect("writable");
        assert_eq!(fs::read(&path).expect("written"), b"12");
    }

    #[test]
    fn an_exchange_is_whole_or_unsupported() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        fs::create_dir(&a).expect("writable");
        fs::write(&b, "file").expect("writable");
        match Disk.exchange(&a, &b) {
            Ok(()) => assert!(a.is_file() && b.is_dir()),
            Err(error) => {
                // Not `eprintln!`, which the harness captures.
                let told = writeln!(io::stderr(), "SKIPPED: exchanging names: {error}");
                told.expect("stderr is open");
                assert_eq!(error.kind(), io::ErrorKind::Unsupported);
                assert!(a.is_dir() && b.is_file());
            }
        }
        if cfg!(target_os = "linux") {
            let gone = Disk.exchange(&a, &folder.path().join("c"));
            assert_eq!(
                gone.map_err(|error| error.kind()),
                Err(io::ErrorKind::NotFound)
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_system_tells_the_room() {
        assert!(Disk.room(&std::env::temp_dir()).is_some());
        assert_eq!(Disk.room(Path::new("/no/such/folder")), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_is_its_owners() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("a");
        drop(Disk.create(&path, Access::Private).expect("writable"));
        let mode = fs::metadata(&path).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
