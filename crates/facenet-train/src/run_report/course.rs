//! The steps of a run as its log has them.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::record::STEPS_FILE;

/// Points that the steps of a run become, at most: a plot has no more pixels.
const MAX_POINTS: usize = 500;

/// The steps of a run; of a step that was made again after a resume or a rollback the last time
/// counts, and what was given up with it is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RunCourse {
    /// Number of the last step.
    pub last_step: u64,
    /// Steps that are logged.
    pub logged: usize,
    /// Times that the run went back to an earlier step.
    pub returns: usize,
    /// Steps that a point stands for; the last point may have fewer.
    pub steps_per_point: usize,
    /// Means over so many steps.
    pub points: Vec<CoursePoint>,
}

/// Means over the steps of a point of those that have the figure; `None` where none does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CoursePoint {
    /// The last of the steps.
    pub step: u64,
    /// Loss with regularisation.
    pub loss: Option<f64>,
    /// The least and the largest loss.
    pub loss_range: Option<[f64; 2]>,
    /// Learning rate.
    pub learning_rate: Option<f64>,
    /// As [`Health`](crate::Health) has it, as are those below.
    pub mined_active_share: Option<f64>,
    /// Share of triplets within the margin.
    pub active_share: Option<f64>,
    /// Quantiles of squared L2, anchor to positive.
    pub d_ap: Option<[f64; 3]>,
    /// Quantiles of squared L2, anchor to negative.
    pub d_an: Option<[f64; 3]>,
    /// Share of images that the classifier names.
    pub accuracy: Option<f64>,
    /// Spread of the embeddings.
    pub spread: Option<f64>,
    /// Norm of the gradient.
    pub gradient_norm: Option<f64>,
}

/// A line of the log; `null` stands for what is no number.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Logged {
    step: u64,
    loss: Option<f64>,
    learning_rate: Option<f64>,
    mined_active_share: Option<f64>,
    active_share: Option<f64>,
    d_ap: Option<[f64; 3]>,
    d_an: Option<[f64; 3]>,
    accuracy: Option<f64>,
    spread: Option<f64>,
    gradient_norm: Option<f64>,
}

impl RunCourse {
    /// Reads the log in a folder; without one there are no steps. Lines that are broken, as the
    /// last of a run that was killed, are passed over and noted.
    ///
    /// # Errors
    /// [`TrainError::Io`] where it cannot be read.
    pub(super) fn read(log_dir: &Path, notes: &mut Vec<String>) -> Result<Self, TrainError> {
        let path = log_dir.join(STEPS_FILE);
        let failed = |source| TrainError::io(&path, "read this log", source);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                notes.push(format!("There is no {STEPS_FILE}: no step was logged."));
                return Ok(Self::default());
            }
            Err(error) => return Err(failed(error)),
        };
        let (mut steps, mut broken) = (Steps::default(), Vec::new());
        for (number, line) in (1..).zip(BufReader::new(file).split(b'\n')) {
            match serde_json::from_slice(&line.map_err(failed)?) {
                Ok(logged) => steps.add(logged),
                Err(_) => broken.push(number),
            }
        }
        notes.extend(note_of_broken(STEPS_FILE, &broken));
        Ok(steps.course())
    }
}

/// What is said of broken lines, counted from 1.
pub(super) fn note_of_broken(file: &str, lines: &[usize]) -> Option<String> {
    let first = lines.first()?;
    Some(match lines.len() {
        1 => format!("Line {first} of {file} is broken or cut off and was passed over."),
        n => format!(
            "{n} lines of {file}, the first of them line {first}, are broken and were passed over."
        ),
    })
}

/// Lines by rising step.
#[derive(Default)]
struct Steps {
    kept: Vec<Logged>,
    returns: usize,
}

impl Steps {
    fn add(&mut self, logged: Logged) {
        let given_up = self.kept.partition_point(|one| one.step < logged.step);
        self.returns += usize::from(given_up < self.kept.len());
        self.kept.truncate(given_up);
        self.kept.push(logged);
    }

    fn course(&self) -> RunCourse {
        let steps_per_point = self.kept.len().div_ceil(MAX_POINTS).max(1);
        RunCourse {
            last_step: self.kept.last().map_or(0, |last| last.step),
            logged: self.kept.len(),
            returns: self.returns,
            steps_per_point,
            points: self.kept.chunks(steps_per_point).map(point).collect(),
        }
    }
}

