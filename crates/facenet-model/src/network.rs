//! The networks.

pub(crate) mod inception;
pub(crate) mod mobilefacenet;
pub(crate) mod tiny;

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use facenet_ops::{Account, Bf16, Format, PlannedPass, Precision};

use crate::config::{Architecture, ModelConfig};
use crate::engine::{Composed, Engine, Planned};
use crate::layers::Bottleneck;
use crate::onnx::{Described, ONNX_INPUT};
use crate::operations::{Counter, Operations};
use crate::pass::Pass;

/// Red, green and blue.
const IMAGE_CHANNELS: usize = 3;

/// A network from images to rows that are not yet of unit length.
pub(crate) trait Network: Send + Sync {
    /// `[n, 3, side, side]` → `[n, dim]`; `trace` is told each stage's output by name.
    fn forward(
        &self,
        xs: &Tensor,
        pass: &Pass,
        trace: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Tensor>;

    /// What one image of `side` pixels a side asks for.
    fn operations(&self, side: usize) -> Result<Operations>;

    /// Adds what a pass over images of `side` pixels a side takes to an account.
    fn plan(&self, side: usize, account: &Account, pass: PlannedPass) -> Result<()>;

    /// Its layers to an ONNX file that has the input.
    fn describe(&self, described: &mut Described) -> Result<()>;
}

/// A network as layers of any engine, before its bottleneck.
pub(crate) trait Trunk: Send + Sync {
    /// Images to activations of a single pixel; each stage's output is told by name.
    fn trunk<E: Engine>(&self, xs: &E::Value, engine: &mut E) -> Result<E::Value>;

    fn bottleneck(&self) -> &Bottleneck;
}

impl<T: Trunk> Network for T {
    fn forward(
        &self,
        xs: &Tensor,
        pass: &Pass,
        trace: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Tensor> {
        let features = if pass.is_planned(xs) {
            match pass.setting.arithmetic.precision {
                Precision::F32 => planned::<f32, T>(self, xs, pass, trace)?,
                Precision::Bf16 => planned::<Bf16, T>(self, xs, pass, trace)?,
            }
        } else {
            let xs = self.trunk(xs, &mut Composed { pass, trace })?;
            xs.flatten_from(1)?
        };
        self.bottleneck().forward(&features, pass, trace)
    }

    fn operations(&self, side: usize) -> Result<Operations> {
        let mut counter = Counter::default();
        self.trunk(&(IMAGE_CHANNELS, side, side), &mut counter)?;
        Ok(counter.finish(self.bottleneck().dims()?))
    }

    fn plan(&self, side: usize, account: &Account, pass: PlannedPass) -> Result<()> {
        facenet_ops::plan_nhwc(account, pass, (side, side, IMAGE_CHANNELS), |ledger, xs| {
            self.trunk(&xs, ledger)
        })
    }

    fn describe(&self, described: &mut Described) -> Result<()> {
        let features = self.trunk(&ONNX_INPUT.to_owned(), described)?;
        self.bottleneck().describe(&features, described)
    }
}

/// The trunk on a tape of `F`; gives `f32`.
fn planned<F: Format, T: Trunk>(
    network: &T,
    xs: &Tensor,
    pass: &Pass,
    trace: &mut dyn FnMut(&str, &Tensor),
) -> Result<Tensor> {
    facenet_ops::run_nhwc::<F>(xs, &pass.setting, |tape, xs| {
        network.trunk(&xs, &mut Planned { tape, pass, trace })
    })
}

/// Builds the network that `config` describes.
pub(crate) fn build(config: &ModelConfig, vb: &VarBuilder) -> Result<Box<dyn Network>> {
    let dim = config.embedding_size;
    Ok(match config.architecture {
        Architecture::InceptionResnetV1 => Box::new(inception::InceptionResnetV1::new(dim, vb)?),
        Architecture::MobileFaceNet => Box::new(mobilefacenet::MobileFaceNet::new(
            config.image_size,
            dim,
            vb,
        )?),
        Architecture::Tiny => Box::new(tiny::Tiny::new(dim, vb)?),
    })
}
