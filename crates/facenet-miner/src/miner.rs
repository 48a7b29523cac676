//! The entry points.

use std::sync::Arc;

use crate::device::{Device, Engine};
use crate::problem::Problem;
use crate::scan::{Keep, scan};
use crate::{
    Draw, Embeddings, HardNegatives, Hardest, MineDevice, MineError, Mined, MinerConfig, Neighbour,
    Pair, Rule, Statistics, Triplet, batch_all, batch_hard, distance_weighted, gallery, pair_rules,
};

/// Mines triplets by one rule.
///
/// Every comparison is that of the f64 distances of [`sq_l2`](crate::sq_l2) (the margin is the
/// f64 of its f32): f32 tiles settle what is farther from a bound than their error, f64 the
/// rest. So the triplets are a function of embeddings, labels, configuration and draw, and depend
/// neither on the machine nor on the number of threads. Work runs on the current rayon pool.
#[derive(Debug, Clone)]
pub struct Miner {
    config: MinerConfig,
    /// What mines, unless it is the CPU.
    engine: Option<Arc<dyn Engine>>,
    #[cfg(feature = "cuda")]
    cuda: Option<Arc<crate::CudaDevice>>,
    fallback: Option<String>,
}

impl Miner {
    /// Checks the configuration once, and opens the device that it names.
    ///
    /// Where that is a GPU and there is none (or no driver, no NVRTC, no feature `cuda`), the CPU
    /// mines, with the same triplets, and [`Miner::fallback`] says why.
    ///
    /// # Errors
    /// [`MineError::Margin`] unless the margin is positive and finite; [`MineError::Cutoffs`] unless
    /// `0 < cutoff < nonzero_loss_cutoff < 2`.
    pub fn new(config: MinerConfig) -> Result<Self, MineError> {
        config.validate()?;
        let mut miner = Self {
            config,
            engine: None,
            #[cfg(feature = "cuda")]
            cuda: None,
            fallback: None,
        };
        if let MineDevice::Cuda { ordinal } = config.device {
            let opened = miner.open_cuda(ordinal);
            let why = |why| format!("miner: no cuda:{ordinal} ({why}); mining on the CPU");
            miner.fallback = opened.err().map(why);
        }
        Ok(miner)
    }

    /// Why the CPU mines although the configuration names a GPU: one line. `None` where what
    /// the configuration names does mine.
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// A miner on a device of the caller's.
    ///
    /// # Errors
    /// [`MineError::Margin`] unless the margin is positive and finite.
    #[doc(hidden)]
    pub fn with_device(
        config: MinerConfig,
        device: impl Device + 'static,
    ) -> Result<Self, MineError> {
        let cpu = MinerConfig {
            device: MineDevice::Cpu,
            ..config
        };
        let engine: Arc<dyn Engine> = Arc::new(device);
        Ok(Self {
            config,
            engine: Some(engine),
            ..Self::new(cpu)?
        })
    }

    #[cfg(feature = "cuda")]
    fn open_cuda(&mut self, ordinal: usize) -> Result<(), String> {
        let cuda = Arc::new(crate::CudaDevice::open(ordinal)?);
        self.engine = Some(Arc::clone(&cuda) as Arc<dyn Engine>);
        self.cuda = Some(cuda);
        Ok(())
    }

