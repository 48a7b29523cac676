//! One optimizer step: load, forward, loss, backward, check, update.

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use facenet_dataset::Batch;
use facenet_model::{DropoutKey, Mode, Model, Parameter, TrainPass, triplet_loss};

use crate::config::TrainConfig;
use crate::embedder::to_tensor;
use crate::error::TrainError;
use crate::feed::{Feed, Pass, Purpose};
use crate::optimizer::{Optimizer, Update};
use crate::progress::{ImageTriplet, Progress};

/// What a step was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stepped {
    /// Mean triplet loss plus regularisation, before the update.
    pub(crate) loss: f64,
    /// Images that went through.
    pub(crate) images: usize,
    /// Share of the triplets that still violated the margin.
    pub(crate) active_share: f64,
    /// Mean squared L2, anchor to positive.
    pub(crate) d_ap: f64,
    /// Mean squared L2, anchor to negative.
    pub(crate) d_an: f64,
    /// L2 norm of the whole gradient.
    pub(crate) gradient_norm: f64,
}

/// Trains once on `triplets`; `None` when not one of them could be read.
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
    let Some(images) = load(model, feed, progress, triplets)? else {
        return Ok(None);
    };
    let embeddings = model.forward(&images, &training_mode(progress))?;
    let triplet = triplet_loss(&embeddings, f64::from(progress.config.margin))?;
    let parameters = model.parameters();
    let gradients = triplet.loss.backward()?;
    let updates = updates(&parameters, &gradients)?;
    let regularisation = optimizer.regularisation(&updates)?;
    let made = Stepped {
        loss: scalar(&triplet.loss)? + regularisation,
        images: embeddings.dim(0)?,
        active_share: active_share(&triplet.d_ap, &triplet.d_an, &progress.config)?,
        d_ap: scalar(&triplet.d_ap.mean_all()?)?,
        d_an: scalar(&triplet.d_an.mean_all()?)?,
        gradient_norm: gradient_norm(&updates)?,
    };
    check_finite(&made, progress.step)?;
    optimizer.step(&updates, rate)?;
    Ok(Some(made))
}

/// Reads the triplets' images, anchor, positive, negative, anchor, ...; a triplet with an
/// unreadable image is left out.
fn load(
    model: &Model,
    feed: &Feed,
    progress: &Progress,
    triplets: &[ImageTriplet],
) -> Result<Option<Tensor>, TrainError> {
    let ids: Vec<_> = triplets.iter().flatten().copied().collect();
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
    let complete = complete_triplets(&batch.positions);
    if complete.is_empty() {
        return Ok(None);
    }
    let images = to_tensor(&batch, model)?;
    if complete.len() == batch.ids.len() {
        return Ok(Some(images));
    }
    let rows = Tensor::new(complete, images.device())?;
    Ok(Some(images.index_select(&rows, 0)?))
}

/// Rows that make up whole triplets, given each row's ascending position in the request: three
/// positions a triplet.
fn complete_triplets(positions: &[usize]) -> Vec<u32> {
    let triplets = positions.chunk_by(|a, b| a / 3 == b / 3);
    let mut first = 0;
    let mut rows = Vec::with_capacity(positions.len());
    for triplet in triplets {
        if triplet.len() == 3 {
            rows.extend((first..first + 3).map(|row| row as u32));
        }
        first += triplet.len();
    }
    rows
}

fn training_mode(progress: &Progress) -> Mode {
    let config = &progress.config;
    let dropout = (config.keep_probability < 1.0).then(|| DropoutKey {
        seed: config.seed,
        epoch: progress.epoch(),
        step: progress.step,
    });
    Mode::Train(TrainPass {
        dropout,
        update_statistics: true,
        momentum: None,
    })
}

fn updates<'a>(
    parameters: &'a [Parameter<'a>],
    gradients: &'a GradStore,
) -> Result<Vec<Update<'a>>, TrainError> {
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
    Ok(updates)
}

fn active_share(d_ap: &Tensor, d_an: &Tensor, config: &TrainConfig) -> Result<f64, TrainError> {
    let slack = (d_an - d_ap)?
        .lt(config.margin)?
        .to_dtype(candle_core::DType::F64)?;
    scalar(&slack.mean_all()?)
}

fn gradient_norm(updates: &[Update<'_>]) -> Result<f64, TrainError> {
    let squares = updates
        .iter()
        .map(|update| scalar(&update.grad.sqr()?.sum_all()?));
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

    #[track_caller]
    fn check(positions: &[usize], expected: &[u32]) {
        assert_eq!(complete_triplets(positions), expected);
    }

    #[test]
    fn complete_triplets_keep_their_rows() {
        check(&[0, 1, 2, 3, 4, 5], &[0, 1, 2, 3, 4, 5]);
        check(&[], &[]);
    }

    #[test]
    fn a_triplet_with_a_missing_image_goes() {
        check(&[0, 2, 3, 4, 5], &[2, 3, 4]);
        check(&[0, 1, 2, 3, 4], &[0, 1, 2]);
        check(&[1, 2, 6, 7, 8], &[2, 3, 4]);
        check(&[1, 2], &[]);
    }
}
