//! Middle values, of two the one that speaks against a suspicion.

/// The middle value, the lower of two; 0 of none. Of two the one that speaks against an outlier: less
/// than half of the distances are then as large.
pub(super) fn lower_median(values: Vec<f64>) -> f64 {
    let middle = values.len().saturating_sub(1) / 2;
    nth(values, middle)
}

/// The middle value, the upper of two; 0 of none. Of two the one that speaks against one person under
/// two names: more than half of the distances are then as small.
pub(super) fn upper_median(values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    nth(values, middle)
}

fn nth(mut values: Vec<f64>, n: usize) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    *values.select_nth_unstable_by(n, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_number_has_a_lower_and_an_upper_one() {
        let medians =
            |values: &[f64]| (lower_median(values.to_vec()), upper_median(values.to_vec()));
        assert_eq!(medians(&[3.0, 1.0, 2.0]), (2.0, 2.0));
        assert_eq!(medians(&[4.0, 1.0, 2.0, 3.0]), (2.0, 3.0));
        assert_eq!(medians(&[]), (0.0, 0.0));
    }
}
