//! The layers that the networks are made of.

use candle_core::{Result, Tensor, Var};
use candle_nn::VarBuilder;
use facenet_ops::{BatchStatistics, ConvConfig, batch_norm_eval, batch_norm_train, linear};

use crate::engine::Engine;
use crate::onnx::Described;
use crate::pass::{Pass, TrainPass};
use crate::store::{vector, weight};

/// Kernel, stride and padding of a layer, each `(vertical, horizontal)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) kernel: (usize, usize),
    pub(crate) config: ConvConfig,
}

impl Window {
    /// A square kernel with the same stride and padding on both axes.
    pub(crate) fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        let config = ConvConfig {
            stride: (stride, stride),
            padding: (padding, padding),
        };
        Self {
            kernel: (kernel, kernel),
            config,
        }
    }

    /// Stride 1 and as much padding as keeps the size, for odd kernels.
    pub(crate) fn same(kernel: (usize, usize)) -> Self {
        let padding = (kernel.0 / 2, kernel.1 / 2);
        Self {
            kernel,
            config: ConvConfig {
                padding,
                ..ConvConfig::default()
            },
        }
    }
}

/// Batch normalisation with running statistics.
#[derive(Clone, Debug)]
pub(crate) struct BatchNorm {
    pub(crate) weight: Var,
    pub(crate) bias: Var,
    pub(crate) mean: Var,
    pub(crate) variance: Var,
}

impl BatchNorm {
    /// Reads `weight`, `bias`, `running_mean` and `running_var`.
    pub(crate) fn new(c: usize, vb: &VarBuilder) -> Result<Self> {
        Ok(Self {
            weight: vector(vb, "weight", c, 1.0)?,
            bias: vector(vb, "bias", c, 0.0)?,
            mean: vector(vb, "running_mean", c, 0.0)?,
            variance: vector(vb, "running_var", c, 1.0)?,
        })
    }

    /// `[n, c, ...]` → the same shape.
    pub(crate) fn forward(&self, xs: &Tensor, pass: &Pass) -> Result<Tensor> {
        if let Some(measurer) = &pass.measurer {
            measurer.add(self, xs, pass)?;
        }
        let (weight, bias) = (pass.read(&self.weight), pass.read(&self.bias));
        let Some(train) = pass.by_batch() else {
            let (mean, variance) = (
                self.mean.as_detached_tensor(),
                self.variance.as_detached_tensor(),
            );
            return batch_norm_eval(
                xs,
                &weight,
                &bias,
                &mean,
                &variance,
                pass.bn_eps,
                pass.route,
            );
        };
        let (ys, batch) = batch_norm_train(xs, &weight, &bias, pass.bn_eps, pass.route)?;
        self.remember(&batch, train, pass)?;
        Ok(ys)
    }

    /// Moves the running statistics where the pass does so.
    pub(crate) fn remember(
        &self,
        batch: &BatchStatistics,
        train: &TrainPass,
        pass: &Pass,
    ) -> Result<()> {
        if !train.update_statistics {
            return Ok(());
        }
        self.update(batch, train.momentum.unwrap_or(pass.bn_momentum))
    }

    /// `running = (1 - momentum) running + momentum batch`, the variance unbiased.
    fn update(&self, batch: &BatchStatistics, momentum: f64) -> Result<()> {
        let unbiased = batch.count as f64 / (batch.count as f64 - 1.0);
        blend(&self.mean, &batch.mean, momentum, momentum)?;
        blend(
            &self.variance,
            &batch.variance,
            momentum,
            momentum * unbiased,
        )
    }
}

/// `var = (1 - share) var + factor new`.
fn blend(var: &Var, new: &Tensor, share: f64, factor: f64) -> Result<()> {
    let kept = (var.as_detached_tensor() * (1.0 - share))?;
    var.set(&(kept + (new * factor)?)?)
}

/// What follows a normalisation.
#[derive(Debug)]
pub(crate) enum Activation {
    Identity,
    Relu,
    /// A slope for each channel.
    Prelu(Var),
}

