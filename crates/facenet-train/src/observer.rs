//! What a long piece of work tells while it runs; the command line prints it, tests collect it.

use std::path::Path;

use facenet_lfw::Report;
use facenet_miner::Statistics;

use crate::memory::MemoryPlan;
use crate::watch::Health;

/// Work whose progress is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Looking at the files of a data set.
    Scan,
    /// Measuring what folded batch norms are given.
    Measure,
    /// Embedding a round's images for mining.
    Mine,
    /// Taking a round's images through the network and back, for a classifier.
    Classify,
    /// Embedding images to score.
    Score,
    /// Embedding images to write them.
    Embed,
}

/// One thing that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// `done` of `total` images of a stage.
    Progress {
        /// What is being done.
        stage: Stage,
        /// Images done.
        done: usize,
        /// Images in all.
        total: usize,
    },
    /// How much memory the run will take.
    Planned(&'a MemoryPlan),
    /// A round has been sampled, embedded and mined.
    Mined {
        /// Epoch, from 0.
        epoch: u64,
        /// Round, from 0, over the whole run.
        round: u64,
        /// Images embedded.
        images: usize,
        /// Triplets to train on.
        triplets: usize,
        /// What the miner saw.
        statistics: &'a Statistics,
        /// Seconds it took.
        seconds: f64,
    },
    /// An optimizer step has been made.
    Stepped {
        /// Epoch, from 0.
        epoch: u64,
        /// Steps of this epoch so far, this one included.
        step_in_epoch: u64,
        /// Steps of an epoch.
        epoch_size: u64,
        /// Steps of the run so far.
        step: u64,
        /// Steps of the run in all.
        total_steps: u64,
        /// Loss with regularisation.
        loss: f64,
        /// Learning rate.
        rate: f64,
        /// Images of the step.
        images: usize,
        /// What it shows of the embeddings.
        health: Health,
        /// Seconds it took.
        seconds: f64,
    },
    /// The model has been scored.
    Scored {
        /// Steps trained so far.
        step: u64,
        /// The moving average of the weights, not the weights.
        is_ema: bool,
        /// Pairs missing from the pairs file; above 0 the result is not LFW.
        missing: usize,
        /// The figures.
        report: &'a Report,
        /// Seconds it took.
        seconds: f64,
    },
    /// A checkpoint stands complete.
    Saved {
        /// Its folder.
        path: &'a Path,
    },
    /// Something the user should know.
    Note(&'a str),
    /// Something the user should mend.
    Warning(&'a str),
}

/// Receives events in order, one at a time; the work may run on a thread of its own.
pub trait Observer: Send {
    /// Takes one event; must not block for long.
    fn event(&mut self, event: &Event<'_>);

    /// Whether the work shall stop. It is asked before each chunk, batch and round of what can be
    /// stopped, and first when there is a run whose state can be kept.
    fn is_stop_asked(&mut self) -> bool {
        false
    }
}

/// Tells nothing on, but may stop the work as the other may.
pub(crate) struct Unheard<'a>(pub(crate) &'a mut dyn Observer);

impl Observer for Unheard<'_> {
    fn event(&mut self, _: &Event<'_>) {}

    fn is_stop_asked(&mut self) -> bool {
        self.0.is_stop_asked()
    }
}

/// Ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _: &Event<'_>) {}
}

impl<F: FnMut(&Event<'_>) + Send> Observer for F {
    fn event(&mut self, event: &Event<'_>) {
        self(event);
    }
}
