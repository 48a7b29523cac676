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

/// Triplets in the order of their pairs, and what was seen on the way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Mined {
    /// The triplets, by anchor, then positive, then negative.
    pub triplets: Vec<Triplet>,
    /// What was considered and found.
    pub statistics: Statistics,
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
