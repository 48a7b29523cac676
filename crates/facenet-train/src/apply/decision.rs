//! Which threshold decides, and what is known of it.

use facenet_gallery::Source;
use facenet_lfw::OperatingPoint;
use serde::Serialize;

use crate::apply::calibration::Calibration;
use crate::error::TrainError;
use crate::evaluate::ModelSource;

/// How a threshold is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Choice {
    /// This one, in squared L2.
    pub threshold: Option<f64>,
    /// The one that was calibrated for this FAR.
    pub far: Option<f64>,
}

/// A threshold with what it was calibrated to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// In squared L2; accepted is what is below it.
    pub threshold: f64,
    /// Its calibration; none for a threshold that was given.
    pub point: Option<OperatingPoint>,
}

/// The threshold asked for, else the calibrated one of the FAR asked for, else the first that the
/// model was calibrated with; `None` where it was not.
///
/// # Errors
/// [`TrainError::Config`] for a FAR that the model was not calibrated for; as [`Calibration::load`].
pub fn decide(
    source: &ModelSource,
    made_by: &Source,
    choice: Choice,
) -> Result<Option<Decision>, TrainError> {
    by(source, made_by, choice, |found| found.at(choice.far))
}

/// As [`decide`], but where no FAR is asked for the lowest that was calibrated: for many comparisons
/// at once, each of which may be wrong.
///
/// # Errors
/// As [`decide`].
pub fn decide_rarest(
    source: &ModelSource,
    made_by: &Source,
    choice: Choice,
) -> Result<Option<Decision>, TrainError> {
    by(source, made_by, choice, |found| {
        found.at(choice.far.or_else(|| found.rarest()))
    })
}

fn by(
    source: &ModelSource,
    made_by: &Source,
    choice: Choice,
    pick: impl Fn(&Calibration) -> Option<&OperatingPoint>,
) -> Result<Option<Decision>, TrainError> {
    if let Some(threshold) = choice.threshold {
        let point = None;
        return Ok(Some(Decision { threshold, point }));
    }
    let calibration = Calibration::load(&source.model, made_by)?;
    let point = calibration.as_ref().and_then(pick);
    if point.is_none()
        && let Some(far) = choice.far
    {
        return Err(not_calibrated(far, calibration.as_ref()));
    }
    Ok(point.map(|point| Decision {
        threshold: point.threshold,
        point: Some(point.clone()),
    }))
}

fn not_calibrated(far: f64, calibration: Option<&Calibration>) -> TrainError {
    let points = calibration.map_or(&[][..], |found| &found.points);
    let known: Vec<_> = points
        .iter()
        .map(|point| point.far_target.to_string())
        .collect();
    let known = if known.is_empty() {
        "nothing yet".to_owned()
    } else {
        known.join(", ")
    };
    let problem =
        format!("found {far}, but the model was calibrated for {known}; run calibrate --far {far}");
    TrainError::config("--far", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_was_not_calibrated_is_named_with_those_that_were() {
        let error = not_calibrated(0.5, None);
        assert_eq!(
            error.to_string(),
            "--far: found 0.5, but the model was calibrated for nothing yet; run calibrate --far 0.5"
        );
        assert_eq!(error.exit_class().code(), 2);
    }
}
