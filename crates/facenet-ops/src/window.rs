//! Operations on windows: convolution and max pooling.

use candle_core::{Result, Tensor, bail};

use crate::config::ConvConfig;
use crate::route::Route;
use crate::{native, own};

/// 2-D convolution (cross-correlation), without bias.
///
/// - `x`: `[n, c_in, h, w]`
/// - `weight`: `[c_out, c_in, kh, kw]`
///
/// Gives `[n, c_out, out_h, out_w]` by [`ConvConfig::output`].
///
/// # Errors
/// Where channels disagree or the window does not fit.
pub fn conv2d(x: &Tensor, weight: &Tensor, config: ConvConfig, route: Route) -> Result<Tensor> {
    let ((_, c, _, _), (_, c_in, _, _)) = (x.dims4()?, weight.dims4()?);
    if c != c_in {
        bail!(
            "conv2d: weight {:?} takes {c_in} channels, found {c}",
            weight.shape()
        );
    }
    match route {
        Route::Native => native::conv2d(x, weight, config),
        Route::Own => own::conv::conv2d(x, weight, config),
    }
}

/// 2-D convolution of each channel with a kernel of its own, without bias.
///
/// - `x`: `[n, c, h, w]`
/// - `weight`: `[c, 1, kh, kw]`
///
/// # Errors
/// As [`conv2d`].
pub fn depthwise_conv2d(
    x: &Tensor,
    weight: &Tensor,
    config: ConvConfig,
    route: Route,
) -> Result<Tensor> {
    let ((_, c, _, _), (c_weight, one, _, _)) = (x.dims4()?, weight.dims4()?);
    if c != c_weight || one != 1 {
        bail!(
            "depthwise_conv2d: expected weight [{c}, 1, kh, kw], found {:?}",
            weight.shape()
        );
    }
    match route {
        Route::Native => native::depthwise_conv2d(x, weight, config),
        Route::Own => own::depthwise::depthwise_conv2d(x, weight, config),
    }
}

/// Maximum of each window, without padding.
///
/// On the own route a NaN in a window is its maximum, and the gradient goes to the first of
/// equal maxima; the native route follows candle's `maximum`, which divides it among equals.
///
/// - `x`: `[n, c, h, w]`
///
/// # Errors
/// Where the window does not fit.
pub fn max_pool2d(x: &Tensor, kernel: usize, stride: usize, route: Route) -> Result<Tensor> {
    match route {
        Route::Native => native::max_pool2d(x, kernel, stride),
        Route::Own => own::pool::max_pool2d(x, kernel, stride),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn a_weight_for_other_channels_is_refused_with_both_numbers() {
        let zeros = |shape: [usize; 4]| Tensor::zeros(&shape, DType::F32, &Device::Cpu);
        let (x, weight) = (zeros([1, 3, 5, 5]), zeros([2, 4, 3, 3]));
        let (x, weight) = (x.expect("zeros"), weight.expect("zeros"));
        for route in [Route::Native, Route::Own] {
            let refused = conv2d(&x, &weight, ConvConfig::default(), route);
            let message = refused.expect_err("4 channels for 3").to_string();
            assert!(message.contains("takes 4 channels, found 3"), "{message}");
            let refused = depthwise_conv2d(&x, &weight, ConvConfig::default(), route);
            let message = refused.expect_err("no depthwise weight").to_string();
            assert!(
                message.contains("expected weight [3, 1, kh, kw]"),
                "{message}"
            );
        }
    }
}
