#![doc = include_str!("../README.md")]

mod agreement;
pub mod apply;
pub mod bench;
mod card;
mod checkpoint;
mod chunks;
mod claim;
mod classify;
mod clip;
mod compute;
mod config;
mod config_text;
mod dense;
mod device;
mod doctor;
mod dry_run;
mod ema;
mod embedder;
pub mod embeddings_file;
mod engine;
mod error;
mod evaluate;
mod events;
mod export;
mod feed;
mod finite;
mod first_model;
mod head;
mod import;
mod keep;
mod known;
mod loss;
mod memory;
mod mine_tensor;
mod observer;
mod one_pass;
pub mod optimizer;
mod overrides;
mod peak;
mod plan;
mod presets;
mod progress;
mod record;
mod resident;
mod rewind;
mod rollback;
mod round;
mod rounds;
mod run;
mod run_folder;
mod run_report;
mod saved;
mod schedule;
mod scoring;
mod source;
mod squares;
mod statistics;
mod step;
mod stopping;
mod storage;
mod strategy;
mod synthetic_folder;
mod triplet_sum;
mod validate;
mod watch;

pub use facenet_dataset as dataset;
pub use facenet_files as files;
pub use facenet_gallery as gallery;
pub use facenet_lfw as lfw;
pub use facenet_miner as miner;
pub use facenet_model as model;
pub use facenet_sampler as sampler;

pub use checkpoint::{
    Checkpoint, EMA_FILE, HEAD_FILE, MODEL_FILE, OPTIMIZER_FILE, PROGRESS_FILE, checkpoint_path,
    checkpoints, latest, prune, supersede, verify_checkpoint,
};
pub use compute::{MAX_THREADS, fastest_precision, on_threads, precision, precision_name};
pub use config::{Leftover, MAX_ROTATION_DEGREES, MiningMode, TrainConfig, UNSET};
pub use device::open_device;
pub use doctor::{Diagnosis, DoctorRequest, Separation, Suspect, SuspectKind, doctor};
pub use dry_run::{DryRun, dry_run};
pub use ema::Ema;
pub use error::{ExitClass, TrainError};
pub use evaluate::{Embedded, Evaluation, ModelSource, embed, evaluate, evaluate_embeddings};
pub use events::{EventWriter, LoggedEvent, read_events};
pub use export::{ExportReport, ExportRequest, ExportedFile, export};
pub use import::{ImportReport, ImportRequest, PUBLISHED_RECIPE, RecipeOrigin, import};
pub use loss::Loss;
pub use memory::MemoryPlan;
pub use mine_tensor::mine_tensor;
pub use observer::{Event, Observer, Silent, Stage};
pub use optimizer::{DEFAULT_ADAM_EPSILON, Optimizer, OptimizerConfig, OptimizerKind, Update};
pub use overrides::ResumeOverrides;
pub use peak::peak;
pub use progress::{Best, EpochLoss, ImageTriplet, Progress};
pub use record::STEPS_FILE;
pub use resident::peak_rss_mib;
pub use rollback::OnCollapse;
pub use rounds::Sampling;
pub use run::{
    BEST_DIR, EMA_DIR, MODEL_DIR, Outcome, ResumeRequest, TrainRequest, resume, stored_config,
    train,
};
pub use run_folder::{GitRevision, RunFolder, run_name};
pub use run_report::{
    CoursePoint, FarPoint, HardPair, Hardest, HeldOut, Projected, Projection, ReportRequest,
    RunCourse, RunReport, Score, Scores, run_report,
};
pub use saved::{SavedModel, saved_model};
pub use schedule::{Course, ExponentialDecay, RateAt, Schedule, Shape};
pub use scoring::{PairsSource, Protocol};
pub use source::FIRST_TEST_IDENTITY;
pub use storage::{Storage, StoredScore};
pub use strategy::Strategy;
pub use synthetic_folder::write_synthetic;
pub use watch::{Health, QUANTILES, Watch};
