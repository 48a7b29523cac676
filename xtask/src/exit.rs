//! What went wrong, as an exit code.

use anyhow::Error;
use facenet_files::FileError;

/// The code of a disk without room, as `facenet` has it.
const FULL: u8 = 6;

/// 6 where the disk had no room for a file, else 1.
pub fn exit_code(error: &Error) -> u8 {
    let file_errors = error.chain().filter_map(|cause| cause.downcast_ref());
    if file_errors.into_iter().any(FileError::is_full) {
        FULL
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};
    use std::io::{self, ErrorKind};
    use std::path::Path;

    #[test]
    fn a_full_disk_has_a_code_of_its_own() {
        let of = |kind: ErrorKind| {
            let source = io::Error::from(kind);
            let written = Err::<(), _>(FileError::new(Path::new("a"), "write this", source));
            exit_code(&written.context("fetching").expect_err("not written"))
        };
        assert_eq!(of(ErrorKind::StorageFull), FULL);
        assert_eq!(of(ErrorKind::PermissionDenied), 1);
        assert_eq!(exit_code(&anyhow!("something else")), 1);
    }
}
