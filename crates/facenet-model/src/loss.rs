//! The triplet loss and the normalisation before it.

use candle_core::{Result, Tensor, bail};

/// Floor of the squared norm (the reference's `tf.nn.l2_normalize`).
pub const MIN_SQ_NORM: f64 = 1e-10;

/// Scales each row to unit length: `x / sqrt(max(Σ x², 1e-10))`.
///
/// - `xs`: `[n, dim]`
///
/// A row shorter than 1e-5 is scaled by 1e5 instead; through the floor no gradient flows to
/// the norm.
///
/// # Errors
/// Unless `xs` has two dimensions.
pub fn l2_normalise(xs: &Tensor) -> Result<Tensor> {
    let sq_norm = xs.sqr()?.sum_keepdim(1)?;
    let floor = sq_norm.ones_like()?.affine(MIN_SQ_NORM, 0.0)?;
    xs.broadcast_div(&sq_norm.maximum(&floor)?.sqrt()?)
}

/// A batch's loss and what it is made of.
#[derive(Clone, Debug)]
pub struct TripletLoss {
    /// Mean over triplets of `max(0, d_ap - d_an + margin)`, a scalar.
    pub loss: Tensor,
    /// Squared L2, anchor to positive, `[k]`.
    pub d_ap: Tensor,
    /// Squared L2, anchor to negative, `[k]`.
    pub d_an: Tensor,
}

/// The triplet loss (FaceNet, arXiv:1503.03832, §3.1), averaged over all triplets, those with
/// no loss included.
///
/// - `embeddings`: `[3k, dim]`, rows anchor, positive, negative, anchor, ...
/// - `margin`: in squared L2
///
/// NaN anywhere makes the loss NaN; a triplet that meets the margin exactly has no gradient.
///
/// # Errors
/// Unless there is a row for each role of at least one triplet.
pub fn triplet_loss(embeddings: &Tensor, margin: f64) -> Result<TripletLoss> {
    let (n, dim) = embeddings.dims2()?;
    if n == 0 || !n.is_multiple_of(3) {
        bail!("triplet_loss: expected 3 rows a triplet, found {n} rows");
    }
    let roles = embeddings.reshape((n / 3, 3, dim))?;
    let role = |place| roles.narrow(1, place, 1)?.squeeze(1);
    let (anchor, positive, negative) = (role(0)?, role(1)?, role(2)?);
    let sq_l2 = |other: &Tensor| (&anchor - other)?.sqr()?.sum(1);
    let (d_ap, d_an) = (sq_l2(&positive)?, sq_l2(&negative)?);
    let excess = ((&d_ap - &d_an)? + margin)?;
    // candle's `relu` takes NaN for 0, and a diverged network would seem to have converged.
    let is_active = excess.gt(0.0)?.to_dtype(excess.dtype())?;
    let loss = (excess * is_active)?.mean_all()?;
    Ok(TripletLoss { loss, d_ap, d_an })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_loss_is_the_mean_of_hinges() -> Result<()> {
        // Triplet 1: d_ap 1, d_an 4, no loss. Triplet 2: d_ap 4, d_an 1, loss 3.2.
        let rows = [
            [0.0f64, 0.0],
            [1.0, 0.0],
            [0.0, 2.0],
            [0.0, 0.0],
            [2.0, 0.0],
            [0.0, 1.0],
        ];
        let made = triplet_loss(&Tensor::new(&rows, &Device::Cpu)?, 0.2)?;
        assert_eq!(made.d_ap.to_vec1::<f64>()?, [1.0, 4.0]);
        assert_eq!(made.d_an.to_vec1::<f64>()?, [4.0, 1.0]);
        assert!((made.loss.to_scalar::<f64>()? - 1.6).abs() < 1e-15);
        Ok(())
    }

    #[test]
    fn not_a_number_is_not_hidden() -> Result<()> {
        for place in 0..3 {
            let mut rows = [[0.0f32, 1.0], [1.0, 0.0], [-1.0, 0.0]];
            rows[place][0] = f32::NAN;
            let loss = triplet_loss(&Tensor::new(&rows, &Device::Cpu)?, 0.2)?.loss;
            assert!(loss.to_scalar::<f32>()?.is_nan(), "{place}");
        }
        Ok(())
    }

    #[test]
    fn rows_that_are_no_triplets_are_refused() -> Result<()> {
        for n in [0, 1, 4] {
            let rows = Tensor::zeros((n, 2), candle_core::DType::F32, &Device::Cpu)?;
            assert!(triplet_loss(&rows, 0.2).is_err(), "{n}");
        }
        Ok(())
    }

    #[test]
    fn short_rows_are_scaled_by_the_floor() -> Result<()> {
        let rows = Tensor::new(&[[3.0f64, 4.0], [0.0, 0.0], [3e-6, 4e-6]], &Device::Cpu)?;
        let unit = l2_normalise(&rows)?.to_vec2::<f64>()?;
        let expected = [[0.6, 0.8], [0.0, 0.0], [0.3, 0.4]];
        for (row, expected) in unit.iter().zip(expected) {
            for (x, expected) in row.iter().zip(expected) {
                assert!((x - expected).abs() < 1e-12, "{unit:?}");
            }
        }
        Ok(())
    }
}
