//! One forward pass: training or use, and what it may change.

use candle_core::{DType, Device, Result, Tensor, Var};
use facenet_ops::{Route, Setting};

use crate::random::{DROPOUT, generator, uniform};
use crate::unfold::Measurer;

/// How a network is run.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Mode {
    /// Running statistics, no dropout.
    #[default]
    Eval,
    /// Batch statistics, unless the model's norms are frozen, and what comes with training.
    Train(TrainPass),
}

/// A pass in training; by default nothing is dropped and nothing remembered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainPass {
    /// Key of the dropout mask; `None` drops nothing.
    pub dropout: Option<DropoutKey>,
    /// Whether running statistics move.
    pub update_statistics: bool,
    /// Share of this batch in them, instead of the model's.
    pub momentum: Option<f64>,
    /// Which row of a larger batch the first image is: a row's dropout mask is the same however
    /// that batch is cut.
    pub first_row: u64,
}

/// What a dropout mask is a function of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropoutKey {
    /// Seed of the run.
    pub seed: u64,
    /// Epoch.
    pub epoch: u64,
    /// Step.
    pub step: u64,
}

/// Whether layers run on NHWC activations, without candle's tape.
pub(crate) fn is_planned(route: Route, dtype: DType, device: &Device) -> bool {
    route == Route::Own && dtype == DType::F32 && device.is_cpu()
}

/// A mode with all that the layers need to know.
pub(crate) struct Pass {
    pub(crate) train: Option<TrainPass>,
    /// Whether batch norms go by running statistics in training too.
    pub(crate) has_frozen_norms: bool,
    /// Who listens to what batch norms are given.
    pub(crate) measurer: Option<Measurer>,
    pub(crate) route: Route,
    pub(crate) setting: Setting,
    /// Whether anyone listens to the stages' outputs.
    pub(crate) is_traced: bool,
    pub(crate) bn_momentum: f64,
    pub(crate) bn_eps: f64,
    pub(crate) keep_probability: f64,
}

impl Pass {
    /// The variable's tensor, in the graph where gradients will be asked for.
    pub(crate) fn read(&self, var: &Var) -> Tensor {
        if self.setting.is_tracked {
            var.as_tensor().clone()
        } else {
            var.as_detached_tensor()
        }
    }

    /// The training pass that normalises by the statistics of its batch; `None` goes by running
    /// ones.
    pub(crate) fn by_batch(&self) -> Option<&TrainPass> {
        self.train.as_ref().filter(|_| !self.has_frozen_norms)
    }

    /// [`is_planned`] for these images; a tape does not show what its norms are given.
    pub(crate) fn is_planned(&self, xs: &Tensor) -> bool {
        self.measurer.is_none() && is_planned(self.route, xs.dtype(), xs.device())
    }

    /// Keeps each element with `keep_probability` and scales what is kept by its inverse; row
    /// `i` draws from stream `first_row + i` of the key.
    pub(crate) fn dropout(&self, xs: &Tensor) -> Result<Tensor> {
        let keyed = self
            .train
            .as_ref()
            .and_then(|train| Some((train.dropout?, train.first_row)));
        let Some((key, first)) = keyed.filter(|_| self.keep_probability < 1.0) else {
            return Ok(xs.clone());
        };
        let (n, c) = xs.dims2()?;
        let kept = (1.0 / self.keep_probability) as f32;
        let mask: Vec<f32> = (first..first + n as u64)
            .flat_map(|row| {
                let mut rng = generator([key.seed, DROPOUT, key.epoch, key.step], row);
                let keep = self.keep_probability;
                (0..c).map(move |_| if uniform(&mut rng) < keep { kept } else { 0.0 })
            })
            .collect();
        xs * Tensor::from_vec(mask, (n, c), xs.device())?.to_dtype(xs.dtype())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(keep_probability: f64, step: u64) -> Pass {
        let dropout = Some(DropoutKey {
            seed: 1,
            epoch: 2,
            step,
        });
        let train = TrainPass {
            dropout,
            ..TrainPass::default()
        };
        Pass {
            train: Some(train),
            has_frozen_norms: false,
            measurer: None,
            route: Route::Own,
            setting: Setting::default(),
            is_traced: false,
            bn_momentum: 0.1,
            bn_eps: 1e-3,
            keep_probability,
        }
    }

    #[test]
    fn dropout_keeps_its_share_and_the_mean() -> Result<()> {
        let xs = Tensor::ones((50, 40), DType::F32, &Device::Cpu)?;
        let ys = pass(0.8, 3).dropout(&xs)?.flatten_all()?.to_vec1::<f32>()?;
        let kept = ys.iter().filter(|&&y| y > 0.0).count() as f64 / 2000.0;
        // 2,000 draws: standard deviation 0.009.
        assert!((kept - 0.8).abs() < 0.04, "{kept}");
        assert!(ys.iter().all(|y| [0.0, 1.25].contains(y)));
        Ok(())
    }

    #[test]
    fn a_mask_is_a_function_of_its_key_and_row() -> Result<()> {
        let xs = Tensor::ones((4, 64), DType::F32, &Device::Cpu)?;
        let mask = |step| pass(0.5, step).dropout(&xs)?.to_vec2::<f32>();
        assert_eq!(mask(3)?, mask(3)?);
        assert_ne!(mask(3)?, mask(4)?);
        assert_ne!(mask(3)?[0], mask(3)?[1]);
        Ok(())
    }

    #[test]
    fn a_rows_mask_is_the_same_however_the_batch_is_cut() -> Result<()> {
        let whole = Tensor::ones((4, 64), DType::F32, &Device::Cpu)?;
        let mut later = pass(0.5, 3);
        later.train.as_mut().expect("training").first_row = 3;
        let masks = pass(0.5, 3).dropout(&whole)?.to_vec2::<f32>()?;
        let cut = later.dropout(&whole.narrow(0, 3, 1)?)?.to_vec2::<f32>()?;
        assert_eq!(cut[0], masks[3]);
        Ok(())
    }

    #[test]
    fn nothing_is_dropped_without_a_key_or_with_share_one() -> Result<()> {
        let xs = Tensor::ones((2, 8), DType::F32, &Device::Cpu)?;
        let mut no_key = pass(0.5, 0);
        no_key.train = None;
        for pass in [no_key, pass(1.0, 0)] {
            assert_eq!(pass.dropout(&xs)?.to_vec2::<f32>()?, xs.to_vec2::<f32>()?);
        }
        Ok(())
    }
}
