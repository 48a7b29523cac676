//! How far a run goes.

use clap::Args;

/// Flags of `train` that are no part of the run they are about.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct RunArgs {
    /// Make one full step, print the planned memory beside the measured and the step's time, and
    /// stop; nothing is scored or saved
    #[arg(long, conflicts_with = "resume", help_heading = "Running")]
    pub dry_run: bool,
    /// With --resume: also change settings that steps already made have gone by
    #[arg(long, requires = "resume", help_heading = "Running")]
    pub allow_change: bool,
}
