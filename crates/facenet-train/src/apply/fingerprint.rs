//! Which model made embeddings, and from pictures prepared how.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use facenet_dataset::Recipe;
use facenet_gallery::Source;
use facenet_model::TENSORS_FILE;
use sha2::{Digest, Sha256};

use crate::error::TrainError;
use crate::evaluate::ModelSource;
use crate::saved::saved_model;

/// What the embeddings of a model in use are bound to: the SHA-256 of its weights, the side of its
/// input and the recipe.
///
/// Precision and Winograd's algorithm are no part of it: they move the last digits only.
///
/// # Errors
/// [`TrainError::Model`] for a folder that is no model.
pub fn made_by(source: &ModelSource) -> Result<Source, TrainError> {
    let saved = saved_model(&source.model)?;
    let weights = source.model.join(TENSORS_FILE);
    let model = sha256(&weights).map_err(|error| {
        TrainError::checkpoint(
            &weights,
            format!("cannot be read ({error})"),
            "check that the folder is a model's",
        )
    })?;
    let recipe = source.recipe.as_ref().unwrap_or(&saved.recipe);
    Ok(Source {
        model,
        recipe: prepared(saved.model.image_size, recipe),
    })
}

/// How pictures are prepared, as one text.
fn prepared(side: usize, recipe: &Recipe) -> String {
    let recipe = serde_json::to_string(recipe).expect("numbers and names are JSON");
    format!("{side} pixels, {recipe}")
}

fn sha256(path: &Path) -> io::Result<[u8; 32]> {
    let mut reader = BufReader::with_capacity(1 << 18, File::open(path)?);
    let mut hash = Sha256::new();
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(hash.finalize().into());
        }
        hash.update(bytes);
        let read = bytes.len();
        reader.consume(read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_hash_is_that_of_its_bytes() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("x");
        std::fs::write(&path, "abc").expect("writable");
        // FIPS 180-2, appendix B.1.
        let found = sha256(&path).expect("readable");
        assert_eq!(found[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert!(sha256(&folder.path().join("y")).is_err());
    }
}
