//! Batch norms that came folded into convolutions, given statistics of data again.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Result, Tensor, Var};
use facenet_ops::batch_norm_train;

use crate::error::ModelError;
use crate::layers::BatchNorm;
use crate::model::Model;
use crate::pass::Pass;

/// Running mean of a norm that only adds its bias.
pub(crate) const FOLDED_MEAN: f32 = 0.0;

/// Running variance of a norm that only adds its bias: `1 / sqrt(variance + eps)` is 1.
pub(crate) fn folded_variance(eps: f64) -> f32 {
    (1.0 - eps) as f32
}

/// A model with folded norms on its way to norms that can be trained.
///
/// Each folded norm is shown data, and takes mean and variance of what it is given for its running
/// statistics; scale and shift are set so that it does what it did. In eval mode the model
/// embeds as before but for rounding, and in training the statistics of a batch are close to the
/// running ones, as in a model that was trained here.
///
/// All norms are measured in one walk, since measuring moves none: what a norm is given does
/// not change while those before it take statistics.
#[derive(Debug)]
pub struct Unfolding {
    model: Model,
    measurer: Measurer,
}

impl Unfolding {
    /// Begins with nothing measured. Norms that have statistics of their own stay as they are.
    pub fn new(model: Model) -> Self {
        Self {
            model,
            measurer: Measurer::default(),
        }
    }

    /// The model as it was.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Measures a batch of training images; each image weighs the same.
    ///
    /// - `images`: `[n, 3, side, side]`
    ///
    /// # Errors
    /// As [`Model::forward`] in training.
    pub fn add(&mut self, images: &Tensor) -> std::result::Result<(), ModelError> {
        self.model.measure(images, &self.measurer)
    }

    /// The model with norms of data's statistics, no longer frozen.
    ///
    /// # Errors
    /// [`ModelError::Unmeasured`] where nothing was, or no norm is folded.
    pub fn finish(self) -> std::result::Result<Model, ModelError> {
        let Self {
            mut model,
            measurer,
        } = self;
        let measured = measurer.0.lock().unwrap_or_else(PoisonError::into_inner);
        if measured.is_empty() {
            return Err(ModelError::Unmeasured);
        }
        for one in measured.iter() {
            one.settle(model.config.bn_eps)?;
        }
        model.config.has_folded_norms = false;
        model.has_frozen_norms = false;
        Ok(model)
    }
}

/// Collects what folded norms are given; clones collect together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measurer(Arc<Mutex<Vec<Measured>>>);

impl Measurer {
    /// Adds what `norm` is given in this pass, where it is a folded one.
    ///
    /// - `xs`: `[n, c, ...]`
    pub(crate) fn add(&self, norm: &BatchNorm, xs: &Tensor, pass: &Pass) -> Result<()> {
        if !norm.is_folded(pass.bn_eps)? {
            return Ok(());
        }
        let (weight, bias) = (norm.weight.as_tensor(), norm.bias.as_tensor());
        let (_, batch) = batch_norm_train(xs, weight, bias, pass.bn_eps, pass.route)?;
        let batch = Moments {
            count: batch.count as f64,
            mean: numbers(&batch.mean)?,
            variance: numbers(&batch.variance)?,
        };
        let mut measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = measured.iter_mut().find(|one| one.is_of(norm));
        if let Some(known) = known {
            known.moments.add(&batch);
        } else {
            measured.push(Measured {
                norm: norm.clone(),
                moments: batch,
            });
        }
        Ok(())
    }
}

impl BatchNorm {
    /// Whether it has the statistics of a norm that only adds, in all channels.
    fn is_folded(&self, eps: f64) -> Result<bool> {
        is_folded(&self.mean, &self.variance, eps)
    }
}

/// Whether these are the statistics of a norm that only adds, in all channels.
pub(crate) fn is_folded(mean: &Tensor, variance: &Tensor, eps: f64) -> Result<bool> {
    let is_all = |tensor: &Tensor, value: f32| -> Result<bool> {
        let values = tensor.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        Ok(values.iter().all(|found| *found == value))
    };
    Ok(is_all(mean, FOLDED_MEAN)? && is_all(variance, folded_variance(eps))?)
}

