//! Axes: the range that holds some values, and where its ticks stand.

/// Ticks of a linear axis, about.
const TICKS: f64 = 5.0;
/// Decades from which a logarithmic axis has ticks at powers of ten alone.
const MANY_DECADES: f64 = 2.0;
/// Powers of ten that have a tick, at most.
const MAX_DECADES: i32 = 7;
/// What a quotient may have been moved by, in steps between ticks: rounding moves it far less.
const HAIR: f64 = 1e-6;

/// How values become places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    /// Only values above 0 have a place.
    Log,
}

/// An axis with its range.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    pub(crate) label: String,
    pub(crate) scale: Scale,
    low: f64,
    high: f64,
}

impl Axis {
    /// Of these ends.
    ///
    /// - `low`, `high`: finite, the first below the second; above 0 where the scale is logarithmic
    pub(crate) fn fixed(label: &str, scale: Scale, low: f64, high: f64) -> Self {
        Self {
            label: label.to_owned(),
            scale,
            low,
            high,
        }
    }

    /// From 0 or below to the round number that no value is above.
    pub(crate) fn from_zero(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        Self::over(label, values.into_iter().chain([0.0]))
    }

    /// Between the round numbers that hold all values; those that are no numbers do not count.
    pub(crate) fn over(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let (mut low, mut high) = ends(values.into_iter().filter(|x| x.is_finite()));
        // A range that was rounded may have wider steps, to which it is not round: three at most.
        for _ in 0..3 {
            let step = step(low, high);
            low = (low / step + HAIR).floor() * step;
            high = (high / step - HAIR).ceil() * step;
        }
        Self::fixed(label, Scale::Linear, low, high)
    }

    /// From the least to the largest value, no rounder.
    pub(crate) fn tight(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = ends(values.into_iter().filter(|x| x.is_finite()));
        Self::fixed(label, Scale::Linear, low, high)
    }

    /// Logarithmic, over all values above 0.
    pub(crate) fn log(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let logarithms = values.into_iter().map(f64::log10).filter(|x| x.is_finite());
        let (low, high) = ends(logarithms);
        let (low, high) = if high - low > MANY_DECADES {
            (low.floor(), high.ceil())
        } else {
            // A decade at least, which has three ticks.
            let more = (0.5 * (1.0 - (high - low))).max(0.05);
            (low - more, high + more)
        };
        Self::fixed(label, Scale::Log, 10f64.powf(low), 10f64.powf(high))
    }

    /// The lower end.
    pub(crate) fn low(&self) -> f64 {
        self.low
    }

    /// Where a value stands, from 0 at the low end to 1 at the high one; `None` for what is no number
    /// here. What is beyond an end stands at it.
    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        let at = self.scaled(value);
        let (low, high) = (self.scaled(self.low), self.scaled(self.high));
        at.is_finite()
            .then(|| ((at - low) / (high - low)).clamp(0.0, 1.0))
    }

    fn scaled(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log => value.log10(),
        }
    }

    /// Places and texts of the ticks.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        let values = match self.scale {
            Scale::Linear => linear_ticks(self.low, self.high),
            Scale::Log => log_ticks(self.low, self.high),
        };
        let labelled = values.into_iter().filter_map(|(value, label)| {
            let place = self.place(value)?;
            Some((place, label))
        });
        labelled.collect()
    }
}

/// The least and the largest; apart where they are one, 0 and 1 without values.
fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values {
        low = low.min(value);
        high = high.max(value);
    }
    if low > high {
        return (0.0, 1.0);
    }
    // As near as neighbours of f64 no ticks can be told apart.
    let size = low.abs().max(high.abs());
    if high - low > 1e-9 * size {
        return (low, high);
    }
    let apart = if size == 0.0 { 0.5 } else { 0.1 * size };
    (low - apart, high + apart)
}

/// 1, 2 or 5 times a power of ten, of which a range has about [`TICKS`].
fn step(low: f64, high: f64) -> f64 {
    let raw = (high - low) / TICKS;
    let unit = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| raw <= 1.5 * factor * unit);
    factor.unwrap_or(10.0) * unit
}

fn linear_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let step = step(low, high);
    let (first, last) = ((low / step - HAIR).ceil(), (high / step + HAIR).floor());
    let ticks = (0..=(last - first) as u32).map(|i| (first + f64::from(i)) * step);
    let largest = first.abs().max(last.abs()) * step;
    ticks
        .map(|value| (value, linear_label(value, step, largest)))
        .collect()
}

