//! One optimizer step: load, forward, loss, backward, check, update.

use std::collections::{HashMap, HashSet};

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use facenet_dataset::{Batch, ImageId};
use facenet_model::{
    DropoutKey, Mode, Model, Parameter, ParameterGradients, TrainPass, soft_margin_loss,
    triplet_loss,
};

use crate::config::TrainConfig;
use crate::embedder::to_tensor;
use crate::error::TrainError;
use crate::feed::{Feed, Pass, Purpose};
use crate::loss::Cost;
use crate::optimizer::{Optimizer, Update};
use crate::progress::{ImageTriplet, Progress};
use crate::squares::sum_of_squares;

/// What a step was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stepped {
    /// Mean loss plus regularisation, before the update.
    pub(crate) loss: f64,
    /// Images that went through.
    pub(crate) images: usize,
    /// What else the loss has seen.
    pub(crate) shown: Shown,
    /// L2 norm of the whole gradient.
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
    },
    /// A step of a classifier.
    Classes {
        /// Share of the images whose own identity has the largest output.
        accuracy: f64,
    },
}

/// Trains once on `triplets`; `None` when not one of them could be read.
///
/// An image that several triplets share goes through the network once, with one augmentation.
///
/// # Errors
/// [`TrainError::Diverged`] when loss or gradient is not finite; the weights are then untouched.
pub(crate) fn train_step(
    model: &Model,
    optimizer: &mut Optimizer,
    feed: &Feed,
    progress: &Progress,
    triplets: &[ImageTriplet],
    rate: f64,
) -> Result<Option<Stepped>, TrainError> {
    let Some(loaded) = load(model, feed, progress, triplets)? else {
        return Ok(None);
    };
    let manner = Manner {
        mode: training_mode(&progress.config, progress.epoch(), progress.step),
        cost: Cost::of(&progress.config),
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
    let seen = Stepped {
        loss: scalar(&triplet.loss)?,
        images: images.dim(0)?,
        shown: Shown::Triplets {
            active_share: active_share(&triplet.d_ap, &triplet.d_an, margin)?,
            d_ap: scalar(&triplet.d_ap.mean_all()?)?,
            d_an: scalar(&triplet.d_an.mean_all()?)?,
        },
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
    apply(optimizer, &updates, seen, manner.step, manner.rate)
}

/// [`update`] of any parameters.
///
/// - `step`: its number, for messages
pub(crate) fn apply(
    optimizer: &mut Optimizer,
    updates: &[Update<'_>],
    seen: Stepped,
    step: u64,
    rate: f64,
) -> Result<Stepped, TrainError> {
    let made = Stepped {
        loss: seen.loss + optimizer.regularisation(updates)?,
        gradient_norm: gradient_norm(updates)?,
        ..seen
    };
    check_finite(&made, step)?;
    optimizer.step(updates, rate)?;
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
    let slack = (d_an - d_ap)?
        .lt(margin)?
        .to_dtype(candle_core::DType::F64)?;
    scalar(&slack.mean_all()?)
}

fn gradient_norm(updates: &[Update<'_>]) -> Result<f64, TrainError> {
    let squares = updates.iter().map(|update| sum_of_squares(update.grad));
    Ok(squares.sum::<Result<f64, TrainError>>()?.sqrt())
}

fn scalar(tensor: &Tensor) -> Result<f64, TrainError> {
    Ok(tensor
        .to_dtype(candle_core::DType::F64)?
        .to_scalar::<f64>()?)
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
