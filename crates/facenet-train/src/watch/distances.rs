//! Quantiles of distances that are seen once and not kept.

/// Bits of an `f32` that do not choose its bin: 7 of the fraction are left, so that a bin is a
/// 128th of its values wide at most, however near to 0 they are.
const DROPPED_BITS: u32 = 16;
/// Bins up to a squared L2 of 4, the most between unit rows, and one for what lies above or is no
/// number.
const BINS: usize = (4.0f32.to_bits() >> DROPPED_BITS) as usize + 2;
/// The quantiles of a step that are logged.
pub const QUANTILES: [f64; 3] = [0.1, 0.5, 0.9];

/// Counts of values by bins of equal relative width.
#[derive(Debug)]
struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    fn new() -> Self {
        Self {
            counts: vec![0; BINS],
            total: 0,
        }
    }

    fn add(&mut self, value: f64) {
        let bits = (value as f32).max(0.0).to_bits();
        let bin = ((bits >> DROPPED_BITS) as usize).min(BINS - 1);
        self.counts[bin] += 1;
        self.total += 1;
    }

    /// The middle of the bin that holds the value of rank `ceil(share * total)`; 0 without values.
    fn quantile(&self, share: f64) -> f64 {
        let rank = ((share * self.total as f64).ceil() as u64).max(1);
        let mut below = 0;
        for (bin, count) in (0_u32..).zip(&self.counts) {
            below += count;
            if below >= rank {
                return middle(bin);
            }
        }
        0.0
    }
}

/// The middle of a bin; the first one begins at 0 and holds what is smaller than any distance
/// that rounding leaves.
fn middle(bin: u32) -> f64 {
    let edge = |bin: u32| f64::from(f32::from_bits(bin << DROPPED_BITS));
    if bin == 0 {
        return 0.0;
    }
    f64::midpoint(edge(bin), edge(bin + 1)).min(4.0)
}

/// The distances of a step's triplets, in squared L2.
#[derive(Debug)]
pub(crate) struct Distances {
    d_ap: Histogram,
    d_an: Histogram,
}

impl Distances {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self {
            d_ap: Histogram::new(),
            d_an: Histogram::new(),
        }
    }

    /// Counts a triplet's two.
    pub(crate) fn add(&mut self, d_ap: f64, d_an: f64) {
        self.d_ap.add(d_ap);
        self.d_an.add(d_an);
    }

    /// [`QUANTILES`] of `d_ap` and `d_an`, each within 0.4 % of the sample's own.
    pub(crate) fn quantiles(&self) -> [[f64; 3]; 2] {
        [&self.d_ap, &self.d_an].map(|histogram| QUANTILES.map(|share| histogram.quantile(share)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f64]) -> [f64; 3] {
        let mut distances = Distances::new();
        for &value in values {
            distances.add(value, 1.0);
        }
        distances.quantiles()[0]
    }

    #[test]
    fn a_quantile_is_the_value_of_its_rank() {
        // Powers of two begin a bin: its middle is a 256th above.
        let values: Vec<f64> = (0..10).map(|i| 4.0 * 0.5f64.powi(i)).collect();
        let expected = [9, 5, 1].map(|i: usize| values[i] * (1.0 + 1.0 / 256.0));
        assert_eq!(of(&values), expected);
    }

    #[test]
    fn extremes_have_bins_of_their_own() {
        assert_eq!(of(&[]), [0.0; 3]);
        assert_eq!(of(&[0.0, 0.0, -1e-9]), [0.0; 3]);
        assert_eq!(of(&[4.0]), [4.0; 3]);
        // Rounding may leave a little more than 4; what is no number is not below it.
        assert_eq!(of(&[4.000_001, f64::INFINITY]), [4.0; 3]);
        assert_eq!(
            of(&[1e-12]).map(|x| (x / 1e-12 - 1.0).abs() < 0.004),
            [true; 3]
        );
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_sample(
            values in prop::collection::vec(1e-6f64..4.0, 1..300),
        ) {
            let found = of(&values);
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            for (share, found) in QUANTILES.into_iter().zip(found) {
                let rank = (share * sorted.len() as f64).ceil() as usize;
                let expected = sorted[rank.max(1) - 1];
                // Half a bin, and the rounding to f32.
                prop_assert!((found / expected - 1.0).abs() < 1.0 / 255.0, "{found} {expected}");
            }
        }
    }
}
