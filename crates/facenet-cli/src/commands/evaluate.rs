//! `facenet evaluate`.

use std::path::PathBuf;

use facenet_train::lfw::Flip;
use facenet_train::{Evaluation, PairsSource, Protocol, evaluate, evaluate_embeddings};
use serde_json::json;

use crate::args::{EvaluateArgs, FlipArg};
use crate::commands::embed::model_source;
use crate::failure::Failure;
use crate::progress::Console;
use crate::report::Output;

pub(crate) fn run(args: &EvaluateArgs, output: Output) -> Result<(), Failure> {
    let protocol = protocol(args);
    let evaluation = match (&args.embeddings, &args.model) {
        (Some(file), _) => evaluate_embeddings(file, stored_pairs(args).as_ref(), &protocol)?,
        (None, Some(model)) => {
            let source = model_source(model.clone(), &args.source)?;
            let mut console = Console::new(output);
            evaluate(&source, &pairs(args)?, &protocol, &mut console)?
        }
        (None, None) => {
            return Err(Failure::usage(
                "--model: give a model folder, or --embeddings",
            ));
        }
    };
    output.result(&text(&evaluation), &object(&evaluation))
}

/// The report's fields with the count of missing pairs.
fn object(evaluation: &Evaluation) -> serde_json::Value {
    let mut object = json!(evaluation.report);
    object["missing_pairs"] = json!(evaluation.missing);
    object
}

fn text(evaluation: &Evaluation) -> String {
    let mut text = evaluation.report.to_string();
    if evaluation.missing > 0 {
        text = format!(
            "{} pairs missing: this is not an LFW result\n{text}",
            evaluation.missing
        );
    }
    text
}

fn protocol(args: &EvaluateArgs) -> Protocol {
    Protocol {
        nrof_folds: args.lfw_nrof_folds,
        metric: args.distance,
        subtract_mean: args.subtract_mean,
        flip: args.use_flipped_images.map(|flip| match flip {
            FlipArg::Concat => Flip::Concat,
            FlipArg::Sum => Flip::Sum,
        }),
        far_target: args.far_target,
    }
}

/// The pairs of images below `--lfw-dir`.
fn pairs(args: &EvaluateArgs) -> Result<PairsSource, Failure> {
    let dir = args.lfw_dir.clone().ok_or_else(|| {
        Failure::usage("--lfw-dir: a model is scored on images; give the folder they lie in")
    })?;
    let pairs = args
        .lfw_pairs
        .clone()
        .unwrap_or_else(|| dir.join("pairs.txt"));
    Ok(source(args, dir, pairs))
}

/// The pairs of stored embeddings, where a pairs file is given.
fn stored_pairs(args: &EvaluateArgs) -> Option<PairsSource> {
    let pairs = args.lfw_pairs.clone()?;
    Some(source(
        args,
        args.lfw_dir.clone().unwrap_or_default(),
        pairs,
    ))
}

fn source(args: &EvaluateArgs, dir: PathBuf, pairs: PathBuf) -> PairsSource {
    PairsSource {
        dir,
        pairs,
        folds: args.lfw_folds.clone().map(|folds| folds.0),
        allow_missing: args.allow_missing,
    }
}
