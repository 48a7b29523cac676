//! `facenet import`.

use facenet_train::dataset::Recipe;
use facenet_train::{ImportReport, ImportRequest, TrainError, import};

use crate::args::ImportArgs;
use crate::failure::Failure;
use crate::report::Output;

pub(crate) fn run(args: &ImportArgs, output: Output) -> Result<(), Failure> {
    let recipe = Recipe::from_name_or_file(&args.recipe).map_err(TrainError::from)?;
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
