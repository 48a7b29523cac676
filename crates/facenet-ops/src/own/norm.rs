//! Batch normalisation, `[n, c, ...]` normalised by channel.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::own::element::{Element, by_dtype, elements, lane_sum, wide, with_elements};

/// Mean and biased variance of each channel, summed in f64, image by image.
pub(crate) fn moments(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let channels = Channels::of(x.shape())?;
    by_dtype!(x.dtype(), T => with_elements::<T, _>(x, |values| {
        let moments = channels.each(|c| {
            let count = channels.count() as f64;
            let mean = channels.sum(values, c, |v| v) / count;
            (mean, channels.sum(values, c, |v| (v - mean) * (v - mean)) / count)
        });
        let tensor = |pick: fn(&(f64, f64)) -> f64| {
            let values = moments.iter().map(|m| T::from_f64(pick(m))).collect::<Vec<_>>();
            Tensor::from_vec(values, channels.c, x.device())
        };
        Ok((tensor(|m| m.0)?, tensor(|m| m.1)?))
    }))
}

/// `(x - mean) / sqrt(variance + eps) * weight + bias`; in training the gradient goes through
/// mean and variance too.
pub(crate) fn normalise(
    x: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    (mean, variance): (&Tensor, &Tensor),
    eps: f64,
    is_batch: bool,
) -> Result<Tensor> {
    let f64s = |t: &Tensor| t.to_dtype(candle_core::DType::F64)?.to_vec1::<f64>();
    let inverse_std = f64s(variance)?
        .iter()
        .map(|v| 1.0 / (v + eps).sqrt())
        .collect();
    let op = Normalise {
        mean: f64s(mean)?,
        inverse_std,
        is_batch,
    };
    x.contiguous()?
        .apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

/// Channels of a tensor `[n, c, ...]`.
#[derive(Clone, Copy)]
struct Channels {
    n: usize,
    c: usize,
    pixels: usize,
}

impl Channels {
    fn of(shape: &Shape) -> Result<Self> {
        match *shape.dims() {
            [n, c] => Ok(Self { n, c, pixels: 1 }),
            [n, c, h, w] => Ok(Self {
                n,
                c,
                pixels: h * w,
            }),
            _ => candle_core::bail!("batch norm takes [n, c] or [n, c, h, w], found {shape:?}"),
        }
    }

    /// Elements of an image.
    fn image(&self) -> usize {
        (self.c * self.pixels).max(1)
    }

    fn count(&self) -> usize {
        self.n * self.pixels
    }

    fn each<R: Send>(&self, f: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
        (0..self.c).into_par_iter().map(f).collect()
    }

    /// The channel's stretch in each image.
    fn stretches(&self, c: usize) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let Self {
            n,
            c: channels,
            pixels,
        } = *self;
        (0..n).map(move |n| (n * channels + c) * pixels..(n * channels + c + 1) * pixels)
    }

    fn sum<T: Element>(&self, values: &[T], c: usize, f: impl Fn(f64) -> f64) -> f64 {
        let sums = self
            .stretches(c)
            .map(|s| lane_sum(values[s].iter().map(|v| f(v.to_f64()))));
        sums.sum()
    }
}

struct Normalise {
    mean: Vec<f64>,
    inverse_std: Vec<f64>,
    is_batch: bool,
}

/// A channel's `y = scale (x - mean) + bias`.
#[derive(Clone, Copy)]
struct Line {
    scale: f64,
    mean: f64,
    bias: f64,
}

