//! Batch normalisation.

use candle_core::{Result, Tensor, bail};

use crate::own;
use crate::route::Route;

/// What a batch was like, by channel; no gradient goes through it.
#[derive(Clone, Debug)]
pub struct BatchStatistics {
    /// Mean, `[c]`.
    pub mean: Tensor,
    /// Biased variance, `[c]`.
    pub variance: Tensor,
    /// Values a channel: `n h w`.
    pub count: usize,
}

/// Normalises each channel by the batch's own mean and biased variance.
///
/// `weight (x - mean) / sqrt(variance + eps) + bias`; the gradient goes through mean and
/// variance.
///
/// - `x`: `[n, c, h, w]` or `[n, c]`
/// - `weight`, `bias`: `[c]`
///
/// # Errors
/// Where shapes disagree, or a channel has a single value, whose variance says nothing.
pub fn batch_norm_train(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    route: Route,
) -> Result<(Tensor, BatchStatistics)> {
    let count = check(x, &[weight, bias])?;
    if count < 2 {
        bail!(
            "batch norm in training needs two values a channel, found {count}: enlarge the batch"
        );
    }
    let (y, mean, variance) = match route {
        Route::Own => {
            let (mean, variance) = own::norm::moments(&x.detach())?;
            let y = own::norm::normalise(x, (weight, bias), (&mean, &variance), eps, true)?;
            (y, mean, variance)
        }
        Route::Native => native_train(x, weight, bias, eps)?,
    };
    Ok((
        y,
        BatchStatistics {
            mean: mean.detach(),
            variance: variance.detach(),
            count,
        },
    ))
}

/// Normalises each channel by given statistics.
///
/// As [`batch_norm_train`], with `mean` and `variance`, `[c]`, as constants.
///
/// # Errors
/// Where shapes disagree.
pub fn batch_norm_eval(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    eps: f64,
    route: Route,
) -> Result<Tensor> {
    check(x, &[weight, bias, mean, variance])?;
    let (mean, variance) = (mean.detach(), variance.detach());
    match route {
        Route::Own => own::norm::normalise(x, (weight, bias), (&mean, &variance), eps, false),
        Route::Native => {
            let inverse_std = (variance + eps)?.sqrt()?.recip()?;
            let centred = x.broadcast_sub(&channelwise(&mean, x)?)?;
            let scale = channelwise(&(weight * inverse_std)?, x)?;
            centred
                .broadcast_mul(&scale)?
                .broadcast_add(&channelwise(bias, x)?)
        }
    }
}

fn native_train(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    let axes: Vec<_> = (0..x.rank()).filter(|&axis| axis != 1).collect();
    let mean = x.mean_keepdim(axes.clone())?;
    let centred = x.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean_keepdim(axes)?;
    let normal = centred.broadcast_div(&(&variance + eps)?.sqrt()?)?;
    let y = normal
        .broadcast_mul(&channelwise(weight, x)?)?
        .broadcast_add(&channelwise(bias, x)?)?;
    Ok((y, mean.flatten_all()?, variance.flatten_all()?))
}

/// `[c]` shaped to broadcast over the channels of `x`.
fn channelwise(vector: &Tensor, x: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; x.rank()];
    shape[1] = vector.elem_count();
    vector.reshape(shape)
}

/// Values a channel, where the shapes agree.
fn check(x: &Tensor, vectors: &[&Tensor]) -> Result<usize> {
    if x.rank() != 2 && x.rank() != 4 {
        bail!(
            "batch norm takes [n, c] or [n, c, h, w], found {:?}",
            x.shape()
        );
    }
    let c = x.dim(1)?;
    if let Some(wrong) = vectors.iter().find(|vector| vector.dims() != [c]) {
        bail!(
            "batch norm: expected vectors of {c} channels, found {:?}",
            wrong.shape()
        );
    }
    Ok(x.elem_count().checked_div(c).unwrap_or(0))
}
