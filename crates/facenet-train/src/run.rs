//! Starting a run, going on with one, and what it came to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use facenet_model::Model;
use serde::Serialize;

use crate::checkpoint::{
    Checkpoint, PROGRESS_FILE, checkpoint_path, latest, read_progress, verify_checkpoint,
};
use crate::claim::Claim;
use crate::compute::on_threads;
use crate::config::TrainConfig;
use crate::device::open_device;
use crate::ema::Ema;
use crate::engine::Engine;
use crate::error::TrainError;
use crate::first_model::first_model;
use crate::head::Head;
use crate::known::warn_of_known;
use crate::memory::{Before, MemoryPlan, mib, resident_without};
use crate::observer::{Event, Observer};
use crate::optimizer::Optimizer;
use crate::overrides::ResumeOverrides;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::record::Record;
use crate::resident::peak_rss_mib;
use crate::rewind::rewind;
use crate::rollback::OnCollapse;
use crate::rounds::Rounds;
use crate::schedule::{RateAt, Schedule};
use crate::scoring::ScoringSet;
use crate::source::{fingerprint, training_pictures};
use crate::watch::Health;

/// Folder of the weights as trained, in the run's model folder.
pub const MODEL_DIR: &str = "model";
/// Folder of the weights' moving average.
pub const EMA_DIR: &str = "model-ema";
/// Folder of the weights that scored best.
pub const BEST_DIR: &str = "best";

/// A new run.
#[derive(Clone, Debug)]
pub struct TrainRequest {
    /// What to do.
    pub config: TrainConfig,
    /// The command as typed, for the log.
    pub command_line: Vec<String>,
}

/// A run to go on with.
#[derive(Clone, Debug)]
pub struct ResumeRequest {
    /// The run's model folder, or one of its checkpoints.
    pub dir: PathBuf,
    /// What may differ from before.
    pub overrides: ResumeOverrides,
    /// The command as typed, for the log.
    pub command_line: Vec<String>,
}

/// What a run came to: the object that `train --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// `done`, or `stopped` where the schedule file, or the run's patience, ended it.
    pub status: &'static str,
    /// Optimizer steps of the whole run, an earlier part that was resumed included.
    pub steps: u64,
    /// Images that went through a training step.
    pub images: u64,
    /// Training images that this process found unreadable and left out.
    pub unreadable_images: u64,
    /// Seconds of this process's part of the run.
    pub seconds: f64,
    /// Accuracy before the first step; `None` where nothing is scored.
    pub accuracy_before: Option<f64>,
    /// Accuracy of the weights as trained.
    pub accuracy_after: Option<f64>,
    /// Accuracy of the weights' moving average.
    pub ema_accuracy: Option<f64>,
    /// Validation rate of the weights as trained; `None` where it is undefined.
    pub val: Option<f64>,
    /// False accept rate that the validation rate was measured at.
    pub far: Option<f64>,
    /// What the last step of this process showed of the embeddings; `None` where it made none.
    pub health: Option<Health>,
    /// Times that the run has gone back to an earlier checkpoint with a lower rate.
    pub rollbacks: u32,
    /// Folder of the saved model.
    pub model_dir: PathBuf,
    /// Folder of the logs.
    pub log_dir: PathBuf,
    /// The memory that was planned.
    pub memory: MemoryPlan,
    /// Largest resident memory of the process; `None` where the system does not say.
    pub peak_rss_mib: Option<f64>,
}

/// Trains as `request` says. All that can be checked is checked before the first step.
///
/// # Errors
/// [`TrainError::Config`] for what cannot train; whatever is wrong with data, files, device;
/// [`TrainError::Diverged`] and [`TrainError::Starved`] for a run that came to nothing;
/// [`TrainError::Stopped`] where [`Observer::is_stop_asked`]: the state after the last complete
/// step is then a checkpoint, and a resumed run is the uninterrupted one.
pub fn train(request: &TrainRequest, observer: &mut dyn Observer) -> Result<Outcome, TrainError> {
    let config = &request.config;
    config.validate()?;
    on_threads(config.threads, || begin(request, observer))
}