/// Convolution, dense or depthwise, batch normalisation and activation.
#[derive(Debug)]
pub(crate) struct ConvNorm {
    pub(crate) weight: Var,
    pub(crate) norm: BatchNorm,
    pub(crate) activation: Activation,
    pub(crate) window: Window,
    pub(crate) is_depthwise: bool,
}

/// Slope of a `PReLU` before training, as in `PyTorch`.
const PRELU_START: f64 = 0.25;

impl ConvNorm {
    /// Reads `conv.weight` and `bn.*`; a `ReLU` follows: facenet-pytorch's `BasicConv2d`.
    pub(crate) fn rectified(
        c_in: usize,
        c_out: usize,
        window: Window,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let layer = Self::build((c_out, c_in, window.kernel.0, window.kernel.1), window, vb)?;
        Ok(Self {
            activation: Activation::Relu,
            ..layer
        })
    }

    /// Reads `conv.weight`, `bn.*` and, with an activation, `prelu.weight`: the block of
    /// `MobileFaceNet`.
    pub(crate) fn sloped(
        c_in: usize,
        c_out: usize,
        window: Window,
        has_prelu: bool,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let layer = Self::build((c_out, c_in, window.kernel.0, window.kernel.1), window, vb)?;
        layer.with_prelu(c_out, has_prelu, vb)
    }

    /// As [`ConvNorm::sloped`], each of `c` channels with a kernel of its own.
    pub(crate) fn depthwise(
        c: usize,
        window: Window,
        has_prelu: bool,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let layer = Self::build((c, 1, window.kernel.0, window.kernel.1), window, vb)?;
        let layer = layer.with_prelu(c, has_prelu, vb)?;
        Ok(Self {
            is_depthwise: true,
            ..layer
        })
    }

    fn build(shape: (usize, usize, usize, usize), window: Window, vb: &VarBuilder) -> Result<Self> {
        Ok(Self {
            weight: weight(&vb.pp("conv"), "weight", shape)?,
            norm: BatchNorm::new(shape.0, &vb.pp("bn"))?,
            activation: Activation::Identity,
            window,
            is_depthwise: false,
        })
    }

    fn with_prelu(self, c: usize, has_prelu: bool, vb: &VarBuilder) -> Result<Self> {
        if !has_prelu {
            return Ok(self);
        }
        let slope = vector(&vb.pp("prelu"), "weight", c, PRELU_START)?;
        Ok(Self {
            activation: Activation::Prelu(slope),
            ..self
        })
    }
}

/// Convolutions one after another, named by their place: a branch of facenet-pytorch.
#[derive(Debug)]
pub(crate) struct Branch(Vec<ConvNorm>);

impl Branch {
    /// `layers`: channels out and window of each layer.
    pub(crate) fn new(c_in: usize, layers: &[(usize, Window)], vb: &VarBuilder) -> Result<Self> {
        let mut c = c_in;
        let mut convs = Vec::with_capacity(layers.len());
        for (place, &(c_out, window)) in layers.iter().enumerate() {
            let vb = if layers.len() == 1 {
                vb.clone()
            } else {
                vb.pp(place)
            };
            convs.push(ConvNorm::rectified(c, c_out, window, &vb)?);
            c = c_out;
        }
        Ok(Self(convs))
    }

    pub(crate) fn forward<E: Engine>(&self, xs: &E::Value, engine: &mut E) -> Result<E::Value> {
        self.0
            .iter()
            .try_fold(xs.clone(), |xs, conv| engine.conv_norm(&xs, conv))
    }
}

/// The end of a residual block: a 1 x 1 convolution with bias and without normalisation, scaled
/// and added to the block's input, then maybe rectified.
#[derive(Debug)]
pub(crate) struct ResidualEnd {
    pub(crate) weight: Var,
    pub(crate) bias: Var,
    pub(crate) scale: f64,
    pub(crate) relu: bool,
}

