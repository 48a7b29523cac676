//! Depthwise convolution: each channel with a kernel of its own.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::config::ConvConfig;
use crate::own::columns::Geometry;
use crate::own::element::{Element, by_dtype, elements, with_elements};

pub(crate) fn depthwise_conv2d(x: &Tensor, weight: &Tensor, config: ConvConfig) -> Result<Tensor> {
    x.contiguous()?
        .apply_op2(&weight.contiguous()?, Depthwise(config))
}

struct Depthwise(ConvConfig);

/// Geometry of one channel's plane.
fn plane(x: &Shape, weight: &Shape, config: ConvConfig) -> Result<Geometry> {
    let ((_, _, h, w), (_, _, kh, kw)) = (x.dims4()?, weight.dims4()?);
    let (size, kernel) = ((h, w), (kh, kw));
    Ok(Geometry {
        channels: 1,
        size,
        kernel,
        out: config.output(size, kernel)?,
        config,
    })
}

impl CustomOp2 for Depthwise {
    fn name(&self) -> &'static str {
        "facenet-depthwise"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        let geometry = plane(x_layout.shape(), weight_layout.shape(), self.0)?;
        let (n, c, _, _) = x_layout.shape().dims4()?;
        let shape = Shape::from((n, c, geometry.out.0, geometry.out.1));
        by_dtype!(x.dtype(), T => {
            let (x, weight) = (elements::<T>(x, x_layout)?, elements::<T>(weight, weight_layout)?);
            Ok((T::to_cpu_storage_owned(forward(&geometry, x, weight, c)), shape))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let geometry = plane(x.shape(), weight.shape(), self.0)?;
        let c = x.dim(1)?;
        by_dtype!(x.dtype(), T => with_elements::<T, _>(x, |x_values| {
            with_elements::<T, _>(weight, |weights| with_elements::<T, _>(grad, |grad| {
                let dx = data_gradient(&geometry, weights, grad, c);
                let dw = weight_gradient(&geometry, x_values, grad, c);
                Ok((
                    Some(Tensor::from_vec(dx, x.shape(), x.device())?),
                    Some(Tensor::from_vec(dw, weight.shape(), x.device())?),
                ))
            }))
        }))
    }
}

fn forward<T: Element>(geometry: &Geometry, x: &[T], weight: &[T], c: usize) -> Vec<T> {
    let (image, out, taps) = (geometry.image(), geometry.pixels(), geometry.rows());
    let stride = geometry.config.stride.1;
    let mut y = vec![T::default(); x.len() / image * out];
    let planes = x
        .par_chunks_exact(image)
        .zip(y.par_chunks_exact_mut(out))
        .enumerate();
    planes.for_each(|(plane, (x, y))| {
        let weight = &weight[plane % c * taps..][..taps];
        geometry.stretches(|tap, to, from, n| {
            let (to, weight) = (&mut y[to..to + n], weight[tap]);
            if stride == 1 {
                let inputs = &x[from..from + n];
                to.iter_mut()
                    .zip(inputs)
                    .for_each(|(y, &x)| *y += weight * x);
            } else {
                let inputs = x[from..].iter().step_by(stride);
                to.iter_mut()
                    .zip(inputs)
                    .for_each(|(y, &x)| *y += weight * x);
            }
        });
    });
    y
}

fn data_gradient<T: Element>(geometry: &Geometry, weight: &[T], grad: &[T], c: usize) -> Vec<T> {
    let (image, out, taps) = (geometry.image(), geometry.pixels(), geometry.rows());
    let stride = geometry.config.stride.1;
    let mut dx = vec![T::default(); grad.len() / out * image];
    let planes = grad
        .par_chunks_exact(out)
        .zip(dx.par_chunks_exact_mut(image))
        .enumerate();
    planes.for_each(|(plane, (grad, dx))| {
        let weight = &weight[plane % c * taps..][..taps];
        geometry.stretches(|tap, from, to, n| {
            let (grad, weight) = (&grad[from..from + n], weight[tap]);
            if stride == 1 {
                let inputs = &mut dx[to..to + n];
                inputs
                    .iter_mut()
                    .zip(grad)
                    .for_each(|(dx, &g)| *dx += weight * g);
            } else {
                let inputs = dx[to..].iter_mut().step_by(stride);
                inputs.zip(grad).for_each(|(dx, &g)| *dx += weight * g);
            }
        });
    });
    dx
}

fn weight_gradient<T: Element>(geometry: &Geometry, x: &[T], grad: &[T], c: usize) -> Vec<T> {
    let (image, out, taps) = (geometry.image(), geometry.pixels(), geometry.rows());
    let stride = geometry.config.stride.1;
    let mut dw = vec![T::default(); c * taps];
    dw.par_chunks_exact_mut(taps)
        .enumerate()
        .for_each(|(channel, dw)| {
            let planes = x.chunks_exact(image).zip(grad.chunks_exact(out));
            for (x, grad) in planes.skip(channel).step_by(c) {
                geometry.stretches(|tap, from, at, n| {
                    let grad = &grad[from..from + n];
                    let inputs = x[at..].iter().step_by(stride);
                    dw[tap] += inputs.zip(grad).map(|(&x, &g)| x * g).sum::<T>();
                });
            }
        });
    dw
}
