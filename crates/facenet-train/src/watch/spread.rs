//! How far embeddings lie from each other.

/// The spread of unit rows: the root of their mean squared L2 to their mean, which is
/// `sqrt(1 - |mean|^2)`; from 0, where all are the same, to 1.
///
/// Over `sqrt(dim)` it is the standard deviation of a channel (root mean square over channels),
/// by which `SimSiam` (arXiv:2011.10566, §4.1 and figure 2) tells a collapsed network, 0, from a
/// healthy one, `1 / sqrt(dim)`. The mean squared L2 of two rows is twice its square.
///
/// - `rows`: `[n, dim]` row-major
///
/// 0 without rows; NaN where a number is none.
pub(crate) fn spread(rows: &[f32], dim: usize) -> f64 {
    let n = rows.len() / dim;
    if n == 0 {
        return 0.0;
    }
    let mut mean = vec![0.0; dim];
    for row in rows.chunks_exact(dim) {
        for (mean, &x) in mean.iter_mut().zip(row) {
            *mean += f64::from(x) / n as f64;
        }
    }
    // By differences: near a collapse 1 less the square of the mean has no digits left.
    let squares = rows.chunks_exact(dim).map(|row| {
        let differences = row.iter().zip(&mean).map(|(&x, mean)| f64::from(x) - mean);
        differences
            .map(|difference| difference * difference)
            .sum::<f64>()
    });
    (squares.sum::<f64>() / n as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_1_around_the_origin_and_0_in_a_point() {
        assert_eq!(spread(&[1.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, -1.0], 2), 1.0);
        assert_eq!(spread(&[0.6, 0.8, 0.6, 0.8], 2), 0.0);
        assert_eq!(spread(&[], 2), 0.0);
        assert!(spread(&[f32::NAN, 0.0, 1.0, 0.0], 2).is_nan());
    }

    #[test]
    fn twice_its_square_is_the_mean_squared_l2_of_two_rows() {
        let rows = [0.6f32, 0.8, 1.0, 0.0, 0.0, 1.0];
        let pair = |i: usize, j: usize| -> f64 {
            let at = |row: usize, k: usize| f64::from(rows[2 * row + k]);
            (0..2).map(|k| (at(i, k) - at(j, k)).powi(2)).sum()
        };
        let pairs: f64 = (0..3).flat_map(|i| (0..3).map(move |j| pair(i, j))).sum();
        assert!((2.0 * spread(&rows, 2).powi(2) - pairs / 9.0).abs() < 1e-12);
    }

    #[test]
    fn it_has_digits_where_rows_have_almost_met() {
        let rows = [1.0f32, 1e-6, 1.0, -1e-6];
        assert!((spread(&rows, 2) / f64::from(1e-6f32) - 1.0).abs() < 1e-9);
    }
}
