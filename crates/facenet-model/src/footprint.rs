//! How much memory a model's activations take, found without computing.

use candle_core::{Result, bail};
use facenet_ops::{Account, Ledger, Planned, PlannedConv, PlannedPass};

use crate::engine::Engine;
use crate::error::ModelError;
use crate::layers::{ConvNorm, ResidualEnd};
use crate::model::Model;
use crate::pass::{Mode, is_planned};

/// A pass that a model will make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassPlan {
    /// Images that go through at once.
    pub images: usize,
    /// Whether by the statistics of the batch, as [`Mode::Train`].
    pub is_training: bool,
    /// Whether it is differentiated, as [`Model::forward`].
    pub is_tracked: bool,
}

impl PassPlan {
    /// [`Model::forward`] of so many images in `mode`, and the way back.
    pub fn there_and_back(images: usize, mode: &Mode) -> Self {
        Self {
            images,
            is_training: *mode != Mode::Eval,
            is_tracked: true,
        }
    }

    /// [`Model::embed_as`] of so many images in `mode`.
    pub fn without_graph(images: usize, mode: &Mode) -> Self {
        Self {
            is_tracked: false,
            ..Self::there_and_back(images, mode)
        }
    }
}

impl Model {
    /// Most bytes that the activations of these passes, one after another, and what is kept of
    /// them, take at once; `None` where they do not run on the own route in `f32`, whose memory
    /// is the only one that is known beforehand.
    ///
    /// Exact for activations and their gradients; packed weights and the sums of one layer are
    /// not among them.
    ///
    /// # Errors
    /// candle's own; none for a network that was built.
    pub fn planned_bytes(
        &self,
        passes: &[PassPlan],
    ) -> std::result::Result<Option<usize>, ModelError> {
        if !is_planned(self.route, self.dtype, &self.device) {
            return Ok(None);
        }
        let account = Account::default();
        for pass in passes {
            self.network
                .plan(self.config.image_size, &account, self.planned(pass))?;
        }
        Ok(Some(account.peak_bytes()))
    }

    fn planned(&self, pass: &PassPlan) -> PlannedPass {
        PlannedPass {
            images: pass.images,
            is_training: pass.is_training && !self.has_frozen_norms(),
            is_tracked: pass.is_tracked,
            precision: self.arithmetic().precision,
        }
    }
}

impl Engine for Ledger {
    type Value = Planned;

    fn conv_norm(&mut self, xs: &Planned, layer: &ConvNorm) -> Result<Planned> {
        let (c_out, _, kh, kw) = layer.weight.dims4()?;
        let conv = PlannedConv {
            c_out,
            kernel: (kh, kw),
            config: layer.window.config,
            is_depthwise: layer.is_depthwise,
        };
        Ledger::conv_norm(self, xs, &conv)
    }

    fn residual(&mut self, xs: &Planned, branch: &Planned, _: &ResidualEnd) -> Result<Planned> {
        Ok(Ledger::residual(self, xs, branch))
    }

    fn add(&mut self, a: &Planned, b: &Planned) -> Result<Planned> {
        Ok(Ledger::add(self, a, b))
    }

    fn concat(&mut self, parts: &[Planned]) -> Result<Planned> {
        if parts.is_empty() {
            bail!("concat: expected activations, found none")
        }
        Ok(Ledger::concat(self, parts))
    }

    fn max_pool(&mut self, xs: &Planned, kernel: usize, stride: usize) -> Result<Planned> {
        Ledger::max_pool(self, xs, kernel, stride)
    }

    fn global_average_pool(&mut self, xs: &Planned) -> Result<Planned> {
        Ok(Ledger::global_average_pool(self, xs))
    }

    fn tell(&mut self, _: &str, _: &Planned) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::TrainPass;
    use crate::{Architecture, Arithmetic, ModelConfig, Precision};
    use candle_core::{DType, Device, Tensor};

    fn model(architecture: Architecture, precision: Precision) -> Model {
        let side = match architecture {
            Architecture::InceptionResnetV1 => 80,
            Architecture::MobileFaceNet => 32,
            Architecture::Tiny => 9,
        };
        let config = ModelConfig::new(architecture, side, 8);
        let model = Model::new(config, 1, DType::F32, &Device::Cpu).expect("a size it can have");
        model.with_arithmetic(Arithmetic {
            precision,
            ..Arithmetic::default()
        })
    }

    fn run(model: &Model, pass: PassPlan) {
        let side = model.config().image_size;
        let images = Tensor::ones((pass.images, 3, side, side), DType::F32, &Device::Cpu);
        let images = images.expect("small");
        let mode = if pass.is_training {
            Mode::Train(TrainPass::default())
        } else {
            Mode::Eval
        };
        if !pass.is_tracked {
            model.embed_as(&images, &mode).expect("it fits");
            return;
        }
        let rows = model.forward(&images, &mode).expect("it fits");
        rows.sum_all()
            .and_then(|sum| sum.backward())
            .expect("a graph");
    }

    /// With no pass dropped yet, what is kept in the end is the most there ever was.
    #[track_caller]
    fn check(model: &Model, passes: &[(usize, bool, bool)]) {
        let plan = |&(images, is_training, is_tracked): &(usize, bool, bool)| PassPlan {
            images,
            is_training,
            is_tracked,
        };
        let passes: Vec<_> = passes.iter().map(plan).collect();
        for &pass in &passes {
            run(model, pass);
        }
        let planned = model.planned_bytes(&passes).expect("a network");
        assert_eq!(planned, Some(model.kept_bytes()), "{passes:?}");
    }

    #[test]
    fn what_is_planned_is_what_is_kept() {
        for architecture in [
            Architecture::InceptionResnetV1,
            Architecture::MobileFaceNet,
            Architecture::Tiny,
        ] {
            for precision in [Precision::F32, Precision::Bf16] {
                for is_training in [false, true] {
                    for is_tracked in [false, true] {
                        let model = model(architecture, precision);
                        check(&model, &[(2, is_training, is_tracked)]);
                    }
                }
                let model = model(architecture, precision);
                check(&model, &[(3, true, false), (3, true, true)]);
            }
        }
    }

    #[test]
    fn a_network_elsewhere_is_not_planned() {
        let config = ModelConfig::new(Architecture::MobileFaceNet, 32, 8);
        let wide = Model::new(config, 1, DType::F64, &Device::Cpu).expect("a size it can have");
        let pass = PassPlan::there_and_back(2, &Mode::Eval);
        assert_eq!(wide.planned_bytes(&[pass]).expect("a network"), None);
    }
}