impl CustomOp3 for Normalise {
    fn name(&self) -> &'static str {
        "facenet-batch-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        let channels = Channels::of(x_layout.shape())?;
        by_dtype!(x.dtype(), T => {
            let x = elements::<T>(x, x_layout)?;
            let weight = elements::<T>(weight, weight_layout)?;
            let bias = elements::<T>(bias, bias_layout)?;
            let lines: Vec<_> = (0..channels.c).map(|c| {
                let scale = weight[c].to_f64() * self.inverse_std[c];
                Line { scale, mean: self.mean[c], bias: bias[c].to_f64() }
            }).collect();
            let y = forward(&channels, x, &lines);
            Ok((T::to_cpu_storage_owned(y), x_layout.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let channels = Channels::of(x.shape())?;
        let vector = |values: Vec<f64>| {
            Tensor::from_vec(values, channels.c, x.device())?
                .to_dtype(x.dtype())
                .map(Some)
        };
        by_dtype!(x.dtype(), T => with_elements::<T, _>(x, |values| {
            with_elements::<T, _>(weight, |weight| with_elements::<T, _>(grad, |grad| {
                let sums = channels.each(|c| self.sums(&channels, values, grad, c));
                let dx = self.data_gradient(&channels, values, grad, weight, &sums);
                Ok((
                    Some(Tensor::from_vec(dx, x.shape(), x.device())?),
                    vector(sums.iter().map(|s| s.1).collect())?,
                    vector(sums.iter().map(|s| s.0).collect())?,
                ))
            }))
        }))
    }
}

fn forward<T: Element>(channels: &Channels, x: &[T], lines: &[Line]) -> Vec<T> {
    let mut y = vec![T::default(); x.len()];
    let (image, pixels) = (channels.image(), channels.pixels.max(1));
    let images = x.par_chunks(image).zip(y.par_chunks_mut(image));
    images.for_each(|(x, y)| {
        let planes = x.chunks(pixels).zip(y.chunks_mut(pixels));
        for ((x, y), line) in planes.zip(lines) {
            let scale = T::from_f64(line.scale);
            let (mean, bias) = (T::from_f64(line.mean), T::from_f64(line.bias));
            let elements = y.iter_mut().zip(x);
            wide(|| elements.for_each(|(y, &x)| *y = scale * (x - mean) + bias));
        }
    });
    y
}

impl Normalise {
    /// Sums of the gradient, and of the gradient times the normalised input.
    fn sums<T: Element>(&self, channels: &Channels, x: &[T], grad: &[T], c: usize) -> (f64, f64) {
        let (mut sum, mut sum_x, mean) = (0.0, 0.0, self.mean[c]);
        for s in channels.stretches(c) {
            let grad = &grad[s.clone()];
            sum += lane_sum(grad.iter().map(|g| g.to_f64()));
            let products = x[s].iter().zip(grad);
            sum_x += lane_sum(products.map(|(x, g)| g.to_f64() * (x.to_f64() - mean)));
        }
        (sum, sum_x * self.inverse_std[c])
    }

    /// `weight inverse_std (g - mean(g) - x̂ mean(g x̂))`, in eval mode without the means.
    fn data_gradient<T: Element>(
        &self,
        channels: &Channels,
        x: &[T],
        grad: &[T],
        weight: &[T],
        sums: &[(f64, f64)],
    ) -> Vec<T> {
        let mut dx = vec![T::default(); x.len()];
        let (image, pixels) = (channels.image(), channels.pixels.max(1));
        let share = if self.is_batch {
            1.0 / channels.count() as f64
        } else {
            0.0
        };
        let slopes: Vec<_> = (0..channels.c)
            .map(|c| {
                let scale = weight[c].to_f64() * self.inverse_std[c];
                let slope = -scale * sums[c].1 * share * self.inverse_std[c];
                let shift = -scale * sums[c].0 * share;
                [scale, slope, self.mean[c], shift].map(T::from_f64)
            })
            .collect();
        let images = x.par_chunks(image).zip(grad.par_chunks(image));
        images
            .zip(dx.par_chunks_mut(image))
            .for_each(|((x, grad), dx)| {
                let inputs = x.chunks(pixels).zip(grad.chunks(pixels));
                let planes = inputs.zip(dx.chunks_mut(pixels));
                for (((x, grad), dx), &[scale, slope, mean, shift]) in planes.zip(&slopes) {
                    let of_both = |x, g| scale * g + (slope * (x - mean) + shift);
                    let elements = dx.iter_mut().zip(x.iter().zip(grad));
                    wide(|| elements.for_each(|(dx, (&x, &g))| *dx = of_both(x, g)));
                }
            });
        dx
    }
}
