use crate::beta;

/// 97.5 % quantile of the standard normal distribution, for two-sided 95 %.
const Z_95: f64 = 1.959_963_984_540_054;

/// Wilson's 95 % score interval of a rate (E. B. Wilson, JASA 22, 1927).
///
/// Unlike mean ± t·s/√k over folds it keeps its width when all folds agree (a perfect score is
/// not certainty) and stays within `[0, 1]` for two folds.
///
/// - `hits`, `trials`: `hits <= trials`, `trials > 0`
pub(crate) fn wilson_95(hits: usize, trials: usize) -> [f64; 2] {
    let n = trials as f64;
    let rate = hits as f64 / n;
    let z2 = Z_95 * Z_95;
    let centre = (rate + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z_95 / (1.0 + z2 / n) * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n)).sqrt();
    [(centre - half).max(0.0), (centre + half).min(1.0)]
}

/// The exact 95 % interval of a rate (C. J. Clopper and E. S. Pearson, Biometrika 26, 1934): no rate
/// outside of it leaves `hits` or fewer, or `hits` or more, a chance of 2.5 %.
///
/// - `hits`, `trials`: `hits <= trials`, `trials > 0`
pub(crate) fn clopper_pearson_95(hits: u64, trials: u64) -> [f64; 2] {
    let (k, n) = (hits as f64, trials as f64);
    let low = if hits == 0 {
        0.0
    } else {
        beta::quantile(k, n - k + 1.0, 0.025)
    };
    let high = if hits == trials {
        1.0
    } else {
        beta::quantile(k + 1.0, n - k, 0.975)
    };
    [low, high]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Newcombe, Statistics in Medicine 17 (1998), table I, method 3, gives four decimals.
    #[track_caller]
    fn check(hits: usize, trials: usize, expected: [f64; 2]) {
        let found = wilson_95(hits, trials);
        assert!(
            found
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 5e-5),
            "{found:?}"
        );
    }

    #[test]
    fn agrees_with_the_published_examples() {
        check(81, 263, [0.2553, 0.3662]);
        check(15, 148, [0.0624, 0.1605]);
        check(0, 20, [0.0, 0.1611]);
        check(1, 29, [0.0061, 0.1718]);
    }

    #[test]
    fn the_exact_interval_agrees_with_the_published_examples() {
        // The same table, method 5.
        for (hits, trials, expected) in [
            (81, 263, [0.2527, 0.3676]),
            (15, 148, [0.0578, 0.1617]),
            (0, 20, [0.0, 0.1684]),
            (1, 29, [0.0009, 0.1776]),
            (29, 29, [0.8806, 1.0]),
        ] {
            let found = clopper_pearson_95(hits, trials);
            let are_near = found
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 5e-5);
            assert!(are_near, "{hits} {trials}: {found:?}");
        }
    }

    #[test]
    fn a_perfect_score_is_not_certainty() {
        let [low, high] = wilson_95(600, 600);
        assert!(low > 0.99 && low < 1.0 && high <= 1.0, "{low} {high}");
    }
}