/// A norm, whose variables are the model's, and what it was given.
#[derive(Debug)]
struct Measured {
    norm: BatchNorm,
    moments: Moments,
}

impl Measured {
    fn is_of(&self, norm: &BatchNorm) -> bool {
        self.norm.mean.as_tensor().id() == norm.mean.as_tensor().id()
    }

    /// Gives the norm what was measured as its running statistics, and a scale and shift with
    /// which it does what it did:
    /// `weight (x - mean) / sqrt(variance + eps) + bias` is the same line.
    fn settle(&self, eps: f64) -> Result<()> {
        let norm = &self.norm;
        let unbiased = self.moments.count / (self.moments.count - 1.0);
        let variance = self.moments.variance.iter().map(|v| v * unbiased);
        let (old_mean, old_variance) = (numbers(&norm.mean)?, numbers(&norm.variance)?);
        let (old_weight, old_bias) = (numbers(&norm.weight)?, numbers(&norm.bias)?);
        set(&norm.mean, self.moments.mean.iter().copied())?;
        set(&norm.variance, variance)?;
        // As they are stored: what rounding took from them is made up for.
        let (mean, variance) = (numbers(&norm.mean)?, numbers(&norm.variance)?);
        let channels = 0..mean.len();
        let slope = |c: usize| old_weight[c] / (old_variance[c] + eps).sqrt();
        set(
            &norm.weight,
            channels
                .clone()
                .map(|c| slope(c) * (variance[c] + eps).sqrt()),
        )?;
        set(
            &norm.bias,
            channels.map(|c| old_bias[c] + slope(c) * (mean[c] - old_mean[c])),
        )
    }
}

/// Mean and biased variance of so many values a channel.
#[derive(Clone, Debug)]
struct Moments {
    count: f64,
    mean: Vec<f64>,
    variance: Vec<f64>,
}

impl Moments {
    /// Takes in more values: Chan, Golub and `LeVeque`'s rule for two sets.
    fn add(&mut self, more: &Self) {
        let total = self.count + more.count;
        let (kept, new) = (self.count / total, more.count / total);
        let means = self.mean.iter_mut().zip(&more.mean);
        let variances = self.variance.iter_mut().zip(&more.variance);
        for ((mean, new_mean), (variance, new_variance)) in means.zip(variances) {
            let apart = new_mean - *mean;
            *mean += new * apart;
            *variance = kept * *variance + new * new_variance + kept * new * apart * apart;
        }
        self.count = total;
    }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.to_dtype(DType::F64)?.to_vec1()
}

