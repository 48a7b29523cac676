//! Learning rate by epoch and step: a fixed rate or a file of them, times a decay, times a shape.

mod course;

use std::path::Path;

use crate::error::TrainError;
pub use course::{Course, Shape};

/// The rate to train with, or the end of training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RateAt {
    /// Learning rate, positive unless decay has underflowed.
    Rate(f64),
    /// The schedule file says `-`, or a negative rate, which ends the run.
    Stop,
}

/// `base * factor^(step / steps)`, with the quotient rounded down when `is_staircase`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExponentialDecay {
    /// What each period multiplies the rate by; 1 means no decay.
    pub factor: f64,
    /// Optimizer steps of a period, at least 1.
    pub steps: u64,
    /// Whether the rate changes only between periods, as in the reference.
    pub is_staircase: bool,
}

impl ExponentialDecay {
    /// No decay.
    pub const NONE: Self = Self {
        factor: 1.0,
        steps: 1,
        is_staircase: true,
    };

    /// The rate at optimizer step `step`, from 0, for the base rate `base`.
    pub fn rate(&self, base: f64, step: u64) -> f64 {
        let steps = self.steps.max(1);
        let periods = if self.is_staircase {
            (step / steps) as f64
        } else {
            step as f64 / steps as f64
        };
        base * self.factor.powf(periods)
    }
}

/// The learning rate of every epoch and step.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    entries: Vec<Entry>,
    decay: ExponentialDecay,
    shape: Shape,
}

/// From `epoch` on, `rate`, until the next entry.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    epoch: u64,
    rate: RateAt,
}

impl Schedule {
    /// The same base rate in every epoch; without decay until [`Self::with_decay`].
    pub fn fixed(rate: f64) -> Self {
        let entries = vec![Entry {
            epoch: 0,
            rate: RateAt::Rate(rate),
        }];
        Self {
            entries,
            decay: ExponentialDecay::NONE,
            shape: Shape::FLAT,
        }
    }

    /// Reads a schedule file; see [`Self::parse`].
    ///
    /// # Errors
    /// [`TrainError::Schedule`] when the file cannot be read as UTF-8 text, and as
    /// [`Self::parse`].
    pub fn load(path: &Path, first_epoch: u64) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(|source| {
            let what = format!("cannot read the learning-rate schedule ({source})");
            wrong(
                path,
                None,
                what,
                "give --learning-rate or --learning-rate-schedule-file",
            )
        })?;
        Self::parse(&text, path, first_epoch)
    }

    /// Parses lines `epoch: rate`; `#` begins a comment, blank lines are fine.
    ///
    /// The last entry whose epoch is not above the current one counts, and persists after the
    /// file's end (the reference returns nothing there). `-` or a negative rate ends the run (the
    /// reference trains on with the negative rate).
    ///
    /// - `path`: for messages
    /// - `first_epoch`: the first epoch that will be trained, from 0; it must have a rate
    ///
    /// # Errors
    /// [`TrainError::Schedule`], with the line where there is one, for a line of another form, a
    /// number that is none, a rate of 0, epochs that do not rise, a file without entries, and a
    /// first entry after `first_epoch`.
    pub fn parse(text: &str, path: &Path, first_epoch: u64) -> Result<Self, TrainError> {
        let mut entries: Vec<Entry> = Vec::new();
        let text = text.trim_start_matches('\u{feff}');
        for (index, line) in text.lines().enumerate() {
            let content = line.split('#').next().unwrap_or("").trim();
            if content.is_empty() {
                continue;
            }
            let place = Place {
                path,
                line: index + 1,
            };
            let entry = place.entry(content)?;
            place.check_order(entries.last(), entry, first_epoch)?;
            entries.push(entry);
        }
        if entries.is_empty() {
            let what = "found no entry, expected lines such as 0: 0.05".to_owned();
            return Err(wrong(path, None, what, "add one, or give --learning-rate"));
        }
        Ok(Self {
            entries,
            decay: ExponentialDecay::NONE,
            shape: Shape::FLAT,
        })
    }

    /// Multiplies every rate by the decay.
    #[must_use]
    pub fn with_decay(self, decay: ExponentialDecay) -> Self {
        Self { decay, ..self }
    }

    /// Multiplies every rate by the shape's factor.
    #[must_use]
    pub fn with_shape(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    /// The rate of optimizer step `step`, which belongs to epoch `epoch`; both from 0.
    pub fn at(&self, epoch: u64, step: u64) -> RateAt {
        let n_begun = self.entries.partition_point(|entry| entry.epoch <= epoch);
        match self.entries[n_begun.saturating_sub(1)].rate {
            RateAt::Rate(base) => {
                RateAt::Rate(self.decay.rate(base, step) * self.shape.factor(step))
            }
            RateAt::Stop => RateAt::Stop,
        }
    }
}

