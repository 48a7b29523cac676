//! Flags of the commands that take models from elsewhere, and give them away.

use std::path::PathBuf;

use clap::Args;
use facenet_train::PUBLISHED_RECIPE;

use crate::values::{path, path_text};

/// How a published model becomes one of ours: what `--help` begins with.
const IMPORT_EXAMPLE: &str = "Read a published model of another framework and write it as a model folder

Example: facenet import graph_final.pb --output models/published

Takes TensorFlow's frozen graph (.pb) of Inception-ResNet-v1 as davidsandberg/facenet published it, batch norms folded \
into convolutions or not. Every name, shape and type is checked; what is missing or left over is listed, and then nothing \
is written.";

/// Flags of `import`.
#[derive(Clone, Debug, Args)]
#[command(long_about = IMPORT_EXAMPLE)]
pub struct ImportArgs {
    /// The published file; its content, not its ending, says what it is
    #[arg(value_parser = path)]
    pub file: PathBuf,
    /// Model folder to write
    #[arg(long, short, value_parser = path)]
    pub output: PathBuf,
    /// Recipe that the model was trained with: reference, facenet-fixed-160, facenet-prewhiten-160,
    /// or a TOML or JSON file
    #[arg(long, value_name = "NAME|FILE", value_parser = path_text, default_value = PUBLISHED_RECIPE)]
    pub recipe: String,
    /// Side of the network's input, in pixels [the recipe's, or 160]
    #[arg(long)]
    pub image_size: Option<usize>,
}

/// How a model is taken elsewhere: what `--help` begins with.
const EXPORT_EXAMPLE: &str = "Write a model folder as a file for other frameworks

Example: facenet export models/published --onnx published.onnx

The ONNX file (operator set 17) takes images [n, 3, side, side] in f32, RGB, standardised by the recipe that its metadata \
name, and gives embeddings [n, dim] of unit length. Files say the network, its sizes and its recipe; nothing of its \
training, of folders, or of the people it has seen.";

/// Flags of `export`.
#[derive(Clone, Debug, Args)]
#[command(long_about = EXPORT_EXAMPLE)]
pub struct ExportArgs {
    /// Model folder to read
    #[arg(value_parser = path)]
    pub model: PathBuf,
    /// ONNX file to write, batch norms folded into convolutions, for inference
    #[arg(long, value_name = "FILE", value_parser = path, required = true)]
    pub onnx: Option<PathBuf>,
}
