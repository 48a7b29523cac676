//! The strategy `one-pass`: a round is mined whole and is one step on all its triplets.

use std::time::Instant;

use facenet_miner::{Embeddings, Statistics};

use crate::chunks::dealt;
use crate::engine::Engine;
use crate::error::TrainError;
use crate::feed::{Pass, Purpose};
use crate::loss::Cost;
use crate::observer::Observer;
use crate::round::{Embedded, Round};
use crate::step::{Manner, Shown, Stepped, training_mode, update};
use crate::triplet_sum::{TripletMean, TripletSum};
use crate::watch::{Distances, spread};

impl Engine {
    /// One round, and the step that it makes; false where it gave no triplet.
    ///
    /// What is drawn belongs to the round's number: a round without triplets makes no step.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub(crate) fn one_pass(
        &mut self,
        rate: f64,
        observer: &mut dyn Observer,
    ) -> Result<bool, TrainError> {
        let mut began = Instant::now();
        let config = &self.progress.config;
        let mode = training_mode(config, self.progress.epoch(), self.progress.round);
        let round = self.load_round(observer)?;
        self.tell_unreadable(observer);
        // A single image has no batch statistics, and no triplet.
        if round.ids.len() < 2 {
            self.end_round(&round.ids, &Statistics::default(), began, observer)?;
            return Ok(false);
        }
        let chunk_size = self.progress.config.chunk_size;
        let mut embedded = Embedded::new(&self.model, &round, chunk_size, mode.clone(), observer)?;
        let mut distances = Distances::new();
        let (statistics, mean) = self.mine_whole(&round, &embedded, &mut distances)?;
        self.end_round(&round.ids, &statistics, began, observer)?;
        let Some(mean) = mean else {
            self.rounds.learn(&round.ids, &embedded.values);
            return Ok(false);
        };
        began = Instant::now();
        let seen = Stepped {
            spread: spread(&embedded.values, embedded.dim),
            ..seen(&mean, round.ids.len(), distances.quantiles())
        };
        let values = std::mem::take(&mut embedded.values);
        let gradients = embedded.back(&self.model, &round, &mean.gradient, observer)?;
        // Nobody is asked whether to stop from here on.
        self.rounds.learn(&round.ids, &values);
        let manner = Manner {
            mode,
            cost: Cost::of(&self.progress.config),
            clip_norm: self.progress.config.clip_gradient_norm,
            step: self.progress.step,
            rate,
        };
        let made = update(&self.model, &mut self.optimizer, &gradients, seen, &manner)?;
        self.end_step(&made, rate, began, observer)?;
        Ok(true)
    }

    /// The images of the round, dealt out to chunks.
    pub(crate) fn load_round(&mut self, observer: &mut dyn Observer) -> Result<Round, TrainError> {
        let config = &self.progress.config;
        let ids = self.rounds.next(&self.plan, self.progress.round);
        let ids = dealt(&ids, config.chunk_size);
        let pass = Pass {
            purpose: Purpose::Train,
            epoch: self.progress.epoch(),
            step: self.progress.round,
            ids: &ids,
            batch: config.forward_batch(),
        };
        Round::load(&self.plan.feed, &pass, observer)
    }

    /// Mines the whole round and counts its distances; the mean over its triplets, where there are any.
    pub(crate) fn mine_whole(
        &self,
        round: &Round,
        embedded: &Embedded,
        distances: &mut Distances,
    ) -> Result<(Statistics, Option<TripletMean>), TrainError> {
        let labels: Vec<_> = round.ids.iter().map(|id| id.identity).collect();
        let rows = Embeddings::new(&embedded.values, embedded.dim)?;
        let cost = Cost::of(&self.progress.config);
        let mut sum = TripletSum::new(&embedded.values, embedded.dim, cost);
        let miner = &self.plan.miner;
        let statistics = miner.visit(rows, &labels, self.draw(), &mut |triplet| {
            let [d_ap, d_an] = sum.add(triplet);
            distances.add(d_ap, d_an);
        })?;
        self.check_rows(&statistics)?;
        Ok((statistics, sum.mean()))
    }
}

/// The step on a round, before its gradient is measured and its embeddings are looked at.
fn seen(mean: &TripletMean, images: usize, quantiles: [[f64; 3]; 2]) -> Stepped {
    Stepped {
        loss: mean.loss,
        data_loss: mean.loss,
        images,
        shown: Shown::Triplets {
            active_share: mean.active_share,
            d_ap: mean.d_ap,
            d_an: mean.d_an,
            quantiles,
        },
        spread: 0.0,
        gradient_norm: 0.0,
    }
}
