//! `facenet evaluate`.

mod identification;

use std::path::PathBuf;

use facenet_train::lfw::Flip;
use facenet_train::{
    Evaluation, PairsSource, Protocol, Storage, StoredScore, evaluate, evaluate_embeddings,
};
use serde_json::json;

use crate::args::{EvaluateArgs, FlipArg};
use crate::commands::embed::model_source;
use crate::failure::Failure;
use crate::progress::Console;
use crate::report::Output;

pub(crate) fn run(args: &EvaluateArgs, output: Output) -> Result<(), Failure> {
    if args.identification.identification {
        return identification::run(args, output);
    }
    let protocol = protocol(args);
    let mut console = Console::new(output);
    let evaluation = match (&args.embeddings, &args.model) {
        (Some(file), _) => {
            let pairs = stored_pairs(args)?;
            evaluate_embeddings(file, pairs.as_ref(), &protocol, &mut console)?
        }
        (None, Some(model)) => {
            let source = model_source(model.clone(), &args.source)?;
            evaluate(&source, &pairs(args)?, &protocol, &mut console)?
        }
        (None, None) => {
            return Err(Failure::usage(
                "--model: give a model folder, or --embeddings",
            ));
        }
    };
    drop(console);
    let has_forms = !args.stored_as.is_empty();
    output.result(
        &text(&evaluation, has_forms),
        &object(&evaluation, has_forms),
    )
}

/// The report's fields with the count of missing pairs, and every form's report where forms were
/// asked for.
fn object(evaluation: &Evaluation, has_forms: bool) -> serde_json::Value {
    let mut object = json!(evaluation.report);
    object["missing_pairs"] = json!(evaluation.missing);
    if has_forms {
        object["stored"] = json!(evaluation.stored);
    }
    object
}

fn text(evaluation: &Evaluation, has_forms: bool) -> String {
    let mut text = evaluation.report.to_string();
    if has_forms {
        text = format!("{text}\n\n{}", table(&evaluation.stored));
    }
    if evaluation.missing > 0 {
        text = format!(
            "{} pairs missing: this is not an LFW result\n{text}",
            evaluation.missing
        );
    }
    text
}

/// A line for each form.
fn table(scores: &[StoredScore]) -> String {
    let head = "stored as  mirrored too  bytes  accuracy          validation rate".to_owned();
    scores.iter().fold(head, |table, score| {
        let StoredScore {
            stored_as,
            is_flipped,
            bytes,
            report,
        } = score;
        let mirrored = if *is_flipped { "yes" } else { "no" };
        let accuracy = report.accuracy_line().replace("Accuracy: ", "");
        let val = report.validation_line().replace("Validation rate: ", "");
        let name = stored_as.name();
        format!("{table}\n{name:<9}  {mirrored:<13} {bytes:>5}  {accuracy}  {val}")
    })
}

/// The forms asked for; as computed where none was.
fn forms(asked: &[Storage]) -> Vec<Storage> {
    if asked.is_empty() {
        return vec![Storage::F32];
    }
    asked.to_vec()
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
        stored_as: forms(&args.stored_as),
    }
}

/// The pairs of images below `--lfw-dir`.
fn pairs(args: &EvaluateArgs) -> Result<PairsSource, Failure> {
    let dir = args.lfw_dir.clone().ok_or_else(|| {
        Failure::usage("--lfw-dir: a model is scored on images; give the folder they lie in")
    })?;
    let pairs = pairs_file(args).unwrap_or_default();
    Ok(source(args, dir, pairs))
}

/// The pairs of stored embeddings, where there is a pairs file; without one, flags that choose
/// among its pairs are refused.
fn stored_pairs(args: &EvaluateArgs) -> Result<Option<PairsSource>, Failure> {
    if let Some(pairs) = pairs_file(args) {
        let dir = args.lfw_dir.clone().unwrap_or_default();
        return Ok(Some(source(args, dir, pairs)));
    }
    let unused = match (&args.lfw_folds, args.allow_missing) {
        (Some(_), _) => "--lfw-folds",
        (None, true) => "--allow-missing",
        (None, false) => return Ok(None),
    };
    Err(Failure::usage(format!(
        "{unused}: there is no pairs file for it to act on; give --pairs, or drop the flag"
    )))
}

/// The file named, or that of the images' folder.
fn pairs_file(args: &EvaluateArgs) -> Option<PathBuf> {
    let beside = || args.lfw_dir.as_ref().map(|dir| dir.join("pairs.txt"));
    args.lfw_pairs.clone().or_else(beside)
}

fn source(args: &EvaluateArgs, dir: PathBuf, pairs: PathBuf) -> PairsSource {
    PairsSource {
        dir,
        pairs,
        folds: args.lfw_folds.clone().map(|folds| folds.0),
        allow_missing: args.allow_missing,
    }
}