/// A line of a schedule file.
struct Place<'a> {
    path: &'a Path,
    line: usize,
}

impl Place<'_> {
    fn entry(&self, content: &str) -> Result<Entry, TrainError> {
        let Some((epoch, rate)) = content.split_once(':') else {
            let what = format!("found {content:?}, expected epoch: rate");
            return Err(self.wrong(what, "put a colon between them"));
        };
        let (epoch, rate) = (epoch.trim(), rate.trim());
        let epoch = epoch.parse().map_err(|_| {
            let what = format!("found epoch {epoch:?}, expected a whole number from 0");
            self.wrong(what, "write lines such as 0: 0.05")
        })?;
        Ok(Entry {
            epoch,
            rate: self.rate(rate)?,
        })
    }

    fn rate(&self, rate: &str) -> Result<RateAt, TrainError> {
        if rate == "-" {
            return Ok(RateAt::Stop);
        }
        match rate.parse::<f64>() {
            Ok(value) if value.is_finite() && value > 0.0 => Ok(RateAt::Rate(value)),
            Ok(value) if value.is_finite() && value < 0.0 => Ok(RateAt::Stop),
            _ => {
                let what = format!("found rate {rate:?}, expected a finite number above 0, or -");
                Err(self.wrong(what, "write - where training is to end"))
            }
        }
    }

    fn check_order(
        &self,
        last: Option<&Entry>,
        entry: Entry,
        first_epoch: u64,
    ) -> Result<(), TrainError> {
        let epoch = entry.epoch;
        match last {
            None if epoch > first_epoch => {
                let what = format!("begins at epoch {epoch}, expected {first_epoch} or before");
                Err(self.wrong(what, "give the epochs before a rate too"))
            }
            Some(last) if epoch == last.epoch => {
                let what = format!("found epoch {epoch} a second time, expected it once");
                Err(self.wrong(what, "keep one of the two lines"))
            }
            Some(last) if epoch < last.epoch => {
                let what = format!(
                    "found epoch {epoch} after {}, expected a later one",
                    last.epoch
                );
                Err(self.wrong(what, "sort the lines by epoch"))
            }
            _ => Ok(()),
        }
    }

    fn wrong(&self, what: String, remedy: &'static str) -> TrainError {
        wrong(self.path, Some(self.line), what, remedy)
    }
}

