//! The plane in which rows vary most: the first two principal components.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rayon::prelude::*;

/// Directions that are sought at once: the two wanted come the faster the less the variance of the
/// first beyond these.
const BLOCK: usize = 8;
/// Rounds, at most. Where two variances are so near that this does not part them, any direction
/// between theirs shows as much.
const MAX_ROUNDS: usize = 1_000;
/// What is left of `C v - λ v`, as a share of the largest variance, when a direction is found.
const RESIDUAL: f64 = 1e-9;
/// Seed of the directions that the search begins with.
const SEED: u64 = 666;
/// Rows of the covariance that one task sums at once.
const TILE: usize = 16;

/// Two directions and what they show.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plane {
    /// Mean of the rows.
    pub(super) mean: Vec<f64>,
    /// Orthonormal; the number of largest magnitude in each is positive.
    pub(super) axes: [Vec<f64>; 2],
    /// Share of the variance along each, the larger first.
    pub(super) explained: [f64; 2],
}

impl Plane {
    /// Finds it by orthogonal iteration on the covariance with Rayleigh and Ritz's rotation (Golub and
    /// Van Loan, *Matrix Computations*, §8.2.4): no bit depends on the number of threads. `None`
    /// where the rows are all the same, or are numbers.
    ///
    /// - `rows`: `[n, dim]` row-major, finite
    pub(super) fn of(rows: &[f32], dim: usize) -> Option<Self> {
        if dim < 2 || rows.is_empty() {
            return None;
        }
        let mean = mean(rows, dim);
        let covariance = covariance(rows, &mean);
        let total: f64 = (0..dim).map(|i| covariance[i * dim + i]).sum();
        if !(total > 0.0 && total.is_finite()) {
            return None;
        }
        let (axes, variances) = principal(&covariance, dim);
        Some(Self {
            mean,
            axes,
            explained: variances.map(|variance| (variance / total).clamp(0.0, 1.0)),
        })
    }

    /// Where a row lies in the plane.
    pub(super) fn place(&self, row: &[f32]) -> [f64; 2] {
        [0, 1].map(|axis| {
            let terms = row.iter().zip(&self.mean).zip(&self.axes[axis]);
            terms
                .map(|((&x, mean), axis)| (f64::from(x) - mean) * axis)
                .sum()
        })
    }
}

fn mean(rows: &[f32], dim: usize) -> Vec<f64> {
    let mut mean = vec![0.0; dim];
    for row in rows.chunks_exact(dim) {
        mean.iter_mut()
            .zip(row)
            .for_each(|(mean, &x)| *mean += f64::from(x));
    }
    let n = (rows.len() / dim) as f64;
    mean.into_iter().map(|sum| sum / n).collect()
}

/// `[dim, dim]`, over the number of rows; each number is summed in the order of the rows.
fn covariance(rows: &[f32], mean: &[f64]) -> Vec<f64> {
    let dim = mean.len();
    let centred: Vec<f64> = rows
        .chunks_exact(dim)
        .flat_map(|row| row.iter().zip(mean).map(|(&x, mean)| f64::from(x) - mean))
        .collect();
    let n = (rows.len() / dim) as f64;
    let mut covariance = vec![0.0; dim * dim];
    let tiles = covariance.par_chunks_mut(TILE * dim).enumerate();
    tiles.for_each(|(tile, sums)| {
        for row in centred.chunks_exact(dim) {
            let own = row[tile * TILE..].iter();
            for (sums, x) in sums.chunks_exact_mut(dim).zip(own) {
                sums.iter_mut().zip(row).for_each(|(sum, y)| *sum += x * y);
            }
        }
        for sum in sums {
            *sum /= n;
        }
    });
    covariance
}

