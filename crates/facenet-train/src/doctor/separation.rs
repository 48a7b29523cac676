//! How well a model tells the people of a folder apart, faults and all.

use facenet_miner::sq_l2;
use serde::Serialize;

use super::people::People;

/// Neighbours on one side that an image is paired with within its identity: all pairs of small
/// ones, and a number that grows with the images, not with their square, of large ones.
const SAME_NEIGHBOURS: usize = 4;
/// Images of others that an image is paired with.
const DIFFERENT_PAIRS: usize = 8;
/// Share of pairs told right from which the model's word is grave.
const RELIABLE: f64 = 0.95;

/// How well a model tells same from different pairs of a folder, and where it draws the line.
///
/// Labels are taken at their word: with few faults among many images, the middle of either kind
/// of pair hardly moves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Separation {
    /// Pairs of one identity that were compared.
    pub same_pairs: usize,
    /// Pairs of two.
    pub different_pairs: usize,
    /// Mean of the shares of same and of different pairs on their side of `other_above`, in `[0, 1]`.
    pub accuracy: f64,
    /// Squared L2 below which the median of two identities makes them one person: the third
    /// quartile of the same pairs, at most `other_above`.
    pub same_below: f64,
    /// Squared L2 that tells most pairs right; an image whose median to its identity is at or
    /// above it does not belong there.
    pub other_above: f64,
}

impl Separation {
    /// Measures it on pairs that are a function of the order of the images; `None` where there is
    /// no pair of either kind.
    ///
    /// - `same_below`, `other_above`: lines that are given and not measured
    pub(super) fn of(
        people: &People,
        same_below: Option<f64>,
        other_above: Option<f64>,
    ) -> Option<Self> {
        let (mut same, mut different) = (same_distances(people), different_distances(people));
        if same.is_empty() || different.is_empty() {
            return None;
        }
        same.sort_by(f64::total_cmp);
        different.sort_by(f64::total_cmp);
        let (accuracy, other_above) = other_above.map_or_else(
            || best_line(&same, &different),
            |line| (told_apart(&same, &different, line), line),
        );
        let quartile = same[(3 * same.len() / 4).min(same.len() - 1)];
        Some(Self {
            same_pairs: same.len(),
            different_pairs: different.len(),
            accuracy,
            same_below: same_below.unwrap_or(quartile.min(other_above)),
            other_above,
        })
    }

    /// Whether the model tells these people apart well enough to be believed.
    pub fn is_reliable(&self) -> bool {
        self.accuracy >= RELIABLE
    }
}

fn same_distances(people: &People) -> Vec<f64> {
    let pairs = people.spans().flat_map(|span| {
        let end = span.end;
        span.flat_map(move |i| (i + 1..end.min(i + 1 + SAME_NEIGHBOURS)).map(move |j| (i, j)))
    });
    pairs
        .map(|(i, j)| sq_l2(people.row(i), people.row(j)))
        .collect()
}

/// Each image with those that lie odd multiples of a sixteenth of all images further on.
fn different_distances(people: &People) -> Vec<f64> {
    let n = people.len();
    let partners = (0..n).flat_map(|i| {
        let partner = move |k: usize| (i + (2 * k + 1) * n / (2 * DIFFERENT_PAIRS)) % n;
        (0..DIFFERENT_PAIRS).map(move |k| (i, partner(k)))
    });
    let different = partners.filter(|&(i, j)| people.label(i) != people.label(j));
    different
        .map(|(i, j)| sq_l2(people.row(i), people.row(j)))
        .collect()
}

/// Mean of the shares of same pairs below a line and of different ones not below it.
///
/// - `same`, `different`: ascending, not empty
fn told_apart(same: &[f64], different: &[f64], line: f64) -> f64 {
    let share =
        |sorted: &[f64]| sorted.partition_point(|&sq_l2| sq_l2 < line) as f64 / sorted.len() as f64;
    f64::midpoint(share(same), 1.0 - share(different))
}

/// The best mean of both shares and the line that gives it, midway between the distances beside
/// it; of several the lowest.
///
/// - `same`, `different`: ascending, not empty
fn best_line(same: &[f64], different: &[f64]) -> (f64, f64) {
    let mut all: Vec<f64> = same.iter().chain(different).copied().collect();
    all.sort_by(f64::total_cmp);
    let lines = all.windows(2).map(|pair| f64::midpoint(pair[0], pair[1]));
    let scored = lines.map(|line| (told_apart(same, different, line), line));
    scored.fold((f64::NEG_INFINITY, 0.0), |best, one| {
        if one.0 > best.0 { one } else { best }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_lies_midway_in_the_gap() {
        assert_eq!(best_line(&[0.1, 0.3], &[0.7, 0.9]), (1.0, 0.5));
        // 3 of 4 same and all different: (0.75 + 1) / 2.
        assert_eq!(best_line(&[0.1, 0.2, 0.3, 2.0], &[1.3, 1.5]), (0.875, 0.8));
    }

    /// People at 0, 10 and 20 on a line, three images each, 0.1 apart.
    #[test]
    fn people_far_apart_are_told_apart() {
        let values: Vec<f32> = (0..9)
            .map(|i| (i / 3 * 10) as f32 + (i % 3) as f32 * 0.1)
            .collect();
        let people = People::of_rows(&values, 1, &[3, 3, 3]);
        let found = Separation::of(&people, None, None).expect("pairs of both kinds");
        assert_eq!(found.same_pairs, 9);
        assert!(found.is_reliable() && found.accuracy == 1.0, "{found:?}");
        // Same pairs are 0.01 or 0.04 from each other, squared; six of nine are 0.01.
        assert!((found.same_below - 0.04).abs() < 1e-4, "{found:?}");
        assert!(
            found.other_above > 1.0 && found.other_above < 100.0,
            "{found:?}"
        );
    }

    #[test]
    fn a_line_that_is_given_bounds_the_other_and_is_what_is_scored() {
        let people = People::of_rows(&[0.0, 0.1, 0.2, 9.0, 9.1, 9.2], 1, &[3, 3]);
        let given = |same, other| Separation::of(&people, same, other).expect("pairs");
        // Of three pairs of each, two are 0.01 apart and one 0.04.
        let found = given(None, Some(0.02));
        assert_eq!((found.same_below, found.other_above), (0.02, 0.02));
        assert!((found.accuracy - 5.0 / 6.0).abs() < 1e-12, "{found:?}");
        assert_eq!(given(Some(0.5), Some(0.02)).same_below, 0.5);
    }

    #[test]
    fn one_person_or_one_image_each_is_no_separation() {
        assert_eq!(
            Separation::of(&People::of_rows(&[0.0, 1.0], 1, &[2]), None, None),
            None
        );
        assert_eq!(
            Separation::of(&People::of_rows(&[0.0, 1.0], 1, &[1, 1]), None, None),
            None
        );
    }
}
