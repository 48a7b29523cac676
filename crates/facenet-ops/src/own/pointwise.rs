//! Operations that take one element at a time, threaded, where candle's run on one thread.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::own::element::{Element, by_dtype, elements, lane_sum, wide, with_elements};

/// Elements of a work item: long enough to be worth a thread, and fixed.
const CHUNK: usize = 1 << 14;

pub(crate) fn relu(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Relu)
}

pub(crate) fn prelu(x: &Tensor, slope: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&slope.contiguous()?, Prelu)
}

pub(crate) fn add_channel_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&bias.contiguous()?, AddBias)
}

pub(crate) fn residual(x: &Tensor, branch: &Tensor, scale: f64, relu: bool) -> Result<Tensor> {
    x.contiguous()?
        .apply_op2(&branch.contiguous()?, Residual { scale, relu })
}

/// `f` of each element, in parallel.
fn map<T: Element>(x: &[T], f: impl Fn(T) -> T + Sync) -> Vec<T> {
    let mut y = vec![T::default(); x.len()];
    let chunks = x.par_chunks(CHUNK).zip(y.par_chunks_mut(CHUNK));
    chunks.for_each(|(x, y)| wide(|| y.iter_mut().zip(x).for_each(|(y, &x)| *y = f(x))));
    y
}

/// `f` of each two elements, in parallel.
fn map2<T: Element>(a: &[T], b: &[T], f: impl Fn(T, T) -> T + Sync) -> Vec<T> {
    let mut y = vec![T::default(); a.len()];
    let chunks = a
        .par_chunks(CHUNK)
        .zip(b.par_chunks(CHUNK))
        .zip(y.par_chunks_mut(CHUNK));
    chunks.for_each(|((a, b), y)| {
        let elements = y.iter_mut().zip(a.iter().zip(b));
        wide(|| elements.for_each(|(y, (&a, &b))| *y = f(a, b)));
    });
    y
}

/// Channel count and pixels a channel of `[n, c, ...]`.
fn channels(shape: &Shape) -> Result<(usize, usize)> {
    match shape.dims() {
        [_, c, rest @ ..] => Ok((*c, rest.iter().product::<usize>())),
        _ => candle_core::bail!("expected [n, c, ...], found {shape:?}"),
    }
}

/// `f(x, value of the channel)` of each element, images in parallel.
fn by_plane<T: Element>(
    x: &[T],
    shape: &Shape,
    of_channel: &[T],
    f: impl Fn(T, T) -> T + Sync,
) -> Result<Vec<T>> {
    let (c, pixels) = channels(shape)?;
    let (image, pixels) = ((c * pixels).max(1), pixels.max(1));
    let mut y = vec![T::default(); x.len()];
    let images = x.par_chunks(image).zip(y.par_chunks_mut(image));
    images.for_each(|(x, y)| {
        let planes = x.chunks(pixels).zip(y.chunks_mut(pixels));
        for ((x, y), &value) in planes.zip(of_channel) {
            wide(|| y.iter_mut().zip(x).for_each(|(y, &x)| *y = f(x, value)));
        }
    });
    Ok(y)
}

/// The sum of `f(x, grad)` over each channel, image by image.
fn channel_sums<T: Element>(
    x: &[T],
    grad: &[T],
    shape: &Shape,
    f: impl Fn(T, T) -> T + Sync,
) -> Result<Vec<T>> {
    let (c, pixels) = channels(shape)?;
    let sum = |channel: usize| {
        let planes = x.chunks(pixels.max(1)).zip(grad.chunks(pixels.max(1)));
        let sums = planes
            .skip(channel)
            .step_by(c)
            .map(|(x, g)| lane_sum(x.iter().zip(g).map(|(&x, &g)| f(x, g).to_f64())));
        T::from_f64(sums.sum())
    };
    Ok((0..c).into_par_iter().map(sum).collect())
}

/// `max(x, 0)`, NaN for NaN.
fn rectified<T: Element>(x: T) -> T {
    if x < T::default() { T::default() } else { x }
}

struct Relu;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "facenet-relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        by_dtype!(x.dtype(), T => {
            let y = map(elements::<T>(x, layout)?, rectified);
            Ok((T::to_cpu_storage_owned(y), layout.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        by_dtype!(x.dtype(), T => with_elements::<T, _>(y, |y| with_elements::<T, _>(grad, |g| {
            let dx = map2(y, g, |y, g| if y > T::default() { g } else { T::default() });
            Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
        })))
    }
}

