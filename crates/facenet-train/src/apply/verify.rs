//! How far apart two images are.

use std::path::PathBuf;
use std::sync::Arc;

use crate::compute::on_threads;
use crate::error::TrainError;
use crate::evaluate::{ModelSource, embed_all};
use crate::observer::Observer;
use crate::source::Files;

/// Squared L2 of the embeddings of two images, in `[0, 4]`.
///
/// # Errors
/// [`TrainError::Data`] where one of them cannot be read; as [`embed`](crate::embed) for the model.
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
        let (rows, unreadable) = embed_all(source, Arc::new(files), 1.0, observer)?;
        if let Some((path, reason)) = unreadable.into_iter().next() {
            return Err(cannot_be_read(path.into(), &reason));
        }
        let (a, b) = rows.values.split_at(rows.dim);
        Ok(facenet_miner::sq_l2(a, b))
    })
}

/// A reason that a decoder gave begins with the path.
fn cannot_be_read(path: PathBuf, reason: &str) -> TrainError {
    let prefix = format!("{}: ", path.display());
    TrainError::Data {
        what: reason.strip_prefix(&prefix).unwrap_or(reason).to_owned(),
        path,
        remedy: "give two images as JPEG, PNG, PGM, PPM or WebP files".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_once() {
        let error = cannot_be_read("a.jpg".into(), "a.jpg: too short");
        let says = "a.jpg: too short; give two images as JPEG, PNG, PGM, PPM or WebP files";
        assert_eq!(error.to_string(), says);
        assert_eq!(error.exit_class().code(), 3);
    }
}
