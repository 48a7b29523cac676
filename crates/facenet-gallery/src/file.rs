//! Galleries in files.

use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use facenet_files::{
    Access, Disk, FileSystem, SCRATCH_PREFIX, Whole, delete, folder_of, open_regular, prefixed,
    replace_with, sync_folder,
};

use crate::decode::{Reason, decode};
use crate::encode::{encode, header};
use crate::lock::lock;
use crate::proof::prove_absent;
use crate::{Gallery, GalleryError};

/// What [`forget`] took out of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Templates that the identity had.
    pub n_templates: usize,
    /// Others who still have one of them, bit for bit: the same picture under another name.
    pub also_under: Vec<String>,
}

/// Reads a gallery, whoever wrote its file: any bytes give a gallery or an error, and take no more
/// memory than a few times their own.
///
/// # Errors
/// [`GalleryError::Io`]; [`GalleryError::NotAGallery`], [`GalleryError::Version`] and
/// [`GalleryError::Damaged`] by what the file holds.
pub fn load(path: &Path) -> Result<Gallery, GalleryError> {
    let failed = |source| GalleryError::io(path, "read this gallery", source);
    let file = match open_regular(path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            return Err(GalleryError::NotAGallery {
                path: path.to_owned(),
                found: "it is no file",
            });
        }
        opened => opened.map_err(failed)?,
    };
    let len = file.metadata().map_err(failed)?.len();
    decode(&mut BufReader::new(file), len).map_err(|reason| told(reason, path))
}

/// Writes a gallery in place of whatever has that name: whole or not at all, and for its owner's
/// eyes only (mode 0600).
///
/// Another process may have changed the file meanwhile; [`update`] keeps it from doing so.
///
/// # Errors
/// [`GalleryError::Write`]; the file is as before then.
pub fn save(path: &Path, gallery: &Gallery) -> Result<(), GalleryError> {
    save_on(&Disk, path, gallery)
}

/// As [`save`], on a file system of the caller's.
///
/// # Errors
/// As [`save`].
pub fn save_on(files: &dyn FileSystem, path: &Path, gallery: &Gallery) -> Result<(), GalleryError> {
    let whole = Whole {
        bytes: header(gallery).file_len() as u64,
        access: Access::Private,
    };
    let put = |mut to: &mut dyn io::Write| encode(gallery, &mut to);
    Ok(replace_with(files, &resolved(path), whole, put)?)
}

/// A file's real place: writing goes through a link to what it shows.
fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Removes what a killed writer has left: templates, of people who may be forgotten by now.
///
/// Under the lock, so that no writer is at work.
fn clear_scratch(files: &dyn FileSystem, path: &Path) -> Result<(), GalleryError> {
    let scratch = prefixed(path, SCRATCH_PREFIX);
    if std::fs::symlink_metadata(&scratch).is_ok() {
        delete(files, &scratch)?;
        sync_folder(files, folder_of(path))?;
    }
    Ok(())
}

/// Reads a gallery, changes it and writes it, while other processes that do so wait. What a killed
/// one has left of its work is deleted first.
///
/// - `fresh`: what to change where there is no such file; without one that is an error
///
/// # Errors
/// Those of [`load`], of `change` and of [`save`]; the file is as before then.
pub fn update<T>(
    path: &Path,
    fresh: Option<Gallery>,
    change: impl FnOnce(&mut Gallery) -> Result<T, GalleryError>,
) -> Result<T, GalleryError> {
    update_on(&Disk, path, fresh, change)
}

/// As [`update`], on a file system of the caller's.
///
/// # Errors
/// As [`update`].
pub fn update_on<T>(
    files: &dyn FileSystem,
    path: &Path,
    fresh: Option<Gallery>,
    change: impl FnOnce(&mut Gallery) -> Result<T, GalleryError>,
) -> Result<T, GalleryError> {
    let path = resolved(path);
    let _lock = lock(&path);
    clear_scratch(files, &path)?;
    let mut gallery = match (load(&path), fresh) {
        (Err(GalleryError::Io { source, .. }), Some(fresh))
            if source.kind() == io::ErrorKind::NotFound =>
        {
            fresh
        }
        (loaded, _) => loaded?,
    };
    let done = change(&mut gallery)?;
    save_on(files, &path, &gallery)?;
    Ok(done)
}

/// Removes an identity with all its templates from a file, and proves it: the file that was
/// written is read again; nobody in it has the name, and at no offset are the bytes of a template that
/// nobody else has. What a killed writer has left beside it goes too, whoever is named.
///
/// What the file system keeps of the former file, snapshots and backups are beyond this.
///
/// # Errors
/// [`GalleryError::Unknown`] when nobody has that name; [`GalleryError::StillThere`] when the proof
/// fails; and those of [`update`].
pub fn forget(path: &Path, name: &str) -> Result<Removed, GalleryError> {
    forget_on(&Disk, path, name)
}

