//! Keeping other processes waiting.

use std::fs::File;
use std::path::Path;

use facenet_files::folder_of;

/// Waits until no other process changes a gallery in a file's folder, and keeps others waiting
/// until it is dropped. `None` where the file system has no locks: then it is the caller's care.
pub(crate) fn lock(path: &Path) -> Option<File> {
    let folder = File::open(folder_of(path)).ok()?;
    folder.lock().ok()?;
    Some(folder)
}
