//! Settings of whole runs.

use clap::ValueEnum;

/// What flags that are not given stand at, with --data-dir.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// The reference's settings: Inception-ResNet-v1 at 160 pixels.
    #[default]
    Reference,
    /// MobileFaceNet at 48 pixels of LFW's frames: as measured, half an hour on one core.
    Lfw,
}
