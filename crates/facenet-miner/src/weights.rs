//! Weights of distance-weighted sampling (Wu et al., arXiv:1706.07567, §4), by a defined arithmetic.
//!
//! Distances between uniform points of the unit sphere in `dim` dimensions have the density
//! `q(d) ∝ d^(dim-2) (1 - d²/4)^((dim-3)/2)`; a negative's weight is `1/q`. With `s = d²`,
//! `ln(1/q) = -(dim-2)/2 ln s - (dim-3)/2 ln(1 - s/4)`, and what is drawn by is `exp` of it less
//! the greatest of the row. Logarithm and exponential are those below: sums, products and
//! quotients of f64, each rounded once, no library's function and nothing fused, so a draw is the
//! same on every machine.

use std::f64::consts::{LN_2, LOG2_E, SQRT_2};

/// `ln 2` in two parts: the first with 32 bits, so that its product with an exponent is exact.
const LN_2_HIGH: f64 = f64::from_bits(LN_2.to_bits() & !0x1f_ffff);
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// Below this logarithm a weight is 0: less than 1e-304 of the greatest.
const LEAST: f64 = -700.0;

/// `1/13!` to `1/0!`.
const FACTORS: [f64; 14] = {
    let mut factors = [1.0; 14];
    let (mut factorial, mut k) = (1.0, 1);
    while k < factors.len() {
        factorial *= k as f64;
        factors[factors.len() - 1 - k] = 1.0 / factorial;
        k += 1;
    }
    factors
};

/// Adding and subtracting it rounds to a whole number, ties to even.
const ROUNDER: f64 = 1.5 * (1u64 << 52) as f64;

/// Exponents of `s` and of `1 - s/4` in a weight. With `dim` of 1, where no density exists, they
/// are what the formula gives.
pub(crate) fn exponents(dim: usize) -> [f64; 2] {
    [-0.5 * (dim as f64 - 2.0), -0.5 * (dim as f64 - 3.0)]
}

/// Body of [`crate::simd::log_weights`].
///
/// - `xs`: squared distances above 0 and below 4, in place of which come logarithms of weights
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled for a level only where it is inlined"
)]
pub(crate) fn log_weights_loop(xs: &mut [f64], exponents: [f64; 2]) {
    for x in xs {
        *x = exponents[0] * ln(*x) + exponents[1] * ln(1.0 - 0.25 * *x);
    }
}

/// Body of [`crate::simd::exp_all`].
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled for a level only where it is inlined"
)]
pub(crate) fn exp_all_loop(xs: &mut [f64], greatest: f64) {
    for x in xs {
        *x = exp(*x - greatest);
    }
}

/// `ln x` of a positive normal number: `x = 2^e m` with `m` between √½ and √2, and
/// `ln m = 2 artanh((m - 1) / (m + 1))` by the series to `t^23`.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled for a level only where it is inlined"
)]
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let fraction = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    let is_large = fraction > SQRT_2;
    let m = if is_large { 0.5 * fraction } else { fraction };
    let e = f64::from((bits >> 52) as i32 - 1023 + i32::from(is_large));
    let t = (m - 1.0) / (m + 1.0);
    let square = t * t;
    let mut series = 1.0 / 23.0;
    for n in [21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series * square + 1.0 / n;
    }
    e * LN_2_HIGH + (e * LN_2_LOW + 2.0 * t * series)
}

/// `exp x` of a number of 0 or less: `x = n ln 2 + r`, and the series of `exp r` to `r^13`.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled for a level only where it is inlined"
)]
fn exp(x: f64) -> f64 {
    let clipped = if x > LEAST { x } else { LEAST };
    let n = (clipped * LOG2_E + ROUNDER) - ROUNDER;
    let r = (clipped - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut series = 0.0;
    for factor in FACTORS {
        series = series * r + factor;
    }
    let scale = f64::from_bits(((n as i32 + 1023) as u64) << 52);
    if x > LEAST { series * scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Level, exp_all, log_weights};

    /// Of the relative error: a few units in the last place of the series' own roundings.
    const CLOSE: f64 = 2e-15;

    #[test]
    fn the_parts_of_ln_2_add_up() {
        assert_eq!((LN_2_HIGH + LN_2_LOW).to_bits(), LN_2.to_bits());
        assert_eq!(LN_2_HIGH.to_bits() & 0x1f_ffff, 0);
    }

    #[test]
    fn logarithm_and_exponential_are_close_to_the_librarys() {
        for i in 1..4000 {
            let x = f64::from(i) * 1e-3;
            let error = (ln(x) - x.ln()).abs();
            assert!(error <= CLOSE * x.ln().abs() + 1e-17, "{x}: {error}");
            let y = -f64::from(i) * 0.17;
            assert!((exp(y) - y.exp()).abs() <= CLOSE * y.exp(), "{y}");
        }
        assert_eq!(
            [ln(1.0), exp(0.0), exp(-701.0), exp(-1e300)],
            [0.0, 1.0, 0.0, 0.0]
        );
        assert!((ln(1e-60) - 1e-60f64.ln()).abs() < 1e-13);
    }

    #[test]
    fn every_level_gives_the_same_bits() {
        let squares: Vec<f64> = (1..777).map(|i| f64::from(i) * 0.005).collect();
        let run = |level| {
            let mut xs = squares.clone();
            log_weights(level, &mut xs, exponents(128));
            let greatest = xs.iter().copied().fold(f64::MIN, f64::max);
            exp_all(level, &mut xs, greatest);
            xs
        };
        let plain = run(Level::Plain);
        for level in Level::available() {
            assert_eq!(run(level), plain, "{level:?}");
        }
    }

    #[test]
    fn weights_are_one_over_the_density() {
        for dim in [2, 3, 4, 128] {
            let mut xs = [0.25, 1.0, 1.96];
            log_weights(Level::best(), &mut xs, exponents(dim));
            for (x, s) in xs.into_iter().zip([0.25f64, 1.0, 1.96]) {
                let (d, n) = (s.sqrt(), dim as f64);
                let density = d.powf(n - 2.0) * (1.0 - d * d / 4.0).powf((n - 3.0) / 2.0);
                assert!((x + density.ln()).abs() < 1e-12 * n, "{dim} {s}");
            }
        }
    }
}
