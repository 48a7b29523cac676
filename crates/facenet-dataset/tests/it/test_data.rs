//! Where test files lie.

use std::path::{Path, PathBuf};

/// `FACENET_TEST_DATA/<name>`; without the variable a message, and `None`.
pub(crate) fn real(name: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("FACENET_TEST_DATA") else {
        crate::skip::skip(format_args!(
            "FACENET_TEST_DATA is not set, so {name} is not tested"
        ));
        return None;
    };
    let folder = PathBuf::from(root).join(name);
    assert!(folder.is_dir(), "{}: no such folder", folder.display());
    Some(folder)
}

/// The folder of golden values, or the one that `FACENET_GOLDEN_DIR` names.
pub(crate) fn golden(name: &str) -> PathBuf {
    let root = std::env::var_os("FACENET_GOLDEN_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden"),
        PathBuf::from,
    );
    assert!(root.is_dir(), "{}: no such golden folder", root.display());
    root.join(name)
}

/// Paths in a folder, sorted; none where it does not exist.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    paths.sort();
    paths
}
