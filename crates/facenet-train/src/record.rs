//! What a run leaves on disk while it goes: text logs, TensorBoard events, checkpoints.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use facenet_files::{Disk, append_line, make_folders, sweep};
use facenet_lfw::Report;
use facenet_miner::Statistics;
use jiff::Timestamp;
use serde::Serialize;

use crate::checkpoint::{Checkpoint, prune};
use crate::claim::Claim;
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::events::EventWriter;
use crate::progress::Progress;
use crate::run_folder::{GitRevision, RunFolder, run_name};
use crate::step::{Shown, Stepped};
use crate::watch::Health;

/// Where the program's source lay when it was built: its revision is what the log names, not that
/// of the user's working folder.
const SOURCE_DIR: &str = env!("CARGO_MANIFEST_DIR");
/// Checkpoints kept, besides the best and the one that a rollback goes to.
const KEPT: usize = 3;

/// File of the log folder with a JSON object a step, one a line.
pub const STEPS_FILE: &str = "steps.jsonl";

/// A line of [`STEPS_FILE`].
#[derive(Serialize)]
struct StepLine<'a> {
    /// Steps made, this one included.
    step: u64,
    loss: f64,
    learning_rate: f64,
    images: usize,
    #[serde(flatten)]
    health: &'a Health,
}

/// The open logs of a run.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) folder: RunFolder,
    /// Opened by the first event: a start that trains nothing leaves no file.
    events: Option<EventWriter>,
    _claim: Claim,
}

impl Record {
    /// Makes the folders of a new run.
    ///
    /// # Errors
    /// [`TrainError::File`] where a base folder cannot be written.
    pub(crate) fn create(
        config: &TrainConfig,
        command_line: &[String],
    ) -> Result<Self, TrainError> {
        let name = run_name(&jiff::Zoned::now());
        let folder = RunFolder::create(&config.logs_base_dir, &config.models_base_dir, &name)?;
        let claim = Claim::of(folder.model_dir())?;
        Self::open(folder, claim, config, command_line)
    }

    /// Goes on in the folders of a run.
    ///
    /// - `claim`: of `model_dir`
    ///
    /// # Errors
    /// [`TrainError::File`] where they cannot be written.
    pub(crate) fn reopen(
        config: &TrainConfig,
        model_dir: &Path,
        claim: Claim,
        command_line: &[String],
    ) -> Result<Self, TrainError> {
        let name = model_dir.file_name().unwrap_or_default();
        let log_dir = config.logs_base_dir.join(name);
        make_folders(&Disk, &log_dir)?;
        for dir in [&log_dir, model_dir] {
            sweep(&Disk, dir)?;
        }
        let folder = RunFolder::existing(Arc::new(Disk), log_dir, model_dir.to_owned());
        Self::open(folder, claim, config, command_line)
    }

    fn open(
        folder: RunFolder,
        claim: Claim,
        config: &TrainConfig,
        command_line: &[String],
    ) -> Result<Self, TrainError> {
        folder.write_arguments(&config.arguments())?;
        folder.write_config(&config.to_toml())?;
        let git = GitRevision::of(Path::new(SOURCE_DIR));
        let version = env!("CARGO_PKG_VERSION");
        folder.write_revision(&command_line.join(" "), version, git.as_ref())?;
        Ok(Self {
            folder,
            events: None,
            _claim: claim,
        })
    }

    fn write(&mut self, step: u64, values: &[(&str, f32)]) -> Result<(), TrainError> {
        let events = match &mut self.events {
            Some(events) => events,
            closed => {
                let folder = &self.folder;
                let opened = EventWriter::create_on(folder.files(), folder.log_dir(), now())?;
                closed.insert(opened)
            }
        };
        events.write(now(), step, values)
    }

    pub(crate) fn mined(
        &mut self,
        step: u64,
        statistics: &Statistics,
        seconds: f64,
    ) -> Result<(), TrainError> {
        let values = [
            ("time/selection", seconds as f32),
            ("mining/active_share", statistics.active_share as f32),
        ];
        self.write(step, &values)
    }

    pub(crate) fn stepped(
        &mut self,
        progress: &Progress,
        made: &Stepped,
        health: &Health,
        rate: f64,
    ) -> Result<(), TrainError> {
        let mut values = vec![("loss", made.loss), ("learning_rate", rate)];
        match made.shown {
            Shown::Triplets {
                active_share,
                d_ap,
                d_an,
                quantiles: [[ap_10, ap_50, ap_90], [an_10, an_50, an_90]],
            } => values.extend([
                ("train/active_share", active_share),
                ("train/d_ap", d_ap),
                ("train/d_an", d_an),
                ("train/d_ap_10", ap_10),
                ("train/d_ap_50", ap_50),
                ("train/d_ap_90", ap_90),
                ("train/d_an_10", an_10),
                ("train/d_an_50", an_50),
                ("train/d_an_90", an_90),
            ]),
            Shown::Classes { accuracy } => values.push(("train/accuracy", accuracy)),
        }
        values.push(("train/spread", made.spread));
        values.push(("train/gradient_norm", made.gradient_norm));
        let values: Vec<_> = values
            .iter()
            .map(|&(tag, value)| (tag, value as f32))
            .collect();
        self.write(progress.step, &values)?;
        let line = StepLine {
            step: progress.step,
            loss: made.loss,
            learning_rate: rate,
            images: made.images,
            health,
        };
        let mut line = serde_json::to_vec(&line).expect("a record of plain fields is JSON");
        line.push(b'\n');
        let path = self.folder.log_dir().join(STEPS_FILE);
        Ok(append_line(self.folder.files(), &path, &line)?)
    }

    /// Logs a score; where the validation rate is undefined the text log says NaN.
    pub(crate) fn scored(
        &mut self,
        step: u64,
        report: &Report,
        is_ema: bool,
        seconds: f64,
    ) -> Result<(), TrainError> {
        let val = report.val.unwrap_or(f64::NAN);
        self.folder
            .append_lfw_result(step, report.accuracy_mean, val, is_ema)?;
        let tags = if is_ema {
            ["lfw_ema/accuracy", "lfw_ema/val_rate", "time/lfw_ema"]
        } else {
            ["lfw/accuracy", "lfw/val_rate", "time/lfw"]
        };
        let values = [report.accuracy_mean as f32, val as f32, seconds as f32];
        let values: Vec<_> = tags.into_iter().zip(values).collect();
        self.write(step, &values)
    }

    /// Writes a checkpoint and removes those that are no longer kept.
    pub(crate) fn save(
        &mut self,
        checkpoint: &Checkpoint<Progress>,
        extra: &[(&str, &[u8])],
    ) -> Result<PathBuf, TrainError> {
        let began = std::time::Instant::now();
        let progress = &checkpoint.progress;
        let (step, best) = (progress.step, progress.best.map(|best| best.step));
        let spared = best.into_iter().chain(progress.watch.last_good);
        let (files, model_dir) = (self.folder.files(), self.folder.model_dir());
        let path = checkpoint.save_on(files, model_dir, step, extra)?;
        prune(files, model_dir, KEPT, spared)?;
        let seconds = began.elapsed().as_secs_f32();
        self.write(step, &[("time/save_variables", seconds)])?;
        Ok(path)
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    Timestamp::now().as_millisecond() as f64 / 1000.0
}