/// As [`forget`], on a file system of the caller's.
///
/// # Errors
/// As [`forget`].
pub fn forget_on(files: &dyn FileSystem, path: &Path, name: &str) -> Result<Removed, GalleryError> {
    let path = resolved(path);
    let _lock = lock(&path);
    clear_scratch(files, &path)?;
    let mut gallery = load(&path)?;
    let forgotten = gallery.forget(name)?;
    save_on(files, &path, &gallery)?;
    prove_absent(&path, name, &forgotten.rows)?;
    Ok(Removed {
        n_templates: forgotten.n_templates,
        also_under: forgotten.also_under,
    })
}

fn told(reason: Reason, path: &Path) -> GalleryError {
    let path = path.to_owned();
    match reason {
        Reason::Io(source) => GalleryError::io(&path, "read this gallery", source),
        Reason::NotAGallery(found) => GalleryError::NotAGallery { path, found },
        Reason::Version(found) => GalleryError::Version { path, found },
        Reason::Damaged(found) => GalleryError::Damaged { path, found },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Embedded, Source};

    fn source() -> Source {
        Source {
            model: [3; 32],
            recipe: "160 pixels".into(),
        }
    }

    fn enroll(path: &Path, name: &str, rows: &[f32]) -> Result<usize, GalleryError> {
        let source = source();
        let embedded = Embedded {
            source: &source,
            rows,
        };
        let fresh = Gallery::new(source.clone(), 2)?;
        update(path, Some(fresh), |gallery| {
            Ok(gallery.enroll(name, embedded)?.added)
        })
    }

    #[test]
    fn enrolling_makes_a_file_and_adds_to_it() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("g");
        let missing = update(&path, None, |_| Ok(())).expect_err("no file");
        assert!(missing.to_string().contains("cannot read this gallery"));
        assert_eq!(enroll(&path, "Ann", &[1.0, 0.0]).expect("writable"), 1);
        assert_eq!(enroll(&path, "Ann", &[0.0, 1.0]).expect("writable"), 1);
        assert_eq!(enroll(&path, "Bob", &[0.0, -1.0]).expect("writable"), 1);
        let gallery = load(&path).expect("just written");
        assert_eq!((gallery.names().len(), gallery.n_templates()), (2, 3));
        assert_eq!(gallery.source(), &source());
    }

    #[test]
    fn a_refused_change_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("g");
        enroll(&path, "Ann", &[1.0, 0.0]).expect("writable");
        let before = std::fs::read(&path).expect("written");
        assert!(enroll(&path, "Bob", &[2.0, 0.0]).is_err());
        assert!(forget(&path, "Bob").is_err());
        assert_eq!(std::fs::read(&path).expect("there"), before);
    }

    /// Whoever is forgotten must not live on in what a killed enrolment has left.
    #[test]
    fn what_a_killed_writer_left_goes_with_the_next_change() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let [path, scratch] = ["g", ".scratch-g"].map(|name| folder.path().join(name));
        let leave = || std::fs::copy(&path, &scratch).expect("writable");
        for name in ["Ann", "Bob"] {
            enroll(&path, name, &[1.0, 0.0]).expect("writable");
        }
        leave();
        forget(&path, "Bob").expect("enrolled");
        assert!(!scratch.exists());
        leave();
        forget(&path, "Bob").expect_err("forgotten already");
        assert!(!scratch.exists());
        leave();
        enroll(&path, "Bob", &[2.0, 0.0]).expect_err("no unit row");
        assert!(!scratch.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_gallery_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("g");
        for name in ["Ann", "Bob"] {
            enroll(&path, name, &[1.0, 0.0]).expect("writable");
            let mode = std::fs::metadata(&path)
                .expect("there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
            // As a copy from another system may be.
            let anybodys = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(&path, anybodys).expect("ours");
        }
    }

    /// Opening a pipe would wait for a writer.
    #[cfg(unix)]
    #[test]
    fn a_pipe_is_no_gallery() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("g");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("POSIX has it").success());
        for error in [load(&path).map(drop), forget(&path, "Ann").map(drop)] {
            let message = error.expect_err("a pipe").to_string();
            assert!(message.contains("it is no file"), "{message}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_gallery_stays_one() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let (path, link) = (folder.path().join("g"), folder.path().join("link"));
        enroll(&path, "Ann", &[1.0, 0.0]).expect("writable");
        std::os::unix::fs::symlink(&path, &link).expect("writable");
        enroll(&link, "Bob", &[0.0, 1.0]).expect("writable");
        assert!(link.is_symlink());
        assert_eq!(load(&path).expect("written").names(), ["Ann", "Bob"]);
    }

    #[test]
    fn a_folder_is_no_gallery() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let message = load(folder.path()).expect_err("a folder").to_string();
        assert!(message.contains("it is no file"), "{message}");
    }

    /// Eight writers at once, each of another identity: none undoes another's work.
    #[cfg(unix)]
    #[test]
    fn changes_at_once_are_all_kept() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("g");
        let writer = |name: String| enroll(&path, &name, &[1.0, 0.0]).expect("writable");
        std::thread::scope(|scope| {
            for i in 0..8 {
                scope.spawn(move || writer(format!("{i}")));
            }
        });
        assert_eq!(load(&path).expect("written").names().len(), 8);
    }
}
