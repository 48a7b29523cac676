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

    pub(crate) fn mine(&self, config: &MinerConfig, draw: Draw) -> Expected {
        match config.rule {
            Rule::Violating | Rule::SemiHard => self.pair_rule(config, draw),
            Rule::BatchHard => self.batch_hard(config),
            Rule::BatchAll => self.batch_all(config),
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
    let rejected = (1u128 << 64) % u128::from(n);
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(n);
        if product & u128::from(u64::MAX) >= rejected {
            return Some(negatives[(product >> 64) as usize]);
        }
    }
}
