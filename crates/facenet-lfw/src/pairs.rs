use std::fmt;
use std::path::{Path, PathBuf};

use facenet_files::{Disk, FileSystem, replace};

use crate::error::LfwError;
use crate::folds::contiguous;
use crate::name::ImageName;

/// Two images and whether they show one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The image named first.
    pub a: ImageName,
    /// The image named second.
    pub b: ImageName,
    /// Whether both are of one person: a line of three columns.
    pub is_same: bool,
    /// The fold by the file's own header, from 1; 1 throughout in a file without folds.
    pub fold: u32,
    /// The line in the file, from 1.
    pub line: usize,
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { a, b, .. } = self;
        if self.is_same {
            write!(f, "{}\t{}\t{}", a.name, a.image, b.image)
        } else {
            write!(f, "{}\t{}\t{}\t{}", a.name, a.image, b.name, b.image)
        }
    }
}

/// A pairs file: LFW's `pairs.txt` and `pairsDev*.txt`, or the same for any other folder.
///
/// Read by [`Pairs::load`] or made by [`make_pairs`](crate::make_pairs); `Display` writes the
/// file's text (tabs, LF), which for LFW's own files is theirs byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs {
    pub(crate) path: PathBuf,
    pub(crate) n_folds: Option<u32>,
    pub(crate) per_kind: u64,
    pub(crate) list: Vec<Pair>,
}

impl Pairs {
    /// The pairs in the file's order.
    pub fn pairs(&self) -> &[Pair] {
        &self.list
    }

    /// Folds of the header; none for a development file, whose header is one number.
    pub fn n_folds(&self) -> Option<u32> {
        self.n_folds
    }

    /// The file that these came from, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The pairs of the chosen folds only, in the file's order, under their own fold numbers.
    ///
    /// - `folds`: numbers from 1 as the file has them, in any order; repeats are harmless
    ///
    /// # Errors
    /// [`LfwError::NoSuchFold`] for a fold that the file has not (a file without folds has
    /// none), [`LfwError::Folds`] for an empty choice.
    pub fn only_folds(&self, folds: &[u32]) -> Result<Self, LfwError> {
        if folds.is_empty() {
            return Err(LfwError::Folds {
                folds: 0,
                pairs: self.list.len(),
            });
        }
        let is_there = |fold| self.n_folds.is_some() && self.list.iter().any(|p| p.fold == fold);
        if let Some(&fold) = folds.iter().find(|&&fold| !is_there(fold)) {
            let n_folds = self.n_folds;
            return Err(LfwError::NoSuchFold {
                path: self.path.clone(),
                fold,
                n_folds,
            });
        }
        let kept = self.list.iter().filter(|pair| folds.contains(&pair.fold));
        let list: Vec<_> = kept.cloned().collect();
        let mut distinct = folds.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        Ok(Self {
            n_folds: Some(distinct.len() as u32),
            list,
            ..self.clone_head()
        })
    }

    /// The fold of each pair when the pairs are scored in `n_folds` folds.
    ///
    /// Where the header has that many folds they are its own. Where it has another number,
    /// contiguous blocks, as the reference evaluator cuts them. A file without folds, or of one,
    /// lists all same pairs first, so contiguous blocks would hold one kind only: there each kind
    /// is cut into contiguous blocks by itself.
    ///
    /// # Errors
    /// [`LfwError::Folds`] unless there are 2 folds or more and a pair for each.
    pub fn fold_ids(&self, n_folds: usize) -> Result<Vec<u32>, LfwError> {
        let pairs = self.list.len();
        if self.n_folds.is_some_and(|n| n as usize == n_folds) && n_folds >= 2 {
            return Ok(self.list.iter().map(|pair| pair.fold).collect());
        }
        let mut ids = contiguous(pairs, n_folds)?;
        if self.n_folds.is_none_or(|n| n == 1) {
            for is_same in [true, false] {
                self.cut_kind(is_same, n_folds, &mut ids);
            }
        }
        Ok(ids)
    }

    /// Writes the file whole, in place of any before it.
    ///
    /// # Errors
    /// [`LfwError::Write`] where the folder cannot be written; nothing is left behind then.
    pub fn write(&self, path: &Path) -> Result<(), LfwError> {
        self.write_on(&Disk, path)
    }

