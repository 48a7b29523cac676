//! What a run has to show: its logs as series, and a saved model of it on the pairs that it was
//! scored on.

mod course;
mod files;
mod hardest;
mod held_out;
mod pairs;
mod plane;
mod projection;
mod scores;

use std::path::PathBuf;

use facenet_model::Arithmetic;
use serde::Serialize;

pub use course::{CoursePoint, RunCourse};
pub use hardest::{HardPair, Hardest};
pub use held_out::{FarPoint, HeldOut};
pub use projection::{Projected, Projection};
pub use scores::{Score, Scores};

use crate::compute::on_threads;
use crate::error::TrainError;
use crate::evaluate::ModelSource;
use crate::observer::Observer;
use files::RunFiles;

/// Which run, and how its model is to be used.
#[derive(Clone, Debug)]
pub struct ReportRequest {
    /// The run's log folder or model folder.
    pub run: PathBuf,
    /// A model of the run by the name of its folder, or any model folder; `None` takes the best, or
    /// the last where no best was kept.
    pub model: Option<PathBuf>,
    /// Where the images of the pairs lie, in place of what the run's configuration has.
    pub lfw_dir: Option<PathBuf>,
    /// Pairs file, in place of what the run's configuration has.
    pub lfw_pairs: Option<PathBuf>,
    /// Longer side of the pictures of the hardest pairs, in pixels; `None` keeps pictures out of the
    /// report.
    pub thumbnail_side: Option<usize>,
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
}

/// What a run has to show.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunReport {
    /// Name of the run, which its folders have.
    pub run: String,
    /// Its log folder.
    pub log_dir: PathBuf,
    /// Its model folder; `None` where there is none.
    pub model_dir: Option<PathBuf>,
    /// Its configuration, under the names of the flags.
    pub settings: Vec<(String, String)>,
    /// Its steps.
    pub course: RunCourse,
    /// Its scores while it ran.
    pub scores: Scores,
    /// One of its models on the pairs that it was scored on; `None` where there are no pairs, or no
    /// model.
    pub held_out: Option<HeldOut>,
    /// What is missing or was passed over, a sentence each.
    pub notes: Vec<String>,
}

/// Gathers what a run has to show: reads its logs, and embeds the images of its pairs.
///
/// # Errors
/// [`TrainError::Data`] for a folder that is no run's; [`TrainError::Io`] for logs that cannot be
/// read; as [`evaluate`](crate::evaluate) for the model, pairs and images.
pub fn run_report(
    request: &ReportRequest,
    observer: &mut dyn Observer,
) -> Result<RunReport, TrainError> {
    let files = RunFiles::find(&request.run)?;
    let mut notes = Vec::new();
    let course = RunCourse::read(&files.log_dir, &mut notes)?;
    let scores = Scores::read(&files.log_dir, &mut notes)?;
    let held_out = on_threads(request.threads, || {
        held_out::of_run(request, &files, &mut notes, observer)
    })?;
    Ok(RunReport {
        settings: files.settings(),
        run: files.name,
        log_dir: files.log_dir,
        model_dir: files.model_dir,
        course,
        scores,
        held_out,
        notes,
    })
}

impl ReportRequest {
    /// How the model in `model` is fed.
    fn source(&self, model: PathBuf, limits: facenet_dataset::DecodeLimits) -> ModelSource {
        ModelSource {
            model,
            recipe: None,
            allow_recipe_mismatch: false,
            device: self.device.clone(),
            threads: self.threads,
            arithmetic: self.arithmetic,
            loader_threads: self.loader_threads,
            batch_size: self.batch_size,
            limits,
        }
    }
}
