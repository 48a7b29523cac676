//! A network with its tensors.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{DType, Device, Tensor, Var};
use facenet_ops::Route;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::loss::l2_normalise;
use crate::network::{Network, build};
use crate::pass::{Mode, Pass, TrainPass};
use crate::store::{Builder, Entry, Origin, Scope};

/// A face embedding network.
///
/// Tensors are named as in PyTorch, convolution weights are OIHW. Reading a model never changes
/// it but for the running statistics that a training pass moves.
pub struct Model {
    config: ModelConfig,
    network: Box<dyn Network>,
    entries: BTreeMap<String, Entry>,
    device: Device,
    route: Route,
    updates: AtomicU64,
}

/// A tensor that training moves.
#[derive(Clone, Copy, Debug)]
pub struct Parameter<'a> {
    /// Its name.
    pub name: &'a str,
    /// The variable.
    pub var: &'a Var,
    /// Whether weight decay pulls on it: weights of convolutions and linear layers.
    pub decays: bool,
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

    /// A network with the tensors given, converted to `dtype`.
    ///
    /// # Errors
    /// [`ModelError::Tensors`] naming every tensor that is missing, left over or misshapen.
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
        let builder = Rc::new(RefCell::new(Builder::new(origin, dtype, device)));
        let network = build(&config, &Scope::root(&builder))?;
        let builder = builder.borrow();
        let (tolerated, foreign): (Vec<_>, Vec<_>) = builder
            .left_over()
            .into_iter()
            .partition(|name| is_tolerated(name));
        let mut problems = builder.problems.clone();
        problems.extend(
            foreign
                .iter()
                .map(|name| format!("{name} is not part of it")),
        );
        if !problems.is_empty() {
            return Err(misfit(&config, &problems));
        }
        let model = Self {
            config,
            network,
            entries: builder.entries.clone(),
            device: device.clone(),
            route: Route::for_device(device),
            updates: AtomicU64::new(0),
        };
        Ok((model, LoadReport { tolerated }))
    }

    /// The same model on another route; tests hold the routes against each other.
    #[must_use]
    pub fn with_route(self, route: Route) -> Self {
        Self { route, ..self }
    }

    /// Which network, and its sizes.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where its tensors lie.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The tensors that training moves, by name.
    pub fn parameters(&self) -> Vec<Parameter<'_>> {
        let trained = self.entries.iter().filter(|(_, entry)| entry.is_trained);
        trained
            .map(|(name, entry)| Parameter {
                name,
                var: &entry.var,
                decays: entry.decays,
            })
            .collect()
    }

    /// All tensors by name: parameters and running statistics. They share memory with the
    /// model: what training changes is seen through them.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        let tensors = self.entries.iter();
        tensors
            .map(|(name, entry)| (name.clone(), entry.var.as_detached_tensor()))
            .collect()
    }

    /// Copies values into all tensors.
    ///
    /// # Errors
    /// [`ModelError::Tensors`] unless names and shapes are exactly this model's; nothing is
    /// changed then.
    pub fn set_state(&self, state: &BTreeMap<String, Tensor>) -> Result<(), ModelError> {
        let mut problems: Vec<_> = state
            .keys()
            .filter(|name| !self.entries.contains_key(*name))
            .map(|name| format!("{name} is not part of it"))
            .collect();
        for (name, entry) in &self.entries {
            match state.get(name) {
                None => problems.push(format!("{name} is missing")),
                Some(tensor) if tensor.shape() != entry.var.shape() => problems.push(format!(
                    "{name} has shape {:?}, expected {:?}",
                    tensor.dims(),
                    entry.var.dims()
                )),
                Some(_) => {}
            }
        }
        if !problems.is_empty() {
            return Err(misfit(&self.config, &problems));
        }
        for (name, entry) in &self.entries {
            let tensor = state[name]
                .to_device(&self.device)?
                .to_dtype(entry.var.dtype())?;
            entry.var.set(&tensor)?;
        }
        Ok(())
    }

    /// Embeds images in eval mode, without a graph.
    ///
    /// - `images`: `[n, 3, side, side]`
    ///
    /// Gives unit rows `[n, dim]`.
    ///
    /// # Errors
    /// [`ModelError::Candle`] unless the images have that shape.
    pub fn embed(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        self.run(images, &Mode::Eval, false, &mut |_, _| {})
    }

    /// Embeds images so that the result can be differentiated.
    ///
    /// # Errors
    /// As [`Model::embed`]; in training also where a channel has a single value to normalise.
    pub fn forward(&self, images: &Tensor, mode: &Mode) -> Result<Tensor, ModelError> {
        let embeddings = self.run(images, mode, true, &mut |_, _| {})?;
        if let Mode::Train(TrainPass {
            update_statistics: true,
            ..
        }) = mode
        {
            self.updates.fetch_add(1, Ordering::Relaxed);
        }
        Ok(embeddings)
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
        self.run(images, mode, false, &mut |name, tensor| {
            stages.push((name.to_owned(), tensor.clone()));
        })?;
        Ok(stages)
    }

    /// Sets the running statistics to the average over batches of training images.
    ///
    /// - `batches`: each `[n, 3, side, side]`; none changes nothing
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn recalibrate(&self, batches: &[Tensor]) -> Result<(), ModelError> {
        for (number, images) in batches.iter().enumerate() {
            let pass = TrainPass {
                dropout: None,
                update_statistics: true,
                momentum: Some(1.0 / (number + 1) as f64),
            };
            self.run(images, &Mode::Train(pass), false, &mut |_, _| {})?;
        }
        Ok(())
    }

    /// How often training passes have moved the running statistics.
    pub fn updates(&self) -> u64 {
        self.updates.load(Ordering::Relaxed)
    }

    /// Sets that count, where a run goes on.
    pub fn set_updates(&self, updates: u64) {
        self.updates.store(updates, Ordering::Relaxed);
    }

    fn run(
        &self,
        images: &Tensor,
        mode: &Mode,
        is_tracked: bool,
        trace: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Tensor, ModelError> {
        check_images(images, self.config.image_size)?;
        let train = match mode {
            Mode::Eval => None,
            Mode::Train(pass) => Some(pass.clone()),
        };
        let pass = Pass {
            train,
            route: self.route,
            is_tracked,
            bn_momentum: self.config.bn_momentum,
            bn_eps: self.config.bn_eps,
            keep_probability: self.config.keep_probability,
        };
        Ok(l2_normalise(&self.network.forward(images, &pass, trace)?)?)
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let n_tensors = self.entries.len();
        f.debug_struct("Model")
            .field("config", &self.config)
            .field("tensors", &n_tensors)
            .finish_non_exhaustive()
    }
}

fn check_images(images: &Tensor, side: usize) -> candle_core::Result<()> {
    let (_, channels, h, w) = images.dims4()?;
    if (channels, h, w) != (3, side, side) {
        candle_core::bail!(
            "expected images [n, 3, {side}, {side}], found {:?}",
            images.shape()
        );
    }
    Ok(())
}

/// Tensors that published files hold and that an embedder has no use for.
fn is_tolerated(name: &str) -> bool {
    name.ends_with("num_batches_tracked") || name.starts_with("logits.")
}

/// The most problems that a message lists.
const LISTED: usize = 5;

fn misfit(config: &ModelConfig, problems: &[String]) -> ModelError {
    let mut problem = problems[..problems.len().min(LISTED)].join(", ");
    if problems.len() > LISTED {
        problem = format!("{problem}, and {} more", problems.len() - LISTED);
    }
    ModelError::Tensors {
        architecture: config.architecture,
        embedding_size: config.embedding_size,
        problem,
    }
}
