//! Convolution of NCHW tensors: `f32` by the NHWC kernels, `f64` by window matrices and products.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::config::ConvConfig;
use crate::microkernels::Epilogue;
use crate::microkernels::gemm::{Matrix, multiply};
use crate::nhwc;
use crate::nhwc::plan::ConvShape;
use crate::nhwc::transpose::{to_nchw, to_nhwc};
use crate::own::columns::{Geometry, gather, join, part, places, scatter_add};
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

    fn shape(&self, x: &Shape, weight: &Shape) -> Result<ConvShape> {
        let ((n, c_in, h, w), (c_out, _, kh, kw)) = (x.dims4()?, weight.dims4()?);
        ConvShape::new(n, (h, w), (c_in, c_out), (kh, kw), self.0)
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
        if x.dtype() == DType::F32 {
            let (x, weight) = (elements(x, x_layout)?, elements(weight, weight_layout)?);
            let conv = self.shape(x_layout.shape(), weight_layout.shape())?;
            return Ok((CpuStorage::F32(forward_f32(&conv, x, weight)), shape));
        }
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
        if x.dtype() == DType::F32 {
            return backward_f32(&self.shape(x.shape(), weight.shape())?, x, weight, grad);
        }
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

fn forward_f32(shape: &ConvShape, x: &[f32], weight: &[f32]) -> Vec<f32> {
    let x = to_nhwc(x, shape.c_in, shape.size.0 * shape.size.1);
    let mut y = vec![0.0; shape.n * shape.out_image()];
    nhwc::conv::forward(shape, &x, weight, &Epilogue::default(), &mut y);
    to_nchw(&y, shape.c_out, shape.pixels())
}

fn backward_f32(
    shape: &ConvShape,
    x: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
) -> Result<(Option<Tensor>, Option<Tensor>)> {
    let pixels = shape.size.0 * shape.size.1;
    let grad = with_elements(grad, |grad| Ok(to_nhwc(grad, shape.c_out, shape.pixels())))?;
    let dx = with_elements(weight, |weight| {
        let mut dx = vec![0.0; shape.n * shape.image()];
        nhwc::conv::data_gradient(shape, weight, &grad, &Epilogue::default(), &mut dx);
        Ok(to_nchw(&dx, shape.c_in, pixels))
    })?;
    let dw = with_elements(x, |x| {
        let x = to_nhwc(x, shape.c_in, pixels);
        Ok(nhwc::conv::weight_gradient(shape, &x, &grad))
    })?;
    Ok((
        Some(Tensor::from_vec(dx, x.shape(), x.device())?),
        Some(Tensor::from_vec(dw, weight.shape(), x.device())?),
    ))
}

/// Output pixels that a product is wide where images are smaller: several of them then share one
/// product, so that reading the weights is worth it.
const PIXELS: usize = 64;

/// Images a product; it follows from the shape alone.
fn group(geometry: &Geometry) -> usize {
    PIXELS.div_ceil(geometry.pixels().max(1))
}

/// The window matrix `[rows, n pixels]` of `n` images: a single image itself where that is it,
/// else gathered in `scratch`.
fn windows<'a, T: Element>(
    geometry: &Geometry,
    images: &'a [T],
    scratch: &'a mut Vec<T>,
) -> Matrix<'a, T> {
    let (rows, pixels) = (geometry.rows(), geometry.pixels());
    if geometry.is_pointwise() {
        return side_by_side(images, rows, pixels, scratch);
    }
    let images = images.chunks_exact(geometry.image());
    let n = images.len();
    scratch.clear();
    scratch.resize(rows * n * pixels, T::default());
    for (image, place) in images.zip(places(n, pixels)) {
        gather(geometry, image, scratch, place);
    }
    Matrix::new(scratch, rows, n * pixels)
}

/// Images `[n, rows, pixels]` as one matrix `[rows, n pixels]`; a single one needs no copy.
fn side_by_side<'a, T: Element>(
    images: &'a [T],
    rows: usize,
    pixels: usize,
    scratch: &'a mut Vec<T>,
) -> Matrix<'a, T> {
    let columns = images.len() / rows;
    if columns == pixels {
        return Matrix::new(images, rows, pixels);
    }
    scratch.resize(images.len(), T::default());
    join(images, rows, pixels, scratch);
    Matrix::new(scratch, rows, columns)
}

/// `left right` into images `[n, rows, pixels]`.
fn multiply_apart<T: Element>(
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
    (rows, pixels): (usize, usize),
    scratch: &mut Vec<T>,
    images: &mut [T],
) {
    if images.len() == rows * pixels {
        return multiply(left, right, images, false);
    }
    scratch.resize(images.len(), T::default());
    multiply(left, right, scratch, false);
    part(scratch, rows, pixels, images);
}

fn forward<T: Element>(geometry: &Geometry, x: &[T], weight: &[T], c_out: usize) -> Vec<T> {
    let (image, out) = (geometry.image(), c_out * geometry.pixels());
    let (n, sizes) = (group(geometry), (c_out, geometry.pixels()));
    let mut y = vec![T::default(); x.len() / image * out];
    let weight = Matrix::new(weight, c_out, geometry.rows());
    let groups = x.par_chunks(n * image).zip(y.par_chunks_mut(n * out));
    groups.for_each_init(Default::default, |(columns, product), (x, y)| {
        multiply_apart(weight, windows(geometry, x, columns), sizes, product, y);
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
    let (rows, pixels, n) = (geometry.rows(), geometry.pixels(), group(geometry));
    let mut dx = vec![T::default(); grad.len() / out * image];
    let weight = Matrix::new(weight, c_out, rows).transposed();
    let groups = grad.par_chunks(n * out).zip(dx.par_chunks_mut(n * image));
    groups.for_each_init(
        Default::default,
        |(joined, columns): &mut (Vec<T>, Vec<T>), (grad, dx)| {
            let n = grad.len() / out;
            let grad = side_by_side(grad, c_out, pixels, joined);
            if geometry.is_pointwise() {
                return multiply_apart(weight, grad, (rows, pixels), columns, dx);
            }
            columns.resize(rows * n * pixels, T::default());
            multiply(weight, grad, columns, false);
            for (dx, place) in dx.chunks_exact_mut(image).zip(places(n, pixels)) {
                scatter_add(geometry, columns, dx, place);
            }
        },
    );
    dx
}

fn weight_gradient<T: Element>(geometry: &Geometry, x: &[T], grad: &[T], c_out: usize) -> Vec<T> {
    let (image, out) = (geometry.image(), c_out * geometry.pixels());
    let (size, n) = (c_out * geometry.rows(), group(geometry));
    let per_part = (x.len() / image).div_ceil(PARTS).max(1);
    let parts = x
        .par_chunks(per_part * image)
        .zip(grad.par_chunks(per_part * out));
    let sums: Vec<Vec<T>> = parts
        .map(|(x, grad)| {
            let (mut sum, mut columns, mut joined) =
                (vec![T::default(); size], Vec::new(), Vec::new());
            for (x, grad) in x.chunks(n * image).zip(grad.chunks(n * out)) {
                let grad = side_by_side(grad, c_out, geometry.pixels(), &mut joined);
                let windows = windows(geometry, x, &mut columns).transposed();
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
