//! From flags to a miner, and the threads that it runs on.

use facenet_train::TrainError;
use facenet_train::miner::{Draw, Embeddings, MineError, Mined, Miner, MinerConfig};

use crate::args::RuleArgs;
use crate::batch::Batch;
use crate::failure::Failure;

/// A miner with threads of its own.
#[derive(Debug)]
pub(crate) struct Mining {
    miner: Miner,
    draw: Draw,
    pool: rayon::ThreadPool,
}

impl Mining {
    /// Checks the flags and starts the threads.
    ///
    /// # Errors
    /// [`Failure`] of usage for a margin or a device that cannot be.
    pub(crate) fn new(args: &RuleArgs) -> Result<Self, Failure> {
        let threads = args.threads.unwrap_or(0);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        Ok(Self {
            miner: Miner::new(config(args)?).map_err(TrainError::from)?,
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

    /// Number of its threads.
    pub(crate) fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }
}

fn config(args: &RuleArgs) -> Result<MinerConfig, Failure> {
    if args.device != "cpu" {
        let device = &args.device;
        return Err(Failure::usage(format!(
            "--device: found {device:?}, expected cpu: this build mines on the CPU only"
        )));
    }
    Ok(MinerConfig {
        rule: args.rule,
        margin: args.margin,
        negative: args.negative,
        only_violating: args.only_violating,
        max_triplets: args.max_triplets,
        ..MinerConfig::default()
    })
}
