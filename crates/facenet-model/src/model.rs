//! A network with its tensors.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{DType, Device, Tensor};
use facenet_ops::{Arithmetic, KeptWeights, Memory, ParameterGradients, Precision, Route, Setting};

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::loss::l2_normalise;
use crate::network::{Network, build};
use crate::onnx::Described;
use crate::operations::Operations;
use crate::pass::{Mode, Pass, TrainPass, is_planned};
use crate::state::{diagnosis, misfit, stranger};
use crate::store::{Entry, Origin, Store};
use crate::unfold::Measurer;

/// A face embedding network.
///
/// Tensors are named as in `PyTorch`, convolution weights are OIHW. Running a model never
/// changes it but for the running statistics that a training pass moves.
pub struct Model {
    pub(crate) config: ModelConfig,
    pub(crate) network: Box<dyn Network>,
    pub(crate) entries: BTreeMap<String, Entry>,
    pub(crate) device: Device,
    pub(crate) dtype: DType,
    pub(crate) route: Route,
    pub(crate) has_frozen_norms: bool,
    arithmetic: Arithmetic,
    memory: Memory,
    updates: AtomicU64,
}

/// What loading passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Tensors of no use to an embedder: `num_batches_tracked` and the classifier's `logits`.
    pub tolerated: Vec<String>,
}

impl Model {
    /// A network with weights drawn from `seed`: Xavier uniform, each tensor from a stream of
    /// its own name.
    ///
    /// - `dtype`: `F32`; `F64` for checks on the CPU
    ///
    /// # Errors
    /// [`ModelError::Config`] for sizes that the network cannot have.
    pub fn new(
        config: ModelConfig,
        seed: u64,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Self::build(config, Origin::Seed(seed), dtype, device).map(|(model, _)| model)
    }

    /// A network with copies of the tensors given, converted to `dtype`.
    ///
    /// # Errors
    /// [`ModelError::Tensors`] naming the tensors that are missing, left over, misshapen or no
    /// floating-point numbers.
    pub fn from_tensors(
        config: ModelConfig,
        tensors: BTreeMap<String, Tensor>,
        dtype: DType,
        device: &Device,
    ) -> Result<(Self, LoadReport), ModelError> {
        Self::build(config, Origin::Given(tensors), dtype, device)
    }

    fn build(
        config: ModelConfig,
        origin: Origin,
        dtype: DType,
        device: &Device,
    ) -> Result<(Self, LoadReport), ModelError> {
        config.validate()?;
        let diagnosis = match &origin {
            Origin::Seed(_) => None,
            Origin::Given(tensors) => diagnosis(&config, tensors),
        };
        let store = Store::new(origin);
        let network = build(&config, &store.builder(dtype, device))?;
        let (collected, left_over) = store.finish();
        let (tolerated, strangers): (Vec<_>, Vec<_>) =
            left_over.into_iter().partition(|name| is_tolerated(name));
        let mut problems = collected.problems;
        problems.extend(strangers.iter().map(|name| stranger(name)));
        if !problems.is_empty() {
            return Err(misfit(&config, diagnosis, &problems));
        }
        let model = Self {
            has_frozen_norms: config.has_folded_norms,
            config,
            network,
            entries: collected.entries,
            device: device.clone(),
            dtype,
            route: Route::for_device(device),
            arithmetic: Arithmetic::default(),
            memory: Memory::default(),
            updates: AtomicU64::new(0),
        };
        Ok((model, LoadReport { tolerated }))
    }

    /// The same model on another route; tests hold the routes against each other.
    #[must_use]
    pub fn with_route(self, route: Route) -> Self {
        Self { route, ..self }
    }