/// The value with as many digits as the step between ticks needs, all of an axis in one form.
///
/// - `largest`: size of the largest tick
fn linear_label(value: f64, step: f64, largest: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    // A power shows three digits.
    let (scaled, unit) = match largest {
        size if size >= 1e9 || (step < 1e-3 && size < 100.0 * step) => return power(value),
        size if size >= 1e6 => (1e6, "M"),
        size if size >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let digits = (-(step / scaled).log10().floor()).max(0.0) as usize;
    format!("{:.digits$}{unit}", value / scaled)
}

/// Powers of ten, with 2 and 5 times each between where they are few.
fn log_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let every = ((last - first) / MAX_DECADES + 1).max(1);
    let factors: &[f64] = if high.log10() - low.log10() > MANY_DECADES {
        &[1.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    let decades = (first..=last).filter(|decade| decade % every == 0);
    let values = decades.flat_map(|decade| {
        factors
            .iter()
            .map(move |factor| factor * 10f64.powi(decade))
    });
    let within = values.filter(|value| (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(value));
    within.map(|value| (value, log_label(value))).collect()
}

fn log_label(value: f64) -> String {
    if (1e-3 * (1.0 - 1e-9)..1e4).contains(&value) {
        let digits = (-value.log10().floor()).max(0.0) as usize;
        return format!("{value:.digits$}");
    }
    power(value)
}

/// `2e-5`, without digits that say nothing.
fn power(value: f64) -> String {
    let text = format!("{value:.2e}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    format!("{digits}e{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(axis: &Axis, expected: &[&str]) {
        let ticks = axis.ticks();
        let labels: Vec<_> = ticks.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels, expected, "{axis:?}");
        assert!(ticks.windows(2).all(|two| two[0].0 < two[1].0), "{ticks:?}");
    }

    #[test]
    fn ticks_are_round_numbers_that_hold_all_values() {
        check(
            &Axis::over("", [0.13, 0.88]),
            &["0", "0.2", "0.4", "0.6", "0.8", "1.0"],
        );
        check(&Axis::over("", [-3.0, 12.0]), &["-5", "0", "5", "10", "15"]);
        check(
            &Axis::from_zero("", [37_000.0]),
            &["0", "10k", "20k", "30k", "40k"],
        );
        check(
            &Axis::from_zero("", [4e-5]),
            &["0", "1e-5", "2e-5", "3e-5", "4e-5"],
        );
        check(
            &Axis::from_zero("", [0.002]),
            &["0", "5e-4", "1e-3", "1.5e-3", "2e-3"],
        );
        check(
            &Axis::over("", [0.3001, 0.3009]),
            &["0.3000", "0.3002", "0.3004", "0.3006", "0.3008", "0.3010"],
        );
        check(
            &Axis::from_zero("", [4e11]),
            &["0", "1e11", "2e11", "3e11", "4e11"],
        );
    }

    #[test]
    fn values_that_are_one_or_none_have_a_range_too() {
        check(
            &Axis::over("", []),
            &["0", "0.2", "0.4", "0.6", "0.8", "1.0"],
        );
        for values in [vec![0.7], vec![0.7; 9], vec![0.0], vec![-2e9, -2e9]] {
            let axis = Axis::over("", values.clone());
            assert!(axis.ticks().len() >= 3, "{axis:?}");
            let place = axis.place(values[0]).expect("a number");
            assert!((0.2..=0.8).contains(&place), "{axis:?}");
        }
        assert!(Axis::log("", [0.05; 3]).ticks().len() >= 3);
        assert!(!Axis::log("", [0.0, -1.0]).ticks().is_empty());
    }

    #[test]
    fn what_is_no_number_counts_for_nothing() {
        let axis = Axis::over("", [f64::NAN, 1.0, f64::INFINITY, 3.0]);
        assert_eq!((axis.low, axis.high), (1.0, 3.0));
        assert_eq!(axis.place(f64::NAN), None);
        assert_eq!(axis.place(2.0), Some(0.5));
        assert_eq!(axis.place(9.0), Some(1.0), "beyond the end is at it");
        let log = Axis::log("", [1e-3, 1.0]);
        assert_eq!((log.place(0.0), log.place(-1.0)), (None, None));
    }

    #[test]
    fn logarithmic_axes_have_powers_of_ten() {
        check(
            &Axis::fixed("", Scale::Log, 1e-3, 1.0),
            &["0.001", "0.01", "0.1", "1"],
        );
        check(
            &Axis::log("", [3e-5, 2.0]),
            &["1e-5", "1e-4", "0.001", "0.01", "0.1", "1", "10"],
        );
        check(
            &Axis::log("", [0.015, 0.3]),
            &["0.02", "0.05", "0.1", "0.2"],
        );
        check(&Axis::log("", [0.05, 0.06]), &["0.02", "0.05", "0.1"]);
        assert!(Axis::log("", [1e-30, 1e30]).ticks().len() <= 9);
    }

    #[test]
    fn decades_are_equally_far_apart() {
        let axis = Axis::fixed("", Scale::Log, 1e-4, 1.0);
        for (value, place) in [(1e-4, 0.0), (1e-3, 0.25), (1e-2, 0.5), (1.0, 1.0)] {
            let found = axis.place(value).expect("above 0");
            assert!((found - place).abs() < 1e-12, "{value}: {found}");
        }
    }
}
