//! The scores that a run logged as it went.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Serialize;

use super::course::note_of_broken;
use crate::error::TrainError;
use crate::run_folder::{RESULTS_FILE, RESULTS_FILE_EMA};

/// The scores of a run, by rising step; of one that was taken again the last time counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// Of the weights as trained.
    pub weights: Vec<Score>,
    /// Of their moving average.
    pub average: Vec<Score>,
}

/// A score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Steps made before.
    pub step: u64,
    /// Accuracy.
    pub accuracy: f64,
    /// Validation rate; `None` where it was undefined.
    pub val: Option<f64>,
}

impl Scores {
    /// Reads the scores in a log folder; broken lines are passed over and noted.
    ///
    /// # Errors
    /// [`TrainError::Io`] where a file is there and cannot be read.
    pub(super) fn read(log_dir: &Path, notes: &mut Vec<String>) -> Result<Self, TrainError> {
        let mut of = |file: &str| -> Result<Vec<Score>, TrainError> {
            let path = log_dir.join(file);
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
                Err(source) => return Err(TrainError::io(&path, "read this log", source)),
            };
            let (scores, broken) = parse(&String::from_utf8_lossy(&bytes));
            notes.extend(note_of_broken(file, &broken));
            Ok(scores)
        };
        Ok(Self {
            weights: of(RESULTS_FILE)?,
            average: of(RESULTS_FILE_EMA)?,
        })
    }
}

/// The scores of a file, and the numbers of its broken lines.
fn parse(text: &str) -> (Vec<Score>, Vec<usize>) {
    let (mut scores, mut broken) = (Vec::<Score>::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let Some(score) = parse_line(line) else {
            broken.push(number);
            continue;
        };
        scores.retain(|one| one.step < score.step);
        scores.push(score);
    }
    (scores, broken)
}

/// `step<TAB>accuracy<TAB>val`, with five decimals: what is cut off has fewer.
fn parse_line(line: &str) -> Option<Score> {
    let mut fields = line.split('\t');
    let step = fields.next()?.parse().ok()?;
    let accuracy = fields.next()?.parse().ok()?;
    let val = fields.next()?;
    let is_whole = val == "NaN" || val.split_once('.').is_some_and(|(_, rest)| rest.len() == 5);
    let val: f64 = val.parse().ok().filter(|_| is_whole)?;
    Some(Score {
        step,
        accuracy,
        val: (!val.is_nan()).then_some(val),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_taken_again_replaces_it_and_those_after() {
        let text = "0\t0.50000\tNaN\n8\t0.60000\t0.10000\n16\t0.70000\t0.2\n\
                    16\t0.70000\t0.20000\n8\t0.65000\t0.15000\n";
        let (scores, broken) = parse(text);
        let found: Vec<_> = scores.iter().map(|s| (s.step, s.accuracy, s.val)).collect();
        assert_eq!(found, [(0, 0.5, None), (8, 0.65, Some(0.15))]);
        assert_eq!(broken, [3], "a number that is cut off is another number");
    }

    #[test]
    fn a_run_that_is_not_scored_has_none() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let mut notes = Vec::new();
        let scores = Scores::read(folder.path(), &mut notes).expect("nothing to read");
        assert_eq!((scores, notes.len()), (Scores::default(), 0));
    }
}
