//! How far apart two images are.

use std::path::PathBuf;
use std::sync::Arc;

use crate::apply::people::embed_all;
use crate::compute::on_threads;
use crate::error::TrainError;
use crate::evaluate::ModelSource;
use crate::observer::Observer;
use crate::source::Files;

/// Squared L2 of the embeddings of two images, in `[0, 4]`.
///
/// # Errors
/// [`TrainError::Dataset`] where one of them cannot be read; as [`embed`](crate::embed) for the model.
pub fn verify(
    source: &ModelSource,
    images: &[PathBuf; 2],
    observer: &mut dyn Observer,
) -> Result<f64, TrainError> {
    on_threads(source.threads, || {
        let files = Files {
            paths: images.to_vec(),
            limits: source.limits,
        };
        let (rows, _) = embed_all(source, Arc::new(files), 0.0, observer)?;
        let (a, b) = rows.values.split_at(rows.dim);
        Ok(facenet_miner::sq_l2(a, b))
    })
}