fn wrong(path: &Path, line: Option<usize>, what: String, remedy: &'static str) -> TrainError {
    TrainError::Schedule {
        path: path.to_owned(),
        line,
        what,
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str, first_epoch: u64) -> Result<Schedule, TrainError> {
        Schedule::parse(text, Path::new("rates.txt"), first_epoch)
    }

    #[track_caller]
    fn check(text: &str, epochs: &[u64], expected: &[RateAt]) {
        let schedule = parse(text, 0).expect("a good file");
        let found: Vec<_> = epochs.iter().map(|&epoch| schedule.at(epoch, 0)).collect();
        assert_eq!(found, expected);
    }

    #[track_caller]
    fn check_refused(text: &str, expected: &str) {
        let message = parse(text, 0).expect_err("a bad file").to_string();
        assert!(
            message.starts_with(expected),
            "{message:?} does not start with {expected:?}"
        );
    }

    #[test]
    fn the_last_entry_begun_counts_and_persists() {
        let rates = [0.1, 0.1, 0.01, 0.01].map(RateAt::Rate);
        check(
            "# rates\r\n0: 0.1 # first\r\n\r\n 65 : 1e-2\r\n",
            &[0, 64, 65, u64::MAX],
            &rates,
        );
    }

    #[test]
    fn a_dash_or_a_negative_rate_stops() {
        let expected = [RateAt::Rate(0.1), RateAt::Stop, RateAt::Stop];
        check("0: 0.1\n90: -\n", &[89, 90, 1000], &expected);
        check("0: 0.1\n90: -1\n", &[89, 90, 1000], &expected);
        check("0: 0.1\n90: -0.5", &[89, 90, 1000], &expected);
    }

    #[test]
    fn errors_name_file_and_line() {
        check_refused("", "rates.txt: found no entry");
        check_refused("# nothing\n\n", "rates.txt: found no entry");
        check_refused("0: 0.1\nten: 0.2", "rates.txt:2: found epoch \"ten\"");
        check_refused("0: 0.1\n-1: 0.2", "rates.txt:2: found epoch \"-1\"");
        check_refused(
            "\n0 0.1",
            "rates.txt:2: found \"0 0.1\", expected epoch: rate",
        );
        check_refused("0: fast", "rates.txt:1: found rate \"fast\"");
        check_refused("0:", "rates.txt:1: found rate \"\"");
        check_refused("0: 0.1: 2", "rates.txt:1: found rate \"0.1: 2\"");
        check_refused("0: NaN", "rates.txt:1: found rate \"NaN\"");
        check_refused("0: inf", "rates.txt:1: found rate \"inf\"");
        check_refused("0: 0", "rates.txt:1: found rate \"0\"");
        check_refused("0: 1\n9: 1\n#\n8: 1", "rates.txt:4: found epoch 8 after 9");
        check_refused(
            "0: 1\n9: 1\n9: 2",
            "rates.txt:3: found epoch 9 a second time",
        );
        check_refused(
            "1: 0.1",
            "rates.txt:1: begins at epoch 1, expected 0 or before",
        );
    }

    #[test]
    fn a_gap_counts_from_the_first_epoch_trained() {
        assert!(parse("5: 0.1", 5).is_ok());
        assert!(parse("5: 0.1", 4).is_err());
    }

    #[test]
    fn a_missing_file_says_which_flags_help() {
        let missing = Path::new("no/such/rates.txt");
        let message = Schedule::load(missing, 0)
            .expect_err("not there")
            .to_string();
        assert!(
            message.starts_with("no/such/rates.txt: cannot read"),
            "{message}"
        );
        assert!(
            message.contains("--learning-rate-schedule-file"),
            "{message}"
        );
    }

    #[test]
    fn decay_steps_down_at_each_period() {
        let decay = ExponentialDecay {
            factor: 0.5,
            steps: 10,
            is_staircase: true,
        };
        let schedule = Schedule::fixed(0.8).with_decay(decay);
        let found: Vec<_> = [0, 9, 10, 19, 20]
            .map(|step| schedule.at(step / 10, step))
            .into();
        assert_eq!(found, [0.8, 0.8, 0.4, 0.4, 0.2].map(RateAt::Rate));
        let file = parse("0: 0.8\n1: -", 0)
            .expect("a good file")
            .with_decay(decay);
        assert_eq!(file.at(1, 10), RateAt::Stop, "a stop is not decayed");
    }

    fn arb_entries() -> impl Strategy<Value = Vec<(u64, Option<f64>)>> {
        let rate = prop::option::weighted(0.8, 1e-9f64..10.0);
        prop::collection::btree_map(0u64..40, rate, 1..8).prop_map(|entries| {
            let first = entries.keys().next().copied().unwrap_or(0);
            entries
                .into_iter()
                .map(|(epoch, rate)| (epoch - first, rate))
                .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn every_epoch_has_the_rate_of_the_last_entry_begun(
            entries in arb_entries(), epoch in 0u64..60, noise in "[ \t]{0,2}(#[^\n]{0,5})?\n?",
        ) {
            let line = |&(epoch, rate): &(u64, Option<f64>)| {
                let rate = rate.map_or_else(|| "-".to_owned(), |rate| rate.to_string());
                format!("{epoch}: {rate}{noise}\n")
            };
            let text: String = entries.iter().map(line).collect();
            let schedule = parse(&text, 0).expect("well formed");
            let last = entries.iter().rev().find(|(begin, _)| *begin <= epoch).expect("from 0");
            let expected = last.1.map_or(RateAt::Stop, RateAt::Rate);
            prop_assert_eq!(schedule.at(epoch, 0), expected);
        }

        #[test]
        fn any_text_is_a_schedule_or_an_error_with_its_path(text in "[-0-9.:# einfNa\n\r\t]{0,40}") {
            match parse(&text, 3) {
                Ok(schedule) => if let RateAt::Rate(rate) = schedule.at(3, 0) {
                    prop_assert!(rate > 0.0 && rate.is_finite());
                },
                Err(error) => prop_assert!(error.to_string().starts_with("rates.txt")),
            }
        }

        #[test]
        fn a_staircase_is_flat_within_a_period(
            factor in 0.1f64..1.0, steps in 1u64..1000, period in 0u64..20, within in 0u64..1000,
        ) {
            let decay = ExponentialDecay { factor, steps, is_staircase: true };
            let begin = decay.rate(0.1, period * steps);
            let later = decay.rate(0.1, period * steps + within % steps);
            prop_assert_eq!(later.to_bits(), begin.to_bits());
            prop_assert!(decay.rate(0.1, (period + 1) * steps) < begin);
        }
    }
}
