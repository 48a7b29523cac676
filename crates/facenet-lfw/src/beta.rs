/// Terms of the continued fraction; it converges in some `sqrt(max(a, b))` steps, and pairs are
/// fewer than 2^40.
const MOST_TERMS: usize = 2_000_000;
/// When a factor of the fraction is one: a few units in the last place.
const CONVERGED: f64 = 4.0 * f64::EPSILON;
/// Stands for zero in a denominator, as Lentz's method wants.
const TINY: f64 = 1e-300;

/// The regularised incomplete beta function `I_x(a, b)`, the distribution of Beta(a, b) at `x`.
///
/// By the continued fraction of DLMF 8.17.22 with Lentz's method, on the side where it converges.
///
/// - `a`, `b`: above 0; `x`: in `[0, 1]`
pub(crate) fn distribution(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    let ln_front = a * x.ln() + b * (-x).ln_1p() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b);
    let front = ln_front.exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(a, b, x) / a
    } else {
        1.0 - front * fraction(b, a, 1.0 - x) / b
    }
}

/// The `x` where [`distribution`] is `p`, by halving.
pub(crate) fn quantile(a: f64, b: f64, p: f64) -> f64 {
    let (mut low, mut high) = (0.0f64, 1.0f64);
    // Rare rates need a relative precision: halving goes on until no number lies between.
    while low.next_up() < high {
        let middle = low.midpoint(high);
        if middle <= low || middle >= high || (high - low) < high * 1e-12 {
            break;
        }
        if distribution(a, b, middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    low.midpoint(high)
}

fn fraction(a: f64, b: f64, x: f64) -> f64 {
    let floor = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / floor(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for term in 1..MOST_TERMS {
        let m = term as f64;
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / floor(1.0 + even * d);
        c = floor(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / floor(1.0 + odd * d);
        c = floor(1.0 + odd / c);
        h *= d * c;
        if (d * c - 1.0).abs() < CONVERGED {
            break;
        }
    }
    h
}

/// The logarithm of the gamma function for `x > 0`: Stirling's series (DLMF 5.11.1) from 15 on,
/// where its first five terms leave less than 1e-15.
fn ln_gamma(x: f64) -> f64 {
    let mut shift = 0.0;
    let mut x = x;
    while x < 15.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
    ];
    let tail = series
        .iter()
        .rev()
        .fold(0.0, |sum, term| sum * inverse + term)
        / x;
    shift + (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `P(X >= hits)` of a binomial, term by term: `I_p(hits, trials - hits + 1)`.
    fn binomial_tail(hits: u32, trials: u32, p: f64) -> f64 {
        let term = |k: u32| {
            let choose: f64 = (0..k)
                .map(|i| f64::from(trials - i) / f64::from(i + 1))
                .product();
            choose * p.powi(k as i32) * (1.0 - p).powi((trials - k) as i32)
        };
        (hits..=trials).map(term).sum()
    }

    #[test]
    fn the_distribution_is_a_binomials_tail() {
        for (hits, trials) in [(1, 1), (1, 30), (3, 10), (10, 12), (25, 60), (60, 60)] {
            for p in [1e-6, 0.01, 0.2, 0.5, 0.77, 0.999] {
                let found = distribution(f64::from(hits), f64::from(trials - hits + 1), p);
                let expected = binomial_tail(hits, trials, p);
                // The sum of some dozens of products of some dozens of rounded factors.
                assert!(
                    (found - expected).abs() < 1e-12,
                    "{hits} {trials} {p}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn a_quantile_is_the_inverse_also_where_rates_are_rare() {
        // I_x(1, b) = 1 - (1 - x)^b.
        for b in [1.0, 20.0, 1e7] {
            let found = quantile(1.0, b, 0.975);
            let expected = -f64::exp_m1(0.025f64.ln() / b);
            // Logarithms of gamma of 1e7 are 1.5e8, and rounded by 1e-8.
            assert!(
                (found / expected - 1.0).abs() < 1e-7,
                "{b}: {found} {expected}"
            );
        }
        // Beta(n, n) is symmetric.
        assert!((quantile(5e4, 5e4, 0.5) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_logarithm_of_gamma_is_that_of_factorials() {
        let mut ln_factorial = 0.0;
        for n in 1..200u32 {
            let found = ln_gamma(f64::from(n));
            assert!(
                (found - ln_factorial).abs() <= 1e-13 * ln_factorial.max(1.0),
                "{n}"
            );
            ln_factorial += f64::from(n).ln();
        }
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-14);
    }
}
