//! Clusters by average linkage, through kodama.

use std::mem::take;

use facenet_miner::sq_l2;
use kodama::{Method, linkage};
use rayon::prelude::*;

/// Most rows that are compared all with all: 4 GiB of distances.
pub(super) const MAX_ROWS: usize = 46_341;

/// Clusters of rows by average linkage (UPGMA: R. Sokal and C. Michener, 1958; the paper clusters
/// agglomeratively too, section 5.8), each with its rows in order.
///
/// Every row is a cluster at first. The two clusters of which rows are nearest, by the mean of the
/// squared distances between the one's and the other's, become one, as long as that mean is
/// below the threshold. Distances and means are rounded to f32, means at each merge.
///
/// Memory: 4 bytes for each two rows; `None` where there are none.
///
/// - `rows`: `[n, dim]`, `dim` above 0, finite; [`MAX_ROWS`] at most
pub(super) fn average(rows: &[f32], dim: usize, threshold: f64) -> Option<Vec<Vec<usize>>> {
    let n = rows.len() / dim;
    let mut clusters: Vec<_> = (0..n).map(|row| vec![row]).collect();
    if n < 2 {
        return Some(clusters);
    }
    let merges = linkage(&mut distances(rows, dim)?, n, Method::Average);
    // A merge makes the cluster of the next number. They come by distance.
    for merge in merges.steps() {
        if f64::from(merge.dissimilarity) >= threshold {
            break;
        }
        let mut merged = take(&mut clusters[merge.cluster1]);
        merged.append(&mut clusters[merge.cluster2]);
        merged.sort_unstable();
        clusters.push(merged);
    }
    clusters.retain(|cluster| !cluster.is_empty());
    Some(clusters)
}

/// Squared distances of each row to those after it; `None` where they do not fit in memory.
fn distances(rows: &[f32], dim: usize) -> Option<Vec<f32>> {
    let n = rows.len() / dim;
    let row = |i: usize| &rows[dim * i..][..dim];
    let count = n * (n - 1) / 2;
    let mut distances = Vec::new();
    distances.try_reserve_exact(count).ok()?;
    distances.resize(count, 0.0);
    let mut rest = &mut distances[..];
    let lines: Vec<&mut [f32]> = (1..n)
        .map(|i| rest.split_off_mut(..n - i).expect("one for each row after"))
        .collect();
    lines.into_par_iter().enumerate().for_each(|(i, line)| {
        for (distance, j) in line.iter_mut().zip(i + 1..) {
            *distance = sq_l2(row(i), row(j)) as f32;
        }
    });
    Some(distances)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{RngCore, SeedableRng};

    /// By the definition, in f64: the nearest two merge, until none are near enough.
    fn naive(rows: &[f32], dim: usize, threshold: f64) -> Vec<Vec<usize>> {
        let rows: Vec<_> = rows.chunks(dim).collect();
        let mean = |a: &Vec<usize>, b: &Vec<usize>| {
            let pairs = a.iter().flat_map(|&i| b.iter().map(move |&j| (i, j)));
            let sum: f64 = pairs.map(|(i, j)| sq_l2(rows[i], rows[j])).sum();
            sum / (a.len() * b.len()) as f64
        };
        let mut clusters: Vec<Vec<usize>> = (0..rows.len()).map(|i| vec![i]).collect();
        loop {
            let pairs = (0..clusters.len()).flat_map(|j| (0..j).map(move |i| (i, j)));
            let nearest = pairs
                .map(|(i, j)| (mean(&clusters[i], &clusters[j]), i, j))
                .min_by(|a, b| a.0.total_cmp(&b.0));
            match nearest {
                Some((distance, i, j)) if distance < threshold => {
                    let mut merged = clusters.remove(j);
                    clusters[i].append(&mut merged);
                    clusters[i].sort_unstable();
                }
                _ => return clusters,
            }
        }
    }

    /// Clusters, by their first row.
    fn sorted(rows: &[f32], dim: usize, threshold: f64) -> Vec<Vec<usize>> {
        let mut clusters = average(rows, dim, threshold).expect("a little memory");
        clusters.sort();
        clusters
    }

    #[test]
    fn clusters_are_those_of_the_definition() {
        for seed in 0..40 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let rows: Vec<_> = (0..3 * (2 + seed as usize))
                .map(|_| rng.next_u32() as f32 / 2f32.powi(32))
                .collect();
            for threshold in [0.01, 0.1, 0.3, 0.5, 4.0] {
                let mut expected = naive(&rows, 3, threshold);
                expected.sort();
                assert_eq!(sorted(&rows, 3, threshold), expected, "{seed} {threshold}");
            }
        }
    }

    #[test]
    fn a_chain_is_no_cluster() {
        // Neighbours are 1 apart, in squared L2; the ends of three 4.
        let line = [0.0, 1.0, 2.0, 9.0];
        assert_eq!(sorted(&line, 1, 1.0).len(), 4, "below and not at it");
        let pairs = sorted(&line, 1, 2.5);
        assert!(pairs.contains(&vec![3]) && pairs.len() == 3, "{pairs:?}");
        assert_eq!(sorted(&line, 1, 2.6), [vec![0, 1, 2], vec![3]]);
        assert_eq!(sorted(&[], 1, 1.0), [[0; 0]; 0]);
        assert_eq!(sorted(&[5.0], 1, 1.0), [[0]]);
    }

    #[test]
    fn rows_that_are_the_same_or_all_as_far_apart_have_one_cluster_each() {
        let same = [0.3, 0.7, 0.3, 0.7, 0.3];
        assert_eq!(sorted(&same, 1, 1e-9), [vec![0, 2, 4], vec![1, 3]]);
        // Corners of a simplex: any two are 2 * 0.7^2 apart.
        let simplex: Vec<f32> = (0..49)
            .map(|at| if at % 8 == 0 { 0.7 } else { 0.0 })
            .collect();
        assert_eq!(sorted(&simplex, 7, 0.97).len(), 7);
        assert_eq!(sorted(&simplex, 7, 0.99), [[0, 1, 2, 3, 4, 5, 6]]);
    }
}
