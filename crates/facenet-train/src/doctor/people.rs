//! Who does not look like who they are said to be, by embedding.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;

use facenet_dataset::Checkup;
use facenet_miner::{Embeddings, HalfIndex, Miner, MinerConfig, Neighbour, sq_l2};
use rayon::prelude::*;
use serde::Serialize;

use super::separation::Separation;
use crate::error::TrainError;

/// Nearest images of others, by which identities are compared at all: someone under two names is
/// nearest to himself.
const NEIGHBOURS: usize = 8;
/// Distances that a median of two identities must be made of to be grave.
const MIN_DISTANCES: usize = 4;
/// Images of an identity from which one of them can be the odd one.
const MIN_IMAGES: usize = 3;

/// A kind of suspicion. Its text is one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SuspectKind {
    /// An image that looks like nobody else of its identity.
    Outlier,
    /// Two identities that look like one person.
    TwoNames,
    /// An identity that looks like one of the other folder.
    SamePerson,
}

impl SuspectKind {
    /// The word that stands for this kind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outlier => "outlier",
            Self::TwoNames => "two-names",
            Self::SamePerson => "same-person",
        }
    }
}

/// Something that an embedding makes suspicious.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect {
    /// Of which kind.
    pub kind: SuspectKind,
    /// Whether training on it would be wrong, as far as the model can be believed.
    pub is_grave: bool,
    /// Names of the identities concerned.
    pub identities: Vec<String>,
    /// Images to look at: the odd one, or the two nearest.
    pub images: Vec<PathBuf>,
    /// Median squared L2 that makes it suspicious.
    pub sq_l2: f64,
    /// What is suspicious, in words that fit after the paths and a colon.
    pub what: String,
}

/// Embedded images of a folder, identity by identity.
#[derive(Debug)]
pub(super) struct People {
    /// `[paths.len(), dim]`
    values: Vec<f32>,
    dim: usize,
    /// `[paths.len()]`, ascending: index into `names`.
    labels: Vec<u32>,
    paths: Vec<PathBuf>,
    names: Vec<String>,
}

