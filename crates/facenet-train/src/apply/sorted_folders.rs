//! Clusters as folders and as a table.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use facenet_files::{Access, Disk, FileError, FileSystem, make_folder, new_folder, replace};

use crate::apply::cluster::Clustered;
use crate::error::TrainError;
use crate::synthetic_folder::check_absent;

/// How an image comes into its cluster's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placing {
    /// As a second name of the same file; a copy where the file system cannot.
    Link,
    /// As a file of its own.
    Copy,
}

impl Clustered {
    /// Puts every image into `folder/cluster_<number, 4 digits>` or `folder/unclustered`, under
    /// its number among the cluster's and its own name. The folder appears whole, or not at all.
    ///
    /// # Errors
    /// [`TrainError::Config`] where the folder exists; [`TrainError::Io`] where an image cannot be read;
    /// [`TrainError::File`] where the disk refuses.
    pub fn sort_into(&self, folder: &Path, placing: Placing) -> Result<(), TrainError> {
        check_absent(folder, "--output")?;
        new_folder(&Disk, folder, |scratch| {
            for (number, images) in self.clusters.iter().enumerate() {
                let name = format!("cluster_{:04}", number + 1);
                place(images, &scratch.join(name), placing)?;
            }
            if self.unclustered.is_empty() {
                return Ok(());
            }
            place(&self.unclustered, &scratch.join("unclustered"), placing)
        })
    }

    /// Writes a table `cluster,path`, clusters from 1 and nothing for an image in none.
    ///
    /// # Errors
    /// [`TrainError::File`] where the file cannot be written.
    pub fn write_csv(&self, file: &Path) -> Result<(), TrainError> {
        let failed = |error: csv::Error| TrainError::Data {
            path: file.to_owned(),
            what: format!("a row cannot be written ({error})"),
            remedy: "give another place".to_owned(),
        };
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["cluster", "path"]).map_err(failed)?;
        let numbered = (1..)
            .map(|number: u32| number.to_string())
            .zip(&self.clusters);
        let rest = [(String::new(), &self.unclustered)];
        for (number, images) in numbered.chain(rest) {
            for image in images {
                writer.write_record([&number, image]).map_err(failed)?;
            }
        }
        let bytes = writer.into_inner();
        let bytes = bytes.map_err(|error| failed(error.into_error().into()))?;
        Ok(replace(&Disk, file, &bytes)?)
    }
}

fn place(images: &[String], folder: &Path, placing: Placing) -> Result<(), TrainError> {
    make_folder(&Disk, folder)?;
    for (number, image) in images.iter().enumerate() {
        let image = Path::new(image);
        let name = image.file_name().unwrap_or_default().to_string_lossy();
        // Images of several folders may have one name.
        let to = folder.join(format!("{:05}_{name}", number + 1));
        // The file itself: a second name of a link would lead nowhere from there.
        let link = || Disk.link(&image.canonicalize()?, &to);
        let is_linked = placing == Placing::Link && link().is_ok();
        if !is_linked {
            copy(image, &to)?;
        }
    }
    Ok(())
}

/// Copies a file without waiting for the disk: what it is a copy of stays.
fn copy(image: &Path, to: &Path) -> Result<(), TrainError> {
    let unreadable = |source| TrainError::io(image, "read this image", source);
    let mut from = File::open(image).map_err(unreadable)?;
    let data = from.metadata().map_err(unreadable)?;
    let bytes = data.len();
    let copied = Disk
        .create(to, access_of(&data))
        .and_then(|mut file| io::copy(&mut from, &mut file));
    copied.map_err(|source| FileError::write(&Disk, to, bytes, source))?;
    Ok(())
}

/// A picture that not everybody can read has copies for its owner only: a group is not copied.
fn access_of(data: &Metadata) -> Access {
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&data.permissions()) & 0o004 == 0 {
        return Access::Private;
    }
    Access::Usual
}

#[cfg(test)]
mod tests {
    use super::*;
    use facenet_lfw::PairwiseScore;
    use std::fs;

    fn clustered(root: &Path) -> Clustered {
        let image = |name: &str| root.join(name).display().to_string();
        for name in ["a/1.png", "b/1.png", "b/2, \"x\".png"] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().expect("below")).expect("writable");
            fs::write(path, name).expect("writable");
        }
        Clustered {
            clusters: vec![vec![image("a/1.png"), image("b/1.png")]],
            unclustered: vec![image("b/2, \"x\".png")],
            score: PairwiseScore::of(&[], &[]),
            skipped: vec![],
        }
    }

    #[test]
    fn images_of_one_name_do_not_meet() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let found = clustered(root.path());
        for (name, placing) in [("linked", Placing::Link), ("copied", Placing::Copy)] {
            let out = root.path().join(name);
            found.sort_into(&out, placing).expect("writable");
            let read = |name: &str| fs::read_to_string(out.join(name)).expect(name);
            assert_eq!(read("cluster_0001/00001_1.png"), "a/1.png");
            assert_eq!(read("cluster_0001/00002_1.png"), "b/1.png");
            assert_eq!(read("unclustered/00001_2, \"x\".png"), "b/2, \"x\".png");
            let again = found.sort_into(&out, placing).expect_err("it is there");
            assert_eq!(again.exit_class().code(), 2);
        }
        assert!(root.path().join("a/1.png").exists(), "nothing is moved");
    }

    #[cfg(unix)]
    #[test]
    fn a_copy_is_read_by_nobody_who_cannot_read_the_picture() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().expect("a scratch folder");
        let found = clustered(root.path());
        for mode in [0o640, 0o600, 0o604] {
            let image = root.path().join("a/1.png");
            fs::set_permissions(&image, fs::Permissions::from_mode(mode)).expect("ours");
            let out = root.path().join(format!("{mode:o}"));
            found.sort_into(&out, Placing::Copy).expect("writable");
            let copy = fs::metadata(out.join("cluster_0001/00001_1.png")).expect("copied");
            let is_private = copy.permissions().mode() & 0o777 == 0o600;
            assert_eq!(is_private, mode != 0o604, "{mode:o}");
        }
    }

    #[test]
    fn an_image_that_is_gone_leaves_no_folder() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let mut found = clustered(root.path());
        found.clusters[0].push("gone.png".to_owned());
        let out = root.path().join("out");
        assert!(found.sort_into(&out, Placing::Link).is_err());
        let left = fs::read_dir(root.path()).expect("a folder").count();
        assert_eq!((left, out.exists()), (2, false), "a and b only");
    }

    #[test]
    fn a_table_quotes_what_needs_it() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let file = root.path().join("x.csv");
        let found = Clustered {
            clusters: vec![vec!["a/1.png".to_owned()], vec!["b, c".to_owned()]],
            unclustered: vec!["d".to_owned()],
            score: PairwiseScore::of(&[], &[]),
            skipped: vec![],
        };
        found.write_csv(&file).expect("writable");
        let text = fs::read_to_string(&file).expect("written");
        assert_eq!(text, "cluster,path\n1,a/1.png\n2,\"b, c\"\n,d\n");
    }
}
