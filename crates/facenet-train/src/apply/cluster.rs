//! Images by who seems to be on them, without knowing anybody.

use std::path::{Path, PathBuf};

use facenet_lfw::PairwiseScore;
use serde::Serialize;

use crate::apply::dbscan::dbscan;
use crate::compute::on_threads;
use crate::embeddings_file::Stored;
use crate::error::TrainError;
use crate::evaluate::{Embedded, ModelSource, embed};
use crate::observer::Observer;
use crate::saved::saved_model;

/// How images become clusters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClusterConfig {
    /// Two images are neighbours below it, in squared L2.
    pub threshold: f64,
    /// Neighbours that make an image one that clusters grow from, itself among them; 1 or more.
    pub min_images: usize,
    /// Threads that compare; `None` takes all.
    pub threads: Option<usize>,
}

/// Neighbours that an image needs, itself among them, unless told otherwise: two suffice for a person
/// with two images, which most people of LFW have.
pub const DEFAULT_MIN_IMAGES: usize = 2;

/// Images in clusters.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Clustered {
    /// Images of each cluster, the largest first.
    pub clusters: Vec<Vec<String>>,
    /// Images that are in none.
    pub unclustered: Vec<String>,
    /// How well clusters agree with the folders that images lie in.
    pub score: PairwiseScore,
    /// Images that could not be read, and why.
    pub skipped: Vec<(String, String)>,
}

/// Embeddings to cluster: of images by a model, or as `embed` stored them, which a `.safetensors` file
/// and whatever is given without a model is taken for.
///
/// # Errors
/// As [`embed`]; for stored ones [`TrainError::Data`] unless the file is one of safetensors with
/// `embeddings` and `paths`, as many numbers each as the model gives.
pub fn to_cluster(
    source: Option<&ModelSource>,
    input: &Path,
    observer: &mut dyn Observer,
) -> Result<Embedded, TrainError> {
    let is_stored = input.extension().is_some_and(|it| it == "safetensors") && !input.is_dir();
    if let Some(source) = source.filter(|_| !is_stored) {
        return embed(source, &[input.to_owned()], observer);
    }
    let stored = Stored::read(input)?;
    if let Some(source) = source {
        check_dim(source, input, stored.dim)?;
    }
    let Some(paths) = stored.paths else {
        return Err(TrainError::Data {
            path: input.to_owned(),
            what: "found no path for each embedding, expected metadata `paths`".to_owned(),
            remedy: "give a file that `facenet embed` wrote".to_owned(),
        });
    };
    Ok(Embedded {
        rows: stored.rows,
        dim: stored.dim,
        paths,
        skipped: vec![],
    })
}

/// Stored embeddings do not say whose they are; those of another length are another model's.
fn check_dim(source: &ModelSource, input: &Path, dim: usize) -> Result<(), TrainError> {
    let expected = saved_model(&source.model)?.model.embedding_size;
    if dim == expected {
        return Ok(());
    }
    Err(TrainError::Data {
        path: input.to_owned(),
        what: format!("found embeddings of {dim} numbers, expected {expected}, as the model gives"),
        remedy: "give the model that made them".to_owned(),
    })
}

/// Puts images into clusters, by DBSCAN. The same images give the same clusters.
///
/// # Errors
/// [`TrainError::Data`] for an embedding that holds NaN or infinity.
pub fn cluster(embedded: &Embedded, config: &ClusterConfig) -> Result<Clustered, TrainError> {
    let Embedded {
        rows, dim, paths, ..
    } = embedded;
    if let Some(at) = rows.iter().position(|x| !x.is_finite()) {
        return Err(TrainError::Data {
            path: PathBuf::from(&paths[at / dim]),
            what: "its embedding is not finite".to_owned(),
            remedy: "use a model that has not diverged, or embed anew".to_owned(),
        });
    }
    let of = on_threads(config.threads, || {
        Ok(dbscan(rows, *dim, config.threshold, config.min_images))
    })?;
    let n_clusters = of
        .iter()
        .flatten()
        .max()
        .map_or(0, |&last| last as usize + 1);
    let mut clusters = vec![Vec::new(); n_clusters];
    let mut unclustered = Vec::new();
    for (path, cluster) in paths.iter().zip(&of) {
        match cluster {
            Some(cluster) => clusters[*cluster as usize].push(path.clone()),
            None => unclustered.push(path.clone()),
        }
    }
    Ok(Clustered {
        clusters,
        unclustered,
        score: PairwiseScore::of(&of, &folders(paths)),
        skipped: embedded.skipped.clone(),
    })
}

/// The folder that each image lies in, as a number.
fn folders(paths: &[String]) -> Vec<u32> {
    let mut numbers = std::collections::HashMap::new();
    let folder = |path: &String| Path::new(path).parent().map(Path::to_owned);
    let number = |path: &String| {
        let next = numbers.len() as u32;
        *numbers.entry(folder(path)).or_insert(next)
    };
    paths.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Embedded {
        let paths = ["p/Ann/1", "p/Bob/1", "p/Ann/2", "p/Cyd/1"];
        Embedded {
            rows: vec![0.0, 5.0, 0.1, 0.2],
            dim: 1,
            paths: paths.map(str::to_owned).to_vec(),
            skipped: vec![],
        }
    }

    const CONFIG: ClusterConfig = ClusterConfig {
        threshold: 0.02,
        min_images: 2,
        threads: Some(1),
    };

    #[test]
    fn images_are_listed_by_cluster_and_scored_by_folder() {
        let found = cluster(&some(), &CONFIG).expect("finite");
        assert_eq!(found.clusters, [["p/Ann/1", "p/Ann/2", "p/Cyd/1"]]);
        assert_eq!(found.unclustered, ["p/Bob/1"]);
        assert_eq!(
            (
                found.score.n_together,
                found.score.n_same,
                found.score.n_right
            ),
            (3, 1, 1)
        );
    }

    #[test]
    fn an_embedding_that_is_none_is_named() {
        let mut broken = some();
        broken.rows[2] = f32::NAN;
        let error = cluster(&broken, &CONFIG).expect_err("NaN").to_string();
        assert!(
            error.starts_with("p/Ann/2: its embedding is not finite"),
            "{error}"
        );
    }
}