fn begin(request: &TrainRequest, observer: &mut dyn Observer) -> Result<Outcome, TrainError> {
    let (engine, memory) = fresh_engine(&request.config, &request.command_line, observer)?;
    finish(engine, memory, observer)
}

/// A new run before its first step, and the memory that it will take, which is told.
///
/// # Errors
/// Whatever is wrong with data, files and device.
pub(crate) fn fresh_engine(
    config: &TrainConfig,
    command_line: &[String],
    observer: &mut dyn Observer,
) -> Result<(Engine, MemoryPlan), TrainError> {
    let device = open_device(&config.device)?;
    note_memory_fraction(config, &device, observer);
    let scoring = ScoringSet::of(config, observer)?;
    let pictures = training_pictures(config, observer)?;
    warn_of_known(config, scoring.as_ref(), &*pictures, observer);
    let fingerprint = fingerprint(&*pictures);
    let sizes = pictures.sizes();
    let head = Head::of(config, &sizes, &device)?;
    let without_rounds = resident_without(0);
    let rounds = Rounds::new(config, &sizes)?;
    let seen = resident_without(0) - without_rounds;
    let plan = Plan::new(config, pictures)?;
    warn_of_no_step(&plan.schedule, observer);
    let before = Before {
        resident: resident_without(0),
        unseen: (mib(rounds.bytes(&sizes)) - seen).max(0.0),
        copied: mib(rounds.state_bytes(&sizes)),
    };
    let model = first_model(config, &plan.feed, &sizes, &device, observer)?;
    let memory = MemoryPlan::new(config, &model, head.as_ref(), &before)?;
    observer.event(&Event::Planned(&memory));
    let engine = Engine {
        optimizer: Optimizer::new(&config.optimizer()),
        ema: Ema::new(config.moving_average_decay, &model.state())?,
        record: Record::create(config, command_line)?,
        progress: Progress::start(config.clone(), fingerprint),
        last_loss: None,
        health: None,
        has_worked: false,
        last: None,
        plan,
        rounds,
        model,
        head,
        scoring,
    };
    Ok((engine, memory))
}

/// Goes on with a run from its last checkpoint, or from the one named. Every later step is what
/// it would have been without the stop.
///
/// # Errors
/// As [`train`], and [`TrainError::Checkpoint`] where there is none that is whole, or where the
/// data set has changed.
pub fn resume(request: &ResumeRequest, observer: &mut dyn Observer) -> Result<Outcome, TrainError> {
    let claim = Claim::of(&run_dir_of(&checkpoint_of(&request.dir)?)?)?;
    // Another process may have ended only now: the last checkpoint is known from here on.
    let folder = checkpoint_of(&request.dir)?;
    let mut stored: Checkpoint<Progress> = Checkpoint::load(&folder, &Device::Cpu)?;
    request.overrides.apply(&mut stored.progress.config);
    if request.overrides.learning_rate.is_some() {
        // The rate that was asked for, not a quarter of it.
        stored.progress.watch.rollbacks = 0;
    }
    let config = &stored.progress.config;
    config.validate()?;
    on_threads(config.threads, || {
        go_on(request, &folder, stored, claim, observer)
    })
}

