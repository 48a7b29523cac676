//! The pairs that a model is most wrong about.

use facenet_dataset::thumbnail;
use facenet_lfw::Report;
use serde::Serialize;

use super::pairs::Shown;
use crate::error::TrainError;

/// Pairs of either kind that are listed.
const LISTED: usize = 12;

/// The pairs that are decided wrongly at the threshold of their fold: the furthest from it first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Hardest {
    /// Different pairs that are accepted.
    pub n_false_accepts: usize,
    /// Same pairs that are rejected.
    pub n_false_rejects: usize,
    /// The nearest of the different pairs that are accepted.
    pub false_accepts: Vec<HardPair>,
    /// The furthest of the same pairs that are rejected.
    pub false_rejects: Vec<HardPair>,
}

/// A pair that is decided wrongly.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HardPair {
    /// Its images as the pairs name them.
    pub images: [String; 2],
    /// Squared L2 of their embeddings.
    pub sq_l2: f64,
    /// Squared L2 below which its fold accepts.
    pub threshold: f64,
    /// Number of its fold.
    pub fold: u32,
    /// The images, small, as PNG; empty unless they were asked for.
    #[serde(skip)]
    pub thumbnails: Vec<Vec<u8>>,
}

impl Hardest {
    /// - `distances`: squared L2 of each pair
    /// - `folds`: number of each pair's fold
    /// - `side`: of thumbnails, where some are wanted
    ///
    /// # Errors
    /// [`TrainError::Dataset`] for an image that cannot be read again.
    pub(super) fn of(
        shown: &Shown,
        report: &Report,
        (distances, folds): (&[f64], &[u32]),
        side: Option<usize>,
    ) -> Result<Self, TrainError> {
        let threshold = |pair: usize| {
            let at = report.folds.partition_point(|&fold| fold < folds[pair]);
            report.best_thresholds[at]
        };
        let wrong = |is_same: bool| -> Vec<usize> {
            let pairs = 0..distances.len();
            let wrong = pairs.filter(|&pair| {
                let is_accepted = distances[pair] < threshold(pair);
                shown.set.is_same(pair) == is_same && is_accepted != is_same
            });
            let mut wrong: Vec<_> = wrong.collect();
            let beyond = |&pair: &usize| (distances[pair] - threshold(pair)).abs();
            wrong.sort_by(|a, b| beyond(b).total_cmp(&beyond(a)));
            wrong
        };
        let listed = |pairs: &[usize]| -> Result<Vec<HardPair>, TrainError> {
            let listed = pairs.iter().take(LISTED);
            let pair = |&pair: &usize| {
                Ok(HardPair {
                    images: shown.set.pairs()[pair].map(|image| shown.names[image].clone()),
                    sq_l2: distances[pair],
                    threshold: threshold(pair),
                    fold: folds[pair],
                    thumbnails: thumbnails(shown, shown.set.pairs()[pair], side)?,
                })
            };
            listed.map(pair).collect()
        };
        let (accepts, rejects) = (wrong(false), wrong(true));
        Ok(Self {
            n_false_accepts: accepts.len(),
            n_false_rejects: rejects.len(),
            false_accepts: listed(&accepts)?,
            false_rejects: listed(&rejects)?,
        })
    }
}

fn thumbnails(
    shown: &Shown,
    images: [usize; 2],
    side: Option<usize>,
) -> Result<Vec<Vec<u8>>, TrainError> {
    let Some(side) = side else {
        return Ok(Vec::new());
    };
    let small = |image: usize| {
        let picture = shown.set.pictures.load(shown.set.ids[image])?;
        Ok(thumbnail(&picture, side)?)
    };
    images.into_iter().map(small).collect()
}
