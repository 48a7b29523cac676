//! `facenet verify`.

use std::path::Path;

use facenet_train::apply::{Choice, Decision, decide, made_by, verify};
use facenet_train::lfw::OperatingPoint;
use serde::Serialize;

use crate::args::{ThresholdArgs, VerifyArgs};
use crate::commands::calibrate::measured;
use crate::commands::embed::model_source;
use crate::failure::Failure;
use crate::progress::Console;
use crate::report::Output;

/// What `verify --json` prints.
#[derive(Debug, Serialize)]
struct Verified<'a> {
    images: [&'a Path; 2],
    sq_l2: f64,
    /// None without a threshold.
    is_below: Option<bool>,
    threshold: Option<f64>,
    /// What is known of the threshold; none of one that was given.
    calibration: Option<OperatingPoint>,
}

pub(crate) fn run(args: &VerifyArgs, output: Output) -> Result<(), Failure> {
    let source = model_source(args.model.clone(), &args.source)?;
    let decision = decide(&source, &made_by(&source)?, choice(args.threshold))?;
    let mut console = Console::new(output);
    let sq_l2 = verify(&source, &[args.a.clone(), args.b.clone()], &mut console)?;
    drop(console);
    let text = format!(
        "distance {sq_l2:.4} (squared L2, 0 to 4); {}",
        says(sq_l2, decision.as_ref())
    );
    let threshold = decision.as_ref().map(|decision| decision.threshold);
    let verified = Verified {
        images: [&args.a, &args.b],
        sq_l2,
        is_below: threshold.map(|threshold| sq_l2 < threshold),
        threshold,
        calibration: decision.and_then(|decision| decision.point),
    };
    output.result(&text, &verified)
}

/// The threshold that the flags ask for.
pub(crate) fn choice(args: ThresholdArgs) -> Choice {
    Choice {
        threshold: args.threshold,
        far: args.far,
    }
}

/// What a distance says, and how much that is worth.
fn says(sq_l2: f64, decision: Option<&Decision>) -> String {
    let Some(decision) = decision else {
        return UNCALIBRATED.to_owned();
    };
    let side = if sq_l2 < decision.threshold {
        "below"
    } else {
        "not below"
    };
    format!("{side} {}", threshold_text(decision))
}

/// A threshold and what is known of it.
pub(crate) fn threshold_text(decision: &Decision) -> String {
    let threshold = decision.threshold;
    match &decision.point {
        Some(point) => format!("the threshold {threshold:.4} of {}", measured(point)),
        None => format!("the threshold {threshold:.4}, of which no error rate is known"),
    }
}

/// What is said where no threshold is known.
pub(crate) const UNCALIBRATED: &str = "the model is not calibrated, so this says nothing yet: run \
    facenet calibrate on people like these";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_never_a_bare_yes() {
        let given = Decision {
            threshold: 1.0,
            point: None,
        };
        assert_eq!(
            says(0.5, Some(&given)),
            "below the threshold 1.0000, of which no error rate is known"
        );
        // At the threshold is not below it.
        assert!(says(1.0, Some(&given)).starts_with("not below"));
        assert_eq!(says(0.0, None), UNCALIBRATED);
    }
}
