//! Flags of `prove`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, value_parser};
use facenet_train::Strategy;

use crate::values::path;

/// How a disk is tried: what `--help` begins with.
pub(super) const PROVE_EXAMPLE: &str = "Try on this machine and file system what is promised of a run's checkpoints

Example: facenet prove resume --kills 100 --dir /mnt/where/runs/go

Trains a network of two thousand parameters on a few drawn people, again and again, as a process of its own that is killed or \
stopped at drawn times and gone on with, until it is done; weights, moving average and optimizer must then be those of a run \
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
    /// Times that a run of each strategy is killed
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = value_parser!(u32).range(1..))]
    pub kills: u32,
    /// Where and how
    #[command(flatten)]
    pub common: ProveCommonArgs,
}

/// Flags of `prove stop`.
#[derive(Clone, Debug, Args)]
pub struct ProveStopArgs {
    /// Times that a run of each strategy gets a signal
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
    /// Strategies to train by
    #[arg(long, value_enum, default_value_t)]
    pub strategy: ProvenStrategies,
}

/// Which strategies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProvenStrategies {
    /// One after the other.
    #[default]
    Both,
    /// A step is a round.
    OnePass,
    /// Many steps a round.
    Reference,
}

impl ProvenStrategies {
    /// Themselves, in order.
    pub fn all(self) -> &'static [Strategy] {
        match self {
            Self::Both => &[Strategy::OnePass, Strategy::Reference],
            Self::OnePass => &[Strategy::OnePass],
            Self::Reference => &[Strategy::Reference],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_strategies_are_proven_unless_one_is_named() {
        let all = ProvenStrategies::default().all();
        assert_eq!(all, [Strategy::OnePass, Strategy::Reference]);
        let named = |name| {
            ProvenStrategies::from_str(name, false)
                .expect("a name")
                .all()
        };
        assert_eq!(named("one-pass"), [Strategy::OnePass]);
        assert_eq!(named("reference"), [Strategy::Reference]);
    }
}
