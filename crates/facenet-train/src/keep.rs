//! Scoring a run and saving it: the part of the engine that looks back.

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::Tensor;
use facenet_lfw::{LfwError, Report};
use facenet_model::{FORMAT, SavedConfig, model_files, put_model};
use serde_json::json;

use crate::card::model_card;
use crate::checkpoint::Checkpoint;
use crate::compute::precision_name;
use crate::engine::{Engine, Last};
use crate::error::TrainError;
use crate::evaluate::score;
use crate::feed::{Feed, Pass, Purpose};
use crate::finite::check_tensors;
use crate::head::Head;
use crate::observer::{Event, Observer, Silent};
use crate::rollback::OnCollapse;
use crate::rounds::SAMPLER_FILE;
use crate::run::{BEST_DIR, EMA_DIR, MODEL_DIR};
use crate::statistics::settle_statistics;

impl Engine {
    /// Scores the weights, or their moving average, and logs it where `is_news`; `None` where
    /// nothing is scored.
    ///
    /// Running statistics that are too young are recalibrated first; those of the weights then
    /// stay so.
    pub(crate) fn score(
        &mut self,
        is_ema: bool,
        is_news: bool,
        observer: &mut dyn Observer,
    ) -> Result<Option<Report>, TrainError> {
        if self.scoring.is_none() {
            return Ok(None);
        }
        let began = Instant::now();
        let raw = if is_ema {
            Some(copied(&self.model.state())?)
        } else {
            None
        };
        if is_ema {
            self.model.set_state(self.ema.shadow())?;
        }
        let report = self.score_present(observer);
        if let Some(raw) = raw {
            self.model.set_state(&raw)?;
        }
        let report = report?;
        let seconds = began.elapsed().as_secs_f64();
        let step = self.progress.step;
        if is_news {
            self.record.scored(step, &report, is_ema, seconds)?;
        }
        let missing = self.scoring.as_ref().map_or(0, |set| set.missing);
        observer.event(&Event::Scored {
            step,
            is_ema,
            missing,
            report: &report,
            seconds,
        });
        Ok(Some(report))
    }

    /// Scores the model as it stands.
    fn score_present(&self, observer: &mut dyn Observer) -> Result<Report, TrainError> {
        let set = self.scoring.as_ref().expect("the caller has looked");
        let config = &self.progress.config;
        self.settle(observer)?;
        let pictures = set.pictures.clone();
        let threads = config.loader_threads;
        let feed = Feed::plain(pictures, config.recipe(), config.image_size, threads, 0.0)?;
        let evaluation = score(&self.model, &feed, set, config.forward_batch(), observer)
            .map_err(|error| divergence(error, self.progress.step))?;
        Ok(evaluation.report)
    }

    /// Recalibrates running statistics that are too young for the weights that are present.
    fn settle(&self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let ids = self.plan.round_images(self.progress.round);
        let pass = Pass {
            purpose: Purpose::Settle,
            epoch: self.progress.epoch(),
            step: self.progress.step,
            ids: &ids,
            batch: self.progress.config.forward_batch(),
        };
        settle_statistics(&self.model, &self.plan.feed, &pass, observer)
    }

    /// The weights' average with statistics that fit it: the model that is scored as the average.
    fn settled_average(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        let raw = copied(&self.model.state())?;
        self.model.set_state(self.ema.shadow())?;
        let average = self
            .settle(&mut Silent)
            .map(|()| copied(&self.model.state()));
        self.model.set_state(&raw)?;
        Ok(average??)
    }

    /// Scores, notes the best and saves, at the end of an epoch.
    pub(crate) fn end_epoch(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        self.check_weights()?;
        self.has_worked = true;
        self.progress.is_epoch_open = false;
        let last = self.scores(true, observer)?;
        let score = match &last.raw {
            Some(report) => Some(report.accuracy_mean),
            None => self.progress.epoch_loss.mean().map(|loss| -loss),
        };
        let is_best = score.is_some_and(|score| self.progress.note_score(score));
        self.last = Some(last);
        self.save(observer)?;
        if is_best {
            self.save_model_as(BEST_DIR, false)?;
        }
        Ok(())
    }

    fn scores(&mut self, is_news: bool, observer: &mut dyn Observer) -> Result<Last, TrainError> {
        Ok(Last {
            step: self.progress.step,
            raw: self.score(false, is_news, observer)?,
            ema: self.score(true, is_news, observer)?,
        })
    }

    /// Scores and saves what the run has made; a run that ended with an epoch has done so. Where
    /// this process has made no step, the score is no news and the logs stay as they are.
    pub(crate) fn finish(&mut self, observer: &mut dyn Observer) -> Result<Last, TrainError> {
        let is_ended = (self.last.as_ref()).is_some_and(|last| last.step == self.progress.step);
        if !self.has_worked {
            self.check_weights()?;
            let scores =
                |engine: &mut Self, observer: &mut dyn Observer| engine.scores(false, observer);
            self.last = Some(self.or_go_back(observer, scores)?);
            if self.progress.step == 0 {
                self.save(observer)?;
            }
        } else if !is_ended {
            self.progress.is_epoch_open = true;
            self.or_go_back(observer, Self::end_epoch)?;
        }
        self.save_model_as(MODEL_DIR, false)?;
        self.save_model_as(EMA_DIR, true)?;
        Ok(self.last.take().unwrap_or_default())
    }