/// The two directions of largest variance of a symmetric matrix, and the variances.
fn principal(matrix: &[f64], dim: usize) -> ([Vec<f64>; 2], [f64; 2]) {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut uniform = || f64::from(rng.next_u32()) / f64::from(u32::MAX) - 0.5;
    let block = BLOCK.min(dim);
    let mut basis: Vec<Vec<f64>> = (0..block)
        .map(|_| (0..dim).map(|_| uniform()).collect())
        .collect();
    orthonormalise(&mut basis);
    let mut values = vec![0.0; block];
    for _ in 0..MAX_ROUNDS {
        let images: Vec<_> = basis.iter().map(|axis| times(matrix, axis)).collect();
        values = rotate(&mut basis, images, matrix);
        if (0..2).all(|i| is_found(matrix, &basis[i], values[i], values[0])) {
            break;
        }
    }
    let axes = [0, 1].map(|i| with_sign(&basis[i]));
    (axes, [values[0], values[1]])
}

/// Replaces `basis` by the best directions in the span of its images; gives the variances along
/// them, the largest first.
fn rotate(basis: &mut [Vec<f64>], mut images: Vec<Vec<f64>>, matrix: &[f64]) -> Vec<f64> {
    orthonormalise(&mut images);
    let n = images.len();
    let again: Vec<_> = images.iter().map(|axis| times(matrix, axis)).collect();
    let small: Vec<f64> = (0..n * n)
        .map(|at| dot(&images[at / n], &again[at % n]))
        .collect();
    let (values, vectors) = symmetric_eigen(small, n);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    for (axis, &from) in basis.iter_mut().zip(&order) {
        axis.fill(0.0);
        for (k, image) in images.iter().enumerate() {
            let weight = vectors[k * n + from];
            axis.iter_mut()
                .zip(image)
                .for_each(|(sum, x)| *sum += weight * x);
        }
    }
    order.into_iter().map(|from| values[from]).collect()
}

fn is_found(matrix: &[f64], axis: &[f64], value: f64, largest: f64) -> bool {
    let image = times(matrix, axis);
    let left = image.iter().zip(axis).map(|(y, x)| (y - value * x).powi(2));
    left.sum::<f64>().sqrt() <= RESIDUAL * largest
}

/// Gram and Schmidt, twice: once leaves too much where rows are nearly parallel. What nothing is left
/// of becomes 0.
fn orthonormalise(rows: &mut [Vec<f64>]) {
    for i in 0..rows.len() {
        let (before, rest) = rows.split_at_mut(i);
        let row = &mut rest[0];
        let length = dot(row, row).sqrt();
        for _ in 0..2 {
            for other in before.iter() {
                let along = dot(row, other);
                row.iter_mut().zip(other).for_each(|(x, y)| *x -= along * y);
            }
        }
        let left = dot(row, row).sqrt();
        let scale = if left > 1e-12 * length {
            1.0 / left
        } else {
            0.0
        };
        for x in row {
            *x *= scale;
        }
    }
}

fn times(matrix: &[f64], axis: &[f64]) -> Vec<f64> {
    matrix
        .chunks_exact(axis.len())
        .map(|row| dot(row, axis))
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// The axis or its opposite: the number of largest magnitude, the first of equals, is positive.
fn with_sign(axis: &[f64]) -> Vec<f64> {
    let largest = axis.iter().fold(
        0.0f64,
        |most, x| if x.abs() > most.abs() { *x } else { most },
    );
    axis.iter().map(|x| x * largest.signum()).collect()
}

/// Eigenvalues and eigenvectors, as columns, of a symmetric matrix, by Jacobi's rotations (Golub and
/// Van Loan, §8.5).
///
/// - `matrix`: `[n, n]`
fn symmetric_eigen(mut matrix: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    let scale: f64 = matrix.iter().map(|x| x * x).sum();
    // Each sweep leaves the square of what the one before did: ten are more than ever needed.
    for _ in 0..30 {
        let beside = |at: usize| {
            if at / n == at % n {
                0.0
            } else {
                matrix[at].powi(2)
            }
        };
        if (0..n * n).map(beside).sum::<f64>() <= 1e-30 * scale {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                turn(&mut matrix, &mut vectors, n, (p, q));
            }
        }
    }
    ((0..n).map(|i| matrix[i * n + i]).collect(), vectors)
}

