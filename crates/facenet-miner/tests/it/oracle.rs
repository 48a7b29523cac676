//! The rules written out in f64, naively: every distance, every comparison, no f32 anywhere.

use facenet_miner::{Draw, MinerConfig, NegativeChoice, Rule, Triplet};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A batch as the tests make it.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) rows: Vec<f32>,
    pub(crate) dim: usize,
    pub(crate) labels: Vec<u32>,
}

/// What the oracle finds.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Expected {
    pub(crate) triplets: Vec<Triplet>,
    pub(crate) pairs: u64,
    pub(crate) active: u64,
}

impl Batch {
    pub(crate) fn row(&self, i: usize) -> &[f32] {
        &self.rows[i * self.dim..(i + 1) * self.dim]
    }

    pub(crate) fn d(&self, i: usize, j: usize) -> f64 {
        let mut sum = 0.0;
        for k in 0..self.dim {
            let diff = f64::from(self.row(i)[k]) - f64::from(self.row(j)[k]);
            sum += diff * diff;
        }
        sum
    }

    /// Rows without NaN or infinity.
    pub(crate) fn finite(&self) -> Vec<usize> {
        (0..self.labels.len())
            .filter(|&i| self.row(i).iter().all(|x| x.is_finite()))
            .collect()
    }

    /// Finite rows of the same label (the anchor not among them) and of other labels.
    pub(crate) fn sides(&self, anchor: usize) -> (Vec<usize>, Vec<usize>) {
        let others = self.finite().into_iter().filter(|&i| i != anchor);
        others.partition(|&i| self.labels[i] == self.labels[anchor])
    }

    pub(crate) fn admissible(&self, rule: Rule, margin: f32, pair: [usize; 2]) -> Vec<usize> {
        let [anchor, positive] = pair;
        let d_ap = self.d(anchor, positive);
        let (_, mut negatives) = self.sides(anchor);
        negatives.retain(|&negative| {
            let d_an = self.d(anchor, negative);
            let violates = d_an - d_ap < f64::from(margin);
            violates && (rule != Rule::SemiHard || d_an > d_ap)
        });
        negatives
    }

    /// The row of `rows` that no earlier one equals or beats.
    fn best(&self, anchor: usize, rows: &[usize], better: fn(f64, f64) -> bool) -> Option<usize> {
        let mut best: Option<usize> = None;
        for &row in rows {
            if best.is_none_or(|held| better(self.d(anchor, row), self.d(anchor, held))) {
                best = Some(row);
            }
        }
        best
    }

    pub(crate) fn farthest(&self, anchor: usize, rows: &[usize]) -> Option<usize> {
        self.best(anchor, rows, |x, y| x > y)
    }

    pub(crate) fn nearest(&self, anchor: usize, rows: &[usize]) -> Option<usize> {
        self.best(anchor, rows, |x, y| x < y)
    }

    /// The `k` nearest negatives: bits of the distance, and the row.
    pub(crate) fn nearest_of(&self, anchor: usize, k: usize) -> Vec<(u64, usize)> {
        if !self.finite().contains(&anchor) {
            return vec![];
        }
        let (_, negatives) = self.sides(anchor);
        // Distances are not negative, so their bits are in their order.
        let ranked = negatives
            .into_iter()
            .map(|row| (self.d(anchor, row).to_bits(), row));
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_unstable();
        ranked.truncate(k);
        ranked
    }

    pub(crate) fn mine(&self, config: &MinerConfig, draw: Draw) -> Expected {
        match config.rule {
            Rule::Violating | Rule::SemiHard => self.pair_rule(config, draw),
            Rule::BatchHard => self.batch_hard(config),
            Rule::BatchAll => self.batch_all(config),
            Rule::DistanceWeighted => self.distance_weighted(config, draw),
        }
    }

    fn pair_rule(&self, config: &MinerConfig, draw: Draw) -> Expected {
        let mut expected = Expected::default();
        for anchor in self.finite() {
            let (positives, _) = self.sides(anchor);
            for positive in positives.into_iter().filter(|&positive| positive > anchor) {
                let negatives = self.admissible(config.rule, config.margin, [anchor, positive]);
                let negative = match config.negative {
                    NegativeChoice::Closest => self.nearest(anchor, &negatives),
                    NegativeChoice::Random => drawn(&negatives, draw, expected.pairs),
                };
                expected.pairs += 1;
                expected.active += u64::from(!negatives.is_empty());
                expected
                    .triplets
                    .extend(negative.map(|negative| triplet([anchor, positive, negative])));
            }
        }
        expected
    }

