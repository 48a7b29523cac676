//! Using a saved model: scoring it, and embedding images with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use facenet_dataset::{DecodeLimits, Folder, ImageId, Pictures, Recipe};
use facenet_lfw::Report;
use facenet_model::{Arithmetic, Mode, Model, load_model};

use crate::agreement::check_statistics;
use crate::compute::{check_arithmetic, on_threads};
use crate::device::open_device;
use crate::embedder::{Rows, embed_pictures};
use crate::embeddings_file::Stored;
use crate::error::TrainError;
use crate::feed::{Feed, Pass, Purpose};
use crate::observer::{Observer, Stage};
use crate::saved::{SavedModel, saved_model, warn_of_strays};
use crate::scoring::{PairsSource, Protocol, ScoringSet};
use crate::source::Files;
use crate::storage::StoredScore;

/// A saved model and how it is to be fed.
#[derive(Clone, Debug)]
pub struct ModelSource {
    /// Model folder.
    pub model: PathBuf,
    /// Recipe to use instead of the model's own.
    pub recipe: Option<Recipe>,
    /// Permit a recipe other than the model's own.
    pub allow_recipe_mismatch: bool,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads that compute; `None` takes all that the process has.
    pub threads: Option<usize>,
    /// How the model's convolutions are computed.
    pub arithmetic: Arithmetic,
    /// Threads that decode images.
    pub loader_threads: usize,
    /// Images a forward pass.
    pub batch_size: usize,
    /// Bounds on one image.
    pub limits: DecodeLimits,
}

impl ModelSource {
    /// Pictures as the model takes them; more than `max_bad_share` unreadable ones are refused.
    pub(crate) fn feed(
        &self,
        pictures: Arc<dyn Pictures>,
        recipe: Recipe,
        model: &Model,
        max_bad_share: f64,
    ) -> Result<Feed, TrainError> {
        let side = model.config().image_size;
        Feed::plain(pictures, recipe, side, self.loader_threads, max_bad_share)
    }
}

/// A score.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The figures.
    pub report: Report,
    /// Pairs left out for want of an image; above 0 the result is not LFW's.
    pub missing: usize,
    /// The same for each form that embeddings are stored in, in the protocol's order; where the
    /// protocol adds mirrored images, first without them. `report` is that of the first form, with
    /// what the protocol asks for.
    pub stored: Vec<StoredScore>,
}

impl Evaluation {
    /// - `stored`: as the field
    /// - `is_flipped`: whether the protocol adds mirrored images
    ///
    /// # Errors
    /// [`TrainError::Config`] for a protocol without a form.
    pub(crate) fn new(
        stored: Vec<StoredScore>,
        is_flipped: bool,
        missing: usize,
    ) -> Result<Self, TrainError> {
        let asked = stored.iter().find(|score| score.is_flipped == is_flipped);
        let Some(asked) = asked else {
            let problem = "found no form, expected f32, f16 or int8";
            return Err(TrainError::config("--stored-as", problem));
        };
        Ok(Self {
            report: asked.report.clone(),
            missing,
            stored,
        })
    }
}

/// Embeddings of images, with the images that could not be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// `[paths.len(), dim]`, row-major unit rows.
    pub rows: Vec<f32>,
    /// Numbers of an embedding.
    pub dim: usize,
    /// The image of each row, as it was found.
    pub paths: Vec<String>,
    /// Images without a row, and why.
    pub skipped: Vec<(String, String)>,
}

/// Scores a saved model on pairs of images.
///
/// # Errors
/// [`TrainError::Model`] for a folder that is no model, [`TrainError::Config`] for a recipe
/// that is not the model's, and whatever is wrong with pairs or images.
pub fn evaluate(
    source: &ModelSource,
    pairs: &PairsSource,
    protocol: &Protocol,
    observer: &mut dyn Observer,
) -> Result<Evaluation, TrainError> {
    on_threads(source.threads, || {
        let set = ScoringSet::of_files(pairs, protocol.clone(), source.limits, observer)?;
        let (model, recipe) = open(source, observer)?;
        let feed = source.feed(set.pictures.clone(), recipe, &model, 0.0)?;
        score(&model, &feed, &set, source.batch_size, observer)
    })
}