    /// As [`write`](Self::write), on a file system of the caller's.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_on(&self, files: &dyn FileSystem, path: &Path) -> Result<(), LfwError> {
        Ok(replace(files, path, self.to_string().as_bytes())?)
    }

    fn cut_kind(&self, is_same: bool, n_folds: usize, ids: &mut [u32]) {
        let of_kind = |&i: &usize| self.list[i].is_same == is_same;
        let members: Vec<usize> = (0..self.list.len()).filter(of_kind).collect();
        for (rank, &i) in members.iter().enumerate() {
            ids[i] = (rank * n_folds / members.len()) as u32 + 1;
        }
    }

    fn clone_head(&self) -> Self {
        let Self {
            n_folds, per_kind, ..
        } = *self;
        Self {
            path: self.path.clone(),
            n_folds,
            per_kind,
            list: Vec::new(),
        }
    }
}

impl fmt::Display for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.n_folds {
            Some(n_folds) => writeln!(f, "{n_folds}\t{}", self.per_kind)?,
            None => writeln!(f, "{}", self.per_kind)?,
        }
        self.list.iter().try_for_each(|pair| writeln!(f, "{pair}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn parsed(text: &str) -> Pairs {
        Pairs::parse(text, Path::new("pairs.txt")).expect("well-formed")
    }

    const TWO_FOLDS: &str = "2\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\nCyd\t1\t2\nCyd\t1\tDan\t1\n";
    const DEV: &str = "2\nAnn\t1\t2\nCyd\t1\t2\nAnn\t1\tBob\t1\nCyd\t1\tDan\t1\n";

    #[test]
    fn chosen_folds_keep_their_numbers() {
        let kept = parsed(TWO_FOLDS)
            .only_folds(&[2, 2])
            .expect("fold 2 is there");
        assert_eq!(
            kept.pairs()
                .iter()
                .map(|p| (p.fold, p.line))
                .collect::<Vec<_>>(),
            [(2, 4), (2, 5)]
        );
        assert_eq!(kept.to_string(), "1\t1\nCyd\t1\t2\nCyd\t1\tDan\t1\n");
    }

    #[test]
    fn a_fold_that_is_not_there_is_named() {
        let error = parsed(TWO_FOLDS)
            .only_folds(&[1, 3])
            .expect_err("two folds only");
        assert_eq!(
            error.to_string(),
            "pairs.txt: no fold 3, the file has folds 1 to 2; choose among them"
        );
        assert!(matches!(
            parsed(DEV).only_folds(&[1]),
            Err(LfwError::NoSuchFold { .. })
        ));
        assert!(matches!(
            parsed(TWO_FOLDS).only_folds(&[]),
            Err(LfwError::Folds { .. })
        ));
    }

    #[test]
    fn a_file_without_folds_is_cut_kind_by_kind() {
        assert_eq!(parsed(DEV).fold_ids(2).expect("two folds"), [1, 2, 1, 2]);
        assert_eq!(
            parsed(TWO_FOLDS).fold_ids(2).expect("two folds"),
            [1, 1, 2, 2]
        );
        assert_eq!(
            parsed(TWO_FOLDS).fold_ids(4).expect("four folds"),
            [1, 2, 3, 4]
        );
        assert!(matches!(
            parsed(DEV).fold_ids(5),
            Err(LfwError::Folds { folds: 5, pairs: 4 })
        ));
    }

    #[test]
    fn what_is_written_reads_back_and_a_bad_folder_is_an_error() {
        let dir = tempfile::tempdir().expect("scratch folder");
        let path = dir.path().join("pairs.txt");
        parsed(DEV).write(&path).expect("writable");
        assert_eq!(fs::read_to_string(&path).expect("written"), DEV);
        assert_eq!(fs::read_dir(dir.path()).expect("listable").count(), 1);
        let nowhere = dir.path().join("no/pairs.txt");
        assert!(matches!(
            parsed(DEV).write(&nowhere),
            Err(LfwError::Write { .. })
        ));
    }

    #[test]
    fn a_pairs_file_is_the_old_or_the_new_one_whatever_fails() {
        use facenet_files::faults::Scenario;
        let dir = tempfile::tempdir().expect("scratch folder");
        let scenario = Scenario {
            prepare: &|root| Ok(parsed(DEV).write(&root.join("pairs.txt"))?),
            act: &|files, root| Ok(parsed(TWO_FOLDS).write_on(files, &root.join("pairs.txt"))?),
            check: &|root, told| {
                let found = fs::read_to_string(root.join("pairs.txt"))?;
                if found == TWO_FOLDS || (found == DEV && !told.is_done()) {
                    return Ok(());
                }
                Err(format!("found {found:?}").into())
            },
        };
        let count = scenario.run(&dir.path().join("trials")).expect("right");
        println!("faults: pairs file: {count}");
    }
}
