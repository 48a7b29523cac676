//! A model of a run on pairs of people.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use facenet_lfw::{
    CurvePoint, Faces, Histogram, LfwError, Metric, OperatingPoint, Report, calibrate, distances,
    roc_curve,
};
use facenet_model::load_config;
use serde::Serialize;

use super::ReportRequest;
use super::files::RunFiles;
use super::hardest::Hardest;
use super::pairs::Shown;
use super::projection::Projection;
use crate::config::TrainConfig;
use crate::embedder::Rows;
use crate::error::TrainError;
use crate::evaluate::{open, score_with_rows};
use crate::known::note_of_known;
use crate::observer::Observer;
use crate::run::{BEST_DIR, EMA_DIR, MODEL_DIR};

/// False accept rates that the validation rate is told at, where the people show them.
const FAR_TARGETS: [f64; 3] = [1e-1, 1e-2, 1e-3];
/// Points of the curve, at most.
const CURVE_POINTS: usize = 400;
/// Bins of distances: 0.05 each.
const BINS: usize = 80;

/// A model on pairs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeldOut {
    /// The model's folder.
    pub model: PathBuf,
    /// Steps that it was trained for; `None` where its folder does not say.
    pub model_steps: Option<u64>,
    /// Whether it was kept for its score on pairs, which flatters it on the same ones.
    pub is_chosen_by_score: bool,
    /// People on the images.
    pub people: usize,
    /// Images.
    pub images: usize,
    /// Pairs of people among the different pairs, each counted once: ten over a rate are needed to
    /// show it.
    pub people_pairs: usize,
    /// Pairs left out for want of an image.
    pub missing_pairs: usize,
    /// The figures of the protocol.
    pub report: Report,
    /// The ROC curve of all pairs.
    pub curve: Vec<CurvePoint>,
    /// The curve at round rates.
    pub far_points: Vec<FarPoint>,
    /// Distances of the pairs.
    pub histogram: Histogram,
    /// Middle of the folds' accuracy thresholds, in squared L2.
    pub threshold: f64,
    /// The pairs that it is most wrong about.
    pub hardest: Hardest,
    /// Its embeddings in two dimensions; `None` where they are all the same.
    pub projection: Option<Projection>,
}

/// The threshold of a false accept rate, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FarPoint {
    /// The rate asked for.
    pub far_target: f64,
    /// What it gives, with intervals; `None` where the people cannot show it.
    pub point: Option<OperatingPoint>,
    /// Why there is none.
    pub refusal: Option<String>,
}

/// Shows the request's model, or the run's; what is missing is noted.
///
/// # Errors
/// As [`evaluate`](crate::evaluate).
pub(super) fn of_run(
    request: &ReportRequest,
    files: &RunFiles,
    notes: &mut Vec<String>,
    observer: &mut dyn Observer,
) -> Result<Option<HeldOut>, TrainError> {
    let Some(model) = model_of(request, files) else {
        notes.push(
            "No model of the run was found, so nothing is shown of held-out people.".to_owned(),
        );
        return Ok(None);
    };
    let Some(shown) = Shown::of(request, files, observer)? else {
        notes.push("The run has no pairs, so nothing is shown of held-out people.".to_owned());
        return Ok(None);
    };
    let own = files.model_dir.as_deref().and_then(real);
    let is_own = real(&model)
        .zip(own)
        .is_some_and(|(model, own)| model.starts_with(own));
    if let Some(config) = files.config.as_ref().filter(|_| is_own) {
        notes.extend(note_of_known(config, shown.set.paths()));
    }
    held_out(request, model, &shown, files, observer).map(Some)
}

/// The model named, as a folder of the run or by itself; else the best, the last, the average.
fn model_of(request: &ReportRequest, files: &RunFiles) -> Option<PathBuf> {
    let within = |name: &Path| files.model_dir.as_ref().map(|dir| dir.join(name));
    if let Some(named) = &request.model {
        let own = within(named).filter(|dir| dir.is_dir());
        return Some(own.unwrap_or_else(|| named.clone()));
    }
    let names = [BEST_DIR, MODEL_DIR, EMA_DIR].map(Path::new);
    let mut kept = names.into_iter().filter_map(within);
    kept.find(|dir| dir.is_dir())
}

