//! One optimizer step: load, forward, loss, backward, check, update.

use std::collections::{HashMap, HashSet};

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor};
use facenet_dataset::{Batch, ImageId};
use facenet_model::{
    DropoutKey, Mode, Model, Parameter, ParameterGradients, TrainPass, soft_margin_loss,
    triplet_loss,
};

use crate::clip::clipped;
use crate::config::TrainConfig;
use crate::embedder::to_tensor;
use crate::error::TrainError;
use crate::feed::{Feed, Pass, Purpose};
use crate::finite::check_parameters;
use crate::loss::Cost;
use crate::observer::Observer;
use crate::optimizer::{Optimizer, Update};
use crate::progress::{ImageTriplet, Progress};
use crate::squares::sum_of_squares;
use crate::stopping::check_stop;
use crate::watch::{Distances, Health, spread};

/// What a step was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stepped {
    /// Mean loss plus regularisation, before the update.
    pub(crate) loss: f64,
    /// The same without regularisation.
    pub(crate) data_loss: f64,
    /// Images that went through.
    pub(crate) images: usize,
    /// What else the loss has seen.
    pub(crate) shown: Shown,
    /// Spread of the embeddings.
    pub(crate) spread: f64,
    /// L2 norm of the whole gradient, before it is clipped.
    pub(crate) gradient_norm: f64,
}

/// What a step shows besides its loss.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown {
    /// A step on triplets.
    Triplets {
        /// Share of the triplets that still violated the margin.
        active_share: f64,
        /// Mean squared L2, anchor to positive.
        d_ap: f64,
        /// Mean squared L2, anchor to negative.
        d_an: f64,
        /// Quantiles of both, as [`Distances::quantiles`] has them.
        quantiles: [[f64; 3]; 2],
    },
    /// A step of a classifier.
    Classes {
        /// Share of the images whose own identity has the largest output.
        accuracy: f64,
    },
}

impl Stepped {
    /// What it shows of the embeddings.
    ///
    /// - `mined_active_share`: of the round that the triplets are of
    pub(crate) fn health(&self, mined_active_share: f64) -> Health {
        let health = Health {
            spread: self.spread,
            gradient_norm: self.gradient_norm,
            ..Health::default()
        };
        match self.shown {
            Shown::Triplets {
                active_share,
                quantiles: [d_ap, d_an],
                ..
            } => Health {
                mined_active_share: Some(mined_active_share),
                active_share: Some(active_share),
                d_ap: Some(d_ap),
                d_an: Some(d_an),
                ..health
            },
            Shown::Classes { accuracy } => Health {
                accuracy: Some(accuracy),
                ..health
            },
        }
    }
}

/// Trains once on `triplets`; `None` when not one of them could be read.
///
/// An image that several triplets share goes through the network once, with one augmentation.
///
/// # Errors
/// [`TrainError::Diverged`] when loss, gradient or weights are not finite; the weights are then
/// untouched.
pub(crate) fn train_step(
    model: &Model,
    optimizer: &mut Optimizer,
    feed: &Feed,
    progress: &Progress,
    triplets: &[ImageTriplet],
    rate: f64,
    observer: &mut dyn Observer,
) -> Result<Option<Stepped>, TrainError> {
    let Some(loaded) = load(model, feed, progress, triplets)? else {
        return Ok(None);
    };
    check_stop(observer)?;
    let manner = Manner {
        mode: training_mode(&progress.config, progress.epoch(), progress.step),
        cost: Cost::of(&progress.config),
        clip_norm: progress.config.clip_gradient_norm,
        step: progress.step,
        rate,
    };
    step_on(model, optimizer, &loaded, &manner).map(Some)
}

/// How a step is made, besides its images.
#[derive(Debug)]
pub(crate) struct Manner {
    pub(crate) mode: Mode,
    pub(crate) cost: Cost,
    /// Largest norm of a gradient that is not scaled down.
    pub(crate) clip_norm: Option<f64>,
    /// Number of the step, for messages.
    pub(crate) step: u64,
    pub(crate) rate: f64,
}

