//! Who computes a network's layers: candle's operations, or a tape of NHWC activations.

use candle_core::{Result, Tensor};
use facenet_ops::{
    Act, Filter, Format, Nhwc, Norm, Residual, Tape, add_channel_bias, conv2d, depthwise_conv2d,
    global_average_pool, max_pool2d, prelu, relu, residual,
};

use crate::layers::{Activation, ConvNorm, ResidualEnd};
use crate::pass::Pass;

/// Computes layers on activations of its own kind.
pub(crate) trait Engine {
    /// A batch's activations.
    type Value: Clone;

    fn conv_norm(&mut self, xs: &Self::Value, layer: &ConvNorm) -> Result<Self::Value>;

    fn residual(
        &mut self,
        xs: &Self::Value,
        branch: &Self::Value,
        end: &ResidualEnd,
    ) -> Result<Self::Value>;

    fn add(&mut self, a: &Self::Value, b: &Self::Value) -> Result<Self::Value>;

    /// Channels after channels.
    fn concat(&mut self, parts: &[Self::Value]) -> Result<Self::Value>;

    fn max_pool(&mut self, xs: &Self::Value, kernel: usize, stride: usize) -> Result<Self::Value>;

    fn global_average_pool(&mut self, xs: &Self::Value) -> Result<Self::Value>;

    /// Tells a stage's output, as `[n, c, h, w]`, or `[n, c]` of a mean.
    fn tell(&mut self, name: &str, xs: &Self::Value) -> Result<()>;
}

/// candle tensors `[n, c, h, w]` on the pass's route: every device and type.
pub(crate) struct Composed<'a> {
    pub(crate) pass: &'a Pass,
    pub(crate) trace: &'a mut dyn FnMut(&str, &Tensor),
}

impl Engine for Composed<'_> {
    type Value = Tensor;

    fn conv_norm(&mut self, xs: &Tensor, layer: &ConvNorm) -> Result<Tensor> {
        let (pass, config) = (self.pass, layer.window.config);
        let convolve = if layer.is_depthwise {
            depthwise_conv2d
        } else {
            conv2d
        };
        let ys = convolve(xs, &pass.read(&layer.weight), config, pass.route)?;
        let ys = layer.norm.forward(&ys, pass)?;
        match &layer.activation {
            Activation::Identity => Ok(ys),
            Activation::Relu => relu(&ys, pass.route),
            Activation::Prelu(slope) => prelu(&ys, &pass.read(slope), pass.route),
        }
    }

    fn residual(&mut self, xs: &Tensor, branch: &Tensor, end: &ResidualEnd) -> Result<Tensor> {
        let (pass, config) = (self.pass, facenet_ops::ConvConfig::default());
        let ys = conv2d(branch, &pass.read(&end.weight), config, pass.route)?;
        let ys = add_channel_bias(&ys, &pass.read(&end.bias), pass.route)?;
        residual(xs, &ys, end.scale, end.relu, pass.route)
    }

    fn add(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        residual(a, b, 1.0, false, self.pass.route)
    }

    fn concat(&mut self, parts: &[Tensor]) -> Result<Tensor> {
        Tensor::cat(parts, 1)
    }

    fn max_pool(&mut self, xs: &Tensor, kernel: usize, stride: usize) -> Result<Tensor> {
        max_pool2d(xs, kernel, stride, self.pass.route)
    }

    fn global_average_pool(&mut self, xs: &Tensor) -> Result<Tensor> {
        global_average_pool(xs)
    }

    fn tell(&mut self, name: &str, xs: &Tensor) -> Result<()> {
        (self.trace)(name, xs);
        Ok(())
    }
}

/// NHWC activations of a tape, on the CPU.
pub(crate) struct Planned<'a, T: Format> {
    pub(crate) tape: &'a mut Tape<T>,
    pub(crate) pass: &'a Pass,
    pub(crate) trace: &'a mut dyn FnMut(&str, &Tensor),
}

impl<T: Format> Engine for Planned<'_, T> {
    type Value = Nhwc<T>;

    fn conv_norm(&mut self, xs: &Nhwc<T>, layer: &ConvNorm) -> Result<Nhwc<T>> {
        let (pass, norm) = (self.pass, &layer.norm);
        let filter = Filter {
            weight: &pass.read(&layer.weight),
            config: layer.window.config,
            is_depthwise: layer.is_depthwise,
        };
        let running = (
            norm.mean.as_detached_tensor(),
            norm.variance.as_detached_tensor(),
        );
        let normalise = Norm {
            weight: &pass.read(&norm.weight),
            bias: &pass.read(&norm.bias),
            eps: pass.bn_eps,
            given: pass
                .by_batch()
                .is_none()
                .then_some((&running.0, &running.1)),
        };
        let slope = match &layer.activation {
            Activation::Prelu(slope) => Some(pass.read(slope)),
            _ => None,
        };
        let act = match (&slope, &layer.activation) {
            (Some(slope), _) => Act::Prelu(slope),
            (None, Activation::Relu) => Act::Relu,
            (None, _) => Act::Identity,
        };
        let (ys, batch) = self.tape.conv_norm(xs, &filter, &normalise, act)?;
        if let (Some(batch), Some(train)) = (&batch, pass.by_batch()) {
            norm.remember(batch, train, pass)?;
        }
        Ok(ys)
    }

    fn residual(&mut self, xs: &Nhwc<T>, branch: &Nhwc<T>, end: &ResidualEnd) -> Result<Nhwc<T>> {
        let end = Residual {
            weight: &self.pass.read(&end.weight),
            bias: &self.pass.read(&end.bias),
            scale: end.scale,
            relu: end.relu,
        };
        self.tape.residual(xs, branch, &end)
    }

    fn add(&mut self, a: &Nhwc<T>, b: &Nhwc<T>) -> Result<Nhwc<T>> {
        self.tape.add(a, b)
    }

    fn concat(&mut self, parts: &[Nhwc<T>]) -> Result<Nhwc<T>> {
        self.tape.concat(parts)
    }

    fn max_pool(&mut self, xs: &Nhwc<T>, kernel: usize, stride: usize) -> Result<Nhwc<T>> {
        self.tape.max_pool(xs, kernel, stride)
    }

    fn global_average_pool(&mut self, xs: &Nhwc<T>) -> Result<Nhwc<T>> {
        Ok(self.tape.global_average_pool(xs))
    }

    fn tell(&mut self, name: &str, xs: &Nhwc<T>) -> Result<()> {
        if self.pass.is_traced {
            (self.trace)(name, &xs.to_tensor()?);
        }
        Ok(())
    }
}