    fn distance_weighted(&self, config: &MinerConfig, draw: Draw) -> Expected {
        let mut expected = Expected::default();
        for anchor in self.finite() {
            let (positives, negatives) = self.sides(anchor);
            for positive in positives.into_iter().filter(|&positive| positive > anchor) {
                let near = |&&row: &&usize| {
                    self.d(anchor, row) < f64::from(config.nonzero_loss_cutoff).powi(2)
                };
                let near: Vec<usize> = negatives.iter().filter(near).copied().collect();
                let weights = self.weights(anchor, &near, config.cutoff);
                let negative = if near.is_empty() {
                    drawn(&negatives, draw, expected.pairs)
                } else {
                    weighted(&near, &weights, draw, expected.pairs)
                };
                let violates = negative.is_some_and(|negative| {
                    self.d(anchor, negative) - self.d(anchor, positive) < f64::from(config.margin)
                });
                expected.pairs += 1;
                expected.active += u64::from(violates);
                let given = negative.filter(|_| violates || !config.only_violating);
                expected
                    .triplets
                    .extend(given.map(|negative| triplet([anchor, positive, negative])));
            }
        }
        expected
    }

    /// One over the density of each distance, over the greatest, as the paper writes it.
    pub(crate) fn weights(&self, anchor: usize, rows: &[usize], cutoff: f32) -> Vec<f64> {
        let n = self.dim as f64;
        let logarithm = |&row: &usize| {
            let d = self.d(anchor, row).sqrt().max(f64::from(cutoff));
            (2.0 - n) * d.ln() - (n - 3.0) / 2.0 * (1.0 - d * d / 4.0).ln()
        };
        let logarithms: Vec<f64> = rows.iter().map(logarithm).collect();
        let greatest = logarithms.iter().copied().fold(f64::MIN, f64::max);
        logarithms.iter().map(|x| (x - greatest).exp()).collect()
    }

    fn batch_hard(&self, config: &MinerConfig) -> Expected {
        let mut expected = Expected::default();
        for anchor in self.finite() {
            let (positives, negatives) = self.sides(anchor);
            let (Some(positive), Some(negative)) = (
                self.farthest(anchor, &positives),
                self.nearest(anchor, &negatives),
            ) else {
                continue;
            };
            let violates =
                self.d(anchor, negative) - self.d(anchor, positive) < f64::from(config.margin);
            expected.pairs += 1;
            expected.active += u64::from(violates);
            if violates || !config.only_violating {
                expected
                    .triplets
                    .push(triplet([anchor, positive, negative]));
            }
        }
        expected
    }

    fn batch_all(&self, config: &MinerConfig) -> Expected {
        let mut expected = Expected::default();
        for anchor in self.finite() {
            let (positives, negatives) = self.sides(anchor);
            for positive in positives {
                let violating = self.admissible(config.rule, config.margin, [anchor, positive]);
                expected.pairs += 1;
                expected.active += u64::from(!violating.is_empty());
                let given = if config.only_violating {
                    &violating
                } else {
                    &negatives
                };
                let triplets = given
                    .iter()
                    .map(|&negative| triplet([anchor, positive, negative]));
                expected.triplets.extend(triplets);
            }
        }
        expected
    }
}

fn triplet([anchor, positive, negative]: [usize; 3]) -> Triplet {
    Triplet {
        anchor: anchor as u32,
        positive: positive as u32,
        negative: negative as u32,
    }
}

/// The documented draw, from nothing but its documentation.
fn drawn(negatives: &[usize], draw: Draw, pair: u64) -> Option<usize> {
    let n = negatives.len() as u64;
    if n < 2 {
        return negatives.first().copied();
    }
    let mut rng = stream(draw, pair);
    let rejected = (1u128 << 64) % u128::from(n);
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(n);
        if product & u128::from(u64::MAX) >= rejected {
            return Some(negatives[(product >> 64) as usize]);
        }
    }
}

/// The first row up to which the weights' sum exceeds a uniform share of the total.
fn weighted(rows: &[usize], weights: &[f64], draw: Draw, pair: u64) -> Option<usize> {
    let share = (stream(draw, pair).next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let mut rest = share * weights.iter().sum::<f64>();
    for (&row, weight) in rows.iter().zip(weights) {
        if rest < *weight {
            return Some(row);
        }
        rest -= weight;
    }
    rows.last().copied()
}

fn stream(draw: Draw, pair: u64) -> ChaCha8Rng {
    let mut key = Vec::new();
    for word in [
        draw.seed,
        u64::from_le_bytes(*b"mine\0\0\0\0"),
        draw.epoch,
        draw.step,
    ] {
        key.extend(word.to_le_bytes());
    }
    let mut rng = ChaCha8Rng::from_seed(key.try_into().expect("four words"));
    rng.set_stream(pair);
    rng
}
