//! Rows that do not come from a network, for timings.

use std::f64::consts::TAU;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::Batch;
use crate::failure::Failure;

/// Noise around an identity's centre, in standard deviations of the centres: at 45 x 40 rows of
/// 128 numbers most pairs have a negative within the margin, as early in training.
const NOISE: f64 = 1.7;

/// `people` x `images` unit rows: for each identity a normal centre, for each row the centre plus
/// [`NOISE`] times normal numbers; all drawn in this order from `ChaCha8` seeded with `seed`.
///
/// # Errors
/// [`Failure`] of usage where the rows do not fit in memory.
pub(crate) fn drawn(people: usize, images: usize, dim: usize, seed: u64) -> Result<Batch, Failure> {
    let n = people
        .checked_mul(images)
        .filter(|&n| n < u32::MAX as usize);
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    let room = n.and_then(|n| {
        rows.try_reserve_exact(n.checked_mul(dim)?).ok()?;
        labels.try_reserve_exact(n).ok()
    });
    room.ok_or_else(|| {
        Failure::usage(format!(
            "--people, --images, --dim: found {people} x {images} rows of {dim}, expected what \
             fits in memory; lower one of them"
        ))
    })?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for label in 0..people as u32 {
        let centre: Vec<f64> = (0..dim).map(|_| normal(&mut rng)).collect();
        for _ in 0..images {
            let row = centre.iter().map(|x| x + NOISE * normal(&mut rng));
            extend_by_unit(&mut rows, &row.collect::<Vec<_>>());
            labels.push(label);
        }
    }
    Ok(Batch { rows, dim, labels })
}

fn extend_by_unit(rows: &mut Vec<f32>, row: &[f64]) {
    let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
    rows.extend(row.iter().map(|x| (x / norm.max(f64::MIN_POSITIVE)) as f32));
}

/// Box and Muller's transformation of two uniform draws, the first in (0, 1].
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let mut uniform = || (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let (radius, angle) = (1.0 - uniform(), uniform());
    (-2.0 * radius.ln()).sqrt() * (TAU * angle).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sq_norm(row: &[f32]) -> f64 {
        row.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
    }

    #[test]
    fn rows_are_unit_and_a_function_of_the_seed() {
        let batch = drawn(3, 4, 5, 1).expect("it fits");
        assert_eq!((batch.rows.len(), batch.dim), (60, 5));
        assert_eq!(batch.labels, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
        // A value is off by 2^-25 of itself at most, so a square sum of 1 by 2^-24.
        assert!(
            batch
                .rows
                .chunks(5)
                .all(|row| (sq_norm(row) - 1.0).abs() < 1e-7)
        );
        assert_eq!(batch, drawn(3, 4, 5, 1).expect("it fits"));
        assert_ne!(batch, drawn(3, 4, 5, 2).expect("it fits"));
    }

    #[test]
    fn draws_are_normal() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let xs: Vec<f64> = (0..20_000).map(|_| normal(&mut rng)).collect();
        let mean = |power: i32| xs.iter().map(|x| x.powi(power)).sum::<f64>() / xs.len() as f64;
        // Standard errors: 0.007 of the mean, 0.01 of the variance, 0.07 of the fourth moment.
        assert!(mean(1).abs() < 0.03 && (mean(2) - 1.0).abs() < 0.04);
        assert!((mean(4) - 3.0).abs() < 0.3);
    }

    #[test]
    fn more_than_memory_holds_is_usage() {
        for [people, images, dim] in [
            [usize::MAX, 2, 1],
            [1 << 31, 2, 1],
            [1 << 20, 1, usize::MAX],
        ] {
            assert!(drawn(people, images, dim, 1).is_err());
        }
    }
}
