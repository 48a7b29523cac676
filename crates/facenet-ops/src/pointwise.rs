//! Activations, sums and products.

use candle_core::{Result, Tensor, bail};

use crate::native;
use crate::own;
use crate::route::Route;

/// `max(x, 0)`; NaN stays NaN, so that a network that has diverged shows it.
///
/// # Errors
/// candle's own.
pub fn relu(x: &Tensor, route: Route) -> Result<Tensor> {
    match route {
        Route::Native => native::rectified(x),
        Route::Own => own::pointwise::relu(x),
    }
}

/// `x` where positive, `slope x` elsewhere, with a slope for each channel.
///
/// - `x`: `[n, c, ...]`
/// - `slope`: `[c]`
///
/// # Errors
/// Where shapes disagree.
pub fn prelu(x: &Tensor, slope: &Tensor, route: Route) -> Result<Tensor> {
    check_vector("prelu", x, slope)?;
    match route {
        Route::Native => {
            let positive = x.relu()?;
            positive + (x - &x.relu()?)?.broadcast_mul(&channelwise(slope, x)?)?
        }
        Route::Own => own::pointwise::prelu(x, slope),
    }
}

/// Adds `bias`, `[c]`, to each channel of `x`, `[n, c, ...]`.
///
/// # Errors
/// Where shapes disagree.
pub fn add_channel_bias(x: &Tensor, bias: &Tensor, route: Route) -> Result<Tensor> {
    check_vector("add_channel_bias", x, bias)?;
    match route {
        Route::Native => x.broadcast_add(&channelwise(bias, x)?),
        Route::Own => own::pointwise::add_channel_bias(x, bias),
    }
}

/// `x + scale branch`, then `max(., 0)` where `relu`: the end of a residual block.
///
/// # Errors
/// Where shapes disagree.
pub fn residual(
    x: &Tensor,
    branch: &Tensor,
    scale: f64,
    relu: bool,
    route: Route,
) -> Result<Tensor> {
    if x.shape() != branch.shape() {
        bail!(
            "residual: {:?} and {:?} disagree",
            x.shape(),
            branch.shape()
        );
    }
    match route {
        Route::Native => {
            let sum = (x + (branch * scale)?)?;
            if relu {
                native::rectified(&sum)
            } else {
                Ok(sum)
            }
        }
        Route::Own => own::pointwise::residual(x, branch, scale, relu),
    }
}

/// `x weightᵀ`: `[n, i]` and `[o, i]` give `[n, o]`. Both routes are candle's product.
///
/// # Errors
/// Where shapes disagree.
pub fn linear(x: &Tensor, weight: &Tensor, _: Route) -> Result<Tensor> {
    x.matmul(&weight.t()?)
}

/// Mean over the pixels of each channel: `[n, c, h, w]` gives `[n, c]`.
///
/// # Errors
/// Where `x` has no four dimensions.
pub fn global_average_pool(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    x.reshape((n, c, h * w))?.mean(2)
}

fn channelwise(vector: &Tensor, x: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; x.rank()];
    shape[1] = vector.elem_count();
    vector.reshape(shape)
}

fn check_vector(what: &str, x: &Tensor, vector: &Tensor) -> Result<()> {
    if x.rank() < 2 || vector.dims() != [x.dim(1)?] {
        bail!(
            "{what}: expected a vector of the channels of {:?}, found {:?}",
            x.shape(),
            vector.shape()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn both_routes_rectify_alike_and_keep_nan() -> Result<()> {
        let x = Var::new(&[-2.0f64, -0.0, 0.0, 3.0, f64::NAN], &Device::Cpu)?;
        for route in [Route::Native, Route::Own] {
            let y = relu(&x, route)?;
            let values = y.to_vec1::<f64>()?;
            assert_eq!(values[..4], [0.0, 0.0, 0.0, 3.0], "{route:?}");
            assert!(values[4].is_nan(), "{route:?}");
            let store = y.narrow(0, 0, 4)?.sum_all()?.backward()?;
            let gradient = store.get(&x).expect("in the graph").to_vec1::<f64>()?;
            assert_eq!(gradient, [0.0, 0.0, 0.0, 1.0, 0.0], "{route:?}");
        }
        Ok(())
    }
}
