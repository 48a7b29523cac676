use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{LfwError, shown};

/// Floor of the squared norm, as in the reference's `l2_normalize`.
const MIN_SQ_NORM: f64 = 1e-10;

/// How the embeddings of an image and of its mirror image become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flip {
    /// One after the other, `[n, 2 dim]`: the reference's way. The rows have norm √2, so squared
    /// L2 goes to 8 and beyond the reference's thresholds, which end at 4.
    #[default]
    Concat,
    /// Added and brought back to unit norm, `[n, dim]`: insightface's way.
    Sum,
}

impl FromStr for Flip {
    type Err = LfwError;

    fn from_str(text: &str) -> Result<Self, LfwError> {
        match text {
            "concat" => Ok(Self::Concat),
            "sum" => Ok(Self::Sum),
            _ => {
                let (what, found) = ("use of flipped images", shown(text));
                Err(LfwError::Unknown {
                    what,
                    found,
                    expected: "concat or sum",
                })
            }
        }
    }
}

impl fmt::Display for Flip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Concat => "concat",
            Self::Sum => "sum",
        })
    }
}

/// Joins each image's embedding with that of its mirror image; sums are taken in f64.
///
/// - `images`, `mirrored`: `[n, dim]` row-major, row by row of the same image
///
/// # Errors
/// [`LfwError::Shape`] unless both have the same whole number of rows.
pub fn combine_flipped(
    images: &[f32],
    mirrored: &[f32],
    dim: usize,
    flip: Flip,
) -> Result<Vec<f32>, LfwError> {
    let (found, expected) = (mirrored.len(), images.len());
    if found != expected {
        return Err(LfwError::Shape {
            what: "mirrored",
            found,
            expected,
        });
    }
    if dim == 0 || !expected.is_multiple_of(dim) {
        let whole = expected - expected.checked_rem(dim).unwrap_or(expected);
        return Err(LfwError::Shape {
            what: "images",
            found: expected,
            expected: whole,
        });
    }
    let rows = images.chunks_exact(dim).zip(mirrored.chunks_exact(dim));
    Ok(match flip {
        Flip::Concat => rows.flat_map(|(a, b)| [a, b].concat()).collect(),
        Flip::Sum => rows.flat_map(|(a, b)| unit_sum(a, b)).collect(),
    })
}

fn unit_sum(a: &[f32], b: &[f32]) -> Vec<f32> {
    let sums: Vec<f64> = a
        .iter()
        .zip(b)
        .map(|(&x, &y)| f64::from(x) + f64::from(y))
        .collect();
    let norm = sums
        .iter()
        .map(|x| x * x)
        .sum::<f64>()
        .max(MIN_SQ_NORM)
        .sqrt();
    sums.iter().map(|x| (x / norm) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(flip: Flip, expected: &[f32]) {
        let found = combine_flipped(&[1.0, 0.0, 0.6, 0.8], &[0.0, 1.0, 0.6, 0.8], 2, flip);
        assert_eq!(found.expect("same rows"), expected);
    }

    #[test]
    fn concat_keeps_the_rows_side_by_side() {
        check(Flip::Concat, &[1.0, 0.0, 0.0, 1.0, 0.6, 0.8, 0.6, 0.8]);
    }

    #[test]
    fn sum_has_unit_norm() {
        let half = 0.5f32.sqrt();
        check(Flip::Sum, &[half, half, 0.6, 0.8]);
    }

    #[test]
    fn opposite_rows_stay_finite() {
        let found = combine_flipped(&[1.0], &[-1.0], 1, Flip::Sum).expect("one row each");
        assert_eq!(found, [0.0]);
    }

    #[test]
    fn ragged_rows_are_refused() {
        for (images, mirrored, dim) in [(2, 4, 2), (3, 3, 2), (2, 2, 0)] {
            let found = combine_flipped(&vec![0.0; images], &vec![0.0; mirrored], dim, Flip::Sum);
            assert!(matches!(found, Err(LfwError::Shape { .. })));
        }
    }

    #[test]
    fn names_read_back() {
        for flip in [Flip::Concat, Flip::Sum] {
            assert_eq!(
                flip.to_string().parse::<Flip>().expect("its own name"),
                flip
            );
        }
        assert!("mean".parse::<Flip>().is_err());
    }
}