/// - `steps`: not empty
fn point(steps: &[Logged]) -> CoursePoint {
    let one = |figure: fn(&Logged) -> Option<f64>| mean(steps.iter().filter_map(figure));
    let three = |figure: fn(&Logged) -> Option<[f64; 3]>| -> Option<[f64; 3]> {
        let at = |i: usize| {
            mean(
                steps
                    .iter()
                    .filter_map(figure)
                    .map(|quantiles| quantiles[i]),
            )
        };
        Some([at(0)?, at(1)?, at(2)?])
    };
    let losses = || steps.iter().filter_map(|step| step.loss);
    let least = losses().fold(f64::INFINITY, f64::min);
    let most = losses().fold(f64::NEG_INFINITY, f64::max);
    CoursePoint {
        step: steps.last().map_or(0, |last| last.step),
        loss: one(|step| step.loss),
        loss_range: (least <= most).then_some([least, most]),
        learning_rate: one(|step| step.learning_rate),
        mined_active_share: one(|step| step.mined_active_share),
        active_share: one(|step| step.active_share),
        d_ap: three(|step| step.d_ap),
        d_an: three(|step| step.d_an),
        accuracy: one(|step| step.accuracy),
        spread: one(|step| step.spread),
        gradient_norm: one(|step| step.gradient_norm),
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0u32);
    for value in values {
        sum += value;
        n += 1;
    }
    (n > 0).then(|| sum / f64::from(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (RunCourse, Vec<String>) {
        let folder = tempfile::tempdir().expect("a scratch folder");
        std::fs::write(folder.path().join(STEPS_FILE), text).expect("writable");
        let mut notes = Vec::new();
        let course = RunCourse::read(folder.path(), &mut notes).expect("readable");
        (course, notes)
    }

    fn line(step: u64, loss: f64) -> String {
        format!("{{\"step\":{step},\"loss\":{loss},\"learning_rate\":0.1,\"d_ap\":[0,1,2]}}\n")
    }

    fn lines(steps: &[(u64, f64)]) -> String {
        steps.iter().map(|&(step, loss)| line(step, loss)).collect()
    }

    fn losses(course: &RunCourse) -> Vec<(u64, Option<f64>)> {
        course
            .points
            .iter()
            .map(|point| (point.step, point.loss))
            .collect()
    }

    #[test]
    fn the_last_word_on_a_step_counts_and_what_was_given_up_is_left_out() {
        let (course, notes) = read(&lines(&[(1, 9.0), (2, 8.0), (3, 7.0), (2, 5.0)]));
        assert_eq!(losses(&course), [(1, Some(9.0)), (2, Some(5.0))]);
        assert_eq!((course.last_step, course.logged, course.returns), (2, 2, 1));
        assert!(notes.is_empty(), "{notes:?}");
        assert_eq!(course.points[0].d_ap, Some([0.0, 1.0, 2.0]));
        assert_eq!(course.points[0].d_an, None);
    }

    #[test]
    fn a_line_that_is_cut_off_is_told_and_passed_over() {
        let text = line(1, 2.0) + "{\"step\":2,\"lo";
        let (course, notes) = read(&text);
        assert_eq!(losses(&course), [(1, Some(2.0))]);
        let expected = "Line 2 of steps.jsonl is broken or cut off and was passed over.";
        assert_eq!(notes, [expected]);
        let (_, notes) = read(&("no\n".to_owned() + &line(2, 1.0) + "[]\n\n"));
        assert!(notes[0].starts_with("3 lines of steps.jsonl, the first of them line 1"));
    }

    #[test]
    fn many_steps_become_points_of_equal_length() {
        let steps: Vec<_> = (1..=1001).map(|step| (step, step as f64)).collect();
        let (course, _) = read(&lines(&steps));
        assert_eq!((course.steps_per_point, course.points.len()), (3, 334));
        let first = course.points[0];
        assert_eq!((first.step, first.loss), (3, Some(2.0)));
        assert_eq!(first.loss_range, Some([1.0, 3.0]));
        assert_eq!(course.points[333].step, 1001);
    }

    #[test]
    fn a_loss_that_is_no_number_is_none() {
        let (course, notes) = read("{\"step\":1,\"loss\":null}\n");
        assert_eq!(losses(&course), [(1, None)]);
        assert_eq!(course.points[0].loss_range, None);
        assert!(notes.is_empty());
    }

    #[test]
    fn without_a_log_there_are_no_steps() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let mut notes = Vec::new();
        let course = RunCourse::read(folder.path(), &mut notes).expect("nothing to read");
        assert_eq!((course.points.len(), notes.len()), (0, 1));
    }
}