    #[cfg(not(feature = "cuda"))]
    #[expect(
        clippy::unused_self,
        reason = "the signature is that of the build with CUDA"
    )]
    fn open_cuda(&mut self, _ordinal: usize) -> Result<(), String> {
        Err("this build is without the feature cuda".to_owned())
    }

    /// The configuration that triplets are mined by.
    pub fn config(&self) -> &MinerConfig {
        &self.config
    }

    /// Mines and collects.
    ///
    /// - `embeddings`: `[n, dim]`; rows that are masked or hold a NaN or an infinity are left out and
    ///   counted
    /// - `labels`: `[n]`, any numbers in any order; an empty batch is fine
    /// - `draw`: names the random draws; only `negative: random`, `distance-weighted` and sampled
    ///   quantiles use it
    ///
    /// Triplets come by anchor, then positive, then negative. The pair rules take each pair once,
    /// the smaller index being the anchor, and draw pair `i` of the finite rows from stream `i`;
    /// see [`Draw`]. Ties of distance go to the smaller index.
    ///
    /// # Errors
    /// [`MineError::Shape`] unless there is a label a row; [`MineError::TooManyTriplets`], with
    /// the exact count, when there are more than `max_triplets`, which are never held.
    pub fn mine(
        &self,
        embeddings: Embeddings<'_>,
        labels: &[u32],
        draw: Draw,
    ) -> Result<Mined, MineError> {
        let problem = Problem::new(embeddings, labels)?;
        self.mine_problem(self.engine.as_deref(), problem, draw)
    }

    /// Mines without collecting: `visitor` sees the triplets of [`Miner::mine`] in the same
    /// order, however many there are.
    ///
    /// # Errors
    /// [`MineError::Shape`] unless there is a label a row.
    pub fn visit(
        &self,
        embeddings: Embeddings<'_>,
        labels: &[u32],
        draw: Draw,
        visitor: &mut dyn FnMut(Triplet),
    ) -> Result<Statistics, MineError> {
        let problem = Problem::new(embeddings, labels)?;
        on(self.engine.as_deref(), problem, |problem| {
            self.visit_problem(problem, draw, &mut Keep::default(), visitor)
        })
    }

    /// Shows every pair with the list that a pair rule draws from: its admissible negatives,
    /// ascending; empty lists too. Pairs come by anchor, then positive, each once.
    ///
    /// With `semi-hard` a negative is admissible when `d_ap < d_an` and `d_an - d_ap < margin`,
    /// with any other rule when `d_an - d_ap < margin`.
    ///
    /// # Errors
    /// [`MineError::Shape`] unless there is a label a row.
    pub fn admissible_negatives(
        &self,
        embeddings: Embeddings<'_>,
        labels: &[u32],
        visitor: &mut dyn FnMut(Pair, &[u32]),
    ) -> Result<(), MineError> {
        let problem = Problem::new(embeddings, labels)?;
        on(self.engine.as_deref(), problem, |problem| {
            batch_all::visit_admissible(problem, &self.config, visitor);
        })
    }

    /// The farthest positive and the nearest negative of every row, `[n]`, whatever the rule.
    ///
    /// # Errors
    /// [`MineError::Shape`] unless there is a label a row.
    pub fn hardest(
        &self,
        embeddings: Embeddings<'_>,
        labels: &[u32],
    ) -> Result<Vec<Hardest>, MineError> {
        let problem = Problem::new(embeddings, labels)?;
        on(self.engine.as_deref(), problem, batch_hard::hardest)
    }

    /// The device that a configuration with a GPU has opened.
    #[cfg(feature = "cuda")]
    pub(crate) fn cuda(&self) -> Option<&crate::CudaDevice> {
        self.cuda.as_deref()
    }

    /// [`Miner::mine`] on any engine, the CPU without one.
    pub(crate) fn mine_problem(
        &self,
        engine: Option<&dyn Engine>,
        problem: Problem<'_>,
        draw: Draw,
    ) -> Result<Mined, MineError> {
        on(engine, problem, |problem| self.collect(problem, draw))?
    }

    fn collect(&self, problem: &Problem<'_>, draw: Draw) -> Result<Mined, MineError> {
        let max_triplets = self.config.max_triplets;
        if self.config.rule == Rule::BatchAll {
            within_limit(batch_all::count(problem, &self.config), max_triplets)?;
        }
        let mut triplets = Vec::new();
        let mut keep = Keep::new(self.config.hardest_negatives);
        let statistics = self.visit_problem(problem, draw, &mut keep, &mut |triplet| {
            if triplets.len() < max_triplets {
                triplets.push(triplet);
            }
        });
        within_limit(statistics.triplets, max_triplets)?;
        Ok(Mined {
            triplets,
            statistics,
            hardest_negatives: keep.finish(problem),
        })
    }

    /// For every row the `hardest_negatives` of the configuration nearest rows of other labels,
    /// and nothing else: the lists of [`Miner::mine`].
    ///
    /// # Errors
    /// [`MineError::Shape`] unless there is a label a row.
    pub fn hardest_negatives(
        &self,
        embeddings: Embeddings<'_>,
        labels: &[u32],
    ) -> Result<HardNegatives, MineError> {
        if self.engine.is_some() {
            let problem = Problem::new(embeddings, labels)?;
            return on(self.engine.as_deref(), problem, |problem| {
                let mut keep = Keep::new(self.config.hardest_negatives);
                let anchors = keep.anchors(problem, |_| false);
                scan((problem, &anchors), &mut keep, |_, (): &mut ()| (), |()| ());
                keep.finish(problem)
            });
        }
        let mut lists = HardNegatives::default();
        self.visit_hardest_negatives(embeddings, labels, &mut |_, _| (), &mut |row, list| {
            lists.push(row, list);
        })?;
        lists.fill(embeddings.len());
        Ok(lists)
    }

    /// The lists of [`Miner::hardest_negatives`] in the order of the rows, without collecting
    /// them. Some 16,384 rows share a pass over all, so the embeddings may lie in a file that is
    /// larger than memory ([`EmbeddingFile`](crate::EmbeddingFile)): held are about 30 bytes a
    /// row, and for the rows of one pass their values and some `4 k` candidates of 8 bytes. The
    /// CPU does this, whatever the device.
    ///
    /// - `progress`: called with rows done and their number, some hundred times or more
    /// - `visitor`: gets every row but the masked ones, with its list
    ///
    /// # Errors
    /// [`MineError::Shape`] unless there is a label a row.
    pub fn visit_hardest_negatives(
        &self,
        embeddings: Embeddings<'_>,
        labels: &[u32],
        progress: &mut dyn FnMut(u64, u64),
        visitor: &mut dyn FnMut(u32, &[Neighbour]),
    ) -> Result<(), MineError> {
        let problem = Problem::new(embeddings, labels)?;
        gallery::search(&problem, self.config.hardest_negatives, progress, visitor);
        Ok(())
    }

    fn visit_problem(
        &self,
        problem: &Problem<'_>,
        draw: Draw,
        keep: &mut Keep,
        visitor: &mut dyn FnMut(Triplet),
    ) -> Statistics {
        let config = &self.config;
        let tally = match config.rule {
            Rule::Violating | Rule::SemiHard => {
                pair_rules::visit(problem, config, draw, keep, visitor)
            }
            Rule::DistanceWeighted => {
                distance_weighted::visit(problem, config, draw, keep, visitor)
            }
            Rule::BatchHard => batch_hard::visit(problem, config, keep, visitor),
            Rule::BatchAll => batch_all::visit(problem, config, keep, visitor),
        };
        tally.finish(problem, draw)
    }
}

