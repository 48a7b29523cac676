//! Who does not look like who they are said to be, by embedding.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;

use facenet_dataset::Checkup;
use facenet_miner::{Embeddings, HalfIndex, Miner, MinerConfig, Neighbour, sq_l2};
use rayon::prelude::*;

use super::chance::{Chance, Suspected};
use super::median::{lower_median, upper_median};
use super::separation::Separation;
use super::suspect::{Suspect, SuspectKind};
use crate::error::TrainError;

/// Nearest images of others, by which identities are compared at all: someone under two names is
/// nearest to himself.
const NEIGHBOURS: usize = 8;
/// Distances that a median of two identities must be made of to be grave.
const MIN_DISTANCES: usize = 4;
/// Images of an identity from which one of them can be the odd one.
const MIN_IMAGES: usize = 3;

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

    /// Identities that have rows.
    pub(super) fn n_identities(&self) -> usize {
        self.spans().count()
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
        let odd = self.odd_rows(separation);
        let outliers = odd.iter().map(|&(row, median, others)| {
            let nearest = lists.of(row).first();
            self.outlier(row, median, others, nearest, separation)
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
        let couples: BTreeSet<(u32, u32)> = near.collect();
        let odd = rows_of(&odd);
        let kind = SuspectKind::TwoNames;
        let found = self.one_person_each(self, couples, [odd.clone(), odd], separation, kind);
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
        let couples: BTreeSet<(u32, u32)> = near.collect();
        let odd = [self, other].map(|people| rows_of(&people.odd_rows(separation)));
        let kind = SuspectKind::SamePerson;
        Ok(self.one_person_each(other, couples, odd, separation, kind))
    }

    /// Those of the couples that look like one person; grave where the model is reliable, the
    /// distances are some, and chance would hardly give as much anywhere.
    ///
    /// - `odd`: rows of outliers here and in `other`
    fn one_person_each(
        &self,
        other: &Self,
        couples: BTreeSet<(u32, u32)>,
        odd: [BTreeSet<usize>; 2],
        separation: &Separation,
        kind: SuspectKind,
    ) -> Vec<Suspect> {
        let found = couples.into_iter().filter_map(|couple| {
            let suspect = self.one_person(couple.0, (other, couple.1), separation, kind)?;
            Some((couple, suspect))
        });
        let mut found: Vec<((u32, u32), Suspect)> = found.collect();
        if found.iter().any(|(_, suspect)| suspect.is_grave) {
            let suspected = Suspected {
                couples: found.iter().map(|(couple, _)| *couple).collect(),
                odd,
                line: found
                    .iter()
                    .map(|(_, suspect)| suspect.sq_l2)
                    .fold(0.0, f64::max),
            };
            let chance = match kind {
                SuspectKind::SamePerson => Chance::between(self, other, &suspected),
                _ => Chance::within(self, &suspected),
            };
            for (_, suspect) in &mut found {
                doubt(suspect, &chance);
            }
        }
        found.into_iter().map(|(_, suspect)| suspect).collect()
    }

    /// The outliers of all identities, as [`odd_ones`](Self::odd_ones) gives them.
    fn odd_rows(&self, separation: &Separation) -> Vec<(usize, f64, usize)> {
        let spans = self.spans().filter(|span| span.len() >= MIN_IMAGES);
        let spans: Vec<_> = spans.collect();
        let odd = spans
            .into_par_iter()
            .flat_map_iter(|span| self.odd_ones(span, separation.other_above));
        odd.collect()
    }

    /// Rows of an identity whose median to its others is not below `line`, with that median and
    /// their number; none where most of the identity is like that.
    fn odd_ones(&self, span: Range<usize>, line: f64) -> Vec<(usize, f64, usize)> {
        let median_of = |row: usize| {
            let others = span.clone().filter(|&other| other != row);
            lower_median(
                others
                    .map(|other| sq_l2(self.row(row), self.row(other)))
                    .collect(),
            )
        };
        let medians: Vec<f64> = span.clone().map(median_of).collect();
        if lower_median(medians.clone()) >= line {
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
        let sq_l2 = upper_median(distances.iter().map(|one| one.0).collect());
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

/// Makes a grave suspect a mere one where chance could have given it, and says so.
fn doubt(suspect: &mut Suspect, chance: &Chance) {
    if suspect.is_grave && !chance.is_rare(suspect.sq_l2) {
        suspect.is_grave = false;
        suspect.what = format!(
            "{}; it may be chance: there are {} pairs of people, and too few distances to rule it out",
            suspect.what,
            chance.couples()
        );
    }
}

fn rows_of(odd: &[(usize, f64, usize)]) -> BTreeSet<usize> {
    odd.iter().map(|one| one.0).collect()
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

    /// Two images each, one of either alike: half of the distances are near, half are not.
    #[test]
    fn half_of_the_distances_make_no_second_name() {
        let people = People::of_rows(&[0.0, 0.0, 0.0, 2.0, 9.0], 1, &[2, 2, 1]);
        assert_eq!(told(&people.suspects(&LINE).expect("whole rows")), [""; 0]);
    }

    #[test]
    fn what_others_show_by_chance_is_not_grave() {
        let counts = [2; 5];
        let of = |others: [f32; 6]| {
            let values = [&[0.0, 0.125, 0.0, 0.125][..], &others].concat();
            People::of_rows(&values, 1, &counts)
                .suspects(&LINE)
                .expect("whole rows")
        };
        let found = of([5.0, 7.0, 15.0, 19.0, 25.0, 31.0]);
        assert_eq!(told(&found), ["!two-names 0 1: 0 2"]);
        // Three who are alike on one image each: of 72 distances six are as near, and there are 10
        // couples.
        let found = of([5.0, 7.0, 5.0, 9.0, 5.0, 11.0]);
        assert_eq!(told(&found), ["two-names 0 1: 0 2"]);
        let what = &found[0].what;
        assert!(
            what.contains("; it may be chance: there are 10 pairs of people"),
            "{what}"
        );
    }
}
