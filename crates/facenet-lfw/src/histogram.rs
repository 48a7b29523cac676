use serde::Serialize;

use crate::error::LfwError;

/// Largest squared L2 of unit embeddings, where the last bin ends.
const END: f64 = 4.0;

/// How many same and how many different pairs lie how far apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Histogram {
    /// Width of a bin; bin `i` holds distances from `i * width` up to, not with, the next.
    pub width: f64,
    /// Same pairs of each bin.
    pub same: Vec<u64>,
    /// Different pairs of each bin.
    pub different: Vec<u64>,
}

impl Histogram {
    /// Counts squared L2 distances in `bins` bins of `[0, 4]`, the last with its end; what rounding
    /// puts beyond is counted there.
    ///
    /// - `distances`: one a pair
    /// - `is_same`: whether each pair is of one person
    ///
    /// # Errors
    /// [`LfwError::Shape`] where lengths disagree or there is no bin.
    pub fn of(distances: &[f64], is_same: &[bool], bins: usize) -> Result<Self, LfwError> {
        let shape = |what, found, expected| LfwError::Shape {
            what,
            found,
            expected,
        };
        if distances.len() != is_same.len() {
            return Err(shape("distances", distances.len(), is_same.len()));
        }
        if bins == 0 {
            return Err(shape("bins", 0, 1));
        }
        let mut histogram = Self {
            width: END / bins as f64,
            same: vec![0; bins],
            different: vec![0; bins],
        };
        for (&distance, &is_same) in distances.iter().zip(is_same) {
            let bin = (distance / END * bins as f64) as usize;
            let counts = if is_same {
                &mut histogram.same
            } else {
                &mut histogram.different
            };
            counts[bin.min(bins - 1)] += 1;
        }
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_on_an_edge_belongs_to_the_bin_that_begins_there() {
        let distances = [0.0, 0.99, 1.0, 3.0, 4.0, 4.000_001];
        let is_same = [true, true, true, false, false, false];
        let found = Histogram::of(&distances, &is_same, 4).expect("as many of both");
        assert_eq!(found.width, 1.0);
        assert_eq!(found.same, [2, 1, 0, 0]);
        assert_eq!(found.different, [0, 0, 0, 3]);
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        assert!(Histogram::of(&[0.5], &[], 4).is_err());
        assert!(Histogram::of(&[0.5], &[true], 0).is_err());
    }
}