impl ResidualEnd {
    /// Reads `weight` and `bias`.
    pub(crate) fn new(
        (c_in, c_out): (usize, usize),
        scale: f64,
        relu: bool,
        vb: &VarBuilder,
    ) -> Result<Self> {
        Ok(Self {
            weight: weight(vb, "weight", (c_out, c_in, 1, 1))?,
            bias: vector(vb, "bias", c_out, 0.0)?,
            scale,
            relu,
        })
    }
}

/// Dropout, a linear layer without bias, and batch normalisation: the end of every network.
#[derive(Debug)]
pub(crate) struct Bottleneck {
    weight: Var,
    norm: BatchNorm,
}

impl Bottleneck {
    /// Reads `last_linear.weight` and `last_bn.*`.
    pub(crate) fn new(c_in: usize, dim: usize, vb: &VarBuilder) -> Result<Self> {
        let weight = weight(&vb.pp("last_linear"), "weight", (dim, c_in))?;
        Ok(Self {
            weight,
            norm: BatchNorm::new(dim, &vb.pp("last_bn"))?,
        })
    }

    /// Rows and columns of its matrix: `(dim, c_in)`.
    pub(crate) fn dims(&self) -> Result<(usize, usize)> {
        self.weight.dims2()
    }

    /// Itself in an ONNX file, after the value `xs`.
    pub(crate) fn describe(&self, xs: &str, described: &mut Described) -> Result<()> {
        described.bottleneck(xs, self.weight.as_tensor(), &self.norm)
    }

    /// `[n, c_in]` → `[n, dim]`, not yet of unit length.
    pub(crate) fn forward(
        &self,
        xs: &Tensor,
        pass: &Pass,
        trace: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Tensor> {
        let xs = pass.dropout(xs)?;
        let ys = linear(&xs, &pass.read(&self.weight), pass.route)?;
        trace("last_linear", &ys);
        let ys = self.norm.forward(&ys, pass)?;
        trace("last_bn", &ys);
        Ok(ys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Origin, Store};
    use candle_core::{DType, Device};

    #[test]
    fn a_window_that_keeps_the_size_pads_each_axis_by_its_own_half() {
        assert_eq!(Window::same((1, 7)).config.padding, (0, 3));
        assert_eq!(Window::same((7, 1)).config.padding, (3, 0));
        assert_eq!(Window::square(3, 2, 0).config.stride, (2, 2));
    }

    #[test]
    fn running_statistics_take_their_share_and_the_unbiased_variance() -> Result<()> {
        let store = Store::new(Origin::Seed(0));
        let norm = BatchNorm::new(1, &store.builder(DType::F64, &Device::Cpu))?;
        let batch = BatchStatistics {
            mean: Tensor::new(&[2.0f64], &Device::Cpu)?,
            variance: Tensor::new(&[3.0f64], &Device::Cpu)?,
            count: 4,
        };
        norm.update(&batch, 0.25)?;
        // From mean 0 and variance 1; 3 over 4 values is 4 over 3: dyadic, so exact but for 4/3.
        assert_eq!(norm.mean.to_vec1::<f64>()?, [0.5]);
        let variance = norm.variance.to_vec1::<f64>()?[0];
        assert!((variance - 1.75).abs() < 1e-15, "{variance}");
        Ok(())
    }

    #[test]
    fn a_branch_of_one_layer_has_no_place_in_its_name() -> Result<()> {
        let named = |layers: &[(usize, Window)]| -> Result<Vec<String>> {
            let store = Store::new(Origin::Seed(0));
            let vb = store.builder(DType::F32, &Device::Cpu);
            Branch::new(2, layers, &vb.pp("branch0"))?;
            drop(vb);
            let names = store.finish().0.entries.into_keys();
            Ok(names.filter(|name| name.ends_with("conv.weight")).collect())
        };
        let point = (2, Window::square(1, 1, 0));
        assert_eq!(named(&[point])?, ["branch0.conv.weight"]);
        let two = ["branch0.0.conv.weight", "branch0.1.conv.weight"];
        assert_eq!(named(&[point, point])?, two);
        Ok(())
    }
}
