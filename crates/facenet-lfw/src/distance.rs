use std::fmt;
use std::str::FromStr;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{LfwError, shown};
use crate::folds::Assignment;

/// Sums kept side by side, so that the compiler can use vector registers; part of the result's
/// bits, hence fixed.
const LANES: usize = 8;

/// How far apart two embeddings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Squared L2, the reference's metric 0: `[0, 4]` for unit embeddings.
    #[default]
    SquaredL2,
    /// `arccos(cosine similarity) / π`, the reference's metric 1: `[0, 1]`.
    Cosine,
}

impl FromStr for Metric {
    type Err = LfwError;

    /// Reads the reference's number or the name: `0` or `squared-l2`, `1` or `cosine`.
    fn from_str(text: &str) -> Result<Self, LfwError> {
        match text {
            "0" | "squared-l2" => Ok(Self::SquaredL2),
            "1" | "cosine" => Ok(Self::Cosine),
            _ => Err(LfwError::Unknown {
                what: "distance",
                found: shown(text),
                expected: "0 (squared-l2) or 1 (cosine)",
            }),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SquaredL2 => "squared-l2",
            Self::Cosine => "cosine",
        })
    }
}

/// The distance of each pair, in f64 from the f32 rows.
///
/// - `embeddings`: `[2n, dim]` row-major; rows `2i` and `2i + 1` are pair `i`
///
/// # Errors
/// [`LfwError::Shape`] unless whole pairs of rows are given, [`LfwError::NotFinite`] with the first
/// row that holds NaN or infinity, [`LfwError::ZeroNorm`] for a cosine without direction.
pub fn distances(embeddings: &[f32], dim: usize, metric: Metric) -> Result<Vec<f64>, LfwError> {
    let pair = dim
        .checked_mul(2)
        .filter(|&pair| pair > 0 && embeddings.len().is_multiple_of(pair));
    let Some(pair) = pair else {
        let (found, expected) = (
            embeddings.len(),
            embeddings.len() / (2 * dim.max(1)) * 2 * dim,
        );
        return Err(LfwError::Shape {
            what: "embeddings",
            found,
            expected,
        });
    };
    measured(embeddings, pair, metric, &vec![0.0; dim])
}

/// Each pair's distance as every fold sees it.
pub(crate) struct Distances {
    common: Vec<f64>,
    by_fold: Vec<Vec<f64>>,
}

impl Distances {
    /// With `subtract_mean`, the mean over both sides of a fold's training pairs goes first.
    ///
    /// A shift of both sides leaves squared L2 as it is, so only the cosine is measured again
    /// for each fold.
    pub(crate) fn measure(
        embeddings: &[f32],
        dim: usize,
        metric: Metric,
        centred_on: Option<&Assignment>,
    ) -> Result<Self, LfwError> {
        let common = distances(embeddings, dim, metric)?;
        let (Metric::Cosine, Some(assignment)) = (metric, centred_on) else {
            return Ok(Self {
                common,
                by_fold: Vec::new(),
            });
        };
        let means = train_means(embeddings, dim, assignment);
        let centred = |mean: &Vec<f64>| measured(embeddings, 2 * dim, metric, mean);
        Ok(Self {
            common,
            by_fold: means.iter().map(centred).collect::<Result<_, _>>()?,
        })
    }

    /// All pairs' distances under the training mean of `fold`.
    pub(crate) fn of_fold(&self, fold: usize) -> &[f64] {
        self.by_fold.get(fold).unwrap_or(&self.common)
    }

    /// Whether every fold sees the same distances.
    pub(crate) fn are_common(&self) -> bool {
        self.by_fold.is_empty()
    }
}

/// Distances after `mean` is taken from both sides, or the first row that has none.
fn measured(rows: &[f32], pair: usize, metric: Metric, mean: &[f64]) -> Result<Vec<f64>, LfwError> {
    let pairs = rows
        .par_chunks_exact(pair)
        .map(|rows| rows.split_at(pair / 2));
    let measured: Vec<f64> = match metric {
        Metric::SquaredL2 => pairs.map(|(a, b)| sq_l2(a, b)).collect(),
        Metric::Cosine => pairs.map(|(a, b)| angle(a, b, mean)).collect(),
    };
    // f64 holds the square of every finite f32, so this finds whatever a row did wrong.
    if measured.iter().all(|distance| distance.is_finite()) {
        return Ok(measured);
    }
    Err(first_fault(rows, pair / 2, mean))
}

/// What is wrong with rows that gave a distance which is not a number.
fn first_fault(rows: &[f32], dim: usize, mean: &[f64]) -> LfwError {
    if let Some(at) = rows.iter().position(|x| !x.is_finite()) {
        return LfwError::NotFinite {
            row: at / dim,
            element: at % dim,
        };
    }
    let is_zero = |row: &[f32]| row.iter().zip(mean).all(|(&x, &m)| f64::from(x) - m == 0.0);
    LfwError::ZeroNorm {
        row: rows.chunks_exact(dim).position(is_zero).unwrap_or(0),
    }
}

/// Squared L2 in f64, always added in the same order.
pub(crate) fn sq_l2(a: &[f32], b: &[f32]) -> f64 {
    summed(a, b, |x, y| (f64::from(x) - f64::from(y)).powi(2))
}

