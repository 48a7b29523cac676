//! Which of many prints are of one picture, without comparing all with all.
//!
//! Two hashes of 64 bits that differ in 3 bits at most agree in three whole bands of six, since 3
//! bits fall into 3 bands at most (Manku, Jain and Das Sarma, Detecting near-duplicates for web
//! crawling, 2007). Sorted by each choice of three bands in turn, such hashes lie in one run.

use std::collections::BTreeMap;

use super::print::Print;

/// Bits in which the hashes of one picture may differ; the bands below are cut for it.
pub(super) const NEAR_BITS: u32 = 3;
/// Widths of the bands, 64 bits in all.
const BANDS: [u32; 6] = [11, 11, 11, 11, 10, 10];

/// Sets of prints that show one picture, each ascending and of two or more, by their first.
///
/// Prints are linked where their hashes are within [`NEAR_BITS`] and their cells near; a set is
/// what links connect. Of prints with one hash, each is linked to the first of them that it is near.
pub(super) fn sets(prints: &[&Print]) -> Vec<Vec<usize>> {
    let mut by_hash: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (i, print) in prints.iter().enumerate() {
        by_hash.entry(print.hash).or_default().push(i);
    }
    let mut union = Union::new(prints.len());
    let mut hashes = Vec::with_capacity(by_hash.len());
    let mut leaders = Vec::with_capacity(by_hash.len());
    for (hash, members) in by_hash {
        hashes.push(hash);
        leaders.push(lead(prints, &members, &mut union));
    }
    for (a, b) in near_hashes(&hashes) {
        for &i in &leaders[a] {
            for &j in leaders[b].iter().filter(|&&j| prints[i].is_near(prints[j])) {
                union.join(i, j);
            }
        }
    }
    union.sets()
}

/// Links each member to the first that it is near, and gives those that were first.
fn lead(prints: &[&Print], members: &[usize], union: &mut Union) -> Vec<usize> {
    let mut leaders: Vec<usize> = Vec::new();
    for &member in members {
        let leader = leaders
            .iter()
            .find(|&&leader| prints[leader].is_near(prints[member]));
        match leader {
            Some(&leader) => union.join(leader, member),
            None => leaders.push(member),
        }
    }
    leaders
}

/// Pairs `(a, b)`, `a` before `b`, of hashes within [`NEAR_BITS`], each once.
///
/// - `hashes`: distinct and ascending
fn near_hashes(hashes: &[u64]) -> Vec<(usize, usize)> {
    let bands = bands();
    let mut pairs = Vec::new();
    let mut order: Vec<usize> = (0..hashes.len()).collect();
    for mask in choices(&bands) {
        order.sort_unstable_by_key(|&i| (hashes[i] & mask, i));
        for run in order.chunk_by(|&i, &j| hashes[i] & mask == hashes[j] & mask) {
            for (at, &i) in run.iter().enumerate() {
                let near = run[at + 1..].iter().filter(|&&j| {
                    let differing = hashes[i] ^ hashes[j];
                    differing.count_ones() <= NEAR_BITS && first_choice(&bands, differing) == mask
                });
                pairs.extend(near.map(|&j| (i, j)));
            }
        }
    }
    pairs
}

fn bands() -> [u64; 6] {
    let mut from = 0;
    BANDS.map(|width| {
        let band = ((1 << width) - 1) << from;
        from += width;
        band
    })
}

/// Every choice of three bands.
fn choices(bands: &[u64; 6]) -> Vec<u64> {
    let is_three = |choice: &u32| choice.count_ones() == 3;
    let mask = |choice: u32| {
        let chosen = (0..bands.len()).filter(|band| choice >> band & 1 == 1);
        chosen.map(|band| bands[band]).sum()
    };
    (0..1 << bands.len()).filter(is_three).map(mask).collect()
}

/// The first three bands in which two hashes agree: the choice that counts their pair.
fn first_choice(bands: &[u64; 6], differing: u64) -> u64 {
    let agreeing = bands.iter().filter(|&&band| differing & band == 0);
    agreeing.take(3).sum()
}

/// Disjoint sets, the smallest member of each at its root.
struct Union {
    parents: Vec<usize>,
}

impl Union {
    fn new(n: usize) -> Self {
        Self {
            parents: (0..n).collect(),
        }
    }

    fn root(&mut self, mut i: usize) -> usize {
        while self.parents[i] != i {
            self.parents[i] = self.parents[self.parents[i]];
            i = self.parents[i];
        }
        i
    }

    fn join(&mut self, i: usize, j: usize) {
        let (i, j) = (self.root(i), self.root(j));
        self.parents[i.max(j)] = i.min(j);
    }

    fn sets(mut self) -> Vec<Vec<usize>> {
        let mut sets: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for i in 0..self.parents.len() {
            sets.entry(self.root(i)).or_default().push(i);
        }
        sets.into_values().filter(|set| set.len() > 1).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::checkup::print::tests::{drawn, waves};

    #[test]
    fn bands_cover_each_bit_once_and_there_are_twenty_choices() {
        let bands = bands();
        assert_eq!(bands.iter().fold(0, |all, band| all ^ band), u64::MAX);
        assert_eq!(bands.iter().map(|band| band.count_ones()).sum::<u32>(), 64);
        let choices = choices(&bands);
        assert_eq!(choices.len(), 20);
        assert!(choices.contains(&first_choice(&bands, 1 << 5 | 1 << 63)));
    }

    #[test]
    fn copies_are_a_set_and_other_pictures_are_in_none() {
        let print = |side, seed| Print::of(&drawn(side, side, waves(seed)));
        let prints = [
            print(90, 1),
            print(90, 2),
            print(64, 1),
            print(80, 9),
            print(77, 1),
        ];
        let prints: Vec<_> = prints.iter().collect();
        assert_eq!(sets(&prints), [vec![0, 2, 4]]);
        assert!(sets(&prints[..2]).is_empty() && sets(&[]).is_empty());
    }

    /// Hashes near each other by construction, among others.
    fn arb_hashes() -> impl Strategy<Value = Vec<u64>> {
        let one = (0u64..8, prop::collection::vec(0u32..64, 0..5));
        let hash = one.prop_map(|(base, flips)| {
            let base = base.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            flips.into_iter().fold(base, |hash, bit| hash ^ 1 << bit)
        });
        prop::collection::btree_set(hash, 0..60).prop_map(|set| set.into_iter().collect())
    }

    proptest! {
        #[test]
        fn near_hashes_are_those_of_all_comparisons(hashes in arb_hashes()) {
            let mut found = near_hashes(&hashes);
            found.sort_unstable();
            let all = (0..hashes.len()).flat_map(|i| (i + 1..hashes.len()).map(move |j| (i, j)));
            let near = |&(i, j): &(usize, usize)| (hashes[i] ^ hashes[j]).count_ones() <= NEAR_BITS;
            prop_assert_eq!(found, all.filter(near).collect::<Vec<_>>());
        }
    }
}
