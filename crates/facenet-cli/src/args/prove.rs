//! Flags of `prove`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, value_parser};

use crate::values::path;

/// How a disk is tried: what `--help` begins with.
pub(super) const PROVE_EXAMPLE: &str = "Try on this machine and file system what is promised of a run's checkpoints

Example: facenet prove resume --kills 100 --dir /mnt/where/runs/go

Trains a network of two thousand parameters on a few drawn people, again and again, as a process of its own that is killed or \
stopped at drawn times and gone on with, until it is done; all of its last checkpoint and its models must then be those of a run \
that nobody has disturbed, to the bit. Exit code 5 where they are not; what was found then stays.";

/// Flags of `prove`.
#[derive(Clone, Debug, Args)]
pub struct ProveArgs {
    /// What
    #[command(subcommand)]
    pub what: ProveCommand,
}

/// What can be proven.
#[derive(Clone, Debug, Subcommand)]
pub enum ProveCommand {
    /// A run that is killed (kill -9) and resumed ends as one that was not
    Resume(ProveResumeArgs),
    /// A run that SIGTERM or SIGINT stops keeps its last complete step, within ten seconds, and
    /// ends, resumed, as one that was not stopped
    Stop(ProveStopArgs),
}

/// Flags of `prove resume`.
#[derive(Clone, Debug, Args)]
pub struct ProveResumeArgs {
    /// Times that a run of each kind is killed
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = value_parser!(u32).range(1..))]
    pub kills: u32,
    /// Where and how
    #[command(flatten)]
    pub common: ProveCommonArgs,
}

/// Flags of `prove stop`.
#[derive(Clone, Debug, Args)]
pub struct ProveStopArgs {
    /// Times that a run of each kind gets a signal
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u32).range(1..))]
    pub signals: u32,
    /// Where and how
    #[command(flatten)]
    pub common: ProveCommonArgs,
}

/// Flags of both.
#[derive(Clone, Debug, Args)]
pub struct ProveCommonArgs {
    /// Folder to work in: a new one is made there, which goes again if all is well
    #[arg(long, value_name = "DIR", default_value = ".", value_parser = path)]
    pub dir: PathBuf,
    /// Seed of the times
    #[arg(long, default_value_t = 666)]
    pub seed: u64,
    /// What is trained
    #[arg(long, value_enum, default_value_t)]
    pub strategy: ProvenStrategies,
}

/// Which kinds of runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProvenStrategies {
    /// One after the other
    #[default]
    All,
    /// A step is a round, of identities that look alike
    OnePass,
    /// Many steps a round
    Reference,
    /// A classifier of the people, by arcface
    Classifier,
}
