//! What can be wrong with writing.

use std::io;
use std::path::{Path, PathBuf};

use crate::folder::folder_of;
use crate::system::FileSystem;

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system refuses.
    #[error(
        "{}: cannot {action}; check that the path exists, that you may use it and that the disk \
         has room", .path.display()
    )]
    Refused {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb and its object.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no room for it.
    #[error(
        "{}: cannot {action}: it needs {needed} bytes, and {}; make room, or choose a place with \
         more", .path.display(), shortage(.source.kind(), *.free)
    )]
    Full {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb and its object.
        action: &'static str,
        /// Bytes of the whole file, or of all files of the folder.
        needed: u64,
        /// Bytes that may still be written there, where the system tells.
        free: Option<u64>,
        /// The system's reason.
        source: io::Error,
    },
}

impl FileError {
    /// An operation that failed; `action` is a verb and its object.
    pub fn new(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Refused {
            path: path.to_owned(),
            action,
            source,
        }
    }

    /// A file of `needed` bytes that could not be written; where there is no room for it, that is
    /// what is told.
    pub fn write(files: &dyn FileSystem, path: &Path, needed: u64, source: io::Error) -> Self {
        Self::new(path, "write this file", source).needing(files, path, needed)
    }

    /// Tells how many bytes the file `path` needs, where the reason is that there is no room.
    #[must_use]
    pub fn needing(self, files: &dyn FileSystem, path: &Path, needed: u64) -> Self {
        if !self.is_full() {
            return self;
        }
        let (Self::Refused { action, source, .. } | Self::Full { action, source, .. }) = self;
        Self::Full {
            path: path.to_owned(),
            action,
            needed,
            free: files.room(folder_of(path)),
            source,
        }
    }

    /// Tells how many bytes the folder `path`, of which this is a part, needs in all, where the
    /// reason is that there is no room.
    #[must_use]
    pub fn within(self, files: &dyn FileSystem, path: &Path, needed: u64) -> Self {
        match self.needing(files, path, needed) {
            Self::Full {
                path,
                needed,
                free,
                source,
                ..
            } => Self::Full {
                path,
                action: "write this folder",
                needed,
                free,
                source,
            },
            other => other,
        }
    }

    /// The system's reason.
    pub fn kind(&self) -> io::ErrorKind {
        let (Self::Refused { source, .. } | Self::Full { source, .. }) = self;
        source.kind()
    }

    /// Whether there was no room: on the disk, within a quota or below a limit for one file.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self.kind(), StorageFull | QuotaExceeded | FileTooLarge)
    }
}

impl From<FileError> for io::Error {
    /// The system's reason alone.
    fn from(error: FileError) -> Self {
        let (FileError::Refused { source, .. } | FileError::Full { source, .. }) = error;
        source
    }
}

fn shortage(kind: io::ErrorKind, free: Option<u64>) -> String {
    match (kind, free) {
        (io::ErrorKind::FileTooLarge, _) => "no file there may have so many".to_owned(),
        (io::ErrorKind::QuotaExceeded, _) => "your share of the disk is used up".to_owned(),
        (_, Some(free)) => format!("the disk has {free} free"),
        (_, None) => "the disk is full".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Disk;

    #[track_caller]
    fn check(kind: io::ErrorKind, expected: &str) {
        let path = Path::new("/no/such/folder/a.bin");
        let message = FileError::write(&Disk, path, 4096, kind.into()).to_string();
        assert!(message.starts_with("/no/such/folder/a.bin: cannot write this file"));
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn a_shortage_is_told_with_the_bytes_needed() {
        check(
            io::ErrorKind::StorageFull,
            "needs 4096 bytes, and the disk is full; make room",
        );
        check(
            io::ErrorKind::QuotaExceeded,
            "needs 4096 bytes, and your share",
        );
        check(io::ErrorKind::FileTooLarge, "needs 4096 bytes, and no file");
        check(io::ErrorKind::PermissionDenied, "that you may use it");
    }

    #[cfg(unix)]
    #[test]
    fn the_room_is_told_where_the_system_knows_it() {
        let path = std::env::temp_dir().join("a.bin");
        let full = io::ErrorKind::StorageFull.into();
        let part = path.join("part");
        let error = FileError::write(&Disk, &part, 3, full).within(&Disk, &path, 7);
        let FileError::Full {
            needed: 7,
            free: Some(free),
            ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert!(
            error
                .to_string()
                .contains(&format!("the disk has {free} free"))
        );
    }
}
