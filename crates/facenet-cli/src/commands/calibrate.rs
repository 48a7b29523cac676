//! `facenet calibrate`.

use facenet_train::apply::{CalibrateRequest, Calibrated, Calibration, calibrate};
use facenet_train::lfw::OperatingPoint;
use serde::Serialize;

use crate::args::CalibrateArgs;
use crate::commands::embed::{model_source, tell_skipped};
use crate::failure::Failure;
use crate::progress::Console;
use crate::report::Output;

/// What `calibrate --json` prints: the calibration as it is stored, and what was left out.
#[derive(Debug, Serialize)]
struct Stored<'a> {
    #[serde(flatten)]
    calibration: &'a Calibration,
    skipped: &'a [(String, String)],
}

pub(crate) fn run(args: &CalibrateArgs, output: Output) -> Result<(), Failure> {
    let source = model_source(args.model.clone(), &args.source)?;
    let request = CalibrateRequest {
        dir: args.data_dir.clone(),
        pairs: args.pairs.clone(),
        far_targets: args.far.clone(),
    };
    let mut console = Console::new(output);
    let Calibrated {
        calibration,
        skipped,
    } = calibrate(&source, &request, &mut console)?;
    drop(console);
    tell_skipped(&skipped, output);
    let lines: Vec<_> = calibration.points.iter().map(point_text).collect();
    let text = format!(
        "{}: calibrated on {} images of {} people\n{}",
        args.model.display(),
        calibration.images,
        calibration.people,
        lines.join("\n")
    );
    let stored = Stored {
        calibration: &calibration,
        skipped: &skipped,
    };
    output.result(&text, &stored)
}

/// A threshold with all that is known of it.
fn point_text(point: &OperatingPoint) -> String {
    let [low, high] = point.threshold_interval;
    let val = match (point.val, point.val_interval) {
        (Some(val), Some([low, high])) => format!(
            "VAL {val:.4} ({low:.4} to {high:.4}) over {} same pairs",
            point.n_same
        ),
        _ => "VAL unknown: no two images of one person".to_owned(),
    };
    format!(
        "FAR {}: threshold {:.4} ({low:.4} to {high:.4}); {}; {val}",
        point.far_target,
        point.threshold,
        measured(point)
    )
}

/// The rate that a threshold was measured to have, and on how much.
pub(crate) fn measured(point: &OperatingPoint) -> String {
    let [low, high] = point.far_interval;
    format!(
        "FAR {} (95 %: {} to {}), {} accepted of {} pairs of different people",
        rounded(point.far),
        rounded(low),
        rounded(high),
        point.accepted_different,
        point.n_different
    )
}

/// A rate to three figures.
fn rounded(rate: f64) -> String {
    if rate <= 0.0 {
        return "0".to_owned();
    }
    if rate < 1e-4 {
        return format!("{rate:.2e}");
    }
    let decimals = (2.0 - rate.log10().floor()).max(0.0) as usize;
    format!("{rate:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_three_figures() {
        let texts = [0.0, 1.0, 0.1, 0.002_345, 0.000_012_34].map(rounded);
        assert_eq!(texts, ["0", "1.00", "0.100", "0.00234", "1.23e-5"]);
    }
}
