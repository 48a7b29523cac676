//! Embeddings of a folder of identities.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use facenet_dataset::{Folder, Pictures};

use crate::compute::on_threads;
use crate::embedder::Rows;
use crate::error::TrainError;
use crate::evaluate::{ModelSource, embed_all};
use crate::observer::Observer;

/// Embedded images of people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbeddedPeople {
    /// `[n, dim]`, row-major unit rows.
    pub rows: Vec<f32>,
    /// Numbers of an embedding.
    pub dim: usize,
    /// Whose image each row is, an index of `names`; ascending.
    pub owners: Vec<u32>,
    /// People with a readable image, by name.
    pub names: Vec<String>,
    /// The image of each row.
    pub paths: Vec<PathBuf>,
    /// Images without a row, and why.
    pub skipped: Vec<(String, String)>,
}

impl EmbeddedPeople {
    /// Each person's name with their rows, in order.
    pub fn each(&self) -> impl Iterator<Item = (&str, &[f32])> {
        let mut from = 0;
        let chunks = self.owners.chunk_by(|a, b| a == b);
        chunks.map(move |person| {
            let rows = &self.rows[from * self.dim..][..person.len() * self.dim];
            from += person.len();
            (self.names[person[0] as usize].as_str(), rows)
        })
    }
}

/// Embeds all images of the identity folders in `root`, by name; unreadable ones are listed.
///
/// # Errors
/// [`TrainError::Dataset`] for a folder without identities, [`TrainError::Data`] where not one image
/// can be read, and as [`embed`](crate::embed) for the model.
pub fn embed_people(
    source: &ModelSource,
    root: &Path,
    observer: &mut dyn Observer,
) -> Result<EmbeddedPeople, TrainError> {
    on_threads(source.threads, || {
        let folder = Folder::scan(root, &source.limits)?;
        embed_folder(source, folder, observer)
    })
}

/// As [`embed_people`], of a folder that has been scanned; on the threads at hand.
pub(super) fn embed_folder(
    source: &ModelSource,
    folder: Folder,
    observer: &mut dyn Observer,
) -> Result<EmbeddedPeople, TrainError> {
    let folder = Arc::new(folder);
    let (rows, mut skipped) = embed_all(source, folder.clone(), 1.0, observer)?;
    if rows.ids.is_empty() {
        let reason = skipped.first().map_or("", |(_, reason)| reason.as_str());
        return Err(TrainError::Data {
            path: folder.root.clone(),
            what: format!("not one readable image; the first: {reason}"),
            remedy: "give a folder <root>/<identity>/<image> of JPEG, PNG, PGM, PPM or WebP files"
                .to_owned(),
        });
    }
    let passed = folder.skipped.iter();
    skipped.extend(passed.map(|one| (one.path.display().to_string(), one.reason.to_string())));
    Ok(people(&folder, rows, skipped))
}

/// Rows by person; numbers of people of whom nothing was readable are closed up.
fn people(folder: &Folder, rows: Rows, skipped: Vec<(String, String)>) -> EmbeddedPeople {
    let mut found = EmbeddedPeople {
        rows: rows.values,
        dim: rows.dim,
        skipped,
        ..EmbeddedPeople::default()
    };
    let mut last = None;
    for &id in &rows.ids {
        if last != Some(id.identity) {
            found.names.push(folder.identity_name(id.identity));
            last = Some(id.identity);
        }
        found.owners.push(found.names.len() as u32 - 1);
        found.paths.extend(folder.path(id).map(Path::to_owned));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use facenet_dataset::{DecodeLimits, ImageId};

    #[test]
    fn people_without_a_row_are_closed_up() {
        let root = tempfile::tempdir().expect("a scratch folder");
        for name in ["a/1.pgm", "b/1.pgm", "c/1.pgm", "c/2.pgm"] {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().expect("below")).expect("writable");
            std::fs::write(path, b"P5 1 1 255\n\x07").expect("writable");
        }
        let folder = Folder::scan(root.path(), &DecodeLimits::default()).expect("identities");
        let id = |identity, image| ImageId { identity, image };
        let rows = Rows {
            values: vec![0.0, 1.0, 2.0],
            dim: 1,
            ids: vec![id(0, 0), id(2, 0), id(2, 1)],
        };
        let found = people(&folder, rows, vec![]);
        assert_eq!(found.owners, [0, 1, 1]);
        let each: Vec<_> = found.each().collect();
        assert_eq!(each, [("a", &[0.0][..]), ("c", &[1.0, 2.0])]);
        assert!(found.paths[2].ends_with("c/2.pgm"));
    }
}
