//! Clusters by density (DBSCAN), through petal-clustering.

use facenet_miner::sq_l2;
use ndarray::{ArrayView1, ArrayView2};
use petal_clustering::{Dbscan, Fit};
use petal_neighbors::distance::Metric;

/// Clusters of unit rows by DBSCAN (M. Ester et al., KDD 1996), each with its rows in order, in any
/// order of their own.
///
/// Two rows are neighbours below the threshold. A row with `min_images` neighbours or more, itself among
/// them, is a core row; a cluster is core rows that are linked by neighbourhood, with their
/// neighbours. A row beside two clusters goes to the one whose core has the smaller index.
/// What is then left with fewer than `min_images` rows is no cluster.
///
/// Memory: 8 bytes for each two neighbours, both ways, beside the rows. A distance is rounded to f32
/// before it is compared.
///
/// - `rows`: `[n, dim]`, `dim` above 0; `min_images`: 1 or more
pub(super) fn dbscan(
    rows: &[f32],
    dim: usize,
    threshold: f64,
    min_images: usize,
) -> Vec<Vec<usize>> {
    let n = rows.len() / dim;
    let view = ArrayView2::from_shape((n, dim), rows).expect("whole rows");
    // The crate takes neighbours at the radius too; nothing lies between the two numbers.
    let mut radius = threshold.sqrt() as f32;
    while f64::from(radius) * f64::from(radius) >= threshold && radius > 0.0 {
        radius = radius.next_down();
    }
    if threshold <= 0.0 {
        return vec![];
    }
    let (clusters, _) = Dbscan::new(radius, min_images, UnitRows).fit(&view, None);
    let mut clusters: Vec<Vec<usize>> = clusters.into_values().collect();
    for images in &mut clusters {
        images.sort_unstable();
    }
    clusters
}

/// The distance that the rest of the project measures: in f64, always summed in the same order.
#[derive(Clone)]
struct UnitRows;

impl UnitRows {
    fn sq_l2(a: &ArrayView1<'_, f32>, b: &ArrayView1<'_, f32>) -> f64 {
        match (a.as_slice(), b.as_slice()) {
            (Some(a), Some(b)) => sq_l2(a, b),
            _ => sq_l2(&a.to_vec(), &b.to_vec()),
        }
    }
}

impl Metric<f32> for UnitRows {
    fn distance(&self, a: &ArrayView1<'_, f32>, b: &ArrayView1<'_, f32>) -> f32 {
        Self::sq_l2(a, b).sqrt() as f32
    }

    fn rdistance(&self, a: &ArrayView1<'_, f32>, b: &ArrayView1<'_, f32>) -> f32 {
        Self::sq_l2(a, b) as f32
    }

    fn rdistance_to_distance(&self, distance: f32) -> f32 {
        distance.sqrt()
    }

    fn distance_to_rdistance(&self, distance: f32) -> f32 {
        distance * distance
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{RngCore, SeedableRng};

    /// By the definition: cores, their links, and borders to the first core that reaches them.
    fn naive(rows: &[f32], dim: usize, threshold: f64, min_images: usize) -> Vec<Vec<usize>> {
        let rows: Vec<_> = rows.chunks(dim).collect();
        let near = |i: usize, j: usize| sq_l2(rows[i], rows[j]) < threshold;
        let n = rows.len();
        let is_core: Vec<_> = (0..n)
            .map(|i| (0..n).filter(|&j| near(i, j)).count() >= min_images)
            .collect();
        let mut label: Vec<Option<usize>> = (0..n).map(|i| is_core[i].then_some(i)).collect();
        for _ in 0..n {
            for i in 0..n {
                for j in (0..n).filter(|&j| is_core[i] && is_core[j] && near(i, j)) {
                    label[i] = label[i].min(label[j]);
                }
            }
        }
        for i in (0..n).filter(|&i| !is_core[i]) {
            let cores = (0..n).filter(|&j| is_core[j] && near(i, j));
            label[i] = cores.filter_map(|j| label[j]).min();
        }
        let mut members: Vec<Vec<usize>> = (0..n)
            .map(|core| (0..n).filter(|&i| label[i] == Some(core)).collect())
            .collect();
        members.retain(|images: &Vec<usize>| images.len() >= min_images);
        members.sort();
        members
    }

    /// Clusters, by their first row.
    fn sorted(rows: &[f32], dim: usize, threshold: f64, min_images: usize) -> Vec<Vec<usize>> {
        let mut clusters = dbscan(rows, dim, threshold, min_images);
        clusters.sort();
        clusters
    }

    fn rows(n: usize, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..n * 3)
            .map(|_| rng.next_u32() as f32 / 2f32.powi(32))
            .collect()
    }

    #[test]
    fn clusters_are_those_of_the_definition() {
        for seed in 0..60 {
            let rows = rows(5 + seed as usize, seed);
            for (threshold, min_images) in [(0.01, 1), (0.02, 2), (0.04, 3), (0.06, 5), (4.0, 2)] {
                let found = sorted(&rows, 3, threshold, min_images);
                assert_eq!(
                    found,
                    naive(&rows, 3, threshold, min_images),
                    "{seed} {threshold}"
                );
            }
        }
    }

    #[test]
    fn a_neighbour_is_below_the_threshold_and_not_at_it() {
        // Squared distances of 1 along a line.
        let line = [0.0, 1.0, 2.0, 9.0];
        assert_eq!(dbscan(&line, 1, 1.0, 2), [[0; 0]; 0]);
        assert_eq!(dbscan(&line, 1, 1.0001, 2), [[0, 1, 2]]);
        assert_eq!(
            dbscan(&line, 1, 0.0, 1),
            [[0; 0]; 0],
            "nothing is below zero"
        );
        assert_eq!(dbscan(&[], 1, 1.0, 2), [[0; 0]; 0]);
    }
}
