//! How many floating-point operations a network asks for, counted by walking through it.

use candle_core::{Result, bail};

use crate::engine::Engine;
use crate::layers::{ConvNorm, ResidualEnd, Window};

/// Nominal operations of one image: two for each multiplication with its addition in
/// convolutions and matrix products, those with padding's zeros counted; nothing else is.
///
/// They are what a network asks for, not what an implementation does: one that leaves out zeros,
/// or goes by Winograd, is credited with the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operations {
    /// Of a forward pass.
    pub forward: f64,
    /// Of a training step: forward, the weights' gradients and the activations' gradients, each
    /// as many, but for the images' gradient, which no step asks for.
    pub step: f64,
}

impl Operations {
    /// - `first`: operations of the first layer alone
    fn new(forward: u64, first: u64) -> Self {
        Self {
            forward: forward as f64,
            step: (3 * forward - first) as f64,
        }
    }
}

/// Channels, height and width of activations.
pub(crate) type Dims = (usize, usize, usize);

/// Counts layers and computes nothing: activations are their dimensions.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    forward: u64,
    first: Option<u64>,
}

impl Counter {
    /// A convolution that gives `output`, each of its values of `terms` products.
    fn add(&mut self, output: Dims, terms: usize) {
        let layer = 2 * (output.0 * output.1 * output.2 * terms) as u64;
        self.forward += layer;
        self.first.get_or_insert(layer);
    }

    /// What was counted, with a last matrix product of `[dim, c]`.
    pub(crate) fn finish(mut self, (dim, c): (usize, usize)) -> Operations {
        self.add((dim, 1, 1), c);
        Operations::new(self.forward, self.first.unwrap_or(0))
    }
}

impl Engine for Counter {
    type Value = Dims;

    fn conv_norm(&mut self, &(_, h, w): &Dims, layer: &ConvNorm) -> Result<Dims> {
        let (c_out, terms, kh, kw) = layer.weight.dims4()?;
        let (h, w) = layer.window.config.output((h, w), (kh, kw))?;
        self.add((c_out, h, w), terms * kh * kw);
        Ok((c_out, h, w))
    }

    fn residual(&mut self, xs: &Dims, _: &Dims, end: &ResidualEnd) -> Result<Dims> {
        let (_, c_in, _, _) = end.weight.dims4()?;
        self.add(*xs, c_in);
        Ok(*xs)
    }

    fn add(&mut self, a: &Dims, _: &Dims) -> Result<Dims> {
        Ok(*a)
    }

    fn concat(&mut self, parts: &[Dims]) -> Result<Dims> {
        let Some(&(_, h, w)) = parts.first() else {
            bail!("concat: expected activations, found none")
        };
        Ok((parts.iter().map(|part| part.0).sum(), h, w))
    }

    fn max_pool(&mut self, &(c, h, w): &Dims, kernel: usize, stride: usize) -> Result<Dims> {
        let Window { kernel, config } = Window::square(kernel, stride, 0);
        let (h, w) = config.output((h, w), kernel)?;
        Ok((c, h, w))
    }

    fn global_average_pool(&mut self, &(c, _, _): &Dims) -> Result<Dims> {
        Ok((c, 1, 1))
    }

    fn tell(&mut self, _: &str, _: &Dims) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Origin, Store};
    use candle_core::{DType, Device};

    #[test]
    fn a_convolution_counts_each_product_and_its_sum() -> Result<()> {
        let store = Store::new(Origin::Seed(0));
        let vb = store.builder(DType::F32, &Device::Cpu);
        let mut counter = Counter::default();
        // 3 x 3 on 5 x 5 with padding and stride 2: 3 x 3 outputs of 4 channels, 2 x 9 products.
        let dense = ConvNorm::rectified(2, 4, Window::square(3, 2, 1), &vb.pp("a"))?;
        assert_eq!(counter.conv_norm(&(2, 5, 5), &dense)?, (4, 3, 3));
        // Depthwise: 3 x 3 outputs of 4 channels, 9 products each.
        let own = ConvNorm::depthwise(4, Window::square(3, 1, 1), false, &vb.pp("b"))?;
        assert_eq!(counter.conv_norm(&(4, 3, 3), &own)?, (4, 3, 3));
        let (first, second, last) = (2 * 4 * 9 * 18, 2 * 4 * 9 * 9, 2 * 7 * 4);
        let expected = Operations::new(first + second + last, first);
        assert_eq!(counter.finish((7, 4)), expected);
        assert_eq!(expected.step, (2 * first + 3 * second + 3 * last) as f64);
        Ok(())
    }
}
