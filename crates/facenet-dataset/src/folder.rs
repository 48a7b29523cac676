//! Identity folders: `<root>/<identity>/<image>`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::decode::{decode_file, decode_file_part, probe};
use crate::error::DatasetError;
use crate::limits::DecodeLimits;
use crate::picture::{Area, ImageId, Pictures, Portion, Rgb8};
use crate::skipped::{SkipReason, Skipped};

/// Names that claim to be an image of a format that is read.
const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "pgm", "ppm", "pbm", "pnm", "webp"];
/// Formats that are known and not read, whatever the file is called.
const NOT_READ: [&str; 5] = ["GIF", "BMP", "TIFF", "AVIF", "HEIF"];

/// Someone's set of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the folder.
    pub name: String,
    /// Paths of the images, by name.
    pub images: Vec<PathBuf>,
}

/// A folder of identity folders.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The folder.
    pub root: PathBuf,
    /// Identities with at least one image, by name (byte order).
    pub identities: Vec<Identity>,
    /// What was passed over, by path.
    pub skipped: Vec<Skipped>,
    limits: DecodeLimits,
}

impl Folder {
    /// Finds the identities and images below `root`.
    ///
    /// Identities are the folders in `root`, images the files in those, nothing deeper; names
    /// sort by bytes, so the order is the same everywhere. Links are followed, except to a folder
    /// that is in the set already or holds it. A file is taken when its first bytes are those of
    /// a format that is read, whatever its name. One whose name claims such a format is taken
    /// too, unless it is plainly another: reading it will fail, and a broken image should be
    /// counted as one. A folder or file whose name is not UTF-8 is not taken: two of them could
    /// read alike, and people would be one. The rest is in [`skipped`](Self::skipped), but for the lists of pairs and
    /// people in `root`.
    ///
    /// - `limits`: for decoding later; the scan decodes nothing
    ///
    /// # Errors
    /// [`DatasetError::Read`] when `root` cannot be listed, [`DatasetError::NoIdentities`] when
    /// it holds no image.
    pub fn scan(root: &Path, limits: &DecodeLimits) -> Result<Self, DatasetError> {
        let (identities, skipped) = Self::find(root)?;
        if identities.is_empty() {
            return Err(DatasetError::NoIdentities {
                root: root.to_owned(),
                skipped: skipped.len(),
            });
        }
        Ok(Self {
            root: root.to_owned(),
            identities,
            skipped,
            limits: *limits,
        })
    }

    /// Images in `root` itself, then those that [`Folder::scan`] would find below it, each by
    /// name, for use without identities; and what was passed over.
    ///
    /// # Errors
    /// [`DatasetError::Read`] when `root` cannot be listed.
    pub fn images(root: &Path) -> Result<(Vec<PathBuf>, Vec<Skipped>), DatasetError> {
        let (identities, skipped) = Self::find(root)?;
        let (loose, mut skipped): (Vec<_>, Vec<_>) = skipped
            .into_iter()
            .partition(|one| one.reason == SkipReason::LooseFile);
        let mut images = Vec::new();
        for Skipped { path, .. } in loose {
            match refuse(&path) {
                None => images.push(path),
                Some(reason) => skipped.push(Skipped { path, reason }),
            }
        }
        images.extend(identities.into_iter().flat_map(|one| one.images));
        skipped.sort_by(|a, b| a.path.cmp(&b.path));
        Ok((images, skipped))
    }

    /// Identities below `root`, and what was passed over.
    fn find(root: &Path) -> Result<(Vec<Identity>, Vec<Skipped>), DatasetError> {
        let unreadable = |source| DatasetError::Read {
            path: root.to_owned(),
            source,
        };
        let entries = list(root).map_err(unreadable)?;
        let real_root = root.canonicalize().map_err(unreadable)?;
        let mut scan = Scan::default();
        let folders = scan.folders(entries, &real_root);
        let identities = folders
            .iter()
            .filter_map(|path| scan.identity(path))
            .collect();
        scan.skipped.sort_by(|a, b| a.path.cmp(&b.path));
        Ok((identities, scan.skipped))
    }

    /// Keeps the identities named, drops the others.
    pub fn keep(&mut self, names: &BTreeSet<String>) {
        self.identities
            .retain(|identity| names.contains(&identity.name));
    }

    /// Drops the identities named.
    pub fn exclude(&mut self, names: &BTreeSet<String>) {
        self.identities
            .retain(|identity| !names.contains(&identity.name));
    }

    /// Bounds on one image.
    pub(crate) fn limits(&self) -> &DecodeLimits {
        &self.limits
    }

