//! The training loop: rounds of sampling, embedding and mining, steps on their triplets, and at
//! each epoch's end a score and a checkpoint.

use std::time::Instant;

use facenet_dataset::ImageId;
use facenet_lfw::Report;
use facenet_miner::{Draw, Embeddings, Mined, Statistics};
use facenet_model::{Mode, Model};

use crate::config::{Leftover, MiningMode};
use crate::ema::Ema;
use crate::embedder::{Rows, embed_pictures, reference_mining_mode};
use crate::error::TrainError;
use crate::feed::{Pass, Purpose};
use crate::head::Head;
use crate::loss::Cost;
use crate::observer::{Event, Observer, Stage};
use crate::optimizer::Optimizer;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::record::Record;
use crate::rollback::OnCollapse;
use crate::rounds::Rounds;
use crate::schedule::RateAt;
use crate::scoring::ScoringSet;
use crate::statistics::settle_statistics;
use crate::step::{Stepped, train_step};
use crate::strategy::Strategy;
use crate::watch::Health;

/// A run between two steps: what is in memory, opened and checked.
pub(crate) struct Engine {
    pub(crate) progress: Progress,
    pub(crate) plan: Plan,
    pub(crate) rounds: Rounds,
    pub(crate) model: Model,
    /// The classifier, where the loss has one.
    pub(crate) head: Option<Head>,
    pub(crate) optimizer: Optimizer,
    pub(crate) ema: Ema,
    pub(crate) scoring: Option<ScoringSet>,
    pub(crate) record: Record,
    pub(crate) last_loss: Option<f64>,
    /// What the last step of this process showed.
    pub(crate) health: Option<Health>,
    /// Whether this process has made a step, or ended an epoch.
    pub(crate) has_worked: bool,
    pub(crate) last: Option<Last>,
}

/// Whether images are of one identity: two of them, or more.
fn is_one_identity(ids: &[ImageId]) -> bool {
    ids.len() >= 2 && ids.windows(2).all(|two| two[0].identity == two[1].identity)
}

/// The scores of the last epoch's end.
#[derive(Default)]
pub(crate) struct Last {
    /// Steps made when they were taken.
    pub(crate) step: u64,
    pub(crate) raw: Option<Report>,
    pub(crate) ema: Option<Report>,
}

impl Engine {
    /// Runs to the last step; true when the schedule file, or its patience, ended the run before.
    ///
    /// # Errors
    /// Whatever stops a run: bad data, divergence, starvation, a full disk.
    pub(crate) fn run(&mut self, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        // One that was stopped after its first round has been scored.
        if self.progress.round == 0 {
            self.or_go_back(observer, Self::begin)?;
        }
        if self.progress.is_epoch_open {
            self.or_go_back(observer, Self::end_epoch)?;
        }
        while !self.progress.is_done() {
            if self.progress.is_out_of_patience() {
                self.tell_patience(observer);
                return Ok(true);
            }
            let RateAt::Rate(rate) = self
                .plan
                .schedule
                .at(self.progress.epoch(), self.progress.step)
            else {
                observer.event(&Event::Note("the schedule file ends the run here"));
                return Ok(true);
            };
            let rate = rate * self.progress.watch.rate_factor();
            let made = self.turn_and_keep(rate, observer);
            made.or_else(|error| self.roll_back(error, observer))?;
        }
        Ok(false)
    }

    /// What comes before a run's first step.
    fn begin(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let before = self.score(false, true, observer)?;
        self.progress.accuracy_before = before.map(|report| report.accuracy_mean);
        if self.progress.config.on_collapse == OnCollapse::Rollback {
            self.save(observer)?;
        }
        Ok(())
    }

    /// One round, or one step and what follows it.
    fn turn_and_keep(&mut self, rate: f64, observer: &mut dyn Observer) -> Result<(), TrainError> {
        if self.or_go_back(observer, |engine, observer| engine.turn(rate, observer))? {
            self.after_step(observer)?;
        }
        Ok(())
    }

    /// A round or a step; true where it was a step.
    fn turn(&mut self, rate: f64, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        match self.progress.config.strategy {
            _ if self.head.is_some() => {
                self.classify(rate, observer)?;
                Ok(true)
            }
            Strategy::OnePass => self.one_pass(rate, observer),
            Strategy::Reference if self.progress.pending.is_empty() => {
                self.mine_round(observer)?;
                Ok(false)
            }
            Strategy::Reference => self.step(rate, observer),
        }
    }

