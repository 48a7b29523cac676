//! `facenet export`.

use facenet_train::{ExportReport, ExportRequest, export};

use crate::args::ExportArgs;
use crate::failure::Failure;
use crate::report::Output;

pub(crate) fn run(args: &ExportArgs, output: Output) -> Result<(), Failure> {
    let report = export(&ExportRequest {
        model: args.model.clone(),
        onnx: args.onnx.clone(),
        pytorch: args.pytorch.clone(),
        safetensors: args.safetensors.clone(),
    })?;
    output.result(&text(&report), &report)
}

fn text(report: &ExportReport) -> String {
    let ExportReport {
        architecture,
        image_size,
        embedding_size,
        files,
    } = report;
    let lines = files.iter().map(|file| {
        format!(
            "{}: {architecture} at {image_size} pixels, embeddings of {embedding_size} numbers, as {} of {} bytes",
            file.path.display(),
            file.form,
            file.bytes,
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}
