//! From flags to a miner, and the threads that it runs on.

use facenet_train::TrainError;
use facenet_train::miner::{
    Draw, Embeddings, MineDevice, MineError, Mined, Miner, MinerConfig, Neighbour,
};

use crate::args::RuleArgs;
use crate::batch::Batch;
use crate::failure::Failure;
use crate::report::Output;

/// A miner with threads of its own.
#[derive(Debug)]
pub(crate) struct Mining {
    miner: Miner,
    draw: Draw,
    pool: rayon::ThreadPool,
}

impl Mining {
    /// Checks the flags, opens the device and starts the threads; says where the CPU mines
    /// although a GPU was asked for.
    ///
    /// # Errors
    /// [`Failure`] of usage for a margin or a number of threads that cannot be.
    pub(crate) fn new(args: &RuleArgs, output: Output) -> Result<Self, Failure> {
        let threads = args.threads.unwrap_or(0);
        let miner = Miner::new(config(args)).map_err(TrainError::from)?;
        if let Some(why) = miner.fallback() {
            output.remark(why);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        Ok(Self {
            miner,
            draw: Draw {
                seed: args.seed,
                ..Draw::default()
            },
            pool: pool.map_err(|error| {
                Failure::usage(format!("--threads: found {threads} ({error}); lower it"))
            })?,
        })
    }

    /// The triplets of a batch.
    ///
    /// # Errors
    /// [`MineError::TooManyTriplets`] above `--max-triplets`.
    pub(crate) fn mine(&self, batch: &Batch) -> Result<Mined, TrainError> {
        let mine = || -> Result<Mined, MineError> {
            let embeddings = Embeddings::new(&batch.rows, batch.dim)?;
            self.miner.mine(embeddings, &batch.labels, self.draw)
        };
        Ok(self.pool.install(mine)?)
    }

    /// The hardest negatives of a batch alone, for their search to be timed.
    ///
    /// # Errors
    /// [`MineError`], where a device fails.
    pub(crate) fn search(&self, batch: &Batch) -> Result<Mined, TrainError> {
        let search = || -> Result<Mined, MineError> {
            let embeddings = Embeddings::new(&batch.rows, batch.dim)?;
            Ok(Mined {
                hardest_negatives: self.miner.hardest_negatives(embeddings, &batch.labels)?,
                ..Mined::default()
            })
        };
        Ok(self.pool.install(search)?)
    }

    /// The hardest negatives of every row but the masked ones, in order, without collecting them.
    ///
    /// - `progress`: gets rows done and their number
    /// - `visitor`: gets a row and its list
    ///
    /// # Errors
    /// [`MineError::Shape`] unless there is a label a row.
    pub(crate) fn visit_hardest(
        &self,
        embeddings: Embeddings<'_>,
        labels: &[u32],
        progress: &mut (dyn FnMut(u64, u64) + Send),
        visitor: &mut (dyn FnMut(u32, &[Neighbour]) + Send),
    ) -> Result<(), TrainError> {
        let visit = || {
            let miner = &self.miner;
            miner.visit_hardest_negatives(embeddings, labels, progress, visitor)
        };
        Ok(self.pool.install(visit)?)
    }

    /// What mines: the CPU too where a GPU was asked for and there is none.
    pub(crate) fn device(&self) -> MineDevice {
        match self.miner.fallback() {
            Some(_) => MineDevice::Cpu,
            None => self.miner.config().device,
        }
    }

    /// Number of its threads.
    pub(crate) fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }
}

fn config(args: &RuleArgs) -> MinerConfig {
    MinerConfig {
        rule: args.rule,
        margin: args.margin,
        negative: args.negative,
        only_violating: args.only_violating,
        max_triplets: args.max_triplets,
        hardest_negatives: args.hardest_negatives,
        cutoff: args.cutoff,
        nonzero_loss_cutoff: args.nonzero_loss_cutoff,
        device: args.device,
    }
}