    /// Path of an image; `None` outside the set.
    pub fn path(&self, image: ImageId) -> Option<&Path> {
        let identity = self.identities.get(image.identity as usize)?;
        identity
            .images
            .get(image.image as usize)
            .map(PathBuf::as_path)
    }
}

impl Pictures for Folder {
    fn load(&self, image: ImageId) -> Result<Rgb8, DatasetError> {
        match self.path(image) {
            Some(path) => decode_file(path, &self.limits),
            None => Err(DatasetError::NoSuchImage { image }),
        }
    }

    fn load_part(
        &self,
        image: ImageId,
        select: &dyn Fn(Area) -> Area,
    ) -> Result<Portion, DatasetError> {
        match self.path(image) {
            Some(path) => decode_file_part(path, &self.limits, select),
            None => Err(DatasetError::NoSuchImage { image }),
        }
    }

    fn sizes(&self) -> Vec<u32> {
        let sizes = self
            .identities
            .iter()
            .map(|identity| identity.images.len() as u32);
        sizes.collect()
    }

    fn name(&self, image: ImageId) -> String {
        let path = self.path(image);
        path.map_or_else(
            || format!("image {} of identity {}", image.image, image.identity),
            |path| path.display().to_string(),
        )
    }

    fn identity_name(&self, identity: u32) -> String {
        let known = self.identities.get(identity as usize);
        known.map_or_else(
            || format!("identity {identity}"),
            |known| known.name.clone(),
        )
    }
}

/// Paths in a folder, by name.
fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?;
    let paths: std::io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths?;
    paths.sort();
    Ok(paths)
}

/// Whether a loose file is one of the lists that belong beside the identities, as LFW's do:
/// `pairs*.txt` and `people*.txt`. Nobody takes them for images that were passed over.
fn is_list(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let stem = name.and_then(|name| name.strip_suffix(".txt"));
    stem.is_some_and(|stem| stem.starts_with("pairs") || stem.starts_with("people"))
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name();
    name.is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn is_utf8(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_str().is_some())
}

/// What a scan has met so far.
#[derive(Default)]
struct Scan {
    skipped: Vec<Skipped>,
}

impl Scan {
    fn skip(&mut self, path: &Path, reason: SkipReason) {
        let path = path.to_owned();
        self.skipped.push(Skipped { path, reason });
    }

    /// The identity folders among the root's entries, by name, each real folder once.
    fn folders(&mut self, entries: Vec<PathBuf>, real_root: &Path) -> Vec<PathBuf> {
        let (links, rest): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|path| path.is_symlink());
        let mut known: BTreeSet<PathBuf> = BTreeSet::new();
        let mut folders = Vec::new();
        // Links last, so that the folder itself is the one that stays.
        for path in rest.into_iter().chain(links) {
            let Some(real) = self.real_folder(&path, real_root) else {
                continue;
            };
            if known.insert(real) {
                folders.push(path);
            } else {
                self.skip(&path, SkipReason::LinkToKnown);
            }
        }
        folders.sort();
        folders
    }

    /// Where an identity folder really lies; `None`, and noted, for what is none.
    fn real_folder(&mut self, path: &Path, real_root: &Path) -> Option<PathBuf> {
        let reason = match std::fs::metadata(path) {
            _ if is_hidden(path) => SkipReason::Hidden,
            _ if !is_utf8(path) => SkipReason::NotUtf8,
            Err(error) => SkipReason::Unreadable(error.to_string()),
            Ok(kind) if kind.is_file() && is_list(path) => return None,
            Ok(kind) if kind.is_file() => SkipReason::LooseFile,
            Ok(kind) if !kind.is_dir() => SkipReason::Special,
            Ok(_) => match path.canonicalize() {
                Err(error) => SkipReason::Unreadable(error.to_string()),
                Ok(real) if real_root.starts_with(&real) => SkipReason::LinkToKnown,
                Ok(real) => return Some(real),
            },
        };
        self.skip(path, reason);
        None
    }

    fn identity(&mut self, folder: &Path) -> Option<Identity> {
        let entries = match list(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.skip(folder, SkipReason::Unreadable(error.to_string()));
                return None;
            }
        };
        let mut images = entries;
        images.retain(|path| match refuse(path) {
            None => true,
            Some(reason) => {
                self.skip(path, reason);
                false
            }
        });
        if images.is_empty() {
            self.skip(folder, SkipReason::NoImages);
            return None;
        }
        let name = folder.file_name()?.to_str()?.to_owned();
        Some(Identity { name, images })
    }
}