/// Trains once on loaded images: forward, loss, backward, check, update.
///
/// # Errors
/// As [`train_step`].
pub(crate) fn step_on(
    model: &Model,
    optimizer: &mut Optimizer,
    loaded: &Loaded,
    manner: &Manner,
) -> Result<Stepped, TrainError> {
    let Loaded { images, rows } = loaded;
    let apart = ParameterGradients::default();
    let embeddings = model.forward_with(images, &manner.mode, &apart)?;
    let of_triplets = embeddings.index_select(rows, 0)?;
    let margin = manner.cost.margin;
    let triplet = if manner.cost.is_soft {
        soft_margin_loss(&of_triplets)?
    } else {
        triplet_loss(&of_triplets, margin)?
    };
    let mut gradients = triplet.loss.backward()?;
    apart.move_into(&mut gradients)?;
    let loss = scalar(&triplet.loss)?;
    let seen = Stepped {
        loss,
        data_loss: loss,
        images: images.dim(0)?,
        shown: Shown::Triplets {
            active_share: active_share(&triplet.d_ap, &triplet.d_an, margin)?,
            d_ap: scalar(&triplet.d_ap.mean_all()?)?,
            d_an: scalar(&triplet.d_an.mean_all()?)?,
            quantiles: quantiles(&triplet.d_ap, &triplet.d_an)?,
        },
        spread: spread_of(&embeddings)?,
        gradient_norm: 0.0,
    };
    update(model, optimizer, &gradients, seen, manner)
}

/// Checks and makes the update of a step whose gradients are there.
///
/// - `seen`: the step, its loss without regularisation, its gradient not yet measured
///
/// # Errors
/// As [`train_step`].
pub(crate) fn update(
    model: &Model,
    optimizer: &mut Optimizer,
    gradients: &GradStore,
    seen: Stepped,
    manner: &Manner,
) -> Result<Stepped, TrainError> {
    let parameters = model.parameters();
    let updates = updates(&parameters, gradients);
    let pace = Pace {
        step: manner.step,
        rate: manner.rate,
        clip_norm: manner.clip_norm,
    };
    apply(optimizer, &updates, seen, &pace)
}

/// How far an update goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Number of the step, for messages.
    pub(crate) step: u64,
    pub(crate) rate: f64,
    /// Largest norm of a gradient that is not scaled down.
    pub(crate) clip_norm: Option<f64>,
}

/// [`update`] of any parameters.
pub(crate) fn apply<'a>(
    optimizer: &mut Optimizer,
    updates: &[Update<'a>],
    seen: Stepped,
    pace: &Pace,
) -> Result<Stepped, TrainError> {
    let made = Stepped {
        loss: seen.loss + optimizer.regularisation(updates)?,
        gradient_norm: gradient_norm(updates)?,
        ..seen
    };
    check_finite(&made, pace.step)?;
    check_parameters(updates, pace.step)?;
    let gradients = clipped(updates, made.gradient_norm, pace.clip_norm)?;
    let with_grad = |(update, grad): (&Update<'a>, _)| Update { grad, ..*update };
    let updates: Vec<_> = updates.iter().zip(&gradients).map(with_grad).collect();
    optimizer.step(&updates, pace.rate)?;
    Ok(made)
}

/// The distinct images of some triplets, and the row of each role: anchor, positive, negative,
/// anchor, ...
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) images: Tensor,
    pub(crate) rows: Tensor,
}

/// Reads the distinct images of the triplets; a triplet with an unreadable image is left out.
fn load(
    model: &Model,
    feed: &Feed,
    progress: &Progress,
    triplets: &[ImageTriplet],
) -> Result<Option<Loaded>, TrainError> {
    let ids = distinct(triplets);
    let pass = Pass {
        purpose: Purpose::Train,
        epoch: progress.epoch(),
        step: progress.step,
        ids: &ids,
        batch: ids.len(),
    };
    let mut batch = Batch::default();
    for part in feed.batches(&pass) {
        batch = part?;
    }
    let rows = rows_of(triplets, &batch.ids);
    if rows.is_empty() {
        return Ok(None);
    }
    let images = to_tensor(&batch, model)?;
    let rows = Tensor::new(rows, images.device())?;
    Ok(Some(Loaded { images, rows }))
}

/// Each image once, in the order of first use.
fn distinct(triplets: &[ImageTriplet]) -> Vec<ImageId> {
    let mut seen = HashSet::new();
    triplets
        .iter()
        .flatten()
        .copied()
        .filter(|&id| seen.insert(id))
        .collect()
}