fn go_on(
    request: &ResumeRequest,
    folder: &Path,
    stored: Checkpoint<Progress>,
    claim: Claim,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    let Checkpoint {
        mut progress,
        model,
        ema: shadow,
        head: head_state,
        optimizer: state,
    } = stored;
    let config = progress.config.clone();
    let device = open_device(&config.device)?;
    let scoring = ScoringSet::of(&config, observer)?;
    let pictures = training_pictures(&config, observer)?;
    check_same_data(folder, &progress.data_fingerprint, &fingerprint(&*pictures))?;
    let sizes = pictures.sizes();
    let head = Head::of(&config, &sizes, &device)?;
    if let Some(head) = &head {
        head.load(head_state.as_ref(), folder)?;
    }
    let mut rounds = Rounds::new(&config, &sizes)?;
    rounds.restore(folder)?;
    let plan = Plan::new(&config, pictures)?;
    let before = Before {
        resident: resident_without(bytes_of([&model, &state].into_iter().chain(&shadow))),
        unseen: 0.0,
        copied: mib(rounds.state_bytes(&sizes)),
    };
    let model = stored_model(&progress, model, &device)?;
    let memory = MemoryPlan::new(&config, &model, head.as_ref(), &before)?;
    observer.event(&Event::Planned(&memory));
    let mut ema = Ema::new(config.moving_average_decay, &model.state())?;
    if let Some(shadow) = shadow {
        ema.load_shadow(&shadow)?;
    }
    let optimizer = stored_optimizer(&config, &model, head.as_ref(), &state)?;
    drop(state);
    let run_dir = run_dir_of(folder)?;
    note_good(&mut progress, folder, &run_dir);
    let record = Record::reopen(&config, &run_dir, claim, &request.command_line)?;
    let note = format!(
        "going on from {} after step {}",
        folder.display(),
        progress.step
    );
    observer.event(&Event::Note(&note));
    rewind(record.folder.files(), &run_dir, &progress, observer)?;
    finish(
        Engine {
            progress,
            plan,
            rounds,
            model,
            head,
            optimizer,
            ema,
            scoring,
            record,
            last_loss: None,
            health: None,
            has_worked: false,
            last: None,
        },
        memory,
        observer,
    )
}

fn stored_model(
    progress: &Progress,
    tensors: BTreeMap<String, Tensor>,
    device: &Device,
) -> Result<Model, TrainError> {
    let config = &progress.config;
    let (model, _) = Model::from_tensors(config.model(), tensors, DType::F32, device)?;
    let model = model
        .with_arithmetic(config.arithmetic())
        .with_frozen_norms(config.freeze_bn);
    model.set_updates(progress.statistics_updates);
    Ok(model)
}

fn stored_optimizer(
    config: &TrainConfig,
    model: &Model,
    head: Option<&Head>,
    state: &BTreeMap<String, Tensor>,
) -> Result<Optimizer, TrainError> {
    let mut optimizer = Optimizer::new(&config.optimizer());
    let parameters = model.parameters();
    let parameters = parameters.iter().map(|p| (p.name, p.var));
    let of_head = head.into_iter().flat_map(Head::parameters);
    optimizer.load_state(state, parameters.chain(of_head))?;
    Ok(optimizer)
}

/// Lets a run go back to the checkpoint that it goes on from, where that may be and the checkpoint,
/// written without the flag, does not say it.
fn note_good(progress: &mut Progress, folder: &Path, run_dir: &Path) {
    let can_go_back = progress.config.on_collapse == OnCollapse::Rollback;
    let is_its_own = folder == checkpoint_path(run_dir, progress.step);
    let watch = &mut progress.watch;
    if can_go_back && is_its_own && watch.last_good.is_none() && watch.is_good() {
        watch.last_good = Some(progress.step);
    }
}

fn bytes_of<'a>(sets: impl Iterator<Item = &'a BTreeMap<String, Tensor>>) -> usize {
    let tensors = sets.flat_map(BTreeMap::values);
    tensors
        .map(|tensor| tensor.elem_count() * tensor.dtype().size_in_bytes())
        .sum()
}

/// The configuration of the checkpoint that `resume` would take.
///
/// # Errors
/// As [`resume`].
pub fn stored_config(dir: &Path) -> Result<TrainConfig, TrainError> {
    let folder = checkpoint_of(dir)?;
    verify_checkpoint(&folder)?;
    let progress: Progress = read_progress(&folder)?;
    Ok(progress.config)
}

