//! Settings of whole runs.

use std::path::PathBuf;

use clap::ValueEnum;
use facenet_train::TrainConfig;

/// What flags that are not given stand at, with --data-dir.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// The reference's settings: Inception-ResNet-v1 at 160 pixels.
    #[default]
    Reference,
    /// MobileFaceNet at 48 pixels of LFW's frames, 6,000 steps: some 25 minutes of a core in bf16.
    Lfw,
}

impl Preset {
    /// Its settings, on a folder of people.
    pub(crate) fn of(self, data_dir: PathBuf) -> TrainConfig {
        match self {
            Self::Reference => TrainConfig::new(data_dir),
            Self::Lfw => TrainConfig::lfw(data_dir),
        }
    }
}