/// Scores `model` on a set; its pictures go through `feed` as they are.
pub(crate) fn score(
    model: &Model,
    feed: &Feed,
    set: &ScoringSet,
    batch: usize,
    observer: &mut dyn Observer,
) -> Result<Evaluation, TrainError> {
    score_with_rows(model, feed, set, batch, observer).map(|(evaluation, _)| evaluation)
}

/// The same, with the pictures' embeddings.
pub(crate) fn score_with_rows(
    model: &Model,
    feed: &Feed,
    set: &ScoringSet,
    batch: usize,
    observer: &mut dyn Observer,
) -> Result<(Evaluation, Rows), TrainError> {
    let mut embed = |purpose| -> Result<Rows, TrainError> {
        let pass = Pass {
            purpose,
            epoch: 0,
            step: 0,
            ids: &set.ids,
            batch,
        };
        embed_pictures(model, feed, &pass, &Mode::Eval, Stage::Score, observer)
    };
    let rows = embed(Purpose::Score)?;
    let mirrored = if set.wants_mirrored() {
        Some(embed(Purpose::ScoreMirrored)?)
    } else {
        None
    };
    let evaluation = set.score(
        &rows.values,
        mirrored.as_ref().map(|rows| rows.values.as_slice()),
        rows.dim,
    )?;
    check_statistics(model, feed, set, &rows, batch, observer)?;
    Ok((evaluation, rows))
}

/// Scores stored embeddings: rows `2i` and `2i + 1` with `issame`, or rows by path and a pairs
/// file.
///
/// # Errors
/// [`TrainError::Data`] where the file holds neither, or lacks an image that the pairs name.
pub fn evaluate_embeddings(
    file: &Path,
    pairs: Option<&PairsSource>,
    protocol: &Protocol,
    observer: &mut dyn Observer,
) -> Result<Evaluation, TrainError> {
    Stored::read(file)?.evaluate(pairs, protocol, observer)
}

/// Embeds image files, and the images in folders and in folders of these, in the order given and
/// by name below.
///
/// An unreadable image is skipped and listed.
///
/// # Errors
/// As [`evaluate`], and [`TrainError::Data`] where not one image could be read.
pub fn embed(
    source: &ModelSource,
    images: &[PathBuf],
    observer: &mut dyn Observer,
) -> Result<Embedded, TrainError> {
    on_threads(source.threads, || embed_files(source, images, observer))
}

fn embed_files(
    source: &ModelSource,
    images: &[PathBuf],
    observer: &mut dyn Observer,
) -> Result<Embedded, TrainError> {
    let (paths, mut skipped) = list(images)?;
    let (rows, unreadable) = embed_paths(source, paths.clone(), observer)?;
    skipped.extend(unreadable);
    if rows.ids.is_empty() {
        return Err(TrainError::Data {
            path: images.first().cloned().unwrap_or_default(),
            what: none_readable(&skipped),
            remedy: READABLE.to_owned(),
        });
    }
    let path = |id: &ImageId| paths[id.image as usize].display().to_string();
    let paths = rows.ids.iter().map(path).collect();
    Ok(Embedded {
        rows: rows.values,
        dim: rows.dim,
        paths,
        skipped,
    })
}

/// Embeds image files in order; the ids of the rows count the paths. Unreadable ones have no row
/// and are listed.
pub(crate) fn embed_paths(
    source: &ModelSource,
    paths: Vec<PathBuf>,
    observer: &mut dyn Observer,
) -> Result<(Rows, Skipped), TrainError> {
    let limits = source.limits;
    embed_all(source, Arc::new(Files { paths, limits }), 1.0, observer)
}