/// Runs the engine and saves what it made.
fn finish(
    mut engine: Engine,
    memory: MemoryPlan,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    let began = Instant::now();
    let ended = engine.run(observer);
    let ended = ended.and_then(|is_stopped| Ok((is_stopped, engine.finish(observer)?)));
    let (is_stopped, last) = ended.map_err(|error| engine.keep_stopped(error, observer))?;
    let report = last.raw.as_ref();
    Ok(Outcome {
        status: if is_stopped { "stopped" } else { "done" },
        steps: engine.progress.step,
        images: engine.progress.images,
        unreadable_images: engine.plan.feed.quarantined().len() as u64,
        seconds: began.elapsed().as_secs_f64(),
        accuracy_before: engine.progress.accuracy_before,
        accuracy_after: report.map(|report| report.accuracy_mean),
        ema_accuracy: last.ema.map(|report| report.accuracy_mean),
        val: report.and_then(|report| report.val),
        far: report.and_then(|report| report.far),
        health: engine.health,
        rollbacks: engine.progress.watch.rollbacks,
        model_dir: engine.record.folder.model_dir().join(MODEL_DIR),
        log_dir: engine.record.folder.log_dir().to_owned(),
        memory,
        peak_rss_mib: peak_rss_mib(),
    })
}

/// The checkpoint that `dir` is, or the last one in it.
fn checkpoint_of(dir: &Path) -> Result<PathBuf, TrainError> {
    if dir.join(PROGRESS_FILE).is_file() {
        return Ok(dir.to_owned());
    }
    // `train` names this folder at its end; the run's checkpoints lie beside it.
    let dir = match dir.parent() {
        Some(run_dir) if dir.ends_with(MODEL_DIR) && dir.is_dir() => run_dir,
        _ => dir,
    };
    let newest = if dir.is_dir() { latest(dir)? } else { None };
    newest.ok_or_else(|| {
        TrainError::checkpoint(
            dir,
            "found no checkpoint, expected a run's model folder or a checkpoint-<step> folder",
            "give the folder that holds the run's checkpoint-<step> folders, or one of them",
        )
    })
}

/// The run's folder that a checkpoint lies in, under a path that ends in its name: the logs have
/// the same one. `.` and `x/..` do not say it.
fn run_dir_of(checkpoint: &Path) -> Result<PathBuf, TrainError> {
    let parent = checkpoint.parent().unwrap_or(Path::new(""));
    if parent.file_name().is_some() {
        return Ok(parent.to_owned());
    }
    let here = Path::new(".").join(parent);
    fs::canonicalize(&here).map_err(|source| TrainError::io(&here, "find this folder", source))
}

fn check_same_data(folder: &Path, expected: &str, found: &str) -> Result<(), TrainError> {
    if expected == found {
        return Ok(());
    }
    Err(TrainError::checkpoint(
        folder,
        format!("the data set has changed: found {found}, expected {expected}"),
        "restore the data set, or begin a new run with --pretrained-model",
    ))
}

/// Warns where the schedule ends the run before its first step.
fn warn_of_no_step(schedule: &Schedule, observer: &mut dyn Observer) {
    if schedule.at(0, 0) == RateAt::Stop {
        let text = "--learning-rate-schedule-file: its first rate ends the run: no step will be \
                    made; give epoch 0 a rate above 0";
        observer.event(&Event::Warning(text));
    }
}

/// Says why a memory fraction below 1 cannot act.
fn note_memory_fraction(config: &TrainConfig, device: &Device, observer: &mut dyn Observer) {
    if config.gpu_memory_fraction >= 1.0 {
        return;
    }
    let why = if device.is_cpu() {
        "it is for CUDA devices, and this run is on the CPU"
    } else {
        "candle takes device memory as it needs it and offers no limit"
    };
    observer.event(&Event::Warning(&format!(
        "--gpu-memory-fraction does not act: {why}"
    )));
}
