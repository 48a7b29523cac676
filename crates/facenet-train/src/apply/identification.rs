//! Closed- and open-set identification figures of a model.

use std::path::Path;

use facenet_lfw::{Faces, Identification, identification};

use crate::apply::people::embed_people;
use crate::compute::on_threads;
use crate::embeddings_file::Stored;
use crate::error::TrainError;
use crate::evaluate::ModelSource;
use crate::observer::Observer;

/// Identification figures on a folder of people, and the files passed over: [`facenet_lfw::identification`]
/// has the protocol.
///
/// # Errors
/// As [`embed_people`]; [`TrainError::Lfw`] where nobody has two images.
pub fn evaluate_identification(
    source: &ModelSource,
    root: &Path,
    false_alarm_target: f64,
    observer: &mut dyn Observer,
) -> Result<(Identification, Vec<(String, String)>), TrainError> {
    let people = embed_people(source, root, observer)?;
    on_threads(source.threads, || {
        let faces = Faces::new(&people.rows, people.dim, &people.owners)?;
        Ok((identification(&faces, false_alarm_target)?, people.skipped))
    })
}

/// The same of stored embeddings with `paths` `.../<identity>/<image>`.
///
/// # Errors
/// [`TrainError::Data`] for a file without paths.
pub fn evaluate_stored_identification(
    file: &Path,
    false_alarm_target: f64,
) -> Result<Identification, TrainError> {
    let stored = Stored::read(file)?;
    let Some(paths) = &stored.paths else {
        return Err(TrainError::Data {
            path: file.to_owned(),
            what: "found no metadata `paths`, which say whose image each is".to_owned(),
            remedy: "give a file that `facenet embed` wrote".to_owned(),
        });
    };
    let (rows, owners) = by_path(&stored.rows, stored.dim, paths);
    let faces = Faces::new(&rows, stored.dim, &owners)?;
    Ok(identification(&faces, false_alarm_target)?)
}

/// Rows in the order of their paths, as a folder is read, and whose image each is.
fn by_path(rows: &[f32], dim: usize, paths: &[String]) -> (Vec<f32>, Vec<u32>) {
    let mut order: Vec<_> = rows.chunks(dim).zip(paths).collect();
    order.sort_by_key(|&(_, path)| (folder(path), path.as_str()));
    let mut owner = 0;
    let owners = order.windows(2).map(|pair| {
        owner += u32::from(folder(pair[0].1) != folder(pair[1].1));
        owner
    });
    let owners = order.first().map(|_| 0).into_iter().chain(owners).collect();
    let rows = order.iter().flat_map(|(row, _)| *row).copied().collect();
    (rows, owners)
}

fn folder(path: &str) -> &str {
    path.rsplit_once(['/', '\\'])
        .map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_ordered_as_a_folder_is_read() {
        let paths = ["x/Bob/2", "x/Ann/1", "x/Bob/1", "x/Cyd/1"].map(str::to_owned);
        let (rows, owners) = by_path(&[1.0, 2.0, 3.0, 4.0], 1, &paths);
        assert_eq!((rows, owners), (vec![2.0, 3.0, 1.0, 4.0], vec![0, 1, 1, 2]));
        assert_eq!(by_path(&[], 1, &[]), (vec![], vec![]));
    }
}
