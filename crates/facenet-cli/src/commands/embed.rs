//! `facenet embed`.

use std::path::{Path, PathBuf};

use facenet_train::dataset::{DecodeLimits, Recipe};
use facenet_train::embeddings_file::{Format, write};
use facenet_train::model::Arithmetic;
use facenet_train::{ModelSource, embed, saved_model};
use serde::Serialize;

use crate::args::{EmbedArgs, LimitArgs, ModelArgs};
use crate::failure::Failure;
use crate::progress::Console;
use crate::report::Output;
use crate::train_config::explicit_recipe;

/// What `embed --json` prints.
#[derive(Debug, Serialize)]
struct Written<'a> {
    output: &'a Path,
    embeddings: usize,
    dim: usize,
    skipped: &'a [(String, String)],
}

pub(crate) fn run(args: &EmbedArgs, output: Output) -> Result<(), Failure> {
    let format = Format::of(&args.output)?;
    let source = model_source(args.model.clone(), &args.source)?;
    let mut console = Console::new(output);
    let embedded = embed(&source, &args.images, &mut console)?;
    drop(console);
    write(&args.output, format, &embedded)?;
    tell_skipped(&embedded.skipped, output);
    let written = Written {
        output: &args.output,
        embeddings: embedded.paths.len(),
        dim: embedded.dim,
        skipped: &embedded.skipped,
    };
    let text = format!(
        "{}: {} embeddings of {} numbers, {} images skipped",
        args.output.display(),
        written.embeddings,
        written.dim,
        written.skipped.len()
    );
    output.result(&text, &written)
}

/// Names each image that was passed over, and why.
pub(crate) fn tell_skipped(skipped: &[(String, String)], output: Output) {
    for (path, reason) in skipped {
        // A reason that a decoder gave begins with the path already.
        let reason = reason
            .strip_prefix(&format!("{path}: "))
            .unwrap_or(reason.as_str());
        output.remark(&format!("skipped {path}: {reason}"));
    }
}

/// The model that a command uses; an explicit recipe part stands on the model's own recipe.
pub(crate) fn model_source(model: PathBuf, args: &ModelArgs) -> Result<ModelSource, Failure> {
    let base: Recipe = saved_model(&model)?.recipe;
    Ok(ModelSource {
        recipe: explicit_recipe(&args.recipe, &base)?,
        model,
        allow_recipe_mismatch: args.allow_recipe_mismatch,
        device: args.device.clone(),
        threads: args.compute.threads,
        arithmetic: args.compute.arithmetic(Arithmetic::of_inference()),
        loader_threads: args.loader_threads,
        batch_size: args.batch_size,
        limits: limits(args.limits),
    })
}

/// The bounds that the flags ask for.
pub(crate) fn limits(args: LimitArgs) -> DecodeLimits {
    DecodeLimits {
        max_side: args.max_image_side,
        max_bytes: args.max_image_mib << 20,
    }
}
