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

/// A plane with its padding written out, row after row, so that a tap is an offset and a stride-1
/// filter is one long sum of shifted copies. Output pixel `(y, x)` lies at `y * width + x` of a
/// grid as wide as the padded plane; what falls between two rows is ignored.
#[derive(Clone, Copy)]
struct Padded {
    geometry: Geometry,
    width: usize,
    height: usize,
}

impl Padded {
    fn new(geometry: Geometry) -> Self {
        let (size, padding) = (geometry.size, geometry.config.padding);
        Self {
            geometry,
            height: size.0 + 2 * padding.0,
            width: size.1 + 2 * padding.1,
        }
    }

    fn len(&self) -> usize {
        self.width * self.height
    }

    /// Elements from the first output pixel of the stride-1 grid to its last.
    fn grid(&self) -> usize {
        let kernel = self.geometry.kernel;
        (self.height - kernel.0) * self.width + self.width - kernel.1 + 1
    }

    /// Each tap's offset, in the weight's order.
    fn taps(&self) -> impl Iterator<Item = usize> + use<> {
        let ((kh, kw), width) = (self.geometry.kernel, self.width);
        (0..kh * kw).map(move |tap| tap / kw * width + tap % kw)
    }

    /// Writes `plane` inside its padding, which is zero already.
    fn fill<T: Element>(&self, plane: &[T], padded: &mut [T]) {
        let (size, padding) = (self.geometry.size, self.geometry.config.padding);
        for (y, row) in plane.chunks_exact(size.1).enumerate() {
            let first = (y + padding.0) * self.width + padding.1;
            padded[first..first + size.1].copy_from_slice(row);
        }
    }

    /// Reads the plane out of its padding.
    fn read<T: Element>(&self, padded: &[T], plane: &mut [T]) {
        let (size, padding) = (self.geometry.size, self.geometry.config.padding);
        for (y, row) in plane.chunks_exact_mut(size.1).enumerate() {
            let first = (y + padding.0) * self.width + padding.1;
            row.copy_from_slice(&padded[first..first + size.1]);
        }
    }

    /// The output's place in the grid.
    fn places(&self) -> impl Iterator<Item = usize> + use<> {
        let (out, stride, width) = (self.geometry.out, self.geometry.config.stride, self.width);
        (0..out.0).flat_map(move |y| (0..out.1).map(move |x| y * stride.0 * width + x * stride.1))
    }

    /// Scatters an output plane over the grid, which is zero already.
    fn spread<T: Element>(&self, out: &[T], grid: &mut [T]) {
        self.places()
            .zip(out)
            .for_each(|(place, &value)| grid[place] = value);
    }
}

fn forward<T: Element>(geometry: &Geometry, x: &[T], weight: &[T], c: usize) -> Vec<T> {
    let (image, out, taps) = (geometry.image(), geometry.pixels(), geometry.rows());
    let plane = Padded::new(*geometry);
    let mut y = vec![T::default(); x.len() / image * out];
    let images = x
        .par_chunks_exact(c * image)
        .zip(y.par_chunks_exact_mut(c * out));
    images.for_each(|(x, y)| {
        let mut padded = vec![T::default(); plane.len()];
        let mut grid = vec![T::default(); plane.grid()];
        let planes = x.chunks_exact(image).zip(y.chunks_exact_mut(out));
        for ((x, y), weight) in planes.zip(weight.chunks_exact(taps)) {
            plane.fill(x, &mut padded);
            grid.fill(T::default());
            for (tap, &weight) in plane.taps().zip(weight) {
                let shifted = &padded[tap..tap + grid.len()];
                grid.iter_mut()
                    .zip(shifted)
                    .for_each(|(y, &x)| *y += weight * x);
            }
            plane
                .places()
                .zip(y)
                .for_each(|(place, y)| *y = grid[place]);
        }
    });
    y
}

fn data_gradient<T: Element>(geometry: &Geometry, weight: &[T], grad: &[T], c: usize) -> Vec<T> {
    let (image, out, taps) = (geometry.image(), geometry.pixels(), geometry.rows());
    let plane = Padded::new(*geometry);
    let mut dx = vec![T::default(); grad.len() / out * image];
    let images = grad
        .par_chunks_exact(c * out)
        .zip(dx.par_chunks_exact_mut(c * image));
    images.for_each(|(grad, dx)| {
        let mut padded = vec![T::default(); plane.len()];
        let mut grid = vec![T::default(); plane.grid()];
        let planes = grad.chunks_exact(out).zip(dx.chunks_exact_mut(image));
        for ((grad, dx), weight) in planes.zip(weight.chunks_exact(taps)) {
            plane.spread(grad, &mut grid);
            padded.fill(T::default());
            for (tap, &weight) in plane.taps().zip(weight) {
                let shifted = &mut padded[tap..tap + grid.len()];
                shifted
                    .iter_mut()
                    .zip(&grid)
                    .for_each(|(dx, &g)| *dx += weight * g);
            }
            plane.read(&padded, dx);
        }
    });
    dx
}

fn weight_gradient<T: Element>(geometry: &Geometry, x: &[T], grad: &[T], c: usize) -> Vec<T> {
    let (image, out, taps) = (geometry.image(), geometry.pixels(), geometry.rows());
    let plane = Padded::new(*geometry);
    let mut dw = vec![T::default(); c * taps];
    dw.par_chunks_exact_mut(taps)
        .enumerate()
        .for_each(|(channel, dw)| {
            let mut padded = vec![T::default(); plane.len()];
            let mut grid = vec![T::default(); plane.grid()];
            let planes = x.chunks_exact(image).zip(grad.chunks_exact(out));
            for (x, grad) in planes.skip(channel).step_by(c) {
                plane.fill(x, &mut padded);
                plane.spread(grad, &mut grid);
                for (tap, dw) in plane.taps().zip(&mut *dw) {
                    *dw += dot(&padded[tap..tap + grid.len()], &grid);
                }
            }
        });
    dw
}

/// Accumulators of [`dot`].
const LANES: usize = 16;

/// The dot product, in interleaved accumulators that are added in order.
#[inline]
fn dot<T: Element>(a: &[T], b: &[T]) -> T {
    let mut lanes = [T::default(); LANES];
    let (a_whole, b_whole) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_whole
        .remainder()
        .iter()
        .zip(b_whole.remainder())
        .map(|(&a, &b)| a * b);
    let rest = rest.sum::<T>();
    for (a, b) in a_whole.zip(b_whole) {
        for (lane, (&a, &b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.into_iter().sum::<T>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_product_takes_every_term_once() {
        for n in [0_usize, 1, 15, 16, 17, 40] {
            let a: Vec<f64> = (0..n).map(|i| i as f64).collect();
            let expected: f64 = a.iter().map(|a| a * a).sum();
            assert!((dot(&a, &a) - expected).abs() < 1e-9, "{n}");
        }
    }

    #[test]
    fn a_plane_survives_its_padding() {
        let config = ConvConfig {
            stride: (1, 1),
            padding: (1, 2),
        };
        let geometry = Geometry {
            channels: 1,
            size: (2, 3),
            kernel: (1, 1),
            out: (4, 7),
            config,
        };
        let plane = Padded::new(geometry);
        let values = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0];
        let mut padded = vec![0.0; plane.len()];
        plane.fill(&values, &mut padded);
        assert_eq!(padded[9..12], [1.0, 2.0, 3.0]);
        let mut back = [0.0; 6];
        plane.read(&padded, &mut back);
        assert_eq!(back, values);
    }
}