    /// The same model computed in another way, for `f32` on the own route. Elsewhere a model in
    /// `bf16` does not run, and Winograd changes nothing.
    ///
    /// In `bf16` activations and their gradients are rounded where they are stored; parameters,
    /// their gradients, statistics and embeddings stay `f32`. Measured on the golden cases
    /// against `f32`: by running statistics no number of an embedding is off by more than 3.4e-3
    /// and the whole gradient has a cosine of 0.98; by the statistics of 6 or 9 images that is
    /// 0.048 and 0.89 to 0.94, where rounding the images alone gives 0.011 and 0.96 to 0.98.
    #[must_use]
    pub fn with_arithmetic(self, arithmetic: Arithmetic) -> Self {
        Self { arithmetic, ..self }
    }

    /// The same model, its batch norms frozen or not: frozen ones normalise by running statistics
    /// in training too, and these never move. Folded norms, whose statistics are no data's, are
    /// always frozen.
    #[must_use]
    pub fn with_frozen_norms(self, has_frozen_norms: bool) -> Self {
        Self {
            has_frozen_norms: has_frozen_norms || self.config.has_folded_norms,
            ..self
        }
    }

    /// Whether batch norms go by running statistics in every pass.
    pub fn has_frozen_norms(&self) -> bool {
        self.has_frozen_norms
    }

    /// Whether a pass in this mode normalises by the statistics of its batch.
    pub fn goes_by_batch(&self, mode: &Mode) -> bool {
        *mode != Mode::Eval && !self.has_frozen_norms
    }

    /// How it is computed.
    pub fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// Which network, and its sizes.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What one image asks of it, in nominal floating-point operations.
    ///
    /// # Errors
    /// candle's own; none for a network that was built.
    pub fn operations(&self) -> Result<Operations, ModelError> {
        Ok(self.network.operations(self.config.image_size)?)
    }

    /// Its layers to an ONNX file.
    pub(crate) fn describe(&self, described: &mut Described) -> candle_core::Result<()> {
        self.network.describe(described)
    }

    /// Where its tensors lie.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Embeds images in eval mode, without a graph.
    ///
    /// - `images`: `[n, 3, side, side]`, of the model's type
    ///
    /// Gives unit rows `[n, dim]`.
    ///
    /// # Errors
    /// [`ModelError::Images`] unless the images have that shape and type, and
    /// [`ModelError::Precision`] where [`Model::with_arithmetic`] has put `bf16` in a wrong place.
    pub fn embed(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        self.run(images, &self.pass(&Mode::Eval, false), &mut |_, _| {})
    }

    /// [`Model::embed`] for many batches: the first packs the weights into `weights`, for all
    /// that follow. Where the model's tensors change, begin with new ones.
    ///
    /// # Errors
    /// As [`Model::embed`].
    pub fn embed_with(&self, images: &Tensor, weights: &KeptWeights) -> Result<Tensor, ModelError> {
        let mut pass = self.pass(&Mode::Eval, false);
        pass.setting.kept_weights = Some(weights.clone());
        self.run(images, &pass, &mut |_, _| {})
    }

