//! The model that a new run begins with.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use facenet_dataset::ImageId;
use facenet_model::{Model, ModelConfig, TENSORS_FILE, Unfolding, load_model, load_tensors};

use crate::config::TrainConfig;
use crate::embedder::to_tensor;
use crate::error::TrainError;
use crate::feed::{Feed, Pass, Purpose};
use crate::observer::{Event, Observer, Stage};
use crate::saved::warn_of_strays;

/// Training images that unfolding measures: layers of a few pixels then have thousands of values
/// a channel.
const MEASURED: usize = 512;
/// Images measured at a time: what they take is little beside a training step.
const AT_ONCE: usize = 16;

/// The model that a new run begins with: drawn from the seed, or a saved one's weights, its batch
/// norms as the configuration wants them.
///
/// - `sizes`: images of each training identity
///
/// # Errors
/// [`TrainError::Model`] for a folder that is no model, [`TrainError::Config`] for another network
/// than the one configured, and what is wrong with images that are measured.
pub(crate) fn first_model(
    config: &TrainConfig,
    feed: &Feed,
    sizes: &[u32],
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Model, TrainError> {
    let Some(dir) = &config.pretrained_model else {
        let model = Model::new(config.model(), config.seed, DType::F32, device)?;
        return Ok(model.with_arithmetic(config.arithmetic()));
    };
    let (_, saved, report) = load_model(dir, device)?;
    warn_of_strays(dir, &report, observer);
    check_network(config, dir, &saved.model)?;
    let wanted = ModelConfig {
        has_folded_norms: config.folded_bn,
        ..config.model()
    };
    let tensors = load_tensors(&dir.join(TENSORS_FILE))?;
    let (model, _) = Model::from_tensors(wanted, tensors, DType::F32, device)?;
    // Its statistics are those of a trained model: they need no recalibration.
    model.set_updates(u64::MAX / 2);
    let model = model.with_arithmetic(config.arithmetic());
    if config.unfold_bn {
        return unfolded(model, feed, &spread(sizes, MEASURED), observer);
    }
    if config.freeze_bn {
        observer.event(&Event::Note(
            "batch norms are frozen: they go by the pretrained model's statistics, which do not \
             move",
        ));
    }
    Ok(model.with_frozen_norms(config.freeze_bn))
}

/// Refuses a model folder that holds another network than `config` asks for.
fn check_network(config: &TrainConfig, dir: &Path, found: &ModelConfig) -> Result<(), TrainError> {
    let wanted = config.model();
    let shape = |model: &ModelConfig| (model.architecture, model.image_size, model.embedding_size);
    if shape(&wanted) != shape(found) {
        let problem = format!(
            "{} is {} for {} pixels and {} numbers, expected {}, {} and {}; drop the flags that \
             ask for another",
            dir.display(),
            found.architecture,
            found.image_size,
            found.embedding_size,
            wanted.architecture,
            wanted.image_size,
            wanted.embedding_size,
        );
        return Err(TrainError::config("--pretrained-model", problem));
    }
    if config.folded_bn != found.has_folded_norms {
        let problem = format!(
            "{}: its batch norms are {}folded, and the configuration says otherwise; take the \
             model over as it is",
            dir.display(),
            if found.has_folded_norms { "" } else { "not " },
        );
        return Err(TrainError::config("--pretrained-model", problem));
    }
    Ok(())
}

/// Gives folded norms the statistics of some training images, prepared as for a step.
fn unfolded(
    model: Model,
    feed: &Feed,
    ids: &[ImageId],
    observer: &mut dyn Observer,
) -> Result<Model, TrainError> {
    let pass = Pass {
        purpose: Purpose::Settle,
        epoch: 0,
        step: 0,
        ids,
        batch: AT_ONCE,
    };
    let mut unfolding = Unfolding::new(model);
    let (mut first, mut done) = (None, 0);
    for batch in feed.batches(&pass) {
        let batch = batch?;
        // A lone last image has no variance.
        if batch.ids.len() < 2 {
            continue;
        }
        let images = to_tensor(&batch, unfolding.model())?;
        unfolding.add(&images)?;
        if first.is_none() {
            first = Some((unfolding.model().embed(&images)?, images));
        }
        done += batch.ids.len();
        let (stage, total) = (Stage::Measure, ids.len());
        observer.event(&Event::Progress { stage, done, total });
    }
    let model = unfolding.finish()?;
    let moved = first.map_or(Ok(0.0), |(before, images)| moved(&model, &before, &images))?;
    observer.event(&Event::Note(&format!(
        "batch norms are unfolded: they have the statistics of {done} training images, and no \
         number of an embedding has moved by more than {moved:.0e}"
    )));
    Ok(model)
}

/// The largest difference between a number of `before` and of the model's embeddings.
fn moved(model: &Model, before: &Tensor, images: &Tensor) -> Result<f32, TrainError> {
    let apart = (model.embed(images)? - before)?.abs()?;
    Ok(apart.flatten_all()?.max(0)?.to_scalar::<f32>()?)
}

/// So many images at most, spread evenly over all.
fn spread(sizes: &[u32], most: usize) -> Vec<ImageId> {
    let total: u64 = sizes.iter().map(|&n| u64::from(n)).sum();
    let n = total.min(most as u64);
    let (mut identity, mut before) = (0, 0);
    let mut at = |place: u64| {
        while place >= before + u64::from(sizes[identity]) {
            before += u64::from(sizes[identity]);
            identity += 1;
        }
        ImageId {
            identity: identity as u32,
            image: (place - before) as u32,
        }
    };
    (0..n).map(|i| at(i * total / n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sizes: &[u32], most: usize, expected: &[(u32, u32)]) {
        let found = spread(sizes, most).into_iter();
        let found: Vec<_> = found.map(|id| (id.identity, id.image)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn measured_images_are_spread_over_all() {
        check(&[2, 0, 1], 9, &[(0, 0), (0, 1), (2, 0)]);
        // Places 0, 2, 5, 7 of ten.
        check(&[3, 3, 4], 4, &[(0, 0), (0, 2), (1, 2), (2, 1)]);
        check(&[], 4, &[]);
    }
}
