use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::error::LfwError;
use crate::folds::Folds;
use crate::name::{ImageKey, ImageName};
use crate::pairs::Pairs;

/// Extensions tried for an image given by number, in this order; the first two are the reference's.
pub const EXTENSIONS: [&str; 10] = [
    "jpg", "png", "jpeg", "pgm", "ppm", "pnm", "webp", "JPG", "PNG", "JPEG",
];

/// What to do about images that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingPolicy {
    /// An error that names all of them.
    #[default]
    Refuse,
    /// Their pairs are left out and counted; the result is not LFW's.
    Allow,
}

/// The files that pairs name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The two images of each pair that is kept.
    pub paths: Vec<[PathBuf; 2]>,
    /// Whether a kept pair is of one person.
    pub is_same: Vec<bool>,
    /// Which pairs of the file are kept: indices into [`Pairs::pairs`], ascending.
    pub kept: Vec<usize>,
    /// Images that are not there, relative to the root, each once.
    pub missing: Vec<String>,
    /// Pairs left out because of them.
    pub missing_pairs: usize,
}

/// The distinct images of resolved pairs, so that each is embedded once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distinct {
    /// Each image once, in the order of first use.
    pub paths: Vec<PathBuf>,
    /// Per pair, the indices of its two images in `paths`.
    pub pairs: Vec<[usize; 2]>,
}

/// Finds the files of all pairs below `root`.
///
/// An image given by number is `name/name_%04d` with the first of [`EXTENSIONS`] that exists; one
/// given by its file name is `name/file`. Names cannot leave the root: parsing refuses such.
///
/// # Errors
/// [`LfwError::Root`] unless `root` is a folder; [`LfwError::MissingImages`] with all missing images, or
/// where they are allowed [`LfwError::NothingLeft`] when no pair is complete.
pub fn resolve(root: &Path, pairs: &Pairs, missing: MissingPolicy) -> Result<Resolved, LfwError> {
    if !root.is_dir() {
        return Err(LfwError::Root {
            root: root.to_owned(),
        });
    }
    let resolved = found(root, pairs);
    let (root, file) = (root.to_owned(), pairs.path().to_owned());
    if missing == MissingPolicy::Refuse && !resolved.missing.is_empty() {
        let (images, pairs) = (resolved.missing, resolved.missing_pairs);
        return Err(LfwError::MissingImages {
            root,
            file,
            images,
            pairs,
        });
    }
    if resolved.kept.is_empty() {
        return Err(LfwError::NothingLeft {
            root,
            file,
            pairs: pairs.pairs().len(),
        });
    }
    Ok(resolved)
}

impl Resolved {
    /// The folds of the kept pairs, when the file's pairs are scored in `n_folds` folds.
    ///
    /// Membership goes by the file ([`Pairs::fold_ids`]), so a missing image moves no other pair
    /// to another fold.
    ///
    /// - `pairs`: those that were resolved
    ///
    /// # Errors
    /// [`LfwError::Folds`] unless there are 2 folds or more and a pair of the file for each.
    pub fn folds(&self, pairs: &Pairs, n_folds: usize) -> Result<Folds, LfwError> {
        let ids = pairs.fold_ids(n_folds)?;
        Ok(Folds::Given(self.kept.iter().map(|&i| ids[i]).collect()))
    }

    /// What must be said beside any figure when pairs were left out.
    pub fn caveat(&self) -> Option<String> {
        let (images, left_out) = (self.missing.len(), self.missing_pairs);
        let all = self.kept.len() + left_out;
        (left_out > 0).then(|| {
            format!(
                "{left_out} of {all} pairs left out, {images} image(s) missing: not an LFW result"
            )
        })
    }

    /// Each image once.
    pub fn distinct(&self) -> Distinct {
        let mut seen: HashMap<&Path, usize> = HashMap::new();
        let mut paths = Vec::new();
        let mut index = |path| {
            *seen.entry(path).or_insert_with(|| {
                paths.push(path.to_owned());
                paths.len() - 1
            })
        };
        let pairs = self
            .paths
            .iter()
            .map(|[a, b]| [index(a.as_path()), index(b)])
            .collect();
        Distinct { paths, pairs }
    }
}

impl Distinct {
    /// Lays out the rows as [`evaluate`](crate::evaluate) takes them: `[2n, dim]`.
    ///
    /// - `embeddings`: `[paths.len(), dim]` row-major, one row per image of `paths`
    ///
    /// # Errors
    /// [`LfwError::Shape`] unless there is one row per image.
    pub fn interleave(&self, embeddings: &[f32], dim: usize) -> Result<Vec<f32>, LfwError> {
        let (found, expected) = (embeddings.len(), self.paths.len() * dim);
        if found != expected {
            return Err(LfwError::Shape {
                what: "embeddings",
                found,
                expected,
            });
        }
        let rows = self.pairs.iter().flatten();
        Ok(rows
            .flat_map(|&i| &embeddings[i * dim..(i + 1) * dim])
            .copied()
            .collect())
    }
}

