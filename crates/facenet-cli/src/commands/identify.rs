//! `facenet identify`.

use facenet_train::apply::{
    Decision, Identified, IdentifyReport, IdentifyRequest, decide, identify, made_by,
};
use facenet_train::lfw::OperatingPoint;
use serde::Serialize;

use crate::args::IdentifyArgs;
use crate::commands::embed::{model_source, tell_skipped};
use crate::commands::verify::{UNCALIBRATED, choice, threshold_text};
use crate::failure::Failure;
use crate::progress::Console;
use crate::report::Output;

/// What `identify --json` prints.
#[derive(Debug, Serialize)]
struct Answered<'a> {
    #[serde(flatten)]
    report: &'a IdentifyReport,
    threshold: Option<f64>,
    /// What is known of the threshold; none of one that was given.
    calibration: Option<&'a OperatingPoint>,
    /// Share of strangers taken for somebody, at most, by the upper end of the FAR's interval; none without a calibration.
    false_alarms_at_most: Option<f64>,
}

pub(crate) fn run(args: &IdentifyArgs, output: Output) -> Result<(), Failure> {
    let source = model_source(args.model.clone(), &args.source)?;
    let decision = decide(&source, &made_by(&source)?, choice(args.threshold))?;
    let request = IdentifyRequest {
        gallery: args.gallery.clone(),
        images: args.images.clone(),
        threshold: decision.as_ref().map(|decision| decision.threshold),
        top: args.top,
    };
    let mut console = Console::new(output);
    let report = identify(&source, &request, &mut console)?;
    drop(console);
    tell_skipped(&report.skipped, output);
    let point = decision
        .as_ref()
        .and_then(|decision| decision.point.as_ref());
    let bound = point.map(|point| false_alarms(point.far_interval[1], report.n_templates));
    let lines = report
        .images
        .iter()
        .map(|one| line(one, decision.is_some()));
    let lines: Vec<_> = lines
        .chain([footer(decision.as_ref(), bound, &report)])
        .collect();
    let answered = Answered {
        report: &report,
        threshold: request.threshold,
        calibration: point,
        false_alarms_at_most: bound,
    };
    output.result(&lines.join("\n"), &answered)
}

/// A stranger passes one of `templates` comparisons with this probability at most (Boole), where
/// strangers are as those of the calibration.
///
/// - `far`: the upper end of its interval
fn false_alarms(far: f64, templates: usize) -> f64 {
    (far * templates as f64).min(1.0)
}

fn line(one: &Identified, is_judged: bool) -> String {
    let near = one.nearest.iter();
    let near: Vec<_> = near
        .map(|candidate| format!("{} {:.4}", candidate.name, candidate.sq_l2))
        .collect();
    let near = near.join(", ");
    match &one.name {
        Some(name) => format!("{}: {name} (nearest: {near})", one.image),
        None if is_judged => format!("{}: unknown (nearest: {near})", one.image),
        None => format!("{}: nearest: {near}", one.image),
    }
}

fn footer(decision: Option<&Decision>, bound: Option<f64>, report: &IdentifyReport) -> String {
    let (people, templates) = (report.n_identities, report.n_templates);
    let among = format!("Among {templates} templates of {people} people");
    match (decision, bound) {
        (None, _) => format!("{among}; {UNCALIBRATED}, or give --threshold"),
        (Some(decision), None) => format!("{among}, by {}", threshold_text(decision)),
        (Some(decision), Some(bound)) => format!(
            "{among}, by {}, a comparison; of strangers like the calibration's up to {:.1} % are taken for somebody",
            threshold_text(decision),
            100.0 * bound
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_meets_every_template() {
        assert_eq!(false_alarms(0.001, 50), 0.05);
        assert_eq!(false_alarms(0.1, 50), 1.0);
    }

    #[test]
    fn nobody_is_called_unknown_without_a_threshold() {
        let one = Identified {
            image: "x.jpg".to_owned(),
            name: None,
            nearest: vec![],
        };
        assert_eq!(line(&one, true), "x.jpg: unknown (nearest: )");
        assert_eq!(line(&one, false), "x.jpg: nearest: ");
    }
}
