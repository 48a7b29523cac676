//! The project's files as bytes, so that a check needs no disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Relative paths with `/` → content.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, Vec<u8>>,
}

impl Tree {
    /// What version control tracks, and what it would: untracked files that are not ignored.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut git = Command::new("git");
        git.args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]);
        let output = git.current_dir(root).output().context("cannot start git")?;
        if !output.status.success() {
            bail!(
                "`git ls-files` failed with {}; run tidy in a clone",
                output.status
            );
        }
        let names = String::from_utf8(output.stdout).context("a file's name is not UTF-8")?;
        let mut files = BTreeMap::new();
        for name in names.split_terminator('\0') {
            let path = root.join(name);
            if path.is_file() {
                let bytes = fs::read(&path).with_context(|| format!("{name}: cannot read"))?;
                files.insert(name.to_owned(), bytes);
            }
        }
        Ok(Self { files })
    }

    /// A tree of texts, for tests.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let owned = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).into()));
        Self {
            files: owned.collect(),
        }
    }

    /// Every file, in order of its path.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    /// Every file that is UTF-8.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files()
            .filter_map(|(name, bytes)| Some((name, str::from_utf8(bytes).ok()?)))
    }

    /// The text of one file.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.files
            .get(name)
            .and_then(|bytes| str::from_utf8(bytes).ok())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// True where `name` is a file, or a folder with files.
    pub(crate) fn has_path(&self, name: &str) -> bool {
        let folder = format!("{name}/");
        name.is_empty() || self.has(name) || self.files.keys().any(|file| file.starts_with(&folder))
    }

    /// Folders of the workspace's packages, such as `crates/facenet-lfw` and `xtask`; the fuzz targets
    /// are a workspace of their own.
    pub(crate) fn packages(&self) -> Vec<&str> {
        let manifests = self
            .files
            .keys()
            .filter_map(|name| name.strip_suffix("/Cargo.toml"))
            .filter(|folder| *folder != "fuzz");
        manifests.collect()
    }
}

/// True where `path` ends in `.extension`, in any case.
pub(crate) fn has_extension(path: &str, extension: &str) -> bool {
    let found = Path::new(path).extension();
    found.is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// The last part of a path.
pub(crate) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_files_folders_and_packages() {
        let tree = Tree::of(&[
            ("Cargo.toml", ""),
            ("crates/a/Cargo.toml", ""),
            ("fuzz/Cargo.toml", ""),
            ("x/b.rs", ""),
        ]);
        assert!(tree.has("x/b.rs") && !tree.has("x"));
        assert!(tree.has_path("x") && tree.has_path("crates/a") && !tree.has_path("crates/b"));
        assert_eq!(tree.packages(), ["crates/a"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_files_but_not_texts() {
        let files = BTreeMap::from([("a".to_owned(), vec![0xff]), ("b".to_owned(), vec![b'b'])]);
        let tree = Tree { files };
        assert!(tree.files().count() == 2 && tree.texts().eq([("b", "b")]));
    }
}