/// Makes the number at `(p, q)` 0.
fn turn(matrix: &mut [f64], vectors: &mut [f64], n: usize, (p, q): (usize, usize)) {
    let beside = matrix[p * n + q];
    if beside == 0.0 {
        return;
    }
    let tau = (matrix[q * n + q] - matrix[p * n + p]) / (2.0 * beside);
    let t = tau.signum() / (tau.abs() + (1.0 + tau * tau).sqrt());
    let cosine = 1.0 / (1.0 + t * t).sqrt();
    let sine = t * cosine;
    let rotate = |values: &mut [f64], a: usize, b: usize| {
        let (x, y) = (values[a], values[b]);
        values[a] = cosine * x - sine * y;
        values[b] = sine * x + cosine * y;
    };
    for k in 0..n {
        rotate(matrix, k * n + p, k * n + q);
    }
    for k in 0..n {
        rotate(matrix, p * n + k, q * n + k);
        rotate(vectors, k * n + p, k * n + q);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_spread_comes_first() {
        // Three times as far along (1, 1, 0) as along (0, 0, 1), nothing across.
        let rows = [
            3.0, 3.0, 0.0, -3.0, -3.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, -1.0,
        ];
        let plane = Plane::of(&rows, 3).expect("a plane");
        // Variances 36 / 4 and 2 / 4.
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-9;
        assert!(near(plane.explained[0], 9.0 / 9.5), "{plane:?}");
        assert!(near(plane.explained[1], 0.5 / 9.5), "{plane:?}");
        let [x, y] = plane.place(&rows[..3]);
        assert!(near(x, 18f64.sqrt()) && near(y, 0.0), "{x} {y}");
        let [x, y] = plane.place(&rows[6..9]);
        assert!(near(x, 0.0) && near(y, 1.0), "{x} {y}");
    }

    #[test]
    fn rows_on_a_line_have_one_direction() {
        let plane = Plane::of(&[1.0, 2.0, 2.0, 4.0, 3.0, 6.0], 2).expect("a line");
        assert!((plane.explained[0] - 1.0).abs() < 1e-12 && plane.explained[1] < 1e-12);
    }

    #[test]
    fn a_point_has_no_direction() {
        assert_eq!(Plane::of(&[0.5, 0.5, 0.5, 0.5], 2), None);
        assert_eq!(Plane::of(&[], 2), None);
        assert_eq!(Plane::of(&[1.0, 2.0], 1), None);
    }

    #[test]
    fn no_bit_depends_on_threads() {
        let rows: Vec<f32> = (0..40 * 33).map(|i| ((i * i) as f32).sin()).collect();
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build()
                .expect("threads")
                .install(|| Plane::of(&rows, 33))
        };
        assert_eq!(on(1), on(3));
    }

    proptest! {
        #[test]
        fn variances_are_those_of_the_whole_decomposition(
            dim in 2usize..14, values in prop::collection::vec(-1.0f32..1.0, 14 * 30),
        ) {
            let rows = &values[..dim * 30];
            let plane = Plane::of(rows, dim).expect("random rows vary");
            let covariance = covariance(rows, &mean(rows, dim));
            let (mut expected, _) = symmetric_eigen(covariance.clone(), dim);
            expected.sort_by(|a, b| b.total_cmp(a));
            let total: f64 = expected.iter().sum();
            for (explained, expected) in plane.explained.iter().zip(&expected) {
                // The error of a Ritz value is about the square of the residual.
                prop_assert!((explained - expected / total).abs() < 1e-9);
            }
            prop_assert!(dot(&plane.axes[0], &plane.axes[1]).abs() < 1e-9);
            prop_assert!((dot(&plane.axes[0], &plane.axes[0]) - 1.0).abs() < 1e-9);
        }
    }
}