/// `arccos(cosine) / π`; NaN where a side has no direction.
fn angle(a: &[f32], b: &[f32], mean: &[f64]) -> f64 {
    let (heads_a, rest_a) = a.as_chunks::<LANES>();
    let (heads_b, rest_b) = b.as_chunks::<LANES>();
    let (heads_m, rest_m) = mean.as_chunks::<LANES>();
    let mut lanes = Products::<LANES>::default();
    for ((xs, ys), ms) in heads_a.iter().zip(heads_b).zip(heads_m) {
        lanes.add(xs, ys, ms);
    }
    let mut rest = Products::<1>::default();
    for ((&x, &y), &m) in rest_a.iter().zip(rest_b).zip(rest_m) {
        rest.add(&[x], &[y], &[m]);
    }
    let total = |lanes: &[f64], rest: [f64; 1]| lanes.iter().sum::<f64>() + rest[0];
    let (dot, aa) = (total(&lanes.dot, rest.dot), total(&lanes.aa, rest.aa));
    let bb = total(&lanes.bb, rest.bb);
    // Rounding puts the cosine of parallel rows beyond 1, where arccos is NaN.
    let cosine = dot / (aa.sqrt() * bb.sqrt());
    cosine.clamp(-1.0, 1.0).acos() / std::f64::consts::PI
}

/// Sums of products of two rows less a mean, `N` side by side.
struct Products<const N: usize> {
    dot: [f64; N],
    aa: [f64; N],
    bb: [f64; N],
}

impl<const N: usize> Default for Products<N> {
    fn default() -> Self {
        Self {
            dot: [0.0; N],
            aa: [0.0; N],
            bb: [0.0; N],
        }
    }
}

impl<const N: usize> Products<N> {
    fn add(&mut self, xs: &[f32; N], ys: &[f32; N], means: &[f64; N]) {
        for k in 0..N {
            let (x, y) = (f64::from(xs[k]) - means[k], f64::from(ys[k]) - means[k]);
            self.dot[k] += x * y;
            self.aa[k] += x * x;
            self.bb[k] += y * y;
        }
    }
}

fn summed(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f64) -> f64 {
    let (heads_a, rest_a) = a.as_chunks::<LANES>();
    let (heads_b, rest_b) = b.as_chunks::<LANES>();
    let mut lanes = [0.0f64; LANES];
    for (xs, ys) in heads_a.iter().zip(heads_b) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(xs).zip(ys) {
            *lane += term(x, y);
        }
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(&x, &y)| term(x, y)).sum();
    lanes.iter().sum::<f64>() + rest
}

/// Per fold, the mean over all rows of the other folds' pairs: `[dim]` each.
fn train_means(embeddings: &[f32], dim: usize, assignment: &Assignment) -> Vec<Vec<f64>> {
    let n_folds = assignment.ids.len();
    let mut sums = vec![vec![0.0f64; dim]; n_folds];
    let mut rows = vec![0usize; n_folds];
    for (row, values) in embeddings.chunks_exact(dim).enumerate() {
        let fold = assignment.of[row / 2];
        rows[fold] += 1;
        sums[fold]
            .iter_mut()
            .zip(values)
            .for_each(|(sum, &x)| *sum += f64::from(x));
    }
    let all: usize = rows.iter().sum();
    let mean = |fold: usize, k: usize| {
        let others = (0..n_folds).filter(|&other| other != fold);
        others.map(|other| sums[other][k]).sum::<f64>() / (all - rows[fold]) as f64
    };
    (0..n_folds)
        .map(|fold| (0..dim).map(|k| mean(fold, k)).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folds::Folds;

    #[track_caller]
    fn check(rows: &[f32], dim: usize, metric: Metric, expected: &[f64]) {
        let found = distances(rows, dim, metric).expect("whole finite pairs");
        assert_eq!(found, expected);
    }

    #[test]
    fn squared_l2_sums_squares_over_all_lanes_and_the_rest() {
        check(&[1.0, 0.0, 0.0, 1.0], 2, Metric::SquaredL2, &[2.0]);
        let rows: Vec<f32> = [1.0; 19].into_iter().chain([3.0; 19]).collect();
        check(&rows, 19, Metric::SquaredL2, &[76.0]);
    }

    #[test]
    fn cosine_is_the_angle_as_a_share_of_a_half_turn() {
        let rows = [1.0, 0.0, 0.0, 2.0, 1.0, 1.0, -3.0, -3.0, 0.1, 0.3, 0.1, 0.3];
        check(&rows, 2, Metric::Cosine, &[0.5, 1.0, 0.0]);
    }

    #[test]
    fn the_row_that_cannot_be_measured_is_named() {
        let nan = distances(&[0.0, 0.0, 0.0, f32::NAN], 2, Metric::SquaredL2);
        assert!(matches!(
            nan,
            Err(LfwError::NotFinite { row: 1, element: 1 })
        ));
        for (rows, at) in [([0.0, 0.0, 1.0, 0.0], 0), ([1.0, 0.0, 0.0, 0.0], 1)] {
            let zero = distances(&rows, 2, Metric::Cosine);
            assert!(matches!(zero, Err(LfwError::ZeroNorm { row }) if row == at));
        }
    }

    #[test]
    fn rows_come_in_whole_pairs() {
        for (len, dim) in [(6, 2), (3, 0), (5, 5)] {
            let found = distances(&vec![0.0; len], dim, Metric::SquaredL2);
            assert!(matches!(found, Err(LfwError::Shape { .. })), "{len} {dim}");
        }
    }

    #[test]
    fn the_mean_is_over_the_other_folds() {
        let assignment = Folds::Contiguous(2).assign(2).expect("two folds");
        let means = train_means(&[0.0, 2.0, 10.0, 20.0], 1, &assignment);
        assert_eq!(means, [[15.0], [1.0]]);
    }

    #[test]
    fn metrics_go_by_number_and_by_name() {
        for metric in [Metric::SquaredL2, Metric::Cosine] {
            assert_eq!(
                metric.to_string().parse::<Metric>().expect("its own name"),
                metric
            );
        }
        assert_eq!("1".parse::<Metric>().expect("a number"), Metric::Cosine);
        assert!("2".parse::<Metric>().is_err());
    }
}
