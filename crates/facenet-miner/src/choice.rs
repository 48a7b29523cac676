//! Negatives for some pairs of one anchor at once: every row's place among the pairs in order of
//! `d_ap` is found once, and each pair then compares bytes.

use crate::admission::Admission;
use crate::ladder::{Ladder, RUNGS};
use crate::marks::positions;
use crate::row::Row;
use crate::simd::{Level, climb, mark_up_to, nth_marked, unmark_up_to};

/// Most pairs at once.
pub(crate) const PAIRS: usize = RUNGS;

/// Some pairs of one anchor, and how every row stands to them.
///
/// In order of `d_ap`, the pairs that a negative is too far for come first, and with `semi-hard`
/// those that it is too near for come last: a pair admits the negatives whose first number is at
/// most its place, and whose second is above it.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Distances of the pairs, ascending.
    d_aps: Vec<f64>,
    /// Place of each pair in that order.
    places: Vec<u8>,
    /// Number of pairs that each row is too far for.
    too_far: Heights,
    /// Number of pairs that each row is farther than.
    farther: Heights,
    semi_hard: bool,
    marks: Vec<u64>,
    level: Level,
}

/// A number of pairs for every row.
#[derive(Debug, Default)]
struct Heights {
    of_rows: Vec<[u8; 64]>,
    doubtful: Vec<u64>,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            d_aps: vec![],
            places: vec![],
            too_far: Heights::default(),
            farther: Heights::default(),
            semi_hard: false,
            marks: vec![],
            level: Level::best(),
        }
    }
}

impl Choice {
    /// Compares every row with the pairs of distances `d_aps`, at most [`PAIRS`].
    pub(crate) fn compare(&mut self, row: &mut Row<'_>, admission: Admission, d_aps: &[f64]) {
        self.sort(d_aps);
        let (level, d_aps, slack) = (self.level, &self.d_aps, row.slack());
        let brackets = d_aps.iter().map(|&d_ap| admission.bracket(d_ap, slack));
        let margins = brackets
            .clone()
            .map(|b| (b.certain.below, b.possible.below));
        self.too_far
            .climb(level, row, &Ladder::new(margins), |d_an| {
                d_aps.partition_point(|&d_ap| !admission.is_within_margin(d_ap, d_an))
            });
        self.semi_hard = admission.is_semi_hard();
        if self.semi_hard {
            let own = brackets.map(|b| (b.possible.above.next_up(), b.certain.above.next_up()));
            self.farther.climb(level, row, &Ladder::new(own), |d_an| {
                d_aps.partition_point(|&d_ap| d_ap < d_an)
            });
        }
        self.marks.resize(row.approx().len(), 0);
    }

    /// Sorts by keys first: the bits of a distance, which ascend with it, but for the last five,
    /// which are the pair's number. Hardly any place is wrong after that.
    fn sort(&mut self, d_aps: &[f64]) {
        const LAST: u64 = PAIRS as u64;
        let mut keys = [0; PAIRS];
        let keys = &mut keys[..d_aps.len()];
        for ((key, d_ap), pair) in keys.iter_mut().zip(d_aps).zip(0..) {
            *key = (d_ap.to_bits() & !LAST) | pair;
        }
        keys.sort_unstable();
        let d_ap = |key: u64| d_aps[(key & LAST) as usize];
        for end in 1..keys.len() {
            let mut place = end;
            while place > 0 && d_ap(keys[place - 1]) > d_ap(keys[place]) {
                keys.swap(place - 1, place);
                place -= 1;
            }
        }
        self.places.resize(d_aps.len(), 0);
        for (place, &mut key) in (0..).zip(&mut *keys) {
            self.places[(key & LAST) as usize] = place;
        }
        self.d_aps.clear();
        self.d_aps.extend(keys.iter().map(|&key| d_ap(key)));
    }