    /// Refuses weights that are no longer finite: a step finds out only about the one before.
    fn check_weights(&self) -> Result<(), TrainError> {
        let (step, of_head) = (self.progress.step, self.head.iter().flat_map(Head::state));
        check_tensors(step, "", &self.model.state())?;
        check_tensors(step, "", &of_head.collect())
    }

    /// Refuses a state of which anything is not finite: a run could not go on from that.
    pub(crate) fn check_state(&self) -> Result<(), TrainError> {
        self.check_weights()?;
        let (step, optimizer) = (self.progress.step, self.optimizer.state()?);
        check_tensors(step, "the average of ", self.ema.shadow())?;
        check_tensors(step, "the optimizer's ", &optimizer)
    }

    /// Writes a checkpoint of the state between two steps, which a rollback may go to.
    ///
    /// # Errors
    /// [`TrainError::Diverged`] where any of it is not finite.
    pub(crate) fn save(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        self.check_state()?;
        let can_go_back = self.progress.config.on_collapse == OnCollapse::Rollback;
        if can_go_back && self.progress.watch.is_good() {
            self.progress.watch.last_good = Some(self.progress.step);
        }
        self.write_checkpoint(observer)
    }

    /// Writes a checkpoint of the state as it is, which has been checked.
    pub(crate) fn write_checkpoint(
        &mut self,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        self.progress.statistics_updates = self.model.updates();
        let checkpoint = Checkpoint {
            model: self.model.state(),
            ema: Some(self.ema.shadow().clone()),
            head: self.head.as_ref().map(Head::state),
            optimizer: self.optimizer.state()?,
            progress: self.progress.clone(),
        };
        let card = self.card(false);
        let config = self.saved_config();
        let files = model_files(&BTreeMap::new(), &config, &card)?;
        let state = self.rounds.state();
        let state = state.as_deref().map(|state| (SAMPLER_FILE, state));
        let extra: Vec<_> = files
            .iter()
            .filter(|(name, _)| *name != crate::checkpoint::MODEL_FILE)
            .map(|(name, bytes)| (*name, bytes.as_slice()))
            .chain(state)
            .collect();
        let path = self.record.save(&checkpoint, &extra)?;
        observer.event(&Event::Saved { path: &path });
        Ok(())
    }

    /// Saves the weights, or their average, as a model folder called `name` in the run's folder.
    pub(crate) fn save_model_as(&self, name: &str, is_ema: bool) -> Result<(), TrainError> {
        let state = if is_ema {
            self.settled_average()?
        } else {
            self.model.state()
        };
        let card = self.card(is_ema);
        let dir = self.record.folder.model_dir().join(name);
        let members = model_files(&state, &self.saved_config(), &card)?;
        Ok(put_model(self.record.folder.files(), &dir, &members)?)
    }

    /// The card of the weights, or their average, with their score where they have one.
    fn card(&self, is_ema: bool) -> String {
        let last = self.last.as_ref();
        let now = last.filter(|last| last.step == self.progress.step);
        let report = now.and_then(|now| {
            if is_ema {
                now.ema.as_ref()
            } else {
                now.raw.as_ref()
            }
        });
        let missing = self.scoring.as_ref().map_or(0, |set| set.missing);
        model_card(&self.progress, is_ema, report, missing)
    }

    fn saved_config(&self) -> SavedConfig {
        let progress = &self.progress;
        let has_triplets = !progress.config.loss.has_head();
        SavedConfig {
            format: FORMAT,
            model: self.model.config().clone(),
            recipe: json!(progress.config.recipe()),
            training: json!({
                "steps": progress.step,
                "images": progress.images,
                "data": progress.data_fingerprint,
                "strategy": progress.config.strategy,
                "loss": progress.config.loss,
                "sampler": progress.config.sampler,
                "rule": has_triplets.then_some(progress.config.rule),
                "margin": has_triplets.then(|| shortest(progress.config.margin)),
                "precision": precision_name(progress.config.precision),
                "winograd": progress.config.winograd,
                "optimizer": progress.config.optimizer,
                "learning_rate": progress.config.learning_rate,
                "seed": progress.config.seed,
                "accuracy_before": progress.accuracy_before,
                "best": progress.best,
            }),
        }
    }
}

/// The `f64` that is written as this `f32` is: 0.2 for 0.2, not 0.20000000298.
fn shortest(value: f32) -> f64 {
    let digits = value.to_string();
    digits.parse().expect("digits that Rust itself has written")
}

/// Embeddings that are no numbers are no fault of the pairs that they score.
fn divergence(error: TrainError, step: u64) -> TrainError {
    match error {
        TrainError::Lfw(LfwError::NotFinite { .. }) => {
            TrainError::diverged(step, "an embedding of an image to score is not finite")
        }
        other => other,
    }
}

/// The tensors with memory of their own.
fn copied(state: &BTreeMap<String, Tensor>) -> candle_core::Result<BTreeMap<String, Tensor>> {
    state
        .iter()
        .map(|(name, tensor)| Ok((name.clone(), tensor.copy()?)))
        .collect()
}