/// The row of each role of the triplets of which all three images were read.
fn rows_of(triplets: &[ImageTriplet], read: &[ImageId]) -> Vec<u32> {
    let rows: HashMap<_, _> = read.iter().zip(0_u32..).collect();
    let row = |id: &ImageId| rows.get(id).copied();
    let whole = triplets
        .iter()
        .filter_map(|[a, p, n]| Some([row(a)?, row(p)?, row(n)?]));
    whole.flatten().collect()
}

/// Batch statistics, which move the running ones, and dropout.
///
/// - `step`: step or round that the draws belong to
pub(crate) fn training_mode(config: &TrainConfig, epoch: u64, step: u64) -> Mode {
    let dropout = (config.keep_probability < 1.0).then_some(DropoutKey {
        seed: config.seed,
        epoch,
        step,
    });
    Mode::Train(TrainPass {
        dropout,
        update_statistics: true,
        ..TrainPass::default()
    })
}

/// The updates that a backward pass makes.
pub(crate) fn updates<'a>(
    parameters: &'a [Parameter<'a>],
    gradients: &'a GradStore,
) -> Vec<Update<'a>> {
    let with_gradient = parameters.iter().filter_map(|parameter| {
        let grad = gradients.get(parameter.var)?;
        Some(Update {
            name: parameter.name,
            var: parameter.var,
            grad,
            decays: parameter.decays,
        })
    });
    let updates: Vec<_> = with_gradient.collect();
    debug_assert_eq!(
        updates.len(),
        parameters.len(),
        "every parameter is in the graph"
    );
    updates
}

fn active_share(d_ap: &Tensor, d_an: &Tensor, margin: f64) -> Result<f64, TrainError> {
    let slack = (d_an - d_ap)?.lt(margin)?.to_dtype(DType::F64)?;
    scalar(&slack.mean_all()?)
}

fn quantiles(d_ap: &Tensor, d_an: &Tensor) -> Result<[[f64; 3]; 2], TrainError> {
    let mut distances = Distances::new();
    for (d_ap, d_an) in numbers(d_ap)?.into_iter().zip(numbers(d_an)?) {
        distances.add(f64::from(d_ap), f64::from(d_an));
    }
    Ok(distances.quantiles())
}

fn spread_of(embeddings: &Tensor) -> Result<f64, TrainError> {
    Ok(spread(&numbers(embeddings)?, embeddings.dim(1)?))
}