fn held_out(
    request: &ReportRequest,
    model_dir: PathBuf,
    shown: &Shown,
    files: &RunFiles,
    observer: &mut dyn Observer,
) -> Result<HeldOut, TrainError> {
    let limits = files.config.as_ref().map(TrainConfig::decode_limits);
    let source = request.source(model_dir, limits.unwrap_or_default());
    let (model, recipe) = open(&source, observer)?;
    let set = &shown.set;
    let feed = source.feed(set.pictures.clone(), recipe, &model, 0.0)?;
    let (evaluation, rows) = score_with_rows(&model, &feed, set, source.batch_size, observer)?;
    let is_same: Vec<_> = (0..set.pairs().len())
        .map(|pair| set.is_same(pair))
        .collect();
    let distances = distances(&set.interleave(&rows)?, rows.dim, Metric::SquaredL2)?;
    let folds = set.folds().of_each(is_same.len())?;
    let report = evaluation.report;
    Ok(HeldOut {
        model_steps: load_config(&source.model)?.training["steps"].as_u64(),
        is_chosen_by_score: is_best(&source.model, request, files),
        people: shown.people.len(),
        images: set.ids.len(),
        people_pairs: people_pairs(shown),
        missing_pairs: set.missing,
        curve: roc_curve(&distances, &is_same, CURVE_POINTS)?,
        far_points: far_points(&rows, shown)?,
        histogram: Histogram::of(&distances, &is_same, BINS)?,
        threshold: middle(&report.best_thresholds),
        hardest: Hardest::of(shown, &report, (&distances, &folds), request.thumbnail_side)?,
        projection: Projection::of(&rows, &shown.owners, &shown.people),
        model: source.model,
        report,
    })
}

fn people_pairs(shown: &Shown) -> usize {
    let people = |pair: &[usize; 2]| pair.map(|image| shown.owners[image]);
    let pairs = shown.set.pairs().iter().map(people);
    let met: HashSet<_> = pairs
        .filter(|[a, b]| a != b)
        .map(|[a, b]| (a.min(b), a.max(b)))
        .collect();
    met.len()
}

/// A path without links and detours, if it leads anywhere.
fn real(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()
}

/// Whether the model was kept for its score on the pairs that it is shown on: the run's own.
fn is_best(model: &Path, request: &ReportRequest, files: &RunFiles) -> bool {
    let is_scored = files.config.is_some();
    let own_pairs = request.lfw_dir.is_none() && request.lfw_pairs.is_none();
    let best = files.model_dir.as_ref().map(|dir| dir.join(BEST_DIR));
    is_scored && own_pairs && best.is_some_and(|best| real(model) == real(&best))
}

/// The thresholds of [`FAR_TARGETS`], each with its intervals or why there is none.
fn far_points(rows: &Rows, shown: &Shown) -> Result<Vec<FarPoint>, TrainError> {
    let faces = Faces::new(&rows.values, rows.dim, &shown.owners)?.only(shown.set.pairs())?;
    let point = |far_target: f64| match calibrate(&faces, &[far_target]) {
        Ok(mut points) => Ok(FarPoint {
            far_target,
            point: points.pop(),
            refusal: None,
        }),
        Err(error @ (LfwError::Unsupported { .. } | LfwError::Tied { .. })) => Ok(FarPoint {
            far_target,
            point: None,
            refusal: Some(error.to_string()),
        }),
        Err(error) => Err(error.into()),
    };
    FAR_TARGETS.into_iter().map(point).collect()
}

/// The middle one, or the mean of the two in the middle.
///
/// - `values`: not empty
fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    f64::midpoint(sorted[half], sorted[(sorted.len() - 1) / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_an_even_number_lies_between_two() {
        assert_eq!(middle(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(middle(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