/// Works on a problem that the engine has been given. A failure of the device comes first.
fn on<T>(
    engine: Option<&dyn Engine>,
    problem: Problem<'_>,
    work: impl FnOnce(&Problem<'_>) -> T,
) -> Result<T, MineError> {
    let Some(engine) = engine else {
        return Ok(work(&problem));
    };
    let session = engine.session(&problem)?;
    let value = work(&problem.on(&*session));
    session.finish()?;
    Ok(value)
}

fn within_limit(count: u64, max_triplets: usize) -> Result<(), MineError> {
    if count > max_triplets as u64 {
        return Err(MineError::TooManyTriplets {
            count,
            max_triplets,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two labels of three points each, all at one place: everything violates.
    fn mine(rule: Rule, max_triplets: usize) -> Result<Mined, MineError> {
        let config = MinerConfig {
            rule,
            max_triplets,
            ..Default::default()
        };
        let embeddings = Embeddings::new(&[0.0; 6], 1).expect("points on a line");
        Miner::new(config)?.mine(embeddings, &[1, 2, 1, 2, 1, 2], Draw::default())
    }

    #[test]
    fn the_limit_is_inclusive_and_the_count_exact() {
        // 6 pairs; 6 anchors; 6 anchors x 2 positives x 3 negatives.
        for (rule, count) in [
            (Rule::Violating, 6),
            (Rule::BatchHard, 6),
            (Rule::BatchAll, 36),
        ] {
            let mined = mine(rule, count).expect("at the limit");
            assert_eq!(mined.triplets.len(), count, "{rule}");
            let error = mine(rule, count - 1).expect_err("above the limit");
            let expected = MineError::TooManyTriplets {
                count: count as u64,
                max_triplets: count - 1,
            };
            assert_eq!(error, expected, "{rule}");
        }
    }

    #[test]
    fn statistics_count_pairs_and_activity() {
        let statistics = mine(Rule::Violating, 100).expect("six triplets").statistics;
        assert_eq!((statistics.rows, statistics.masked_rows), (6, 0));
        assert_eq!((statistics.pairs, statistics.triplets), (6, 6));
        assert_eq!(statistics.active_share.to_bits(), 1.0f64.to_bits());
        assert_eq!((statistics.d_ap.count, statistics.d_an.count), (6, 9));
        let statistics = mine(Rule::SemiHard, 100).expect("no triplet").statistics;
        assert_eq!((statistics.pairs, statistics.triplets), (6, 0));
        assert_eq!(statistics.active_share.to_bits(), 0.0f64.to_bits());
    }
}
