//! Convolution by window matrices and products.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::config::ConvConfig;
use crate::microkernels::gemm::{Matrix, multiply};
use crate::own::columns::{Geometry, gather, scatter_add};
use crate::own::element::{Element, by_dtype, elements, with_elements};

/// Parts that a batch's weight gradient is summed in: fixed, so that the sum does not depend on
/// the threads.
const PARTS: usize = 8;

pub(crate) fn conv2d(x: &Tensor, weight: &Tensor, config: ConvConfig) -> Result<Tensor> {
    x.contiguous()?
        .apply_op2(&weight.contiguous()?, Conv(config))
}

struct Conv(ConvConfig);

impl Conv {
    fn geometry(&self, x: &Shape, weight: &Shape) -> Result<Geometry> {
        let ((_, channels, h, w), (_, _, kh, kw)) = (x.dims4()?, weight.dims4()?);
        let (size, kernel) = ((h, w), (kh, kw));
        let out = self.0.output(size, kernel)?;
        Ok(Geometry {
            channels,
            size,
            kernel,
            out,
            config: self.0,
        })
    }
}

impl CustomOp2 for Conv {
    fn name(&self) -> &'static str {
        "facenet-conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        let geometry = self.geometry(x_layout.shape(), weight_layout.shape())?;
        let (n, c_out) = (x_layout.shape().dims()[0], weight_layout.shape().dims()[0]);
        let shape = Shape::from((n, c_out, geometry.out.0, geometry.out.1));
        by_dtype!(x.dtype(), T => {
            let (x, weight) = (elements::<T>(x, x_layout)?, elements::<T>(weight, weight_layout)?);
            Ok((T::to_cpu_storage_owned(forward(&geometry, x, weight, c_out)), shape))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let geometry = self.geometry(x.shape(), weight.shape())?;
        let c_out = weight.dim(0)?;
        by_dtype!(x.dtype(), T => with_elements::<T, _>(x, |x_values| {
            with_elements::<T, _>(weight, |weights| with_elements::<T, _>(grad, |grad| {
                let dx = data_gradient(&geometry, weights, grad, c_out);
                let dw = weight_gradient(&geometry, x_values, grad, c_out);
                Ok((
                    Some(Tensor::from_vec(dx, x.shape(), x.device())?),
                    Some(Tensor::from_vec(dw, weight.shape(), x.device())?),
                ))
            }))
        }))
    }
}

/// The window matrix of `image`: the image itself where that is it, else gathered in `scratch`.
fn windows<'a, T: Element>(
    geometry: &Geometry,
    image: &'a [T],
    scratch: &'a mut Vec<T>,
) -> Matrix<'a, T> {
    let (rows, pixels) = (geometry.rows(), geometry.pixels());
    if geometry.is_pointwise() {
        return Matrix::new(image, rows, pixels);
    }
    scratch.resize(rows * pixels, T::default());
    gather(geometry, image, scratch);
    Matrix::new(scratch, rows, pixels)
}

fn forward<T: Element>(geometry: &Geometry, x: &[T], weight: &[T], c_out: usize) -> Vec<T> {
    let (image, out) = (geometry.image(), c_out * geometry.pixels());
    let mut y = vec![T::default(); x.len() / image * out];
    let weight = Matrix::new(weight, c_out, geometry.rows());
    let images = x.par_chunks_exact(image).zip(y.par_chunks_exact_mut(out));
    images.for_each_init(Vec::new, |scratch, (x, y)| {
        multiply(weight, windows(geometry, x, scratch), y, false);
    });
    y
}

fn data_gradient<T: Element>(
    geometry: &Geometry,
    weight: &[T],
    grad: &[T],
    c_out: usize,
) -> Vec<T> {
    let (image, out) = (geometry.image(), c_out * geometry.pixels());
    let (rows, pixels) = (geometry.rows(), geometry.pixels());
    let mut dx = vec![T::default(); grad.len() / out * image];
    let weight = Matrix::new(weight, c_out, rows).transposed();
    let images = grad
        .par_chunks_exact(out)
        .zip(dx.par_chunks_exact_mut(image));
    images.for_each_init(Vec::new, |scratch: &mut Vec<T>, (grad, dx)| {
        let grad = Matrix::new(grad, c_out, pixels);
        if geometry.is_pointwise() {
            return multiply(weight, grad, dx, false);
        }
        scratch.resize(rows * pixels, T::default());
        multiply(weight, grad, scratch, false);
        scatter_add(geometry, scratch, dx);
    });
    dx
}

fn weight_gradient<T: Element>(geometry: &Geometry, x: &[T], grad: &[T], c_out: usize) -> Vec<T> {
    let (image, out) = (geometry.image(), c_out * geometry.pixels());
    let size = c_out * geometry.rows();
    let per_part = (x.len() / image).div_ceil(PARTS).max(1);
    let parts = x
        .par_chunks(per_part * image)
        .zip(grad.par_chunks(per_part * out));
    let sums: Vec<Vec<T>> = parts
        .map(|(x, grad)| {
            let (mut sum, mut scratch) = (vec![T::default(); size], Vec::new());
            for (x, grad) in x.chunks_exact(image).zip(grad.chunks_exact(out)) {
                let grad = Matrix::new(grad, c_out, geometry.pixels());
                let windows = windows(geometry, x, &mut scratch).transposed();
                multiply(grad, windows, &mut sum, true);
            }
            sum
        })
        .collect();
    add_in_order(sums, size)
}

/// The element-wise sum of equally long parts, first to last.
pub(crate) fn add_in_order<T: Element>(parts: Vec<Vec<T>>, size: usize) -> Vec<T> {
    let mut parts = parts.into_iter();
    let first = parts.next().unwrap_or_else(|| vec![T::default(); size]);
    parts.fold(first, |mut sum, part| {
        sum.iter_mut()
            .zip(part)
            .for_each(|(sum, value)| *sum += value);
        sum
    })
}
