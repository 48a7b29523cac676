//! Images by who seems to be on them, without knowing anybody.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use facenet_lfw::PairwiseScore;
use serde::{Deserialize, Serialize};

use crate::apply::average::{MAX_ROWS, average};
use crate::apply::dbscan::dbscan;
use crate::compute::on_threads;
use crate::embeddings_file::Stored;
use crate::error::TrainError;
use crate::evaluate::{Embedded, ModelSource, embed, list};
use crate::observer::Observer;
use crate::saved::saved_model;

/// By what images become clusters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterMethod {
    /// Average linkage: clusters merge while their images are on average below the threshold.
    #[default]
    Average,
    /// DBSCAN: chains of images of which each is below the threshold of the next.
    Dbscan,
}

/// How images become clusters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClusterConfig {
    /// By what.
    pub method: ClusterMethod,
    /// Below it images, or clusters of them, belong together, in squared L2.
    pub threshold: f64,
    /// Fewest images of a cluster; of DBSCAN, neighbours that make an image one that clusters grow
    /// from, itself among them. 1 or more.
    pub min_images: usize,
    /// Threads that compare; `None` takes all.
    pub threads: Option<usize>,
}

/// Fewest images of a cluster unless told otherwise.
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
/// [`TrainError::Config`] for more than `method` takes, before any is embedded. As [`embed`]; for
/// stored ones [`TrainError::Data`] unless the file is one of safetensors with `embeddings` and
/// `paths`, as many numbers each as the model gives.
pub fn to_cluster(
    source: Option<&ModelSource>,
    input: &Path,
    method: ClusterMethod,
    observer: &mut dyn Observer,
) -> Result<Embedded, TrainError> {
    let is_stored = input.extension().is_some_and(|it| it == "safetensors") && !input.is_dir();
    if let Some(source) = source.filter(|_| !is_stored) {
        let images = [input.to_owned()];
        check_count(method, list(&images)?.0.len())?;
        return embed(source, &images, observer);
    }
    let stored = Stored::read(input)?;
    check_count(method, stored.rows.len() / stored.dim.max(1))?;
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

/// Refuses more images than a method compares.
fn check_count(method: ClusterMethod, n_images: usize) -> Result<(), TrainError> {
    if method == ClusterMethod::Dbscan || n_images <= MAX_ROWS {
        return Ok(());
    }
    Err(beyond_average(format!(
        "found {n_images} images, expected {MAX_ROWS} at most by average"
    )))
}

/// Average linkage holds 4 bytes for each two images.
fn beyond_average(problem: String) -> TrainError {
    TrainError::config("--method", problem + "; give dbscan, or fewer images")
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

/// Puts images into clusters, the largest first, ties by their first image. The same images give the
/// same clusters.
///
/// # Errors
/// [`TrainError::Data`] for an embedding that holds NaN or infinity; [`TrainError::Config`] for more
/// images than average linkage takes, 46,341, or than memory does.
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
    let &ClusterConfig {
        method,
        threshold,
        min_images,
        threads,
    } = config;
    check_count(method, paths.len())?;
    let mut clusters = on_threads(threads, || match method {
        ClusterMethod::Average => average(rows, *dim, threshold).ok_or_else(|| {
            let n = paths.len();
            beyond_average(format!("no memory for the distances of {n} images"))
        }),
        ClusterMethod::Dbscan => Ok(dbscan(rows, *dim, threshold, min_images)),
    })?;
    clusters.retain(|images| images.len() >= min_images);
    clusters.sort_by_key(|images| (Reverse(images.len()), images[0]));
    let mut of = vec![None; paths.len()];
    for (cluster, images) in (0..).zip(&clusters) {
        for &image in images {
            of[image] = Some(cluster);
        }
    }
    let named = |images: &Vec<usize>| images.iter().map(|&image| paths[image].clone()).collect();
    let alone = (0..paths.len()).filter(|&image| of[image].is_none());
    Ok(Clustered {
        unclustered: named(&alone.collect()),
        clusters: clusters.iter().map(named).collect(),
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
        method: ClusterMethod::Dbscan,
        threshold: 0.02,
        min_images: 2,
        threads: Some(1),
    };

    #[test]
    fn images_are_listed_by_cluster_and_scored_by_folder() {
        let found = cluster(&some(), &CONFIG).expect("finite");
        assert_eq!(found.clusters, [["p/Ann/1", "p/Ann/2", "p/Cyd/1"]]);
        assert_eq!(found.unclustered, ["p/Bob/1"]);
        let average = ClusterConfig {
            method: ClusterMethod::Average,
            ..CONFIG
        };
        let near = cluster(&some(), &average).expect("finite");
        assert_eq!(near.clusters, [["p/Ann/1", "p/Ann/2"]], "Cyd is 0.025 away");
        assert_eq!(near.unclustered, ["p/Bob/1", "p/Cyd/1"]);
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
    fn more_images_than_average_linkage_takes_are_refused() {
        let mut many = some();
        many.paths = vec!["a".to_owned(); MAX_ROWS + 1];
        many.rows = vec![0.0; MAX_ROWS + 1];
        let config = ClusterConfig {
            method: ClusterMethod::Average,
            ..CONFIG
        };
        let error = cluster(&many, &config).expect_err("too many").to_string();
        assert!(
            error.contains("found 46342 images, expected 46341 at most by average; give dbscan"),
            "{error}"
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
