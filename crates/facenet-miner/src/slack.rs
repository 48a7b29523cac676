//! How far an f32 distance can be from the f64 one: the bound below which f64 decides.

/// Unit roundoff of f32: half the distance from 1 to its successor.
const U: f64 = 1.0 / (1u64 << 24) as f64;

/// Squared norms above this are not multiplied in f32: nothing below can overflow.
const LARGEST_SQ_NORM: f64 = (1u128 << 100) as f64;

/// Allowance for what the derivation leaves out: f64's own rounding, second-order terms.
pub(crate) const ALLOWANCE: f64 = 1.01;

/// Bound of `|approx - sq_l2|` for the rows of one problem.
///
/// `approx = (s_i + s_j) - 2 g` in f32, with `s` the squared norm summed in f64 and rounded once,
/// and `g` the dot product in f32, in any order of summation, with or without FMA. With
/// `u = 2^-24` and `γ = dim·u / (1 - dim·u)`:
///
/// - `|g - x·y| ≤ γ Σ|x_k y_k| ≤ γ (‖x‖² + ‖y‖²) / 2` (Higham, Accuracy and Stability of
///   Numerical Algorithms, §3.1, for every order; Cauchy-Schwarz and the mean inequality), so
///   `2 g` is within `γ (‖x‖² + ‖y‖²)`; doubling is exact;
/// - rounding the norms costs `u (‖x‖² + ‖y‖²)`, their sum the same again, and the subtraction
///   `u d ≤ 2u (‖x‖² + ‖y‖²)`: at most `4u`, taken as `8u`;
/// - underflow, even to zero, costs at most 2^-126 an operation, fewer than `4 (dim + 2)` of them.
///
/// Hence `slack(x, y) = 1.01 (γ + 8u) (‖x‖² + ‖y‖²) + 4 (dim + 2) 2^-126`. For unit rows of
/// 128 values it is 1.6e-5. Where the largest squared norm is above 2^100 or `dim·u` above
/// one half the slack is infinite, and f64 decides everything: slow, and still right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Slack {
    per_sq_norm: f64,
    underflow: f64,
    largest_sq_norm: f64,
}

impl Slack {
    /// - `dim`: values a row
    /// - `largest_sq_norm`: of all rows
    pub(crate) fn new(dim: usize, largest_sq_norm: f64) -> Self {
        let rounded = dim as f64 * U;
        let bounded = rounded <= 0.5 && largest_sq_norm <= LARGEST_SQ_NORM;
        let gamma = if bounded {
            rounded / (1.0 - rounded)
        } else {
            f64::INFINITY
        };
        let per_sq_norm = ALLOWANCE * (gamma + 8.0 * U);
        let underflow = 4.0 * (dim as f64 + 2.0) * f64::from(f32::MIN_POSITIVE);
        Self {
            per_sq_norm,
            underflow,
            largest_sq_norm,
        }
    }

    /// Whether f32 is of use at all.
    pub(crate) fn is_finite(&self) -> bool {
        self.per_sq_norm.is_finite()
    }

    /// Bound for a row of this squared norm against every row of the problem.
    pub(crate) fn of_row(&self, sq_norm: f32) -> f64 {
        if !self.is_finite() {
            return f64::INFINITY;
        }
        self.per_sq_norm * (f64::from(sq_norm) + self.largest_sq_norm) + self.underflow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_rows_of_128_have_the_documented_slack() {
        // 1.01 * (128 + 8) * 2^-24 * 2 = 1.64e-5.
        let slack = Slack::new(128, 1.0).of_row(1.0);
        assert!((1.63e-5..1.65e-5).contains(&slack), "{slack}");
    }

    #[test]
    fn what_f32_cannot_hold_is_left_to_f64() {
        assert!(Slack::new(4, 1e30).is_finite());
        assert!(!Slack::new(4, 1e31).is_finite());
        assert!(!Slack::new(1 << 24, 1.0).is_finite());
        assert_eq!(
            Slack::new(4, 1e31).of_row(0.0).to_bits(),
            f64::INFINITY.to_bits()
        );
    }
}
