//! `facenet evaluate --identification`.

use facenet_train::apply::{evaluate_identification, evaluate_stored_identification};
use facenet_train::lfw::{Identification, OpenSet};
use serde::Serialize;

use crate::args::EvaluateArgs;
use crate::commands::embed::{model_source, tell_skipped};
use crate::failure::Failure;
use crate::progress::Console;
use crate::report::Output;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Scored<'a> {
    #[serde(flatten)]
    figures: &'a Identification,
    /// Files that were no readable image, and why.
    skipped: &'a [(String, String)],
}

pub(super) fn run(args: &EvaluateArgs, output: Output) -> Result<(), Failure> {
    let false_alarms = args.identification.false_alarm_rate;
    let (found, skipped) = match (&args.embeddings, &args.model, &args.lfw_dir) {
        (Some(file), _, _) => {
            let found = evaluate_stored_identification(file, false_alarms)?;
            (found, Vec::new())
        }
        (None, Some(model), Some(dir)) => {
            let source = model_source(model.clone(), &args.source)?;
            let mut console = Console::new(output);
            evaluate_identification(&source, dir, false_alarms, &mut console)?
        }
        _ => {
            return Err(Failure::usage(
                "--lfw-dir: give a model and the folder of identity folders, or --embeddings",
            ));
        }
    };
    tell_skipped(&skipped, output);
    output.result(
        &text(&found),
        &Scored {
            figures: &found,
            skipped: &skipped,
        },
    )
}

fn text(found: &Identification) -> String {
    format!(
        "Gallery: {} people, one image each; probes: {} of them, {} of others\n{}\n{}\n{}",
        found.gallery,
        found.known_probes,
        found.unknown_probes,
        rate("Closed set, rank 1", found.rank_1, found.rank_1_interval),
        rate("Closed set, rank 5", found.rank_5, found.rank_5_interval),
        open_text(found.open_set.as_ref(), found.false_alarm_target)
    )
}

fn open_text(open: Option<&OpenSet>, target: f64) -> String {
    match open {
        Some(open) => format!(
            "{}; {}, below {:.4}",
            rate(
                "Open set, found and named",
                open.detected,
                open.detected_interval
            ),
            rate(
                "false alarms",
                open.false_alarm_rate,
                open.false_alarm_interval
            ),
            open.threshold
        ),
        None => format!(
            "Open set: too few people with one image for a false alarm rate of {target}: expected {:.0} or more",
            (10.0 / target).ceil()
        ),
    }
}

fn rate(name: &str, rate: f64, [low, high]: [f64; 2]) -> String {
    format!("{name}: {rate:.4} (95 %: {low:.4} to {high:.4})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_set_that_cannot_be_measured_says_what_it_wants() {
        assert!(open_text(None, 0.01).ends_with("expected 1000 or more"));
    }
}
