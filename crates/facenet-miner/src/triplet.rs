//! What mining gives.

use serde::{Deserialize, Serialize};

use crate::{Draw, Statistics};

/// Three rows: anchor and positive of one label, negative of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Triplet {
    /// Row of the anchor.
    pub anchor: u32,
    /// Row of the positive.
    pub positive: u32,
    /// Row of the negative.
    pub negative: u32,
}

/// Two rows of one label and their distance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Row of the anchor.
    pub anchor: u32,
    /// Row of the positive.
    pub positive: u32,
    /// Squared L2 between them, as [`sq_l2`](crate::sq_l2) has it.
    pub d_ap: f64,
}

/// A row and its distance to an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// The row.
    pub index: u32,
    /// Squared L2 to the anchor, as [`sq_l2`](crate::sq_l2) has it.
    pub sq_l2: f64,
}

/// The hardest rows for one anchor; `None` where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Hardest {
    /// The farthest row of the anchor's label; ties go to the smaller index.
    pub positive: Option<Neighbour>,
    /// The nearest row of another label; ties go to the smaller index.
    pub negative: Option<Neighbour>,
}

/// For every row the nearest rows of other labels.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HardNegatives {
    /// Where each row's list ends.
    pub(crate) ends: Vec<u64>,
    pub(crate) neighbours: Vec<Neighbour>,
}

impl HardNegatives {
    /// Number of rows; 0 where none were asked for.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The nearest rows of other labels, the nearest first; ties go to the smaller index. Fewer
    /// than were asked for where there are no more, none for a masked row or beyond the last.
    pub fn of(&self, row: usize) -> &[Neighbour] {
        let end = |row: usize| self.ends.get(row).map_or(0, |&end| end as usize);
        let start = row.checked_sub(1).map_or(0, end);
        self.neighbours.get(start..end(row)).unwrap_or(&[])
    }
}

/// Triplets in the order of their pairs, and what was seen on the way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mined {
    /// The triplets, by anchor, then positive, then negative.
    pub triplets: Vec<Triplet>,
    /// What was considered and found.
    pub statistics: Statistics,
    /// For every row as many of the nearest rows of other labels as the configuration's
    /// `hardest_negatives` says; empty at 0.
    pub hardest_negatives: HardNegatives,
}

impl Mined {
    /// Shuffles the triplets, as the reference does before it trains on them: Fisher-Yates from
    /// the last element down, by the draws of (seed, "mineshuf", epoch, step).
    pub fn shuffle(&mut self, draw: Draw) {
        draw.shuffle(&mut self.triplets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_found_by_row_and_rows_left_out_have_none() {
        let neighbours = [3, 5, 9].map(|index| Neighbour { index, sq_l2: 0.5 });
        let mut lists = HardNegatives::default();
        lists.push(1, &neighbours[..2]);
        lists.push(2, &neighbours[2..]);
        lists.fill(5);
        assert_eq!((lists.len(), lists.is_empty()), (5, false));
        assert_eq!(lists.of(1), &neighbours[..2]);
        assert_eq!(lists.of(2), &neighbours[2..]);
        for row in [0, 3, 4, 5, 100] {
            assert_eq!(lists.of(row), [], "{row}");
        }
    }

    #[test]
    fn shuffling_keeps_the_triplets_and_repeats() {
        let triplets: Vec<_> = (0..50)
            .map(|i| Triplet {
                anchor: i,
                positive: i + 1,
                negative: i + 2,
            })
            .collect();
        let mined = Mined {
            triplets,
            ..Default::default()
        };
        let shuffled = |step| {
            let mut copy = mined.clone();
            copy.shuffle(Draw {
                seed: 1,
                epoch: 2,
                step,
            });
            copy.triplets
        };
        assert_eq!(shuffled(3), shuffled(3));
        assert_ne!(shuffled(3), shuffled(4));
        assert_ne!(shuffled(3), mined.triplets);
        let mut sorted = shuffled(3);
        sorted.sort();
        assert_eq!(sorted, mined.triplets);
    }
}
