//! Gradients that are scaled down where all of them together are too long.

use candle_core::Tensor;

use crate::error::TrainError;
use crate::optimizer::Update;

/// The gradients of `updates`: all times `most / norm` where their norm is above `most`, else
/// themselves, bit for bit (arXiv:1211.5063, algorithm 1).
///
/// - `norm`: L2 norm of all of them together
/// - `most`: `None` leaves any norm
///
/// # Errors
/// candle's own.
pub(crate) fn clipped(
    updates: &[Update<'_>],
    norm: f64,
    most: Option<f64>,
) -> Result<Vec<Tensor>, TrainError> {
    let scaled = updates.iter().map(|update| match most {
        Some(most) if norm > most => update.grad * (most / norm),
        _ => Ok(update.grad.clone()),
    });
    Ok(scaled.collect::<candle_core::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    /// Two parameters whose gradients together are (2, 3, 6), of norm 7.
    fn with_most(most: Option<f64>) -> Vec<f32> {
        let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).expect("numbers");
        let (first, second) = (tensor(&[2.0, 3.0]), tensor(&[6.0]));
        let vars = [&first, &second].map(|grad| Var::from_tensor(grad).expect("numbers"));
        let update = |var, grad| Update {
            name: "w",
            var,
            grad,
            decays: false,
        };
        let updates = [update(&vars[0], &first), update(&vars[1], &second)];
        let clipped = clipped(&updates, 7.0, most).expect("on the CPU");
        let values = clipped.iter().map(Tensor::to_vec1::<f32>);
        let values: candle_core::Result<Vec<_>> = values.collect();
        values.expect("vectors").concat()
    }

    #[test]
    fn longer_gradients_get_the_norm_and_keep_their_direction() {
        let close = |found: &[f32], expected: [f32; 3]| {
            found
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-6)
        };
        let found = with_most(Some(3.5));
        assert!(close(&found, [1.0, 1.5, 3.0]), "{found:?}");
        let found = with_most(Some(0.07));
        assert!(close(&found, [0.02, 0.03, 0.06]), "{found:?}");
    }

    #[test]
    fn others_stay_as_they_are() {
        for most in [None, Some(7.0), Some(100.0)] {
            assert_eq!(with_most(most), [2.0, 3.0, 6.0], "{most:?}");
        }
    }
}
