//! Opening what is to be read.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Opens a regular file to read it. A pipe would keep its reader waiting for whoever writes to it,
/// a device for ever.
///
/// # Errors
/// What the system says; [`io::ErrorKind::InvalidInput`] for what is no regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_file() {
        return File::open(path);
    }
    let what = "it is no regular file";
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// The bytes of a regular file.
///
/// # Errors
/// As [`open_regular`].
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_opened() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let kind = |path: &Path| open_regular(path).map_err(|error| error.kind()).map(drop);
        assert_eq!(kind(folder.path()), Err(io::ErrorKind::InvalidInput));
        let path = folder.path().join("a");
        assert_eq!(kind(&path), Err(io::ErrorKind::NotFound));
        fs::write(&path, "1").expect("writable");
        assert_eq!(kind(&path), Ok(()));
        assert_eq!(read_regular(&path).expect("there"), b"1");
        if cfg!(unix) {
            let device = Path::new("/dev/null");
            assert_eq!(kind(device), Err(io::ErrorKind::InvalidInput));
        }
    }
}
