//! What the parts of a run cost: the very code of training, embedding and loading, on inputs
//! that stay the same, for a clock to be held beside it.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use facenet_dataset::{Folder, ImageId};
use facenet_model::{KeptWeights, Mode, Model, TrainPass};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::compute::check_arithmetic;
use crate::config::TrainConfig;
use crate::device::open_device;
use crate::error::TrainError;
use crate::feed::{Feed, Pass, Purpose};
use crate::loss::Cost;
use crate::optimizer::Optimizer;
use crate::step::{Loaded, Manner, step_on};

/// Learning rate of timed steps: small, so that many on one batch stay finite.
const RATE: f64 = 1e-3;
/// Margin of timed steps: above the largest difference of two squared L2 distances of unit rows,
/// so that every triplet stays active and no gradient becomes zero.
const MARGIN: f64 = 5.0;
/// Images that running statistics are taken from before embedding is timed: with those of a
/// network that nobody has trained, activations fade from layer to layer.
const SETTLING: usize = 2;
/// Most images of a timed call of [`LoadBench`].
const MAX_LOADED: usize = 1000;

/// Training steps on one batch of random images: forward, triplet loss, backward, update.
///
/// Anchor, positive and negative follow each other in the batch. The weights' moving average,
/// which a run keeps besides, is not part of it.
#[derive(Debug)]
pub struct StepBench {
    model: Model,
    optimizer: Optimizer,
    loaded: Loaded,
    manner: Manner,
}

impl StepBench {
    /// A network and its batch, both drawn from the configuration's seed.
    ///
    /// # Errors
    /// [`TrainError::Config`] for what cannot train, or does not fit in memory.
    pub fn new(config: &TrainConfig) -> Result<Self, TrainError> {
        config.validate()?;
        let model = network(config)?;
        let images = drawn(config.batch_size, config, &model)?;
        let rows: Vec<_> = (0..config.batch_size as u32).collect();
        let rows = Tensor::new(rows, images.device())?;
        let mode = Mode::Train(TrainPass {
            update_statistics: true,
            ..TrainPass::default()
        });
        Ok(Self {
            optimizer: Optimizer::new(&config.optimizer()),
            loaded: Loaded { images, rows },
            manner: Manner {
                mode,
                cost: Cost {
                    is_soft: false,
                    margin: MARGIN,
                },
                clip_norm: None,
                step: 0,
                rate: RATE,
            },
            model,
        })
    }

    /// Trains once; gives the loss before.
    ///
    /// # Errors
    /// [`TrainError::Diverged`] where a number is no longer finite.
    pub fn step(&mut self) -> Result<f64, TrainError> {
        let made = step_on(&self.model, &mut self.optimizer, &self.loaded, &self.manner)?;
        self.manner.step += 1;
        Ok(made.loss)
    }

    /// Nominal operations of an image in a step.
    ///
    /// # Errors
    /// candle's own.
    pub fn operations(&self) -> Result<f64, TrainError> {
        Ok(self.model.operations()?.step)
    }
}

/// Embedding one batch of random images in eval mode, again and again: the first call packs the
/// weights.
#[derive(Debug)]
pub struct ForwardBench {
    model: Model,
    images: Tensor,
    weights: KeptWeights,
}

impl ForwardBench {
    /// A network and its batch, both drawn from the configuration's seed.
    ///
    /// # Errors
    /// [`TrainError::Config`] for arithmetic that the device lacks, and for a batch that does not
    /// fit in memory; [`TrainError::Model`] for sizes that the network cannot have.
    pub fn new(config: &TrainConfig) -> Result<Self, TrainError> {
        check_arithmetic(config.arithmetic(), &config.device)?;
        let model = network(config)?;
        let images = drawn(config.batch_size, config, &model)?;
        model.recalibrate(&[drawn(SETTLING, config, &model)?])?;
        Ok(Self {
            model,
            images,
            weights: KeptWeights::default(),
        })
    }

    /// Embeds the batch: `[batch_size, embedding_size]`.
    ///
    /// # Errors
    /// [`TrainError::Model`] where the arithmetic is not to be had.
    pub fn embed(&self) -> Result<Tensor, TrainError> {
        Ok(self.model.embed_with(&self.images, &self.weights)?)
    }

    /// Nominal operations of an image.
    ///
    /// # Errors
    /// candle's own.
    pub fn operations(&self) -> Result<f64, TrainError> {
        Ok(self.model.operations()?.forward)
    }
}

/// Loading the first images of `data_dir`, at most 1,000, as training does.
pub struct LoadBench {
    feed: Feed,
    ids: Vec<ImageId>,
    batch: usize,
}

impl LoadBench {
    /// Lists the images, in order of identities and names.
    ///
    /// # Errors
    /// [`TrainError::Config`] without a `data_dir`; [`TrainError::Dataset`] where the folder holds
    /// no images, and for loader settings out of range.
    pub fn new(config: &TrainConfig) -> Result<Self, TrainError> {
        let Some(root) = &config.data_dir else {
            let problem = "found none, expected a folder of identity folders; give one";
            return Err(TrainError::config("--data-dir", problem));
        };
        let folder = Folder::scan(root, &config.decode_limits())?;
        let ids = first_images(&folder);
        Ok(Self {
            feed: Feed::training(config, Arc::new(folder))?,
            ids,
            batch: config.batch_size,
        })
    }

