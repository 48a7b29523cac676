//! Where the workspace lies.

use std::path::{Path, PathBuf};

/// The workspace's root: the folder above this crate's.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// `path` below the workspace's root as people type it, anything else in full.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_virtual_manifest() {
        assert!(root().join("Cargo.toml").is_file());
    }

    #[test]
    fn a_path_inside_is_shown_relative_and_one_outside_in_full() {
        assert_eq!(shown(&root().join("data/lfw")), "data/lfw");
        assert_eq!(shown(Path::new("elsewhere/lfw")), "elsewhere/lfw");
    }
}
