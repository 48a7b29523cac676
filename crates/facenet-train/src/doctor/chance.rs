//! How often two people look as alike as one, by chance.

use std::collections::BTreeSet;

use facenet_miner::sq_l2;
use rayon::prelude::*;

use super::people::People;

/// Images that an image is compared with, at least and at most: still less than a hundredth of what
/// embedding one costs.
const PARTNERS: (usize, usize) = (8, 4_096);
/// Distances that are asked for, as a multiple of what would do if none were near: some turn out to
/// be of one identity.
const SPARE: usize = 2;

/// Distances between images of people who are not suspected of being one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chance {
    /// Pairs of people, among which chance has its pick.
    couples: usize,
    /// Pairs of images that were compared.
    compared: usize,
    /// Squared L2 of those below the highest median of a suspect, ascending.
    near: Vec<f64>,
}

/// What is not to count as people who look different.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspected {
    /// Labels of identities that may be one person, the own one first.
    pub(super) couples: BTreeSet<(u32, u32)>,
    /// Rows of images that may be of somebody else, of either folder.
    pub(super) odd: [BTreeSet<usize>; 2],
    /// The highest median of a couple.
    pub(super) line: f64,
}

impl Chance {
    /// Among the identities of one folder.
    pub(super) fn within(people: &People, suspected: &Suspected) -> Self {
        let n = people.n_identities();
        Self::of((people, people), n * n.saturating_sub(1) / 2, suspected)
    }

    /// Between those of two folders.
    pub(super) fn between(own: &People, other: &People, suspected: &Suspected) -> Self {
        let couples = own.n_identities() * other.n_identities();
        Self::of((own, other), couples, suspected)
    }

    /// Compares each image with some that lie evenly among the others.
    fn of((own, other): (&People, &People), couples: usize, suspected: &Suspected) -> Self {
        let is_within = std::ptr::eq(own, other);
        let wanted = (SPARE * needed(couples, 0)).div_ceil(own.len().max(1));
        // Within one folder those up to half of the way round: each pair is met from one side only.
        let reach = if is_within {
            other.len().saturating_sub(1) / 2
        } else {
            other.len()
        };
        let partners = wanted.clamp(PARTNERS.0, PARTNERS.1).min(reach);
        let [odd, other_odd] = &suspected.odd;
        let of_row = |i: usize| {
            let (mut compared, mut near) = (0, Vec::new());
            for k in 0..partners {
                let j = (i + 1 + k * reach / partners) % other.len();
                let labels = (own.label(i), other.label(j));
                let is_known = is_within && labels.0 == labels.1;
                let couple = if is_within {
                    (labels.0.min(labels.1), labels.0.max(labels.1))
                } else {
                    labels
                };
                if is_known || other_odd.contains(&j) || suspected.couples.contains(&couple) {
                    continue;
                }
                compared += 1;
                let sq_l2 = sq_l2(own.row(i), other.row(j));
                if sq_l2 < suspected.line {
                    near.push(sq_l2);
                }
            }
            (compared, near)
        };
        let rows = (0..own.len()).into_par_iter().filter(|i| !odd.contains(i));
        let found: Vec<_> = rows.map(of_row).collect();
        let mut near: Vec<f64> = found
            .iter()
            .flat_map(|(_, near)| near.iter().copied())
            .collect();
        near.sort_by(f64::total_cmp);
        Self {
            couples,
            compared: found.iter().map(|(compared, _)| compared).sum(),
            near,
        }
    }

    /// Pairs of people.
    pub(super) fn couples(&self) -> usize {
        self.couples
    }

    /// Whether no more than one couple is expected to have a median below this by chance.
    ///
    /// A couple whose median is below has half of its distances below: the share of such couples is at
    /// most twice the share of distances (Markov's inequality). One more than were found are counted,
    /// so that what was never seen is not held for impossible, and few distances prove nothing.
    pub(super) fn is_rare(&self, median: f64) -> bool {
        let near = self.near.partition_point(|&sq_l2| sq_l2 < median);
        self.compared >= needed(self.couples, near)
    }
}

/// Distances that must have been looked at where so many were near.
fn needed(couples: usize, near: usize) -> usize {
    2usize.saturating_mul(couples).saturating_mul(near + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// People a unit apart on a line, two images each.
    fn people(n: usize) -> People {
        let values: Vec<f32> = (0..2 * n).map(|i| (i / 2) as f32).collect();
        People::of_rows(&values, 1, &vec![2; n])
    }

    fn suspected(line: f64) -> Suspected {
        Suspected {
            line,
            ..Suspected::default()
        }
    }

    #[test]
    fn what_others_show_too_is_no_rarity() {
        let chance = Chance::within(&people(12), &suspected(2.0));
        // 66 couples: 132 distances would do if none were near, 264 are asked for, 11 an image.
        assert_eq!(chance.couples(), 66);
        assert!(chance.compared >= 132, "{chance:?}");
        assert!(chance.is_rare(1.0), "nobody is nearer than 1");
        assert!(
            !chance.near.is_empty() && !chance.is_rare(1.5),
            "neighbours are"
        );
    }

    #[test]
    fn suspects_are_no_witnesses() {
        let near = |suspected: &Suspected| Chance::within(&people(4), suspected).near.len();
        let line = suspected(2.0);
        assert!(near(&line) > 0);
        let neighbours = [(0, 1), (1, 2), (2, 3)];
        let couples = Suspected {
            couples: neighbours.into_iter().collect(),
            ..line.clone()
        };
        assert_eq!(near(&couples), 0);
        let odd: BTreeSet<usize> = (2..6).collect();
        let odd = Suspected {
            odd: [odd.clone(), odd],
            ..line
        };
        assert_eq!(near(&odd), 0, "0 and 3 are left, far apart");
    }

    #[test]
    fn a_crowd_is_more_than_its_images_can_speak_for() {
        let crowd = Chance {
            couples: 1_000_000,
            compared: 1_999_999,
            near: Vec::new(),
        };
        assert!(!crowd.is_rare(0.1));
        let compared = 2_000_000;
        assert!(Chance { compared, ..crowd }.is_rare(0.1));
    }

    #[test]
    fn two_folders_have_a_couple_for_each_of_either() {
        let (own, other) = (people(3), people(5));
        let chance = Chance::between(&own, &other, &suspected(0.5));
        assert_eq!((chance.couples(), chance.compared), (15, 6 * 10));
        // Who has the same place in both, two images on each side.
        assert_eq!(chance.near.len(), 3 * 4);
    }
}