    /// Loads all of them once; gives the number that could be read.
    ///
    /// # Errors
    /// [`TrainError::Dataset`] where more are unreadable than the configuration permits.
    pub fn load(&self) -> Result<usize, TrainError> {
        let pass = Pass {
            purpose: Purpose::Train,
            epoch: 0,
            step: 0,
            ids: &self.ids,
            batch: self.batch,
        };
        let mut batches = self.feed.batches(&pass);
        batches.try_fold(0, |n_read, batch| Ok(n_read + batch?.ids.len()))
    }

    /// Images of a call.
    pub fn images(&self) -> usize {
        self.ids.len()
    }

    /// Images that could not be read, and why.
    pub fn unreadable(&self) -> Vec<(String, String)> {
        self.feed.quarantined()
    }
}

impl std::fmt::Debug for LoadBench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadBench")
            .field("images", &self.ids.len())
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

fn first_images(folder: &Folder) -> Vec<ImageId> {
    let identities = folder.identities.iter().zip(0..);
    let ids = identities.flat_map(|(one, identity)| {
        (0..one.images.len() as u32).map(move |image| ImageId { identity, image })
    });
    ids.take(MAX_LOADED).collect()
}

fn network(config: &TrainConfig) -> Result<Model, TrainError> {
    let device = open_device(&config.device)?;
    let model = Model::new(config.model(), config.seed, DType::F32, &device)?;
    Ok(model.with_arithmetic(config.arithmetic()))
}

/// Images whose numbers have mean 0 and variance 1, as standardised ones: evenly drawn.
///
/// - `n`: as `--batch-size`
fn drawn(n: usize, config: &TrainConfig, model: &Model) -> Result<Tensor, TrainError> {
    let side = config.image_size;
    let mut values: Vec<f32> = Vec::new();
    let count = n.checked_mul(3 * side * side);
    let room = count.and_then(|count| values.try_reserve_exact(count).ok());
    room.ok_or_else(|| {
        let problem = format!("found {n}, expected what fits in memory; lower it");
        TrainError::config("--batch-size", problem)
    })?;
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    let (bits, spread) = (f64::from(u32::MAX), 12f64.sqrt());
    let number = || ((f64::from(rng.next_u32()) / bits - 0.5) * spread) as f32;
    values.extend(std::iter::repeat_with(number).take(values.capacity()));
    Ok(Tensor::from_vec(
        values,
        (n, 3, side, side),
        model.device(),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest network, on the smallest batch.
    fn tiny() -> TrainConfig {
        TrainConfig {
            image_size: 16,
            embedding_size: 8,
            batch_size: 6,
            ..TrainConfig::demo()
        }
    }

    #[test]
    fn drawn_images_have_mean_zero_and_variance_one() {
        let bench = ForwardBench::new(&tiny()).expect("a tiny network");
        let values = bench.images.flatten_all().expect("on the CPU");
        let values = values.to_vec1::<f32>().expect("f32");
        let mean = |f: fn(f64) -> f64| {
            values.iter().map(|&x| f(f64::from(x))).sum::<f64>() / values.len() as f64
        };
        // 4,608 numbers of a fixed seed: standard errors 0.015 and 0.013.
        assert!(mean(|x| x).abs() < 0.06 && (mean(|x| x * x) - 1.0).abs() < 0.06);
    }

    #[test]
    fn timed_steps_train_and_timed_embeddings_are_unit_rows() {
        let mut bench = StepBench::new(&tiny()).expect("a tiny network");
        let losses = [(); 3].map(|()| bench.step().expect("finite"));
        // Each step changes the weights, and leaves every triplet active: 5 + d_ap - d_an.
        let moves = losses.windows(2).all(|pair| pair[0] != pair[1]);
        assert!(
            moves && losses.iter().all(|loss| (1.0..=9.0).contains(loss)),
            "{losses:?}"
        );
        let forward = ForwardBench::new(&tiny()).expect("a tiny network");
        let rows = forward.embed().expect("a batch");
        for row in rows.to_vec2::<f32>().expect("f32") {
            let sq_norm: f32 = row.iter().map(|x| x * x).sum();
            // Eight squares, each rounded by 2^-24 of itself, and their sum.
            assert!((sq_norm - 1.0).abs() < 1e-6, "{sq_norm}");
        }
        let (step, forward) = (bench.operations(), forward.operations());
        assert!(step.expect("built") > 2.0 * forward.expect("built"));
    }

    #[test]
    fn what_no_memory_holds_and_no_run_has_is_refused() {
        let refused = |config: TrainConfig| {
            let error = ForwardBench::new(&config).expect_err("too large");
            error.to_string()
        };
        let huge = refused(TrainConfig {
            batch_size: usize::MAX,
            ..tiny()
        });
        assert!(huge.starts_with("--batch-size: found "), "{huge}");
        let error = LoadBench::new(&tiny()).expect_err("no folder").to_string();
        assert!(error.starts_with("--data-dir: found none"), "{error}");
    }
}
