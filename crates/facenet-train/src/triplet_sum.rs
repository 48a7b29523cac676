//! The triplet loss over all triplets of a round and its gradient by the embeddings, in closed
//! form, of triplets that are visited and not kept.
//!
//! The loss of `T` triplets is the mean of what each costs: of `max(0, d_ap - d_an + margin)`, or
//! of `ln(1 + exp(d_ap - d_an))`. Its slope counts the pair (anchor, positive) up and
//! (anchor, negative) down, so that
//!
//! ```text
//! T dLoss/dx_i = 2 Σ_j (w_ij + w_ji) (x_i - x_j)
//! ```
//!
//! with `w_ij` the sum of slopes that the triplets of anchor `i` leave at row `j`. Those of hinges
//! are whole numbers, which have no rounding; triplets come by anchor, and one row of `w` is held
//! at a time.

use facenet_miner::{Triplet, sq_l2};

use crate::loss::Cost;

/// Loss and gradient of some triplets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TripletMean {
    /// Mean of what triplets cost, those that cost nothing included.
    pub(crate) loss: f64,
    /// Its gradient by the embeddings, `[n, dim]` row-major.
    pub(crate) gradient: Vec<f64>,
    /// Share of the triplets that violate the margin.
    pub(crate) active_share: f64,
    /// Mean squared L2, anchor to positive.
    pub(crate) d_ap: f64,
    /// Mean squared L2, anchor to negative.
    pub(crate) d_an: f64,
}

/// Adds triplets up, one after the other, in f64.
#[derive(Debug)]
pub(crate) struct TripletSum<'a> {
    rows: &'a [f32],
    dim: usize,
    cost: Cost,
    anchor: Option<usize>,
    /// Squared L2 of each row to the anchor; NaN before it is asked for.
    distances: Vec<f64>,
    /// What the anchor's triplets leave at each row.
    weights: Vec<f64>,
    /// Rows whose distance has been asked for.
    touched: Vec<usize>,
    /// Half the gradient of the sum.
    gradient: Vec<f64>,
    triplets: u64,
    active: u64,
    loss: f64,
    d_ap: f64,
    d_an: f64,
}

impl<'a> TripletSum<'a> {
    /// No triplet yet.
    ///
    /// - `rows`: `[n, dim]` row-major
    /// - `cost`: of a triplet
    pub(crate) fn new(rows: &'a [f32], dim: usize, cost: Cost) -> Self {
        let n = rows.len() / dim;
        Self {
            rows,
            dim,
            cost,
            anchor: None,
            distances: vec![f64::NAN; n],
            weights: vec![0.0; n],
            touched: Vec::new(),
            gradient: vec![0.0; rows.len()],
            triplets: 0,
            active: 0,
            loss: 0.0,
            d_ap: 0.0,
            d_an: 0.0,
        }
    }

    /// Adds a triplet of finite rows and gives its `d_ap` and `d_an`; those of one anchor come
    /// together, or cost a pass over it each time.
    pub(crate) fn add(&mut self, triplet: Triplet) -> [f64; 2] {
        let anchor = triplet.anchor as usize;
        let (positive, negative) = (triplet.positive as usize, triplet.negative as usize);
        if self.anchor != Some(anchor) {
            self.close_anchor();
            self.anchor = Some(anchor);
        }
        let d_ap = self.distance(anchor, positive);
        let d_an = self.distance(anchor, negative);
        self.triplets += 1;
        self.d_ap += d_ap;
        self.d_an += d_an;
        let share = self.cost.share(d_ap, d_an);
        self.active += u64::from(share.is_active);
        self.loss += share.loss;
        self.weights[positive] += share.slope;
        self.weights[negative] -= share.slope;
        [d_ap, d_an]
    }

    /// Their means; `None` where there was no triplet.
    pub(crate) fn mean(mut self) -> Option<TripletMean> {
        self.close_anchor();
        if self.triplets == 0 {
            return None;
        }
        let count = self.triplets as f64;
        for value in &mut self.gradient {
            *value *= 2.0 / count;
        }
        Some(TripletMean {
            loss: self.loss / count,
            gradient: self.gradient,
            active_share: self.active as f64 / count,
            d_ap: self.d_ap / count,
            d_an: self.d_an / count,
        })
    }

