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
    let (d_ap, d_an) = distances(embeddings)?;
    let excess = ((&d_ap - &d_an)? + margin)?;
    // candle's `relu` takes NaN for 0, and a diverged network would seem to have converged.
    let is_active = excess.gt(0.0)?.to_dtype(excess.dtype())?;
    let loss = (excess * is_active)?.mean_all()?;
    Ok(TripletLoss { loss, d_ap, d_an })
}

/// The triplet loss with a soft margin (Hermans et al., arXiv:1703.07737, §2): the mean of
/// `ln(1 + exp(d_ap - d_an))` over all triplets.
///
/// Distances are squared L2, as in [`triplet_loss`] and the reference; that paper found plain L2
/// better for its soft margin, where embeddings had no length in common.
///
/// - `embeddings`: `[3k, dim]`, rows anchor, positive, negative, anchor, ...
///
/// Loss and gradient are finite for any finite distances; NaN anywhere makes the loss NaN.
///
/// # Errors
/// As [`triplet_loss`].
pub fn soft_margin_loss(embeddings: &Tensor) -> Result<TripletLoss> {
    let (d_ap, d_an) = distances(embeddings)?;
    let excess = (&d_ap - &d_an)?;
    // ln(e^0 + e^x) less the larger exponent, which no gradient flows through.
    let larger = excess.detach().maximum(0.0)?;
    let sum = (larger.neg()?.exp()? + (&excess - &larger)?.exp()?)?;
    let loss = (sum.log()? + larger)?.mean_all()?;
    Ok(TripletLoss { loss, d_ap, d_an })
}

/// Squared L2, anchor to positive and anchor to negative, each `[k]`.
fn distances(embeddings: &Tensor) -> Result<(Tensor, Tensor)> {
    let (n, dim) = embeddings.dims2()?;
    if n == 0 || !n.is_multiple_of(3) {
        bail!("triplet_loss: expected 3 rows a triplet, found {n} rows");
    }
    let roles = embeddings.reshape((n / 3, 3, dim))?;
    let role = |place| roles.narrow(1, place, 1)?.squeeze(1);
    let (anchor, positive, negative) = (role(0)?, role(1)?, role(2)?);
    let sq_l2 = |other: &Tensor| (&anchor - other)?.sqr()?.sum(1);
    Ok((sq_l2(&positive)?, sq_l2(&negative)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

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
            let rows = Tensor::new(&rows, &Device::Cpu)?;
            for loss in [
                triplet_loss(&rows, 0.2)?.loss,
                soft_margin_loss(&rows)?.loss,
            ] {
                assert!(loss.to_scalar::<f32>()?.is_nan(), "{place}");
            }
        }
        Ok(())
    }

    #[test]
    fn rows_that_are_no_triplets_are_refused() -> Result<()> {
        for n in [0, 1, 4] {
            let rows = Tensor::zeros((n, 2), candle_core::DType::F32, &Device::Cpu)?;
            assert!(triplet_loss(&rows, 0.2).is_err(), "{n}");
            assert!(soft_margin_loss(&rows).is_err(), "{n}");
        }
        Ok(())
    }

    /// Loss of one triplet on a line, and its gradient by anchor, positive and negative.
    fn soft(rows: [f64; 3]) -> Result<(f64, Vec<f64>)> {
        let rows = Var::from_slice(&rows, (3, 1), &Device::Cpu)?;
        let loss = soft_margin_loss(&rows)?.loss;
        let gradient = loss.backward()?.remove(&rows).expect("of the rows");
        Ok((loss.to_scalar()?, gradient.flatten_all()?.to_vec1()?))
    }

    #[test]
    fn a_soft_margin_is_the_logarithm_and_its_slope_the_sigmoid() -> Result<()> {
        // d_ap 1, d_an 1: ln 2, and half of d_ap's gradient (-2, 2), less half of d_an's.
        let (loss, gradient) = soft([0.0, 1.0, -1.0])?;
        assert!((loss - std::f64::consts::LN_2).abs() < 1e-15, "{loss}");
        assert_eq!(gradient, [-2.0, 1.0, 1.0]);
        // d_ap 4, d_an 1: ln(1 + e^3).
        let (loss, _) = soft([0.0, 2.0, -1.0])?;
        assert!((loss - 3.0f64.exp().ln_1p()).abs() < 1e-15, "{loss}");
        Ok(())
    }

    #[test]
    fn a_soft_margin_is_finite_far_from_zero() -> Result<()> {
        // The exponents are 1e6 and -1e6: beyond what exp has numbers for.
        let (loss, gradient) = soft([0.0, 1e3, 0.0])?;
        assert_eq!((loss, gradient), (1e6, vec![-2e3, 2e3, 0.0]));
        let (loss, gradient) = soft([0.0, 0.0, 1e3])?;
        assert_eq!((loss, gradient), (0.0, vec![0.0; 3]));
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