    /// Number `choose(n)` of the `n` admissible negatives of a pair, ascending; `None` when `n` is
    /// 0.
    ///
    /// - `pair`: its number among those compared
    pub(crate) fn chosen(
        &mut self,
        pair: usize,
        choose: impl FnOnce(usize) -> usize,
    ) -> Option<u32> {
        let (level, place) = (self.level, self.places[pair]);
        let mut n = mark_up_to(level, &self.too_far.of_rows, place, &mut self.marks);
        if self.semi_hard {
            n = unmark_up_to(level, &self.farther.of_rows, place, &mut self.marks);
        }
        if n == 0 {
            return None;
        }
        nth_marked(level, &self.marks, choose(n)).map(|negative| negative as u32)
    }
}

impl Heights {
    /// Finds every row's height by its approximate distance, or `exact` where that is in doubt.
    fn climb(
        &mut self,
        level: Level,
        row: &mut Row<'_>,
        ladder: &Ladder,
        exact: impl Fn(f64) -> usize,
    ) {
        let approx = row.approx();
        self.of_rows.resize(approx.len(), [0; 64]);
        self.doubtful.resize(approx.len(), 0);
        if climb(level, approx, ladder, &mut self.of_rows, &mut self.doubtful) {
            for negative in positions(&self.doubtful) {
                let height = exact(row.exact(negative));
                self.of_rows.as_flattened_mut()[negative as usize] = height as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rule;
    use crate::row::tests::with_row;

    /// What each pair admits, by asking for every rank.
    fn admitted(row: &mut Row<'_>, admission: Admission, d_aps: &[f64]) -> Vec<Vec<u32>> {
        let mut choice = Choice::default();
        choice.compare(row, admission, d_aps);
        let mut all = |pair| {
            let mut n_admitted = 0;
            choice.chosen(pair, |n| {
                n_admitted = n;
                0
            });
            let nth = |rank| choice.chosen(pair, |_| rank);
            (0..n_admitted).filter_map(nth).collect()
        };
        (0..d_aps.len()).map(&mut all).collect()
    }

    /// Distances of one anchor to its negatives and of its pairs, with many on the bounds.
    #[test]
    fn every_pair_admits_what_f64_does() {
        let points: Vec<f32> = (0..150).map(|i| (i * 7 % 50) as f32 / 16.0).collect();
        for (rule, sign) in [Rule::Violating, Rule::SemiHard]
            .into_iter()
            .flat_map(|rule| [-1.0, 1.0].map(|sign| (rule, sign)))
        {
            let admission = Admission::new(rule, 0.5625); // 0.75 squared: on the bound from 0
            for n_pairs in [0, 1, 2, 17, PAIRS] {
                let d_aps: Vec<f64> = (0..n_pairs)
                    .map(|pair| f64::from(pair as u32 * 11 % 24) / 8.0)
                    .collect();
                let found = with_row(&points, sign, |row| admitted(row, admission, &d_aps));
                let expected = |&d_ap: &f64| -> Vec<u32> {
                    with_row(&points, sign, |row| row.list(admission, d_ap).to_vec())
                };
                assert_eq!(found, d_aps.iter().map(expected).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn places_follow_distances_that_differ_in_the_last_bit() {
        let mut d_aps = [0.5, 0.0, 1.0, 0.5, 0.25, 0.5].to_vec();
        for ulps in [3u64, 1, 2, 40, 0] {
            d_aps.push(f64::from_bits(2.0f64.to_bits() + ulps));
        }
        let mut choice = Choice::default();
        choice.sort(&d_aps);
        assert!(choice.d_aps.is_sorted());
        for (&place, d_ap) in choice.places.iter().zip(&d_aps) {
            assert_eq!(choice.d_aps[usize::from(place)].to_bits(), d_ap.to_bits());
        }
        assert_eq!(choice.places.iter().map(|&x| u32::from(x)).sum::<u32>(), 55);
    }

    #[test]
    fn a_pair_without_negatives_asks_for_no_rank() {
        with_row(&[0.0, 0.5, 3.0], 1.0, |row| {
            let mut choice = Choice::default();
            choice.compare(row, Admission::new(Rule::Violating, 0.25), &[0.25, 9.0]);
            assert_eq!(choice.chosen(0, |_| unreachable!("no negative")), None);
            assert_eq!(choice.chosen(1, |n| n - 1), Some(2));
        });
    }
}
