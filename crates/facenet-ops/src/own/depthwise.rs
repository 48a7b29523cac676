//! Depthwise convolution: each channel with a kernel of its own.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::config::ConvConfig;
use crate::own::columns::Geometry;
use crate::own::element::{Element, by_dtype, elements, wide, with_elements};

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

    /// The sum of the shifted copies of `source`, each times its tap's weight: pixel `i` of `out`
    /// is the sum over the taps of `weight source[i + tap]`.
    #[inline]
    fn correlate<'a, T: Element>(
        &self,
        source: &[T],
        mut weights: impl Iterator<Item = &'a T>,
        out: &mut [T],
    ) {
        let mut weight = || weights.next().copied().unwrap_or_default();
        let ((kh, kw), n) = (self.geometry.kernel, out.len());
        out.fill(T::default());
        for row in (0..kh).map(|y| y * self.width) {
            let thirds = kw / 3 * 3;
            for tap in (row..row + thirds).step_by(3) {
                let runs = [0, 1, 2].map(|x| &source[tap + x..][..n]);
                add_runs(out, [weight(), weight(), weight()], runs);
            }
            for tap in row + thirds..row + kw {
                let (weight, run) = (weight(), &source[tap..][..n]);
                let elements = out.iter_mut().zip(run);
                wide(|| elements.for_each(|(y, &x)| *y += weight * x));
            }
        }
    }

    /// Reads an output plane off the grid.
    fn gather<T: Element>(&self, grid: &[T], out: &mut [T]) {
        let (width, stride) = (self.width, self.geometry.config.stride);
        for (y, row) in out.chunks_exact_mut(self.geometry.out.1).enumerate() {
            let grid = &grid[y * stride.0 * width..];
            if stride.1 == 1 {
                row.copy_from_slice(&grid[..row.len()]);
            } else {
                let places = grid.iter().step_by(stride.1);
                row.iter_mut()
                    .zip(places)
                    .for_each(|(to, &value)| *to = value);
            }
        }
    }

    /// Scatters an output plane over the grid, which is zero already.
    fn spread<T: Element>(&self, out: &[T], grid: &mut [T]) {
        let (width, stride) = (self.width, self.geometry.config.stride);
        for (y, row) in out.chunks_exact(self.geometry.out.1).enumerate() {
            let grid = &mut grid[y * stride.0 * width..];
            if stride.1 == 1 {
                grid[..row.len()].copy_from_slice(row);
            } else {
                let places = grid.iter_mut().step_by(stride.1);
                places.zip(row).for_each(|(to, &value)| *to = value);
            }
        }
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
            plane.correlate(&padded, weight.iter(), &mut grid);
            plane.gather(&grid, y);
        }
    });
    y
}

/// The gradient of each padded pixel is a correlation too: of the output's gradient, after as
/// many zeros as the last tap is far, with the kernel turned about.
fn data_gradient<T: Element>(geometry: &Geometry, weight: &[T], grad: &[T], c: usize) -> Vec<T> {
    let (image, out, taps) = (geometry.image(), geometry.pixels(), geometry.rows());
    let plane = Padded::new(*geometry);
    let reach = plane.len() - plane.grid();
    let mut dx = vec![T::default(); grad.len() / out * image];
    let images = grad
        .par_chunks_exact(out * c)
        .zip(dx.par_chunks_exact_mut(image * c));
    images.for_each(|(grad, dx)| {
        let mut grid = vec![T::default(); plane.len() + reach];
        let mut padded = vec![T::default(); plane.len()];
        let planes = grad.chunks_exact(out).zip(dx.chunks_exact_mut(image));
        for ((grad, dx), weight) in planes.zip(weight.chunks_exact(taps)) {
            plane.spread(grad, &mut grid[reach..]);
            plane.correlate(&grid, weight.iter().rev(), &mut padded);
            plane.read(&padded, dx);
        }
    });
    dx
}

fn weight_gradient<T: Element>(geometry: &Geometry, x: &[T], grad: &[T], c: usize) -> Vec<T> {
    let (image, out, taps) = (geometry.image(), geometry.pixels(), geometry.rows());
    let plane = Padded::new(*geometry);
    let mut dw = vec![T::default(); c * taps];
    let channels = dw.par_chunks_exact_mut(taps).enumerate();
    channels.for_each(|(channel, dw)| {
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

/// `out += weights[0] runs[0] + weights[1] runs[1] + ...`, term after term.
#[inline]
fn add_runs<T: Element>(out: &mut [T], weights: [T; 3], runs: [&[T]; 3]) {
    let inputs = runs[0].iter().zip(runs[1]).zip(runs[2]);
    let elements = out.iter_mut().zip(inputs);
    wide(|| {
        elements.for_each(|(out, ((&a, &b), &c))| {
            *out = *out + weights[0] * a + weights[1] * b + weights[2] * c;
        });
    });
}

/// Accumulators of [`dot`].
const LANES: usize = 16;

/// The dot product, in interleaved accumulators that are added in order.
#[inline]
fn dot<T: Element>(a: &[T], b: &[T]) -> T {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let lanes = wide(|| {
        let mut lanes = [T::default(); LANES];
        for (a, b) in a.iter().zip(b) {
            for lane in 0..LANES {
                lanes[lane] += a[lane] * b[lane];
            }
        }
        lanes
    });
    let rest = a_rest.iter().zip(b_rest).map(|(&a, &b)| a * b).sum::<T>();
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
