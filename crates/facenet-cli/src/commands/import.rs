//! `facenet import`.

use facenet_train::dataset::Recipe;
use facenet_train::{
    ImportReport, ImportRequest, PUBLISHED_RECIPE, RecipeOrigin, TrainError, import,
};

use crate::args::ImportArgs;
use crate::failure::Failure;
use crate::report::Output;

pub(crate) fn run(args: &ImportArgs, output: Output) -> Result<(), Failure> {
    let recipe = args.recipe.as_deref().map(Recipe::from_name_or_file);
    let recipe = recipe.transpose().map_err(TrainError::from)?;
    let report = import(&ImportRequest {
        file: args.file.clone(),
        output: args.output.clone(),
        recipe,
        image_size: args.image_size,
    })?;
    if !report.ignored.is_empty() {
        let names = report.ignored.join(", ");
        output.remark(&format!("ignored tensors of no use here: {names}"));
    }
    if report.recipe_origin == RecipeOrigin::Assumed {
        output.remark(&format!(
            "the file says no recipe and --recipe is not given: taken for {PUBLISHED_RECIPE}"
        ));
    }
    output.result(&text(&report), &report)
}

fn text(report: &ImportReport) -> String {
    let norms = if report.has_folded_norms {
        "batch norms folded"
    } else {
        "batch norms whole"
    };
    format!(
        "{}: {} at {} pixels, embeddings of {} numbers, {} parameters, {norms}; from a {}, SHA-256 {}",
        report.output.display(),
        report.architecture,
        report.image_size,
        report.embedding_size,
        report.parameters,
        report.form,
        report.sha256,
    )
}