fn found(root: &Path, pairs: &Pairs) -> Resolved {
    let mut known: HashMap<&ImageName, Option<PathBuf>> = HashMap::new();
    let mut resolved = Resolved {
        paths: Vec::new(),
        is_same: Vec::new(),
        kept: Vec::new(),
        missing: Vec::new(),
        missing_pairs: 0,
    };
    let mut missing = BTreeSet::new();
    for (i, pair) in pairs.pairs().iter().enumerate() {
        let images = [&pair.a, &pair.b];
        let files = images.map(|image| {
            known
                .entry(image)
                .or_insert_with(|| find(root, image))
                .clone()
        });
        if let [Some(a), Some(b)] = files {
            resolved.paths.push([a, b]);
            resolved.is_same.push(pair.is_same);
            resolved.kept.push(i);
        } else {
            let lacking = images
                .into_iter()
                .zip(files)
                .filter(|(_, file)| file.is_none());
            missing.extend(lacking.map(|(image, _)| image.stem()));
            resolved.missing_pairs += 1;
        }
    }
    Resolved {
        missing: missing.into_iter().collect(),
        ..resolved
    }
}

fn find(root: &Path, image: &ImageName) -> Option<PathBuf> {
    let stem = image.stem();
    let candidates = match image.image {
        ImageKey::File(_) => vec![root.join(stem)],
        // Appended rather than set, as a name may hold dots.
        ImageKey::Number(_) => EXTENSIONS
            .map(|ext| root.join(format!("{stem}.{ext}")))
            .to_vec(),
    };
    candidates.into_iter().find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TEXT: &str = "2\t1\nAnn\t1\t2\nAnn\t1\tB. C\t1\nDan\t1.pgm\t2.pgm\nAnn\t2\tDan\t1.pgm\n";

    fn pairs() -> Pairs {
        Pairs::parse(TEXT, Path::new("pairs.txt")).expect("well-formed")
    }

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("scratch folder");
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("has a folder")).expect("writable");
            fs::write(path, b"").expect("writable");
        }
        dir
    }

    const ALL: [&str; 6] = [
        "Ann/Ann_0001.png",
        "Ann/Ann_0002.png",
        "Ann/Ann_0002.jpg",
        "B. C/B. C_0001.webp",
        "Dan/1.pgm",
        "Dan/2.pgm",
    ];

    #[test]
    fn jpg_comes_before_png_and_file_names_are_taken_as_they_are() {
        let dir = folder(&ALL);
        let found = resolve(dir.path(), &pairs(), MissingPolicy::Refuse).expect("all there");
        let at = |path: &str| dir.path().join(path);
        assert_eq!(
            found.paths[0],
            [at("Ann/Ann_0001.png"), at("Ann/Ann_0002.jpg")]
        );
        assert_eq!(found.paths[1][1], at("B. C/B. C_0001.webp"));
        assert_eq!(found.paths[2], [at("Dan/1.pgm"), at("Dan/2.pgm")]);
        assert_eq!(found.caveat(), None);
        let distinct = found.distinct();
        assert_eq!(distinct.pairs, [[0, 1], [0, 2], [3, 4], [1, 3]]);
        let rows = distinct
            .interleave(&[0., 1., 2., 3., 4.], 1)
            .expect("a row each");
        assert_eq!(rows, [0., 1., 0., 2., 3., 4., 1., 3.]);
        assert!(distinct.interleave(&[0.0], 1).is_err());
    }

    #[test]
    fn all_missing_images_are_named_at_once() {
        let dir = folder(&[
            "Ann/Ann_0001.jpg",
            "Ann/Ann_0002.jpg",
            "Dan/2.pgm",
            "B. C/x",
        ]);
        let error = resolve(dir.path(), &pairs(), MissingPolicy::Refuse).expect_err("two lack");
        let text = error.to_string();
        let told = "2 image(s) of pairs.txt are missing, so 3 pair(s) cannot be scored: \
                    B. C/B. C_0001, Dan/1.pgm; add";
        assert!(text.contains(told), "{text}");
    }

    #[test]
    fn allowed_gaps_leave_the_others_in_their_folds() {
        let dir = folder(&["Ann/Ann_0001.jpg", "Ann/Ann_0002.jpg", "Dan/1.pgm"]);
        let found = resolve(dir.path(), &pairs(), MissingPolicy::Allow).expect("two are left");
        assert_eq!(found.kept, [0, 3]);
        assert_eq!(
            found.folds(&pairs(), 2).expect("as the file"),
            Folds::Given(vec![1, 2])
        );
        let caveat = found.caveat().expect("pairs were left out");
        assert_eq!(
            caveat,
            "2 of 4 pairs left out, 2 image(s) missing: not an LFW result"
        );
    }

    #[test]
    fn nothing_to_score_is_an_error() {
        let dir = folder(&[]);
        let found = resolve(dir.path(), &pairs(), MissingPolicy::Allow);
        assert!(matches!(found, Err(LfwError::NothingLeft { pairs: 4, .. })));
        let found = resolve(&dir.path().join("no"), &pairs(), MissingPolicy::Allow);
        assert!(matches!(found, Err(LfwError::Root { .. })));
    }
}