fn set(var: &Var, values: impl Iterator<Item = f64>) -> Result<()> {
    let values: Vec<_> = values.collect();
    let values = Tensor::from_vec(values, var.shape(), var.device())?;
    var.set(&values.to_dtype(var.dtype())?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::config::{Architecture, ModelConfig};
    use crate::import::written::{folded_model, pictures};
    use crate::pass::{Mode, TrainPass};

    #[test]
    fn moments_of_parts_are_those_of_the_whole() {
        let of = |values: &[f64]| {
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
            Moments {
                count,
                mean: vec![mean],
                variance: vec![squares / count],
            }
        };
        // Dyadic but for the means of three and five.
        let mut parts = of(&[1.0, 2.0]);
        parts.add(&of(&[4.0, 8.0, -16.0]));
        let whole = of(&[1.0, 2.0, 4.0, 8.0, -16.0]);
        assert_eq!(parts.count, 5.0);
        assert!((parts.mean[0] - whole.mean[0]).abs() < 1e-15);
        assert!((parts.variance[0] - whole.variance[0]).abs() < 1e-13);
    }

    /// A norm of two channels that adds 1 and -2, and 16 values a channel of mean 3 and -5.
    #[test]
    fn a_norm_that_was_measured_is_the_same_line() -> Result<()> {
        let (eps, device) = (1e-3, &Device::Cpu);
        let var = |values: [f32; 2]| Var::new(&values, device);
        let norm = BatchNorm {
            weight: var([1.0, 0.5])?,
            bias: var([1.0, -2.0])?,
            mean: var([FOLDED_MEAN; 2])?,
            variance: var([folded_variance(eps); 2])?,
        };
        let line = |norm: &BatchNorm, x: f64| -> Result<Vec<f64>> {
            let (weight, bias) = (numbers(&norm.weight)?, numbers(&norm.bias)?);
            let (mean, variance) = (numbers(&norm.mean)?, numbers(&norm.variance)?);
            let at = |c: usize| weight[c] * (x - mean[c]) / (variance[c] + eps).sqrt() + bias[c];
            Ok((0..2).map(at).collect())
        };
        assert!(norm.is_folded(eps)?);
        let before = line(&norm, 7.0)?;
        let moments = Moments {
            count: 16.0,
            mean: vec![3.0, -5.0],
            variance: vec![15.0, 0.0],
        };
        let measured = Measured { norm, moments };
        measured.settle(eps)?;
        assert_eq!(numbers(&measured.norm.mean)?, [3.0, -5.0]);
        assert_eq!(numbers(&measured.norm.variance)?, [16.0, 0.0]);
        assert!(!measured.norm.is_folded(eps)?);
        for (after, before) in line(&measured.norm, 7.0)?.iter().zip(before) {
            // Weight and bias are rounded to f32 once: 2^-24 of numbers below 8.
            assert!((after - before).abs() < 1e-6, "{after} {before}");
        }
        Ok(())
    }

    /// Sums in another order, in some fifty layers; 1e-4 is what an unfolding may move.
    const SAME: f32 = 1e-5;

    fn rows(tensor: &Tensor) -> Vec<f32> {
        let rows = tensor.flatten_all().and_then(|rows| rows.to_vec1::<f32>());
        rows.expect("f32")
    }

    fn apart(a: &Tensor, b: &Tensor) -> f32 {
        let pairs = rows(a).into_iter().zip(rows(b));
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn an_unfolded_model_embeds_as_before_and_trains_near_it() {
        let (folded, images) = (folded_model(), pictures(24));
        assert!(folded.has_frozen_norms() && folded.with_frozen_norms(false).has_frozen_norms());
        let folded = folded_model();
        let before = folded.embed(&images).expect("they fit");
        let mut unfolding = Unfolding::new(folded);
        for first in [0, 8, 16] {
            let part = images.narrow(0, first, 8).expect("rows");
            unfolding.add(&part).expect("they fit");
        }
        let model = unfolding.finish().expect("norms are folded");
        assert!(!model.has_frozen_norms() && !model.config().has_folded_norms);
        let after = model.embed(&images).expect("they fit");
        let off = apart(&before, &after);
        assert!(off < SAME, "{off}");
        // By the statistics of all that was measured, which are the running ones but for the
        // 24 / 23 of a variance in layers of one pixel, some ten of them. The norm that comes
        // after has statistics of its own, which are no data's.
        let [used, trained] = [Mode::Eval, Mode::Train(TrainPass::default())].map(|mode| {
            let stages = model.activations(&images, &mode).expect("they fit");
            let linear = stages.into_iter().find(|(name, _)| name == "last_linear");
            rows(&linear.expect("a stage").1)
        });
        let length = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>().sqrt();
        let apart: Vec<_> = used.iter().zip(&trained).map(|(a, b)| a - b).collect();
        let off = length(&apart) / length(&used);
        assert!(off < 0.1, "{off}");
    }

    #[test]
    fn nothing_measured_or_nothing_folded_is_an_error() {
        let config = ModelConfig::new(Architecture::MobileFaceNet, 16, 8);
        let images = Tensor::ones((2, 3, 16, 16), DType::F32, &Device::Cpu).expect("small");
        for is_shown in [false, true] {
            let model = Model::new(config.clone(), 1, DType::F32, &Device::Cpu);
            let mut unfolding = Unfolding::new(model.expect("a size it can have"));
            if is_shown {
                unfolding.add(&images).expect("they fit");
            }
            let error = unfolding.finish().expect_err("no norm is folded");
            assert!(matches!(error, ModelError::Unmeasured), "{error}");
        }
    }
}
