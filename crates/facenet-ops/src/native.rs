//! Every operation as a composition of candle operations.

use candle_core::{Result, Tensor};

use crate::config::ConvConfig;

/// `x` with zeros around, `(vertical, horizontal)` on either side.
pub(crate) fn pad(x: &Tensor, padding: (usize, usize)) -> Result<Tensor> {
    x.pad_with_zeros(2, padding.0, padding.0)?
        .pad_with_zeros(3, padding.1, padding.1)
}

/// `max(x, 0)` with NaN kept: candle's `relu` takes NaN for 0. No gradient at 0, as there.
pub(crate) fn rectified(x: &Tensor) -> Result<Tensor> {
    x.le(0.0)?.where_cond(&x.zeros_like()?, x)
}

/// Every `stride`-th entry of dimension `dim`, `n` of them from `first`.
///
/// Built from `narrow` and `reshape`, which have gradients, where a strided view has none.
fn every(x: &Tensor, dim: usize, first: usize, stride: usize, n: usize) -> Result<Tensor> {
    if stride == 1 {
        return x.narrow(dim, first, n);
    }
    let needed = n * stride;
    let there = x.dim(dim)? - first;
    let x = if there >= needed {
        x.narrow(dim, first, needed)?
    } else {
        x.narrow(dim, first, there)?
            .pad_with_zeros(dim, 0, needed - there)?
    };
    let mut shape = x.dims().to_vec();
    shape.splice(dim..=dim, [n, stride]);
    x.reshape(shape)?.narrow(dim + 1, 0, 1)?.squeeze(dim + 1)
}

/// The input as seen by tap `(ky, kx)`: `[n, c, out_h, out_w]`.
fn shifted(
    padded: &Tensor,
    tap: (usize, usize),
    stride: (usize, usize),
    out: (usize, usize),
) -> Result<Tensor> {
    every(
        &every(padded, 2, tap.0, stride.0, out.0)?,
        3,
        tap.1,
        stride.1,
        out.1,
    )
}

pub(crate) fn conv2d(x: &Tensor, weight: &Tensor, config: ConvConfig) -> Result<Tensor> {
    let (c_out, _, kh, kw) = weight.dims4()?;
    let (n, c_in, h, w) = x.dims4()?;
    let out = config.output((h, w), (kh, kw))?;
    let padded = pad(x, config.padding)?;
    let mut sum: Option<Tensor> = None;
    for ky in 0..kh {
        for kx in 0..kw {
            let columns = shifted(&padded, (ky, kx), config.stride, out)?.reshape((
                n,
                c_in,
                out.0 * out.1,
            ))?;
            let tap = weight
                .narrow(2, ky, 1)?
                .narrow(3, kx, 1)?
                .reshape((c_out, c_in))?;
            let part = tap
                .broadcast_left(n)?
                .contiguous()?
                .matmul(&columns.contiguous()?)?;
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
    }
    sum.expect("a kernel has taps")
        .reshape((n, c_out, out.0, out.1))
}

pub(crate) fn depthwise_conv2d(x: &Tensor, weight: &Tensor, config: ConvConfig) -> Result<Tensor> {
    let (c, _, kh, kw) = weight.dims4()?;
    let (_, _, h, w) = x.dims4()?;
    let out = config.output((h, w), (kh, kw))?;
    let padded = pad(x, config.padding)?;
    let mut sum: Option<Tensor> = None;
    for ky in 0..kh {
        for kx in 0..kw {
            let tap = weight
                .narrow(2, ky, 1)?
                .narrow(3, kx, 1)?
                .reshape((1, c, 1, 1))?;
            let part = shifted(&padded, (ky, kx), config.stride, out)?.broadcast_mul(&tap)?;
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
    }
    Ok(sum.expect("a kernel has taps"))
}

pub(crate) fn max_pool2d(x: &Tensor, kernel: usize, stride: usize) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let config = ConvConfig {
        stride: (stride, stride),
        padding: (0, 0),
    };
    let out = config.output((h, w), (kernel, kernel))?;
    let mut best: Option<Tensor> = None;
    for tap in (0..kernel).flat_map(|ky| (0..kernel).map(move |kx| (ky, kx))) {
        let view = shifted(x, tap, (stride, stride), out)?;
        best = Some(match best {
            Some(best) => best.maximum(&view)?,
            None => view,
        });
    }
    Ok(best.expect("a kernel has taps"))
}