/// Embeds every picture of a set, in order; unreadable ones have no row and are listed.
///
/// - `max_bad_share`: as in [`ModelSource::feed`]
///
/// # Errors
/// [`TrainError::Checkpoint`] for a model whose embeddings are not finite.
pub(crate) fn embed_all(
    source: &ModelSource,
    pictures: Arc<dyn Pictures>,
    max_bad_share: f64,
    observer: &mut dyn Observer,
) -> Result<(Rows, Skipped), TrainError> {
    let (model, recipe) = open(source, observer)?;
    let sizes = pictures.sizes();
    let identities = (0..).zip(&sizes);
    let images = identities.flat_map(|(identity, &n)| (0..n).map(move |image| (identity, image)));
    let ids: Vec<_> = images
        .map(|(identity, image)| ImageId { identity, image })
        .collect();
    let feed = source.feed(pictures, recipe, &model, max_bad_share)?;
    let pass = Pass {
        purpose: Purpose::Score,
        epoch: 0,
        step: 0,
        ids: &ids,
        batch: source.batch_size,
    };
    let rows = embed_pictures(&model, &feed, &pass, &Mode::Eval, Stage::Embed, observer)?;
    if rows.values.iter().any(|x| !x.is_finite()) {
        return Err(TrainError::checkpoint(
            &source.model,
            "the model gives embeddings that are not finite",
            "use a model that has not diverged",
        ));
    }
    Ok((rows, feed.quarantined()))
}

/// What is wrong where no image could be read, with the first one's reason.
fn none_readable(skipped: &Skipped) -> String {
    match skipped.first() {
        Some((_, reason)) => format!("not one readable image; the first: {reason}"),
        None => "not one readable image".to_owned(),
    }
}

/// Opens the model and settles its recipe.
pub(crate) fn open(
    source: &ModelSource,
    observer: &mut dyn Observer,
) -> Result<(Model, Recipe), TrainError> {
    check_arithmetic(source.arithmetic, &source.device)?;
    let device = open_device(&source.device)?;
    let SavedModel { recipe: own, .. } = saved_model(&source.model)?;
    let recipe = match &source.recipe {
        Some(wanted) if *wanted != own && !source.allow_recipe_mismatch => {
            return Err(TrainError::config("--recipe", mismatch(&own, wanted)));
        }
        Some(wanted) => wanted.clone(),
        None => own,
    };
    let (model, _, report) = load_model(&source.model, &device)?;
    warn_of_strays(&source.model, &report, observer);
    Ok((model.with_arithmetic(source.arithmetic), recipe))
}

fn mismatch(own: &Recipe, wanted: &Recipe) -> String {
    format!(
        "the model was trained with {own:?}, found {wanted:?}; drop the flag, or give \
         --allow-recipe-mismatch if you mean it"
    )
}

/// Files that were passed over, and why.
type Skipped = Vec<(String, String)>;

/// Files in the order given, folders replaced by the images in them and in their folders.
pub(crate) fn list(images: &[PathBuf]) -> Result<(Vec<PathBuf>, Skipped), TrainError> {
    let (mut paths, mut skipped) = (Vec::new(), Vec::new());
    for image in images {
        if image.to_str().is_none() {
            return Err(TrainError::Data {
                path: image.clone(),
                what: "this path is not UTF-8: rows could not be found again by it".to_owned(),
                remedy: "rename it, or give it by a path without that folder".to_owned(),
            });
        }
        if !image.is_dir() {
            paths.push(image.clone());
            continue;
        }
        let (found, passed_over) = Folder::images(image)?;
        if found.is_empty() {
            return Err(TrainError::Data {
                path: image.clone(),
                what: format!(
                    "no image found in it or in a folder of it ({} files and folders skipped)",
                    passed_over.len()
                ),
                remedy: READABLE.to_owned(),
            });
        }
        paths.extend(found);
        let reasons = passed_over.into_iter();
        skipped
            .extend(reasons.map(|file| (file.path.display().to_string(), file.reason.to_string())));
    }
    Ok((paths, skipped))
}

/// What to do where there is nothing to embed.
const READABLE: &str = "give JPEG, PNG, PGM, PPM or WebP files, or folders of them";

#[cfg(test)]
mod tests {
    use super::*;

    /// Before anything is embedded: clusters, thumbnails and pairs find an image by its text.
    #[cfg(unix)]
    #[test]
    fn a_path_that_is_no_text_is_refused_at_once() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"\xff/1.png")).to_owned();
        let error = list(&[path]).expect_err("no text");
        assert!(error.to_string().contains("rename it"), "{error}");
        assert_eq!(error.exit_class().code(), 3);
    }
}
