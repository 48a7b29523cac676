//! The list of a checkpoint's files with their lengths and hashes: what makes it complete.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path};

use facenet_files::open_regular;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::RESTORE;
use crate::error::TrainError;

/// Name of the manifest in a checkpoint's folder.
pub(super) const FILE: &str = "manifest.json";
/// Version of the layout; another one is refused.
const FORMAT: u32 = 1;
/// A manifest is a few lines; a longer file is none.
const MAX_BYTES: u64 = 1 << 20;
const HEX_DIGITS: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
];

/// Every file of a checkpoint but the manifest itself.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    format: u32,
    members: BTreeMap<String, Member>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    bytes: u64,
    sha256: String,
}

impl Manifest {
    /// A manifest without members.
    pub(super) fn new() -> Self {
        Self {
            format: FORMAT,
            members: BTreeMap::new(),
        }
    }

    /// Lists the file `name` with these contents.
    pub(super) fn insert(&mut self, name: &str, contents: &[u8]) {
        let member = Member {
            bytes: contents.len() as u64,
            sha256: hash(contents),
        };
        self.members.insert(name.to_owned(), member);
    }

    /// Whether the file `name` is listed.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// The manifest file's contents: no byte can be cut off its end unnoticed.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("names, numbers and strings are JSON")
    }

    /// Reads the manifest of the checkpoint `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self, TrainError> {
        let path = folder.join(FILE);
        let bytes = read_at_most(&path, MAX_BYTES).map_err(|source| {
            let what = format!("cannot read the checkpoint's manifest ({source})");
            TrainError::checkpoint(&path, what, RESTORE)
        })?;
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| {
            let what = format!("found {} bytes that are no manifest ({error})", bytes.len());
            TrainError::checkpoint(&path, what, RESTORE)
        })?;
        manifest.check(&path)?;
        Ok(manifest)
    }

    fn check(&self, path: &Path) -> Result<(), TrainError> {
        if self.format != FORMAT {
            let what = format!("found format {}, expected {FORMAT}", self.format);
            return Err(TrainError::checkpoint(
                path,
                what,
                "use the version that wrote it",
            ));
        }
        match self.members.keys().find(|name| !is_plain(name)) {
            None => Ok(()),
            Some(name) => {
                let what = format!("found member {name:?}, expected plain file names");
                Err(TrainError::checkpoint(path, what, RESTORE))
            }
        }
    }

    /// Checks that each member is there with its length, and that no other file is.
    ///
    /// Hidden files are passed over: desktops leave them in any folder they show.
    pub(super) fn check_presence(&self, folder: &Path) -> Result<(), TrainError> {
        for (name, member) in &self.members {
            let path = folder.join(name);
            let found = match fs::metadata(&path) {
                Ok(data) if data.is_file() => data.len(),
                _ => return Err(missing(&path)),
            };
            if found != member.bytes {
                let what = format!("found {found} bytes, expected {}", member.bytes);
                return Err(TrainError::checkpoint(&path, what, RESTORE));
            }
        }
        self.check_foreign(folder)
    }

    fn check_foreign(&self, folder: &Path) -> Result<(), TrainError> {
        let failed = |source| TrainError::io(folder, "list this folder", source);
        for entry in fs::read_dir(folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_string_lossy();
            if name != FILE && !name.starts_with('.') && !self.contains(&name) {
                let what = "this file does not belong to the checkpoint";
                let remedy = "move it out of the folder";
                return Err(TrainError::checkpoint(&folder.join(&*name), what, remedy));
            }
        }
        Ok(())
    }

    /// Reads the member `name`, which must have the length and hash listed.
    pub(super) fn read_member(&self, folder: &Path, name: &str) -> Result<Vec<u8>, TrainError> {
        let path = folder.join(name);
        let member = self.members.get(name).ok_or_else(|| missing(&path))?;
        let bytes = read_at_most(&path, member.bytes.saturating_add(1))
            .map_err(|source| TrainError::io(&path, "read this file", source))?;
        if bytes.len() as u64 != member.bytes {
            let what = format!("found {} bytes, expected {}", bytes.len(), member.bytes);
            return Err(TrainError::checkpoint(&path, what, RESTORE));
        }
        let found = hash(&bytes);
        if found != member.sha256 {
            let what = format!("found SHA-256 {found}, expected {}", member.sha256);
            return Err(TrainError::checkpoint(&path, what, RESTORE));
        }
        Ok(bytes)
    }

    /// Checks length and hash of every member but those of `names`.
    pub(super) fn verify_except(&self, folder: &Path, names: &[&str]) -> Result<(), TrainError> {
        let mut others = self
            .members
            .keys()
            .filter(|name| !names.contains(&name.as_str()));
        others.try_for_each(|name| self.read_member(folder, name).map(drop))
    }
}

/// SHA-256 of each member of the checkpoint in `folder`, by name, all of which are read and compared.
///
/// # Errors
/// [`TrainError::Checkpoint`], naming the file, where it is not whole.
pub fn verify_checkpoint(folder: &Path) -> Result<BTreeMap<String, String>, TrainError> {
    let manifest = Manifest::read(folder)?;
    manifest.check_presence(folder)?;
    manifest.verify_except(folder, &[])?;
    let members = manifest.members.into_iter();
    Ok(members
        .map(|(name, member)| (name, member.sha256))
        .collect())
}

/// Whether `name` is a file's name, without a path that could lead elsewhere.
pub(super) fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let is_one = matches!(components.next(), Some(Component::Normal(part)) if part == name);
    is_one && components.next().is_none() && !name.contains(['/', '\\', '\0'])
}

fn missing(path: &Path) -> TrainError {
    TrainError::checkpoint(path, "this member of the checkpoint is missing", RESTORE)
}

fn hash(contents: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(contents) {
        hex.extend([byte >> 4, byte & 15].map(|digit| HEX_DIGITS[usize::from(digit)]));
    }
    hex
}

fn read_at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_sha_256_in_hex() {
        // FIPS 180-2, appendix B.1
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash(b"abc"), expected);
    }

    #[test]
    fn only_plain_names_are_members() {
        assert!(is_plain("model.safetensors"));
        for name in ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\\b", "x/"] {
            assert!(!is_plain(name), "{name:?}");
        }
    }

    #[track_caller]
    fn check_refused(contents: &str, expected: &str) {
        let folder = tempfile::tempdir().expect("a scratch folder");
        fs::write(folder.path().join(FILE), contents).expect("writable");
        let message = Manifest::read(folder.path()).expect_err("bad").to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }

    #[test]
    fn a_manifest_that_leads_elsewhere_is_refused() {
        check_refused("", "found 0 bytes that are no manifest");
        check_refused("[]", "no manifest");
        check_refused(
            r#"{"format": 2, "members": {}}"#,
            "found format 2, expected 1",
        );
        let outside = r#"{"format": 1, "members": {"../x": {"bytes": 1, "sha256": ""}}}"#;
        check_refused(outside, r#"found member "../x""#);
        check_refused(r#"{"format": 1, "members": {}, "more": 1}"#, "more");
    }
}
