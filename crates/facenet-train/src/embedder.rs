//! Embeddings of many pictures with one model.

use candle_core::Tensor;
use facenet_dataset::{Batch, ImageId};
use facenet_model::{KeptWeights, Mode, Model, TrainPass};

use crate::error::TrainError;
use crate::feed::{Feed, Pass};
use crate::observer::{Event, Observer, Stage};
use crate::stopping::check_stop;

/// Embedding rows and the pictures they belong to; unreadable pictures have no row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    /// `[ids.len(), dim]`, row-major.
    pub(crate) values: Vec<f32>,
    pub(crate) dim: usize,
    pub(crate) ids: Vec<ImageId>,
}

/// Embeds `ids` in order, `batch` at a time, without a graph.
///
/// # Errors
/// [`TrainError::Dataset`] where too many pictures are unreadable.
pub(crate) fn embed_pictures(
    model: &Model,
    feed: &Feed,
    pass: &Pass<'_>,
    mode: &Mode,
    stage: Stage,
    observer: &mut dyn Observer,
) -> Result<Rows, TrainError> {
    let mut rows = Rows {
        dim: model.config().embedding_size,
        ..Rows::default()
    };
    let weights = KeptWeights::default();
    for batch in feed.batches(pass) {
        check_stop(observer)?;
        let batch = batch?;
        let images = to_tensor(&batch, model)?;
        let embeddings = match mode {
            Mode::Eval => model.embed_with(&images, &weights)?,
            Mode::Train(_) => model.embed_as(&images, mode)?,
        };
        rows.values
            .extend(embeddings.flatten_all()?.to_vec1::<f32>()?);
        rows.ids.extend(batch.ids);
        let (done, total) = (rows.ids.len(), pass.ids.len());
        observer.event(&Event::Progress { stage, done, total });
    }
    Ok(rows)
}

/// The batch as `[n, 3, side, side]` on the model's device.
pub(crate) fn to_tensor(batch: &Batch, model: &Model) -> Result<Tensor, TrainError> {
    let side = model.config().image_size;
    let shape = (batch.ids.len(), 3, side, side);
    Ok(Tensor::from_slice(&batch.images, shape, model.device())?)
}

/// The mode that mines as the reference does: batch statistics, dropout, moving averages.
pub(crate) fn reference_mining_mode(seed: u64, epoch: u64, round: u64, keep: f64) -> Mode {
    let dropout = (keep < 1.0).then_some(facenet_model::DropoutKey {
        seed: seed ^ MINING_DROPOUT,
        epoch,
        step: round,
    });
    Mode::Train(TrainPass {
        dropout,
        update_statistics: true,
        ..TrainPass::default()
    })
}

/// Keeps the dropout masks of mining apart from those of training steps.
const MINING_DROPOUT: u64 = u64::from_le_bytes(*b"minedrop");