/// Why an entry of an identity folder is no image; `None` when it is taken for one.
fn refuse(path: &Path) -> Option<SkipReason> {
    if is_hidden(path) {
        return Some(SkipReason::Hidden);
    }
    if !is_utf8(path) {
        return Some(SkipReason::NotUtf8);
    }
    match std::fs::metadata(path) {
        Err(error) => return Some(SkipReason::Unreadable(error.to_string())),
        Ok(kind) if kind.is_dir() => return Some(SkipReason::TooDeep),
        Ok(kind) if !kind.is_file() => return Some(SkipReason::Special),
        Ok(_) => {}
    }
    match probe(path) {
        Err(DatasetError::Format { found, .. })
            if NOT_READ.contains(&found.as_str()) || !claims_to_be_read(path) =>
        {
            Some(SkipReason::Format(found))
        }
        _ => None,
    }
}

fn claims_to_be_read(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|found| {
        EXTENSIONS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(found))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: &[u8] = b"P5 1 1 255\n\x07";

    fn tree(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a scratch folder");
        for (name, bytes) in files {
            let path = root.path().join(name);
            let folder = path.parent().expect("below the root");
            std::fs::create_dir_all(folder).expect("created");
            std::fs::write(path, bytes).expect("written");
        }
        root
    }

    /// Expects `identity: image image` lines, and `path: reason` of what is skipped.
    #[track_caller]
    fn check(files: &[(&str, &[u8])], identities: &[&str], skipped: &[&str]) {
        let root = tree(files);
        let folder = Folder::scan(root.path(), &DecodeLimits::default()).expect("identities");
        let relative = |path: &Path| {
            let path = path.strip_prefix(root.path()).expect("below the root");
            path.display().to_string()
        };
        let found: Vec<_> = folder
            .identities
            .iter()
            .map(|one| {
                let images: Vec<_> = one.images.iter().map(|path| relative(path)).collect();
                format!("{}: {}", one.name, images.join(" "))
            })
            .collect();
        assert_eq!(found, identities);
        let passed: Vec<_> = folder
            .skipped
            .iter()
            .map(|one| format!("{}: {}", relative(&one.path), one.reason))
            .collect();
        assert_eq!(passed, skipped);
    }

    #[test]
    fn lists_of_pairs_and_people_are_nothing_passed_over() {
        let files: [(&str, &[u8]); 5] = [
            ("a/1.pgm", PICTURE),
            ("pairs.txt", b"1"),
            ("pairsDevTest.txt", b"1"),
            ("people.txt", b"1"),
            ("notes.txt", b"1"),
        ];
        check(
            &files,
            &["a: a/1.pgm"],
            &["notes.txt: not in an identity folder"],
        );
    }

    #[test]
    fn identities_and_images_are_sorted_by_bytes() {
        check(
            &[
                ("b/2.pgm", PICTURE),
                ("b/10.pgm", PICTURE),
                ("B/x", PICTURE),
                ("a/1.pgm", PICTURE),
            ],
            &["B: B/x", "a: a/1.pgm", "b: b/10.pgm b/2.pgm"],
            &[],
        );
    }

    #[test]
    fn content_decides_before_the_name() {
        check(
            &[
                ("a/1.txt", PICTURE),
                ("a/2.jpg", b"GIF89a"),
                ("a/3.txt", b"a note"),
                ("a/4.jpg", b""),
                ("a/5.PNG", b"a note"),
            ],
            &["a: a/1.txt a/4.jpg a/5.PNG"],
            &[
                "a/2.jpg: GIF, not JPEG, PNG, PGM, PPM or WebP",
                "a/3.txt: a text, not JPEG, PNG, PGM, PPM or WebP",
            ],
        );
    }

    #[test]
    fn what_is_hidden_loose_or_deep_is_named() {
        check(
            &[
                ("a/1.pgm", PICTURE),
                ("a/.2.pgm", PICTURE),
                ("a/b/3.pgm", PICTURE),
                (".c/4.pgm", PICTURE),
                ("5.pgm", PICTURE),
                ("e/notes", b"note"),
            ],
            &["a: a/1.pgm"],
            &[
                ".c: hidden",
                "5.pgm: not in an identity folder",
                "a/.2.pgm: hidden",
                "a/b: a folder within an identity folder",
                "e: no image in this folder",
                "e/notes: a text, not JPEG, PNG, PGM, PPM or WebP",
            ],
        );
    }

    /// Both folders' names read as U+FFFD, as do both files'.
    #[cfg(target_os = "linux")]
    #[test]
    fn names_that_are_not_utf8_are_skipped_with_the_reason() {
        use std::os::unix::ffi::OsStrExt;
        let root = tree(&[("a/1.pgm", PICTURE)]);
        let odd = |byte| root.path().join(std::ffi::OsStr::from_bytes(&[byte]));
        for byte in [0xfe, 0xff] {
            std::fs::create_dir(odd(byte)).expect("created");
            std::fs::write(odd(byte).join("1.pgm"), PICTURE).expect("written");
        }
        for file in [&b"a/\xff.pgm"[..], b"\xfd.pgm"] {
            let path = root.path().join(std::ffi::OsStr::from_bytes(file));
            std::fs::write(path, PICTURE).expect("written");
        }
        let folder = Folder::scan(root.path(), &DecodeLimits::default()).expect("identities");
        let names: Vec<_> = folder
            .identities
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        assert_eq!((names, folder.sizes()), (vec!["a"], vec![1]));
        let (images, skipped) = Folder::images(root.path()).expect("a folder");
        assert_eq!(images, [root.path().join("a/1.pgm")]);
        for skipped in [skipped, folder.skipped] {
            let odd = skipped
                .iter()
                .filter(|one| one.reason == SkipReason::NotUtf8);
            assert_eq!((odd.count(), skipped.len()), (4, 4), "{skipped:?}");
        }
        assert_eq!(
            SkipReason::NotUtf8.to_string(),
            "its name is not UTF-8; rename it"
        );
    }

    #[test]
    fn images_without_identities_lie_in_the_folder_or_one_below() {
        let root = tree(&[
            ("b.pgm", PICTURE),
            ("a/1.pgm", PICTURE),
            ("a/b/3.pgm", PICTURE),
            (".c.pgm", PICTURE),
            ("notes", b"note"),
            ("pairs.txt", b"1"),
        ]);
        let below = |path: &Path| path.strip_prefix(root.path()).map(Path::to_owned);
        let (images, skipped) = Folder::images(root.path()).expect("a folder");
        let images: Vec<_> = images.iter().filter_map(|path| below(path).ok()).collect();
        assert_eq!(images, ["b.pgm", "a/1.pgm"].map(PathBuf::from));
        let skipped: Vec<_> = skipped
            .iter()
            .filter_map(|one| below(&one.path).ok())
            .collect();
        assert_eq!(skipped, [".c.pgm", "a/b", "notes"].map(PathBuf::from));
        let (flat, _) = Folder::images(&root.path().join("a/b")).expect("a folder");
        assert_eq!(flat, [root.path().join("a/b/3.pgm")]);
    }

    #[test]
    fn a_root_without_images_is_refused_with_its_name() {
        let root = tree(&[("1.pgm", PICTURE)]);
        let error = Folder::scan(root.path(), &DecodeLimits::default()).expect_err("no identity");
        let expected = format!(
            "{}: no identity with an image found (1 files and folders skipped); \
             check that the layout is <root>/<identity>/<image>",
            root.path().display()
        );
        assert_eq!(error.to_string(), expected);
        let absent = root.path().join("absent");
        let error = Folder::scan(&absent, &DecodeLimits::default());
        assert!(matches!(error, Err(DatasetError::Read { path, .. }) if path == absent));
    }

    #[test]
    fn people_are_kept_and_excluded_by_name() {
        let root = tree(&[
            ("a/1", PICTURE),
            ("b/1", PICTURE),
            ("b/2", PICTURE),
            ("c/1", PICTURE),
        ]);
        let mut folder = Folder::scan(root.path(), &DecodeLimits::default()).expect("three");
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        folder.keep(&names(&["a", "b", "d"]));
        assert_eq!(folder.sizes(), [1, 2]);
        folder.exclude(&names(&["a"]));
        assert_eq!(
            (folder.sizes(), folder.identity_name(0)),
            (vec![2], "b".to_owned())
        );
    }

    #[test]
    fn an_image_outside_the_set_is_an_error() {
        let root = tree(&[("a/1", PICTURE)]);
        let folder = Folder::scan(root.path(), &DecodeLimits::default()).expect("one");
        let id = |identity, image| ImageId { identity, image };
        assert_eq!(
            folder.load(id(0, 0)).expect("a good file").pixels,
            [7, 7, 7]
        );
        for id in [id(0, 1), id(1, 0)] {
            assert!(matches!(
                folder.load(id),
                Err(DatasetError::NoSuchImage { .. })
            ));
            assert!(folder.name(id).contains("identity"));
        }
    }
}