struct Prelu;

impl CustomOp2 for Prelu {
    fn name(&self) -> &'static str {
        "facenet-prelu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        slope: &CpuStorage,
        slope_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        by_dtype!(x.dtype(), T => {
            let slope = elements::<T>(slope, slope_layout)?;
            let y = by_plane(elements::<T>(x, layout)?, layout.shape(), slope, |x, slope| {
                let scaled = slope * x;
                if x < T::default() { scaled } else { x }
            })?;
            Ok((T::to_cpu_storage_owned(y), layout.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        slope: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (c, pixels) = channels(x.shape())?;
        by_dtype!(x.dtype(), T => with_elements::<T, _>(x, |v| with_elements::<T, _>(grad, |g| {
            with_elements::<T, _>(slope, |slopes| {
                let zero = T::default();
                let dx = by_plane_with((v, g), (c, pixels), slopes, |x, g, slope| {
                    let scaled = slope * g;
                    if x > zero { g } else { scaled }
                });
                let dslope =
                    channel_sums(v, g, x.shape(), |x, g| if x < zero { x * g } else { zero })?;
                Ok((
                    Some(Tensor::from_vec(dx, x.shape(), x.device())?),
                    Some(Tensor::from_vec(dslope, slope.shape(), x.device())?),
                ))
            })
        })))
    }
}

/// `f(a, b, value of the channel)` of each two elements, images in parallel.
fn by_plane_with<T: Element>(
    (a, b): (&[T], &[T]),
    (c, pixels): (usize, usize),
    of_channel: &[T],
    f: impl Fn(T, T, T) -> T + Sync,
) -> Vec<T> {
    let mut y = vec![T::default(); a.len()];
    let (image, pixels) = ((c * pixels).max(1), pixels.max(1));
    let images = a.par_chunks(image).zip(b.par_chunks(image));
    images.zip(y.par_chunks_mut(image)).for_each(|((a, b), y)| {
        let inputs = a.chunks(pixels).zip(b.chunks(pixels));
        for (((a, b), y), &value) in inputs.zip(y.chunks_mut(pixels)).zip(of_channel) {
            let elements = y.iter_mut().zip(a.iter().zip(b));
            wide(|| elements.for_each(|(y, (&a, &b))| *y = f(a, b, value)));
        }
    });
    y
}

struct AddBias;

impl CustomOp2 for AddBias {
    fn name(&self) -> &'static str {
        "facenet-channel-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        by_dtype!(x.dtype(), T => {
            let bias = elements::<T>(bias, bias_layout)?;
            let y = by_plane(elements::<T>(x, layout)?, layout.shape(), bias, |x, b| x + b)?;
            Ok((T::to_cpu_storage_owned(y), layout.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        by_dtype!(x.dtype(), T => with_elements::<T, _>(grad, |g| {
            let dbias = channel_sums(g, g, x.shape(), |_, g| g)?;
            Ok((Some(grad.clone()), Some(Tensor::from_vec(dbias, bias.shape(), x.device())?)))
        }))
    }
}

struct Residual {
    scale: f64,
    relu: bool,
}

impl CustomOp2 for Residual {
    fn name(&self) -> &'static str {
        "facenet-residual"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        branch: &CpuStorage,
        branch_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        by_dtype!(x.dtype(), T => {
            let (x, branch) = (elements::<T>(x, layout)?, elements::<T>(branch, branch_layout)?);
            let scale = T::from_f64(self.scale);
            let y = map2(x, branch, |x, b| {
                let sum = x + scale * b;
                if self.relu { rectified(sum) } else { sum }
            });
            Ok((T::to_cpu_storage_owned(y), layout.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        by_dtype!(x.dtype(), T => with_elements::<T, _>(y, |y| with_elements::<T, _>(grad, |g| {
            let zero = T::default();
            let dx = if self.relu {
                map2(y, g, |y, g| if y > zero { g } else { zero })
            } else {
                g.to_vec()
            };
            let scale = T::from_f64(self.scale);
            let dbranch = map(&dx, |g| scale * g);
            Ok((
                Some(Tensor::from_vec(dx, x.shape(), x.device())?),
                Some(Tensor::from_vec(dbranch, x.shape(), x.device())?),
            ))
        })))
    }
}