/// All elements, in f32.
pub(crate) fn numbers(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

fn gradient_norm(updates: &[Update<'_>]) -> Result<f64, TrainError> {
    let squares = updates.iter().map(|update| sum_of_squares(update.grad));
    Ok(squares.sum::<Result<f64, TrainError>>()?.sqrt())
}

fn scalar(tensor: &Tensor) -> Result<f64, TrainError> {
    Ok(tensor.to_dtype(DType::F64)?.to_scalar::<f64>()?)
}

fn check_finite(made: &Stepped, step: u64) -> Result<(), TrainError> {
    for (what, value) in [
        ("the loss", made.loss),
        ("the gradient's norm", made.gradient_norm),
    ] {
        if !value.is_finite() {
            return Err(TrainError::diverged(step, format!("{what} is {value}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use facenet_model::Architecture;

    use super::*;

    fn image(number: u32) -> ImageId {
        ImageId {
            identity: number / 10,
            image: number % 10,
        }
    }

    #[track_caller]
    fn check(triplets: &[[u32; 3]], unreadable: &[u32], n_images: usize, expected: &[u32]) {
        let triplets: Vec<_> = triplets.iter().map(|triplet| triplet.map(image)).collect();
        let mut ids = distinct(&triplets);
        assert_eq!(ids.len(), n_images);
        ids.retain(|id| !unreadable.iter().any(|&number| image(number) == *id));
        assert_eq!(rows_of(&triplets, &ids), expected);
    }

    #[test]
    fn triplets_within_the_margin_are_active() {
        let tensor = |values: &[f32; 4]| {
            Tensor::new(values, &candle_core::Device::Cpu).expect("numbers on the CPU")
        };
        // Apart by -0.25, 0, the margin itself, 0.5.
        let (d_ap, d_an) = (tensor(&[0.5; 4]), tensor(&[0.25, 0.5, 0.75, 1.0]));
        let found = active_share(&d_ap, &d_an, 0.25).expect("on the CPU");
        assert_eq!(found.to_bits(), 0.5f64.to_bits());
    }

    /// A step of six random images, the third of which has one pixel that is `pixel`.
    fn step_with(pixel: f32) -> (Result<Stepped, TrainError>, bool) {
        let device = candle_core::Device::Cpu;
        let config = facenet_model::ModelConfig::new(Architecture::MobileFaceNet, 16, 8);
        let model = Model::new(config, 1, DType::F32, &device).expect("a size it can have");
        let mut pixels: Vec<f32> = (0..6 * 3 * 16 * 16)
            .map(|i| (i * 7919 % 201) as f32)
            .collect();
        pixels[2 * 3 * 16 * 16 + 40] = pixel;
        let images = Tensor::from_vec(pixels, (6, 3, 16, 16), &device).expect("numbers");
        let loaded = Loaded {
            images: (images / 100.0).expect("numbers"),
            rows: Tensor::new(&[0u32, 1, 2, 3, 4, 5], &device).expect("numbers"),
        };
        let manner = Manner {
            mode: training_mode(&TrainConfig::demo(), 0, 7),
            cost: Cost {
                is_soft: false,
                margin: 5.0,
            },
            clip_norm: None,
            step: 7,
            rate: 0.1,
        };
        let weights = || {
            let of = |parameter: &Parameter<'_>| parameter.var.flatten_all()?.to_vec1::<f32>();
            let all = model
                .parameters()
                .iter()
                .map(of)
                .collect::<Result<Vec<_>, _>>();
            all.expect("f32 on the CPU")
        };
        let before = weights();
        let mut optimizer = Optimizer::new(&TrainConfig::demo().optimizer());
        let made = step_on(&model, &mut optimizer, &loaded, &manner);
        (made, weights() == before)
    }

    #[test]
    fn an_image_that_is_no_number_ends_the_step_it_is_in_with_the_weights_untouched() {
        for pixel in [f32::NAN, f32::INFINITY] {
            let (made, is_untouched) = step_with(pixel);
            let error = made.expect_err("no number comes of it");
            assert_eq!(error.exit_class(), crate::ExitClass::Diverged);
            let message = error.to_string();
            assert!(
                message.starts_with("step 7: the loss is NaN; lower"),
                "{message}"
            );
            assert!(is_untouched, "{pixel}");
        }
        let (made, is_untouched) = step_with(0.5);
        assert!(made.is_ok() && !is_untouched);
    }

    #[test]
    fn a_step_shows_its_distances_and_spread() {
        let made = step_with(0.5).0.expect("numbers");
        let Shown::Triplets {
            d_ap: mean_ap,
            d_an: mean_an,
            quantiles: [[low, middle, high], d_an],
            ..
        } = made.shown
        else {
            panic!("a step on triplets")
        };
        assert!(0.0 < low && low <= middle && middle <= high && high <= 4.0);
        // Two triplets: their mean lies between the extremes, but for the bins' width.
        assert!(low <= 1.01 * mean_ap && mean_ap <= 1.01 * high);
        assert!(d_an[0] <= 1.01 * mean_an && mean_an <= 1.01 * d_an[2]);
        assert!(0.0 < made.spread && made.spread <= 1.0, "{}", made.spread);
        assert_eq!(made.data_loss, made.loss);
    }

    #[test]
    fn images_of_their_own_keep_the_order_of_roles() {
        check(&[[1, 2, 11], [3, 4, 12]], &[], 6, &[0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_shared_image_goes_through_once() {
        check(
            &[[1, 2, 11], [1, 3, 11], [11, 12, 1]],
            &[],
            5,
            &[0, 1, 2, 0, 3, 2, 2, 4, 0],
        );
    }

    #[test]
    fn a_triplet_with_an_unreadable_image_goes() {
        check(&[[1, 2, 11], [3, 4, 12]], &[2], 6, &[2, 3, 4]);
        check(&[[1, 2, 11]], &[1], 3, &[]);
    }
}
