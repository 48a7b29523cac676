//! The `FaceNet` training engine: sample, embed, mine, train, score, checkpoint.

mod checkpoint;
mod dense;
mod durable;
mod ema;
mod error;
mod events;
mod optimizer;
mod run_folder;
mod schedule;

pub use checkpoint::{
    Checkpoint, EMA_FILE, MODEL_FILE, OPTIMIZER_FILE, PROGRESS_FILE, checkpoint_path, checkpoints,
    latest, prune, sweep,
};
pub use ema::Ema;
pub use error::{ExitClass, TrainError};
pub use events::{EventWriter, LoggedEvent, read_events};
pub use optimizer::{DEFAULT_ADAM_EPSILON, Optimizer, OptimizerConfig, OptimizerKind, Update};
pub use run_folder::{GitRevision, RunFolder, run_name};
pub use schedule::{ExponentialDecay, RateAt, Schedule};