    /// Embeds images in any mode, without a graph: [`Model::forward`] in less memory.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn embed_as(&self, images: &Tensor, mode: &Mode) -> Result<Tensor, ModelError> {
        self.run(images, &self.pass(mode, false), &mut |_, _| {})
    }

    /// Embeds images so that the result can be differentiated.
    ///
    /// In training, the statistics are those of the batch, and a pass that updates the running
    /// ones counts towards [`Model::updates`]; with frozen norms they are the running ones.
    ///
    /// # Errors
    /// As [`Model::embed`]; a pass by batch statistics also takes two images at least, since one
    /// value has no variance.
    pub fn forward(&self, images: &Tensor, mode: &Mode) -> Result<Tensor, ModelError> {
        self.run(images, &self.pass(mode, true), &mut |_, _| {})
    }

    /// [`Model::forward`] for one who takes candle's gradients from
    /// [`ParameterGradients::move_into`]: without it those of most parameters are missing.
    /// Cheaper by several passes over all of them.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn forward_with(
        &self,
        images: &Tensor,
        mode: &Mode,
        gradients: &ParameterGradients,
    ) -> Result<Tensor, ModelError> {
        Ok(l2_normalise(
            &self.prelogits_with(images, mode, gradients)?,
        )?)
    }

    /// [`Model::forward_with`], rows not yet of unit length: what a classifier that is trained on
    /// top of the network takes (the reference's `prelogits`).
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn prelogits_with(
        &self,
        images: &Tensor,
        mode: &Mode,
        gradients: &ParameterGradients,
    ) -> Result<Tensor, ModelError> {
        let mut pass = self.pass(mode, true);
        pass.setting.gradients = Some(gradients.clone());
        self.prelogits(images, &pass, &mut |_, _| {})
    }

    /// The outputs of the network's stages by name, in order, without a graph.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn activations(
        &self,
        images: &Tensor,
        mode: &Mode,
    ) -> Result<Vec<(String, Tensor)>, ModelError> {
        let mut stages = Vec::new();
        let pass = Pass {
            is_traced: true,
            ..self.pass(mode, false)
        };
        self.run(images, &pass, &mut |name, tensor| {
            stages.push((name.to_owned(), tensor.clone()));
        })?;
        Ok(stages)
    }

    /// Sets the running statistics to the average over batches of training images.
    ///
    /// Batch `k` takes share `1 / k`, so that each batch weighs the same. That does not count as
    /// updates. A batch of a single image has no variance and is passed over. Statistics of frozen
    /// norms stay as they are.
    ///
    /// - `batches`: each `[n, 3, side, side]`; none changes nothing
    ///
    /// # Errors
    /// As [`Model::forward`], also where each batch is a single image.
    pub fn recalibrate(&self, batches: &[Tensor]) -> Result<(), ModelError> {
        if self.has_frozen_norms {
            return Ok(());
        }
        let is_enough = |images: &&Tensor| images.dims().first() != Some(&1);
        let enough = batches.iter().filter(is_enough).count();
        if let (Some(single), 0) = (batches.first(), enough) {
            return self.check(single, true);
        }
        for (number, images) in batches.iter().filter(is_enough).enumerate() {
            let mode = Mode::Train(TrainPass {
                update_statistics: true,
                momentum: Some(1.0 / (number + 1) as f64),
                ..TrainPass::default()
            });
            self.check(images, true)?;
            self.network.forward(
                &images.contiguous()?,
                &self.pass(&mode, false),
                &mut |_, _| {},
            )?;
        }
        Ok(())
    }

    /// Tells `measurer` what each batch norm is given in eval mode.
    pub(crate) fn measure(&self, images: &Tensor, measurer: &Measurer) -> Result<(), ModelError> {
        let pass = Pass {
            measurer: Some(measurer.clone()),
            ..self.pass(&Mode::Eval, false)
        };
        self.prelogits(images, &pass, &mut |_, _| {}).map(drop)
    }

    /// How often passes have moved the running statistics.
    pub fn updates(&self) -> u64 {
        self.updates.load(Ordering::Relaxed)
    }

    /// Sets that count, where a run goes on.
    pub fn set_updates(&self, updates: u64) {
        self.updates.store(updates, Ordering::Relaxed);
    }

    /// Bytes of activations that are kept for passes to come: those of the largest of the last
    /// two, where no graph is held.
    pub fn kept_bytes(&self) -> usize {
        self.memory.kept_bytes()
    }

    fn run(
        &self,
        images: &Tensor,
        pass: &Pass,
        trace: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Tensor, ModelError> {
        Ok(l2_normalise(&self.prelogits(images, pass, trace)?)?)
    }

    /// Rows that are not yet of unit length.
    fn prelogits(
        &self,
        images: &Tensor,
        pass: &Pass,
        trace: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Tensor, ModelError> {
        self.check(images, pass.by_batch().is_some())?;
        let rows = self.network.forward(&images.contiguous()?, pass, trace)?;
        if matches!(pass.by_batch(), Some(train) if train.update_statistics) {
            self.updates.fetch_add(1, Ordering::Relaxed);
        }
        Ok(rows)
    }

    fn pass(&self, mode: &Mode, is_tracked: bool) -> Pass {
        let train = match mode {
            Mode::Eval => None,
            Mode::Train(pass) => Some(pass.clone()),
        };
        Pass {
            train,
            has_frozen_norms: self.has_frozen_norms,
            measurer: None,
            route: self.route,
            setting: Setting {
                is_tracked,
                arithmetic: self.arithmetic,
                memory: self.memory.clone(),
                kept_weights: None,
                gradients: None,
            },
            is_traced: false,
            bn_momentum: self.config.bn_momentum,
            bn_eps: self.config.bn_eps,
            keep_probability: self.config.keep_probability,
        }
    }

    fn check(&self, images: &Tensor, is_by_batch: bool) -> Result<(), ModelError> {
        self.check_precision()?;
        let side = self.config.image_size;
        let least = if is_by_batch { 2 } else { 1 };
        let fits = matches!(images.dims(), [n, 3, h, w] if *n >= least && *h == side && *w == side);
        if fits && images.dtype() == self.dtype {
            return Ok(());
        }
        Err(ModelError::Images {
            found: format!("{:?} of {:?}", images.dims(), images.dtype()),
            expected: format!("[n, 3, {side}, {side}] of {:?}, n from {least}", self.dtype),
        })
    }

    fn check_precision(&self) -> Result<(), ModelError> {
        let is_f32 = self.arithmetic.precision == Precision::F32;
        let is_planned = is_planned(self.route, self.dtype, &self.device);
        if is_f32 || is_planned {
            return Ok(());
        }
        let (dtype, place, route) = (self.dtype, self.device.location(), self.route);
        let found = format!("{dtype:?} on {place:?} by the {route:?} route");
        Err(ModelError::Precision { found })
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("config", &self.config)
            .field("tensors", &self.entries.len())
            .finish_non_exhaustive()
    }
}

/// The shapes of the tensors that a network has, by name.
pub(crate) fn shapes_of(config: &ModelConfig) -> Result<BTreeMap<String, Vec<usize>>, ModelError> {
    config.validate()?;
    let store = Store::new(Origin::Given(BTreeMap::new()));
    build(config, &store.builder(DType::F32, &Device::Cpu))?;
    Ok(store.finish().0.shapes)
}

/// Tensors that published files hold and that an embedder has no use for.
pub(crate) fn is_tolerated(name: &str) -> bool {
    name == "num_batches_tracked"
        || name.ends_with(".num_batches_tracked")
        || name.starts_with("logits.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Architecture;

    #[test]
    fn counters_and_the_classifier_are_tolerated_and_nothing_like_them() {
        for name in [
            "conv2d_1a.bn.num_batches_tracked",
            "logits.weight",
            "logits.bias",
        ] {
            assert!(is_tolerated(name), "{name}");
        }
        for name in [
            "logits",
            "my_logits.weight",
            "last_bn.num_batches_tracked.x",
        ] {
            assert!(!is_tolerated(name), "{name}");
        }
    }

    #[test]
    fn prelogits_of_unit_length_are_the_embeddings() -> Result<(), ModelError> {
        let config = ModelConfig::new(Architecture::MobileFaceNet, 16, 8);
        let model = Model::new(config, 1, DType::F32, &Device::Cpu)?;
        let pixels = (0..2 * 3 * 16 * 16).map(|i| (i * 7919 % 201) as f32 / 100.0 - 1.0);
        let images = Tensor::from_iter(pixels, &Device::Cpu)?.reshape((2, 3, 16, 16))?;
        let apart = ParameterGradients::default();
        for mode in [Mode::Eval, Mode::Train(TrainPass::default())] {
            let rows = model.prelogits_with(&images, &mode, &apart)?;
            let embeddings = model
                .forward_with(&images, &mode, &apart)?
                .to_vec2::<f32>()?;
            assert_ne!(rows.to_vec2::<f32>()?, embeddings);
            assert_eq!(l2_normalise(&rows)?.to_vec2::<f32>()?, embeddings);
        }
        Ok(())
    }
}
