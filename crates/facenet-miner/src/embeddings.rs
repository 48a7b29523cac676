//! The rows to mine, and the distance that every decision refers to.

use crate::MineError;
use crate::nearest::Rows;

/// Embeddings, `[n, dim]` row-major.
///
/// Unit norm is usual and keeps distances in `[0, 4]`, but nothing here depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Embeddings<'a> {
    rows: &'a [f32],
    dim: usize,
    masked: Option<&'a [bool]>,
}

impl<'a> Embeddings<'a> {
    /// Takes `rows` as rows of `dim` values; no row is fine.
    ///
    /// # Errors
    /// [`MineError::Ragged`] unless `dim` is positive and divides `rows.len()`;
    /// [`MineError::TooManyRows`] when their indices do not fit in 32 bits.
    pub fn new(rows: &'a [f32], dim: usize) -> Result<Self, MineError> {
        if dim == 0 || !rows.len().is_multiple_of(dim) {
            return Err(MineError::Ragged {
                len: rows.len(),
                dim,
            });
        }
        let found = rows.len() / dim;
        if found >= u32::MAX as usize {
            return Err(MineError::TooManyRows { found });
        }
        Ok(Self {
            rows,
            dim,
            masked: None,
        })
    }

    /// The same rows, some of which are to be left out as if they held a NaN.
    ///
    /// - `masked`: `[n]`, true for a row to leave out
    ///
    /// # Errors
    /// [`MineError::Shape`] unless there is one for each row.
    pub fn with_mask(self, masked: &'a [bool]) -> Result<Self, MineError> {
        if masked.len() != self.len() {
            return Err(MineError::Shape {
                what: "mask",
                found: masked.len(),
                expected: self.len(),
            });
        }
        Ok(Self {
            masked: Some(masked),
            ..self
        })
    }

    pub(crate) fn is_masked(&self, index: usize) -> bool {
        self.masked.is_some_and(|masked| masked[index])
    }

    /// All values, row-major.
    pub fn rows(&self) -> &'a [f32] {
        self.rows
    }

    /// Values a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len() / self.dim
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// One row, `[dim]`.
    pub fn row(&self, index: usize) -> &'a [f32] {
        &self.rows[index * self.dim..][..self.dim]
    }
}

impl Rows for Embeddings<'_> {
    fn row(&self, row: usize) -> &[f32] {
        Embeddings::row(self, row)
    }
}

/// The distance that defines every triplet: `sum over k of (x_k - y_k)^2`, in f64 from the f32
/// values, `k` ascending, each operation rounded once (nothing fused). Symmetric, bit for bit.
///
/// - `x`, `y`: `[dim]` each; the longer one's rest is ignored
pub fn sq_l2(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).fold(0.0, |sum, (&x, &y)| {
        let diff = f64::from(x) - f64::from(y);
        sum + diff * diff
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_the_sum_of_squares() {
        assert_eq!(
            sq_l2(&[1.0, 2.0, 3.0], &[0.0, 4.0, 3.5]).to_bits(),
            5.25f64.to_bits()
        );
        assert_eq!(sq_l2(&[], &[]).to_bits(), 0.0f64.to_bits());
    }

    #[test]
    fn a_mask_is_one_a_row() {
        let embeddings = Embeddings::new(&[1.0, 2.0, 3.0], 1).expect("three rows");
        assert!(!embeddings.is_masked(1));
        let masked = embeddings.with_mask(&[false, true, false]).expect("three");
        assert_eq!([0, 1, 2].map(|i| masked.is_masked(i)), [false, true, false]);
        let message = "miner: mask has length 2, expected 3; pass one per embedding row";
        let error = embeddings.with_mask(&[true; 2]).expect_err("two for three");
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn ragged_rows_are_refused() {
        let ragged = Embeddings::new(&[0.0; 7], 3).expect_err("7 is no multiple of 3");
        assert_eq!(ragged, MineError::Ragged { len: 7, dim: 3 });
        assert!(Embeddings::new(&[], 0).is_err());
        let embeddings = Embeddings::new(&[1.0, 2.0, 3.0, 4.0], 2).expect("two rows");
        assert_eq!((embeddings.len(), embeddings.row(1)), (2, &[3.0, 4.0][..]));
        assert!(Embeddings::new(&[], 4).expect("no row is fine").is_empty());
    }
}