    fn row(&self, index: usize) -> &'a [f32] {
        &self.rows[index * self.dim..][..self.dim]
    }

    fn distance(&mut self, anchor: usize, other: usize) -> f64 {
        if self.distances[other].is_nan() {
            self.distances[other] = sq_l2(self.row(anchor), self.row(other));
            self.touched.push(other);
        }
        self.distances[other]
    }

    /// Adds what the anchor's triplets give to the gradient, and forgets the anchor.
    fn close_anchor(&mut self) {
        let Some(anchor) = self.anchor.take() else {
            return;
        };
        let own_row = self.row(anchor);
        let mut own = vec![0.0; self.dim];
        for other in std::mem::take(&mut self.touched) {
            self.distances[other] = f64::NAN;
            let weight = std::mem::take(&mut self.weights[other]);
            if weight == 0.0 {
                continue;
            }
            let other_row = self.row(other);
            let gradient = &mut self.gradient[other * self.dim..][..self.dim];
            let values = own
                .iter_mut()
                .zip(gradient)
                .zip(own_row.iter().zip(other_row));
            for ((own, theirs), (&x, &y)) in values {
                let pull = weight * (f64::from(x) - f64::from(y));
                *own += pull;
                *theirs -= pull;
            }
        }
        let gradient = &mut self.gradient[anchor * self.dim..][..self.dim];
        gradient
            .iter_mut()
            .zip(own)
            .for_each(|(sum, own)| *sum += own);
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor, Var};
    use facenet_miner::{Draw, Embeddings, Miner, MinerConfig, Rule};
    use facenet_model::{soft_margin_loss, triplet_loss};

    use super::*;

    const DIM: usize = 5;
    const MARGIN: f32 = 0.2;
    const HARD: Cost = Cost {
        is_soft: false,
        margin: MARGIN as f64,
    };
    const COSTS: [Cost; 2] = [
        HARD,
        Cost {
            is_soft: true,
            ..HARD
        },
    ];

    /// 18 unit rows of 6 identities, close enough for every rule to find triplets.
    fn batch() -> (Vec<f32>, Vec<u32>) {
        let labels: Vec<u32> = (0..18).map(|row| row % 6).collect();
        let number = |i: usize| ((i * 2_654_435_761) % 1009) as f32 / 504.5 - 1.0;
        let rows = labels.iter().enumerate().flat_map(|(row, &label)| {
            let at = |k| number(label as usize * 31 + k) + number(row * 57 + k + 7);
            let row: Vec<f32> = (0..DIM).map(at).collect();
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            row.into_iter().map(move |x| x / norm).collect::<Vec<_>>()
        });
        (rows.collect(), labels)
    }

    fn cases() -> impl Iterator<Item = (Rule, Cost)> {
        let of = |rule| COSTS.map(|cost| (rule, cost));
        Rule::ALL.into_iter().flat_map(of)
    }

    /// The triplets of a rule among the rows.
    fn mined(rule: Rule, rows: &[f32], labels: &[u32]) -> Vec<Triplet> {
        let config = MinerConfig {
            rule,
            margin: MARGIN,
            ..MinerConfig::default()
        };
        let miner = Miner::new(config).expect("valid");
        let rows = Embeddings::new(rows, DIM).expect("whole rows");
        let mined = miner.mine(rows, labels, Draw::default()).expect("labelled");
        assert!(mined.triplets.len() > 3, "{rule}");
        mined.triplets
    }

    fn sum_of(cost: Cost, rows: &[f32], triplets: &[Triplet]) -> TripletMean {
        let mut sum = TripletSum::new(rows, DIM, cost);
        for &triplet in triplets {
            sum.add(triplet);
        }
        sum.mean().expect("there are triplets")
    }

    /// candle's loss and its gradient by the rows, in f64.
    fn candles(
        cost: Cost,
        rows: &[f32],
        triplets: &[Triplet],
    ) -> candle_core::Result<(f64, Vec<f64>)> {
        let values: Vec<f64> = rows.iter().map(|&x| f64::from(x)).collect();
        let var = Var::from_vec(values, (rows.len() / DIM, DIM), &Device::Cpu)?;
        let roles = triplets
            .iter()
            .flat_map(|t| [t.anchor, t.positive, t.negative]);
        let roles = Tensor::from_iter(roles, &Device::Cpu)?;
        let rows = var.index_select(&roles, 0)?;
        let loss = if cost.is_soft {
            soft_margin_loss(&rows)?.loss
        } else {
            triplet_loss(&rows, cost.margin)?.loss
        };
        let gradients = loss.backward()?;
        let gradient = gradients.get(&var).expect("of the rows").flatten_all()?;
        Ok((loss.to_scalar::<f64>()?, gradient.to_vec1::<f64>()?))
    }

    /// The loss by its definition, on rows in f64.
    fn naive(cost: Cost, rows: &[f64], triplets: &[Triplet]) -> f64 {
        let row = |index: u32| &rows[index as usize * DIM..][..DIM];
        let sq_l2 =
            |x: &[f64], y: &[f64]| -> f64 { x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum() };
        let losses = triplets.iter().map(|t| {
            let anchor = row(t.anchor);
            let excess = sq_l2(anchor, row(t.positive)) - sq_l2(anchor, row(t.negative));
            if cost.is_soft {
                (1.0 + excess.exp()).ln()
            } else {
                (excess + cost.margin).max(0.0)
            }
        });
        losses.sum::<f64>() / triplets.len() as f64
    }

    #[test]
    fn loss_and_gradient_are_candles_for_every_rule_and_loss() {
        let (rows, labels) = batch();
        for (rule, cost) in cases() {
            let triplets = mined(rule, &rows, &labels);
            let ours = sum_of(cost, &rows, &triplets);
            let (loss, gradient) = candles(cost, &rows, &triplets).expect("f64 on the CPU");
            // Sums of a few hundred numbers of size 1, each rounded by 2^-53 of itself.
            assert!((ours.loss - loss).abs() < 1e-13, "{rule}");
            assert!(gradient.iter().any(|g| g.abs() > 1e-3), "{rule}");
            for (ours, theirs) in ours.gradient.iter().zip(gradient) {
                assert!((ours - theirs).abs() < 1e-13, "{rule}: {ours} {theirs}");
            }
        }
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences_for_every_rule_and_loss() {
        let (rows, labels) = batch();
        for (rule, cost) in cases() {
            let triplets = mined(rule, &rows, &labels);
            let ours = sum_of(cost, &rows, &triplets);
            let mut values: Vec<f64> = rows.iter().map(|&x| f64::from(x)).collect();
            for (at, &gradient) in ours.gradient.iter().enumerate() {
                let own = values[at];
                let mut loss_at = |x| {
                    values[at] = x;
                    naive(cost, &values, &triplets)
                };
                let (above, below) = (loss_at(own + STEP), loss_at(own - STEP));
                values[at] = own;
                let difference = (above - below) / (2.0 * STEP);
                assert!((gradient - difference).abs() < 1e-8, "{rule} {at}");
            }
        }
    }

    /// A hinge is quadratic between its kinks: differences are exact but for the rounding of two
    /// losses, 2^-53 over this. The soft one adds the square of this.
    const STEP: f64 = 1e-6;

    #[test]
    fn anchors_that_come_apart_give_the_same() {
        let (rows, labels) = batch();
        let mut triplets = mined(Rule::BatchAll, &rows, &labels);
        let together = COSTS.map(|cost| sum_of(cost, &rows, &triplets));
        triplets.sort_by_key(|t| (t.negative, t.positive, t.anchor));
        let apart = COSTS.map(|cost| sum_of(cost, &rows, &triplets));
        for (together, apart) in together.iter().zip(&apart) {
            for (a, b) in together.gradient.iter().zip(&apart.gradient) {
                assert!((a - b).abs() < 1e-13, "{a} {b}");
            }
            assert!((together.d_an - apart.d_an).abs() < 1e-13);
        }
    }

    #[test]
    fn rows_that_are_all_alike_tie_at_ln_2_and_pull_nowhere() {
        let rows = [0.5; 3 * DIM];
        let triplet = Triplet {
            anchor: 0,
            positive: 1,
            negative: 2,
        };
        let mean = sum_of(COSTS[1], &rows, &[triplet]);
        assert_eq!(mean.loss, std::f64::consts::LN_2);
        assert_eq!(
            (mean.gradient, mean.active_share),
            (vec![0.0; 3 * DIM], 1.0)
        );
    }

    fn hinge(margin: f64) -> Cost {
        Cost {
            is_soft: false,
            margin,
        }
    }

    #[test]
    fn means_are_over_all_triplets_and_only_active_ones_pull() {
        // On a line: row 0 at 0, 1 at 1, 2 at 0.5, 3 at 3. From 0: d_ap 1; d_an 0.25 and 9.
        let rows = [0.0, 1.0, 0.5, 3.0];
        let mut sum = TripletSum::new(&rows, 1, hinge(0.25));
        for negative in [2, 3] {
            sum.add(Triplet {
                anchor: 0,
                positive: 1,
                negative,
            });
        }
        let expected = TripletMean {
            loss: 0.5, // 1 - 0.25 + 0.25, and nothing
            // 2 (n - p), 2 (p - a), 2 (a - n) of the first, halved.
            gradient: vec![-0.5, 1.0, -0.5, 0.0],
            active_share: 0.5,
            d_ap: 1.0,
            d_an: 4.625,
        };
        assert_eq!(sum.mean(), Some(expected));
    }

    #[test]
    fn no_triplet_has_no_mean_and_the_margin_itself_no_gradient() {
        assert_eq!(TripletSum::new(&[0.0, 1.0], 1, HARD).mean(), None);
        let mut sum = TripletSum::new(&[0.0, 0.5, 1.0], 1, hinge(0.75));
        sum.add(Triplet {
            anchor: 0,
            positive: 1,
            negative: 2,
        });
        let mean = sum.mean().expect("a triplet");
        assert_eq!(mean.gradient, [0.0; 3]);
        assert_eq!(mean.active_share.to_bits(), 0.0f64.to_bits());
    }
}
