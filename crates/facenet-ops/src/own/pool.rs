//! Max pooling.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::config::ConvConfig;
use crate::own::element::{Element, by_dtype, elements, with_elements};

pub(crate) fn max_pool2d(x: &Tensor, kernel: usize, stride: usize) -> Result<Tensor> {
    x.contiguous()?.apply_op1(MaxPool { kernel, stride })
}

struct MaxPool {
    kernel: usize,
    stride: usize,
}

/// Sizes of one plane.
#[derive(Clone, Copy)]
struct Plane {
    size: (usize, usize),
    out: (usize, usize),
    kernel: usize,
    stride: usize,
}

impl MaxPool {
    fn plane(&self, x: &Shape) -> Result<Plane> {
        let (_, _, h, w) = x.dims4()?;
        let stride = (self.stride, self.stride);
        let config = ConvConfig {
            stride,
            padding: (0, 0),
        };
        let out = config.output((h, w), (self.kernel, self.kernel))?;
        Ok(Plane {
            size: (h, w),
            out,
            kernel: self.kernel,
            stride: self.stride,
        })
    }
}

impl Plane {
    /// Index in the plane of the maximum of output pixel `to`: the first of equals, or the first
    /// NaN, so that a NaN goes on.
    fn argmax<T: Element>(&self, x: &[T], to: usize) -> usize {
        let (y0, x0) = (to / self.out.1 * self.stride, to % self.out.1 * self.stride);
        let mut best = y0 * self.size.1 + x0;
        for y in y0..y0 + self.kernel {
            for at in y * self.size.1 + x0..y * self.size.1 + x0 + self.kernel {
                let is_nan = x[best].partial_cmp(&x[best]).is_none();
                if !is_nan && !matches!(x[at].partial_cmp(&x[best]), Some(o) if o.is_le()) {
                    best = at;
                }
            }
        }
        best
    }

    fn sizes(&self) -> (usize, usize) {
        (self.size.0 * self.size.1, self.out.0 * self.out.1)
    }
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "facenet-max-pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        let plane = self.plane(layout.shape())?;
        let (n, c, _, _) = layout.shape().dims4()?;
        let shape = Shape::from((n, c, plane.out.0, plane.out.1));
        by_dtype!(x.dtype(), T => {
            let x = elements::<T>(x, layout)?;
            Ok((T::to_cpu_storage_owned(forward(&plane, x)), shape))
        })
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let plane = self.plane(x.shape())?;
        by_dtype!(x.dtype(), T => with_elements::<T, _>(x, |values| {
            with_elements::<T, _>(grad, |grad| {
                let dx = backward(&plane, values, grad);
                Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
            })
        }))
    }
}

fn forward<T: Element>(plane: &Plane, x: &[T]) -> Vec<T> {
    let (image, out) = plane.sizes();
    let mut y = vec![T::default(); x.len() / image * out];
    let planes = x.par_chunks_exact(image).zip(y.par_chunks_exact_mut(out));
    planes.for_each(|(x, y)| {
        y.iter_mut()
            .enumerate()
            .for_each(|(to, y)| *y = x[plane.argmax(x, to)]);
    });
    y
}

fn backward<T: Element>(plane: &Plane, x: &[T], grad: &[T]) -> Vec<T> {
    let (image, out) = plane.sizes();
    let mut dx = vec![T::default(); x.len()];
    let planes = x.par_chunks_exact(image).zip(grad.par_chunks_exact(out));
    planes
        .zip(dx.par_chunks_exact_mut(image))
        .for_each(|((x, grad), dx)| {
            grad.iter()
                .enumerate()
                .for_each(|(to, &g)| dx[plane.argmax(x, to)] += g);
        });
    dx
}