    /// Makes the run's first step and nothing besides; none where the schedule file ends the run
    /// before.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub(crate) fn first_step(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let RateAt::Rate(rate) = self.plan.schedule.at(0, 0) else {
            return Ok(());
        };
        while !self.turn(rate, observer)? {}
        Ok(())
    }

    fn tell_patience(&self, observer: &mut dyn Observer) {
        let epochs = self.progress.config.patience.unwrap_or_default();
        let best = match self.progress.best {
            Some(best) => format!(
                "the best, {:.5}, was that of step {}",
                best.score, best.step
            ),
            None => "there was none".to_owned(),
        };
        observer.event(&Event::Note(&format!(
            "no better score for {epochs} epochs: the run ends here; {best}"
        )));
    }

    /// Samples, embeds and mines one round; its triplets become the pending ones.
    fn mine_round(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let began = Instant::now();
        let rows = self.embed_round(observer)?;
        self.tell_unreadable(observer);
        let mined = self.mine(&rows)?;
        self.rounds.learn(&rows.ids, &rows.values);
        let triplets = mined.triplets.iter();
        self.progress.pending = triplets
            .map(|t| [t.anchor, t.positive, t.negative].map(|row| rows.ids[row as usize]))
            .collect();
        self.end_round(&rows.ids, &mined.statistics, began, observer)
    }

    /// Tells images that turned out to be unreadable.
    pub(crate) fn tell_unreadable(&self, observer: &mut dyn Observer) {
        for news in self.plan.feed.news() {
            observer.event(&Event::Warning(&news));
        }
    }

    /// Counts, logs and tells a round that has been mined.
    ///
    /// # Errors
    /// [`TrainError::Starved`] after too many rounds in a row without a triplet.
    pub(crate) fn end_round(
        &mut self,
        ids: &[ImageId],
        statistics: &Statistics,
        began: Instant,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let (epoch, round) = (self.progress.epoch(), self.progress.round);
        let seconds = began.elapsed().as_secs_f64();
        self.progress.round += 1;
        self.progress.watch.mined_active_share = statistics.active_share;
        self.record.mined(self.progress.step, statistics, seconds)?;
        observer.event(&Event::Mined {
            epoch,
            round,
            images: ids.len(),
            triplets: statistics.triplets as usize,
            statistics,
            seconds,
        });
        self.count_empty_rounds(statistics.triplets == 0, ids)
    }

    /// Embeds the round's images, with running statistics that fit the weights.
    fn embed_round(&mut self, observer: &mut dyn Observer) -> Result<Rows, TrainError> {
        let config = &self.progress.config;
        let (epoch, round) = (self.progress.epoch(), self.progress.round);
        let ids = self.rounds.next(&self.plan, round);
        let pass = Pass {
            purpose: Purpose::Mine,
            epoch,
            step: round,
            ids: &ids,
            batch: match config.mining_mode {
                MiningMode::Eval => config.forward_batch(),
                // Its statistics are those of the batch that was asked for.
                MiningMode::Train => config.batch_size,
            },
        };
        let mode = match config.mining_mode {
            MiningMode::Eval => Mode::Eval,
            MiningMode::Train => {
                reference_mining_mode(config.seed, epoch, round, config.keep_probability)
            }
        };
        if config.mining_mode == MiningMode::Eval {
            settle_statistics(&self.model, &self.plan.feed, &pass, observer)?;
        }
        embed_pictures(
            &self.model,
            &self.plan.feed,
            &pass,
            &mode,
            Stage::Mine,
            observer,
        )
    }

    /// Mines triplets among the rows, in the seeded order that training takes them in.
    pub(crate) fn mine(&self, rows: &Rows) -> Result<Mined, TrainError> {
        let labels: Vec<_> = rows.ids.iter().map(|id| id.identity).collect();
        let draw = self.draw();
        let embeddings = Embeddings::new(&rows.values, rows.dim)?;
        let mut mined = self.plan.miner.mine(embeddings, &labels, draw)?;
        self.check_rows(&mined.statistics)?;
        mined.shuffle(draw);
        Ok(mined)
    }

    /// Names the random draws of the round's mining.
    pub(crate) fn draw(&self) -> Draw {
        Draw {
            seed: self.progress.config.seed,
            epoch: self.progress.epoch(),
            step: self.progress.round,
        }
    }

    /// Refuses a round with embeddings that are no numbers, which the miner leaves out.
    pub(crate) fn check_rows(&self, statistics: &Statistics) -> Result<(), TrainError> {
        if statistics.masked_rows == 0 {
            return Ok(());
        }
        let what = format!("{} embeddings are not finite", statistics.masked_rows);
        Err(TrainError::diverged(self.progress.step, what))
    }

    /// Ends the run after too many rounds in a row without a triplet.
    fn count_empty_rounds(&mut self, is_empty: bool, ids: &[ImageId]) -> Result<(), TrainError> {
        if !is_empty {
            self.progress.empty_rounds = 0;
            return Ok(());
        }
        self.progress.empty_rounds += 1;
        if self.progress.empty_rounds < self.progress.config.max_empty_rounds {
            return Ok(());
        }
        Err(TrainError::Starved {
            step: self.progress.step,
            rounds: self.progress.empty_rounds,
            rule: self.progress.config.rule.to_string(),
            last_loss: self.last_loss,
            images: ids.len(),
            is_one_identity: is_one_identity(ids),
        })
    }

    /// One optimizer step on the next triplets; false where not one of them could be read.
    fn step(&mut self, rate: f64, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        let began = Instant::now();
        let triplets = self.progress.take_batch();
        let made = train_step(
            &self.model,
            &mut self.optimizer,
            &self.plan.feed,
            &self.progress,
            &triplets,
            rate,
            observer,
        )?;
        let Some(made) = made else { return Ok(false) };
        self.end_step(&made, rate, began, observer)?;
        Ok(true)
    }

    /// Counts, averages, logs and tells a step that has been made.
    pub(crate) fn end_step(
        &mut self,
        made: &Stepped,
        rate: f64,
        began: Instant,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let (epoch, step_in_epoch) = (self.progress.epoch(), self.progress.step_in_epoch());
        self.progress.step += 1;
        self.progress.images += made.images as u64;
        self.ema
            .update(&self.model.state(), Some(self.progress.step - 1))?;
        self.last_loss = Some(made.loss);
        self.has_worked = true;
        self.progress.note_loss(made.loss);
        let health = made.health(self.progress.watch.mined_active_share);
        self.health = Some(health);
        self.record.stepped(&self.progress, made, &health, rate)?;
        observer.event(&Event::Stepped {
            epoch,
            step_in_epoch: step_in_epoch + 1,
            epoch_size: self.progress.config.epoch_size,
            step: self.progress.step,
            total_steps: self.progress.total_steps(),
            loss: made.loss,
            rate,
            images: made.images,
            health,
            seconds: began.elapsed().as_secs_f64(),
        });
        self.watch_step(made)
    }

    /// Notes the step's health.
    ///
    /// # Errors
    /// [`TrainError::Collapsed`] where the embeddings have become one point.
    fn watch_step(&mut self, made: &Stepped) -> Result<(), TrainError> {
        if self.progress.config.loss.has_head() {
            return Ok(());
        }
        // What a triplet of equal embeddings costs.
        let level = Cost::of(&self.progress.config).share(0.0, 0.0).loss;
        let watch = &mut self.progress.watch;
        let collapse = watch.note(made.data_loss, level, made.spread);
        collapse.map_or(Ok(()), |collapse| {
            Err(TrainError::collapsed(self.progress.step, collapse))
        })
    }

    /// Scores and saves where an epoch ends or a checkpoint is due.
    fn after_step(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let config = &self.progress.config;
        if self.progress.step_in_epoch() == 0 {
            if config.leftover == Leftover::Drop {
                self.progress.pending.clear();
            }
            self.progress.is_epoch_open = true;
            return self.or_go_back(observer, Self::end_epoch);
        }
        match config.checkpoint_every {
            Some(every) if self.progress.step.is_multiple_of(every) => self.save(observer),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_identity_has_two_images_or_more() {
        let of = |identities: &[u32]| {
            let ids = identities
                .iter()
                .map(|&identity| ImageId { identity, image: 0 });
            is_one_identity(&ids.collect::<Vec<_>>())
        };
        assert!(!of(&[]) && !of(&[3]));
        assert!(of(&[3, 3, 3]) && !of(&[3, 3, 4]));
    }
}