impl People {
    /// - `at`: of each row, which of the readable images it is of
    /// - `values`: `[at.len(), dim]`
    pub(super) fn new(checkup: &Checkup, at: &[usize], values: &[f32], dim: usize) -> Self {
        let readable: Vec<_> = checkup.readable().collect();
        let rows = at.iter().map(|&at| readable[at]);
        let (labels, paths) = rows
            .map(|(label, path)| (label as u32, path.to_owned()))
            .unzip();
        let names = checkup.folder().identities.iter();
        Self {
            values: values.to_vec(),
            dim,
            labels,
            paths,
            names: names.map(|one| one.name.clone()).collect(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    pub(super) fn label(&self, row: usize) -> u32 {
        self.labels[row]
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.dim..][..self.dim]
    }

    /// The rows of each identity that has some.
    pub(super) fn spans(&self) -> impl Iterator<Item = Range<usize>> {
        let mut end = 0;
        self.labels.chunk_by(u32::eq).map(move |chunk| {
            let start = end;
            end += chunk.len();
            start..end
        })
    }

    fn span(&self, label: u32) -> Range<usize> {
        let before = |label| self.labels.partition_point(|&other| other < label);
        before(label)..before(label + 1)
    }

    fn name(&self, label: u32) -> String {
        self.names[label as usize].clone()
    }

    fn embeddings(&self) -> Result<Embeddings<'_>, TrainError> {
        Ok(Embeddings::new(&self.values, self.dim)?)
    }

    /// Outliers, then identities that look like one person; each by the folder's order.
    pub(super) fn suspects(&self, separation: &Separation) -> Result<Vec<Suspect>, TrainError> {
        let miner = Miner::new(MinerConfig {
            hardest_negatives: NEIGHBOURS,
            ..MinerConfig::default()
        })?;
        let lists = &miner.hardest_negatives(self.embeddings()?, &self.labels)?;
        let spans: Vec<_> = self
            .spans()
            .filter(|span| span.len() >= MIN_IMAGES)
            .collect();
        let outliers = spans.into_par_iter().flat_map_iter(|span| {
            let odd = self.odd_ones(span, separation.other_above).into_iter();
            odd.map(move |(row, median, others)| {
                let nearest = lists.of(row).first();
                self.outlier(row, median, others, nearest, separation)
            })
        });
        let mut suspects: Vec<Suspect> = outliers.collect();
        let near = (0..self.len()).flat_map(|row| {
            let near = lists
                .of(row)
                .iter()
                .filter(|other| other.sq_l2 < separation.same_below);
            near.map(move |other| {
                let (one, two) = (self.label(row), self.label(other.index as usize));
                (one.min(two), one.max(two))
            })
        });
        let pairs: BTreeSet<(u32, u32)> = near.collect();
        let found = pairs.into_iter().filter_map(|(one, two)| {
            self.one_person(one, (self, two), separation, SuspectKind::TwoNames)
        });
        suspects.extend(found);
        Ok(suspects)
    }

    /// Identities of this folder that look like one of the other.
    pub(super) fn shared_with(
        &self,
        other: &Self,
        separation: &Separation,
    ) -> Result<Vec<Suspect>, TrainError> {
        let index = HalfIndex::new(other.embeddings()?);
        let lists = index.nearest(self.embeddings()?, NEIGHBOURS)?;
        let near = lists.iter().enumerate().flat_map(|(row, list)| {
            let near = list.iter().filter(|one| one.sq_l2 < separation.same_below);
            near.map(move |one| (self.label(row), other.label(one.index as usize)))
        });
        let pairs: BTreeSet<(u32, u32)> = near.collect();
        let found = pairs.into_iter().filter_map(|(own, theirs)| {
            self.one_person(own, (other, theirs), separation, SuspectKind::SamePerson)
        });
        Ok(found.collect())
    }

    /// Rows of an identity whose median to its others is not below `line`, with that median and
    /// their number; none where most of the identity is like that.
    fn odd_ones(&self, span: Range<usize>, line: f64) -> Vec<(usize, f64, usize)> {
        let median_of = |row: usize| {
            let others = span.clone().filter(|&other| other != row);
            median(
                others
                    .map(|other| sq_l2(self.row(row), self.row(other)))
                    .collect(),
            )
        };
        let medians: Vec<f64> = span.clone().map(median_of).collect();
        if median(medians.clone()) >= line {
            return Vec::new();
        }
        let odd = span
            .clone()
            .zip(medians)
            .filter(|&(_, median)| median >= line);
        odd.map(|(row, median)| (row, median, span.len() - 1))
            .collect()
    }

    /// - `others`: images of the same identity
    /// - `nearest`: of other identities
    fn outlier(
        &self,
        row: usize,
        sq_l2: f64,
        others: usize,
        nearest: Option<&Neighbour>,
        separation: &Separation,
    ) -> Suspect {
        let mut what = format!(
            "median squared L2 {sq_l2:.3} to the other {others} images, expected below {:.3}",
            separation.other_above
        );
        if let Some(nearest) = nearest.filter(|one| one.sq_l2 < separation.same_below) {
            let like = self.name(self.label(nearest.index as usize));
            what = format!("{what}; looks like {like} ({:.3})", nearest.sq_l2);
        }
        Suspect {
            kind: SuspectKind::Outlier,
            is_grave: false,
            identities: vec![self.name(self.label(row))],
            images: vec![self.paths[row].clone()],
            sq_l2,
            what,
        }
    }

    /// Two identities as one person, where the median of all their distances says so.
    fn one_person(
        &self,
        own: u32,
        (other, theirs): (&Self, u32),
        separation: &Separation,
        kind: SuspectKind,
    ) -> Option<Suspect> {
        let rows = self
            .span(own)
            .flat_map(|i| other.span(theirs).map(move |j| (i, j)));
        let distances: Vec<(f64, usize, usize)> = rows
            .map(|(i, j)| (sq_l2(self.row(i), other.row(j)), i, j))
            .collect();
        let nearest = distances.iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
        let sq_l2 = median(distances.iter().map(|one| one.0).collect());
        (sq_l2 < separation.same_below).then(|| Suspect {
            kind,
            is_grave: separation.is_reliable() && distances.len() >= MIN_DISTANCES,
            identities: vec![self.name(own), other.name(theirs)],
            images: vec![
                self.paths[nearest.1].clone(),
                other.paths[nearest.2].clone(),
            ],
            sq_l2,
            what: format!(
                "look like one person: median squared L2 {sq_l2:.3} of {} pairs, below {:.3}",
                distances.len(),
                separation.same_below
            ),
        })
    }

    /// People named by their number, `counts` images each.
    #[cfg(test)]
    pub(super) fn of_rows(values: &[f32], dim: usize, counts: &[usize]) -> Self {
        let labels = (0u32..).zip(counts).flat_map(|(label, &n)| vec![label; n]);
        Self {
            values: values.to_vec(),
            dim,
            labels: labels.collect(),
            paths: (0..values.len() / dim)
                .map(|i| i.to_string().into())
                .collect(),
            names: (0..counts.len()).map(|label| label.to_string()).collect(),
        }
    }
}

/// The middle value, the lower of two; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    let Some(last) = values.len().checked_sub(1) else {
        return 0.0;
    };
    *values.select_nth_unstable_by(last / 2, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Separation = Separation {
        same_pairs: 100,
        different_pairs: 100,
        accuracy: 0.99,
        same_below: 0.1,
        other_above: 0.5,
    };

    fn told(suspects: &[Suspect]) -> Vec<String> {
        let told = suspects.iter().map(|one| {
            let images: Vec<_> = one
                .images
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            let grave = if one.is_grave { "!" } else { "" };
            let (kind, names) = (one.kind.name(), one.identities.join(" "));
            format!("{grave}{kind} {names}: {}", images.join(" "))
        });
        told.collect()
    }

    /// Points on a line, exact in binary: identity 0 at 0 with its last image at 3, where identity 1
    /// is; identity 2 at 6, where identity 3 is; identity 4 at 9, and identity 5 with one image at 3.
    const POINTS: [f32; 14] = [
        0.0, 0.125, 0.25, 3.0, 3.125, 3.25, 3.0, 6.0, 6.125, 6.25, 6.125, 6.0, 9.0, 3.156_25,
    ];
    const COUNTS: [usize; 6] = [4, 3, 3, 2, 1, 1];

    #[test]
    fn planted_faults_are_found_and_nothing_else() {
        let people = People::of_rows(&POINTS, 1, &COUNTS);
        let found = people.suspects(&LINE).expect("whole rows");
        let expected = [
            "outlier 0: 3",
            "two-names 1 5: 4 13",
            "!two-names 2 3: 7 11",
        ];
        assert_eq!(told(&found), expected);
        assert!(
            found[0].what.contains("; looks like 1 (0.000)"),
            "{}",
            found[0].what
        );
        let unsure = Separation {
            accuracy: 0.9,
            ..LINE
        };
        let found = people.suspects(&unsure).expect("whole rows");
        assert!(found.iter().all(|one| !one.is_grave));
    }

    #[test]
    fn people_of_another_folder_are_found_by_median() {
        let people = People::of_rows(&POINTS, 1, &COUNTS);
        // One image at 3 of someone at 20 else, and someone at 6.
        let other = People::of_rows(&[3.0, 20.0, 20.0, 6.0625, 6.1875], 1, &[3, 2]);
        let found = people.shared_with(&other, &LINE).expect("one dimension");
        let expected = ["!same-person 2 1: 7 3", "!same-person 3 1: 10 3"];
        assert_eq!(told(&found), expected);
    }

    #[test]
    fn an_identity_of_which_most_is_apart_has_no_outlier() {
        let people = People::of_rows(&[0.0, 2.0, 4.0, 6.0, 9.0], 1, &[4, 1]);
        assert!(people.suspects(&LINE).expect("whole rows").is_empty());
    }

    #[test]
    fn the_median_is_a_value_that_there_is() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
