use std::collections::HashMap;

use serde::Serialize;

/// How well clusters agree with people, counted over pairs of images.
///
/// A pair is right when both images are in one cluster and of one person. An image in no cluster is
/// a cluster of its own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PairwiseScore {
    /// Share of pairs within clusters that are of one person; none without such a pair.
    pub precision: Option<f64>,
    /// Share of one person's pairs that are within a cluster; none without such a pair.
    pub recall: Option<f64>,
    /// Harmonic mean of both; 0 where no pair is right, none where one of them is.
    pub f1: Option<f64>,
    /// Pairs within clusters.
    pub n_together: u64,
    /// Pairs of one person.
    pub n_same: u64,
    /// Pairs that are both.
    pub n_right: u64,
}

impl PairwiseScore {
    /// Counts pairs.
    ///
    /// - `clusters`: `[n]`, the cluster of each image, if any
    /// - `owners`: `[n]`, the person of each
    pub fn of(clusters: &[Option<u32>], owners: &[u32]) -> Self {
        let clustered = || {
            clusters
                .iter()
                .zip(owners)
                .filter_map(|(cluster, owner)| Some((*cluster)?).zip(Some(*owner)))
        };
        let n_together = pairs_of_equals(clustered().map(|(cluster, _)| cluster));
        let n_right = pairs_of_equals(clustered());
        let n_same = pairs_of_equals(owners.iter().copied());
        let share = |of: u64| (of > 0).then(|| n_right as f64 / of as f64);
        let (precision, recall) = (share(n_together), share(n_same));
        let both = (n_together + n_same) as f64;
        Self {
            precision,
            recall,
            f1: precision.and(recall).map(|_| 2.0 * n_right as f64 / both),
            n_together,
            n_same,
            n_right,
        }
    }
}

/// Pairs of items that are equal.
fn pairs_of_equals<T: Eq + std::hash::Hash>(items: impl Iterator<Item = T>) -> u64 {
    let mut counts: HashMap<T, u64> = HashMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts.values().map(|&n| n * (n - 1) / 2).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_counted_as_if_one_by_one() {
        let clusters = [Some(0), Some(0), Some(0), None, Some(1), Some(1), None];
        let owners = [7, 7, 8, 7, 9, 9, 8];
        let found = PairwiseScore::of(&clusters, &owners);
        let (mut together, mut same, mut right) = (0, 0, 0);
        for i in 0..7 {
            for j in 0..i {
                let is_together = clusters[i].is_some() && clusters[i] == clusters[j];
                let is_same = owners[i] == owners[j];
                together += u64::from(is_together);
                same += u64::from(is_same);
                right += u64::from(is_together && is_same);
            }
        }
        assert_eq!(
            (found.n_together, found.n_same, found.n_right),
            (together, same, right)
        );
        assert_eq!((together, same, right), (4, 5, 2));
        assert_eq!((found.precision, found.recall), (Some(0.5), Some(0.4)));
        // 2 * 0.5 * 0.4 / 0.9.
        assert!((found.f1.expect("both are there") - 4.0 / 9.0).abs() < 1e-15);
    }

    #[test]
    fn what_has_no_pair_has_no_rate() {
        let found = PairwiseScore::of(&[None, None], &[1, 1]);
        assert_eq!(
            (found.precision, found.recall, found.f1),
            (None, Some(0.0), None)
        );
        let found = PairwiseScore::of(&[Some(0), Some(0)], &[1, 2]);
        assert_eq!((found.precision, found.recall), (Some(0.0), None));
        assert_eq!(PairwiseScore::of(&[], &[]).f1, None);
    }
}
