//! One process trains in a run's folder.

use std::fs::{File, TryLockError};
use std::path::Path;

use facenet_files::lock_soon;

use crate::error::TrainError;

/// Keeps other processes from going on with a run, until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Claim {
    /// Open and locked; `None` where the file system has no locks: then it is the user's care.
    folder: Option<File>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Closing does not do: a process that is being started may have a copy.
        if let Some(folder) = &self.folder {
            let _ = folder.unlock();
        }
    }
}

impl Claim {
    /// Claims the run's folder `run_dir`.
    ///
    /// # Errors
    /// [`TrainError::Busy`] where another process has it.
    pub(crate) fn of(run_dir: &Path) -> Result<Self, TrainError> {
        let folder = match File::open(run_dir).map(|folder| (lock_soon(&folder), folder)) {
            Ok((Err(TryLockError::WouldBlock), _)) => {
                let path = run_dir.to_owned();
                return Err(TrainError::Busy { path });
            }
            Ok((Ok(()), folder)) => Some(folder),
            Ok((Err(TryLockError::Error(_)), _)) | Err(_) => None,
        };
        Ok(Self { folder })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_claimed_once_until_the_claim_is_dropped() {
        let run = tempfile::tempdir().expect("a scratch folder");
        let first = Claim::of(run.path()).expect("nobody has it");
        let error = Claim::of(run.path()).expect_err("it is taken");
        assert!(error.to_string().contains("another process trains here"));
        assert_eq!(error.exit_class(), crate::ExitClass::Resources);
        drop(first);
        Claim::of(run.path()).expect("nobody has it any more");
    }

    #[test]
    fn a_folder_that_cannot_be_opened_is_for_the_next_step_to_tell() {
        Claim::of(Path::new("no/such/folder")).expect("no lock");
    }
}
