//! `facenet cluster`.

use facenet_train::ModelSource;
use facenet_train::apply::{
    ClusterConfig, ClusterMethod, Clustered, Decision, Placing, cluster, decide, decide_rarest,
    made_by, to_cluster,
};
use facenet_train::lfw::{OperatingPoint, PairwiseScore};
use serde::Serialize;

use crate::args::ClusterArgs;
use crate::commands::embed::{model_source, tell_skipped};
use crate::commands::verify::{choice, threshold_text};
use crate::failure::Failure;
use crate::progress::Console;
use crate::report::Output;

/// What `cluster --json` prints.
#[derive(Debug, Serialize)]
struct Grouped<'a> {
    method: ClusterMethod,
    n_images: usize,
    n_clusters: usize,
    clusters: &'a [Vec<String>],
    unclustered: &'a [String],
    threshold: f64,
    /// What is known of the threshold; none of one that was given.
    calibration: Option<&'a OperatingPoint>,
    /// None unless asked for.
    score: Option<PairwiseScore>,
    skipped: &'a [(String, String)],
}

pub(crate) fn run(args: &ClusterArgs, output: Output) -> Result<(), Failure> {
    let source = match &args.model {
        Some(model) => Some(model_source(model.clone(), &args.source)?),
        None => None,
    };
    let decision = decision(args, source.as_ref())?;
    let config = ClusterConfig {
        method: args.method,
        threshold: decision.threshold,
        min_images: args.min_images,
        threads: args.source.compute.threads,
    };
    refuse_taken(args)?;
    let mut console = Console::new(output);
    let embedded = to_cluster(source.as_ref(), &args.input, args.method, &mut console)?;
    drop(console);
    let found = cluster(&embedded, &config)?;
    tell_skipped(&found.skipped, output);
    write(args, &found)?;
    let grouped = Grouped {
        method: args.method,
        n_images: embedded.paths.len(),
        n_clusters: found.clusters.len(),
        clusters: &found.clusters,
        unclustered: &found.unclustered,
        threshold: decision.threshold,
        calibration: decision.point.as_ref(),
        score: args.score.then_some(found.score),
        skipped: &found.skipped,
    };
    output.result(&text(&grouped, &decision), &grouped)
}

/// The threshold: a calibrated one belongs to a model, and stored embeddings do not say theirs: it is
/// given.
fn decision(args: &ClusterArgs, source: Option<&ModelSource>) -> Result<Decision, Failure> {
    let choice = choice(args.threshold);
    let decision = match (source, choice.threshold) {
        (_, Some(threshold)) => Some(Decision {
            threshold,
            point: None,
        }),
        (Some(source), None) => {
            let decide = match args.method {
                ClusterMethod::Average => decide,
                ClusterMethod::Dbscan => decide_rarest,
            };
            decide(source, &made_by(source)?, choice)?
        }
        (None, None) => None,
    };
    decision.ok_or_else(|| {
        Failure::usage(
            "--threshold: no threshold is known; give one, or a --model that `facenet calibrate` has \
             calibrated",
        )
    })
}

/// Refuses a folder that is there before an hour goes into embeddings for it.
fn refuse_taken(args: &ClusterArgs) -> Result<(), Failure> {
    match &args.output {
        Some(output) if output.exists() => Err(Failure::usage(format!(
            "--output: {} exists; give a folder that does not",
            output.display()
        ))),
        _ => Ok(()),
    }
}

fn write(args: &ClusterArgs, found: &Clustered) -> Result<(), Failure> {
    if let Some(folder) = &args.output {
        let placing = if args.copy {
            Placing::Copy
        } else {
            Placing::Link
        };
        found.sort_into(folder, placing)?;
    }
    if let Some(file) = &args.csv {
        found.write_csv(file)?;
    }
    Ok(())
}

fn text(grouped: &Grouped<'_>, decision: &Decision) -> String {
    let mut text = format!(
        "{} images: {} clusters, {} images in none; {} {}",
        grouped.n_images,
        grouped.n_clusters,
        grouped.unclustered.len(),
        match grouped.method {
            ClusterMethod::Average => "by average linkage, below",
            ClusterMethod::Dbscan => "by dbscan, neighbours are below",
        },
        threshold_text(decision)
    );
    if let Some(score) = grouped.score {
        text = format!("{text}\n{}", score_text(&score));
    }
    text
}

fn score_text(score: &PairwiseScore) -> String {
    let rate = |rate: Option<f64>| rate.map_or("undefined".to_owned(), |rate| format!("{rate:.4}"));
    format!(
        "Pairs of images: precision {}, recall {}, F1 {} ({} together, {} of one person, {} both)",
        rate(score.precision),
        rate(score.recall),
        rate(score.f1),
        score.n_together,
        score.n_same,
        score.n_right
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_without_pairs_is_undefined() {
        let text = score_text(&PairwiseScore::of(&[Some(0), Some(0)], &[1, 2]));
        assert_eq!(
            text,
            "Pairs of images: precision 0.0000, recall undefined, F1 undefined (1 together, 0 of one person, \
             0 both)"
        );
    }
}
