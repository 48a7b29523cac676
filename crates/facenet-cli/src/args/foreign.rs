//! Flags of the commands that take models from elsewhere, and give them away.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use crate::values::{path, path_text};

/// How a published model becomes one of ours: what `--help` begins with.
pub(super) const IMPORT_EXAMPLE: &str = "Read a published model of another framework and write it as a model folder

Example: facenet import 20180402-114759-vggface2.pt --output models/published

Takes facenet-pytorch's state dictionaries of Inception-ResNet-v1 (.pt, or .safetensors with the same names), TensorFlow's \
frozen graphs (.pb) as davidsandberg/facenet published them, batch norms folded into convolutions or not, and either \
network as `facenet export` writes it. Nothing of a file is executed. Every name, shape and type is checked; what is \
missing or left over is listed, and then nothing is written.";

/// Flags of `import`.
#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
    /// The published file; its content, not its ending, says what it is
    #[arg(value_parser = path)]
    pub file: PathBuf,
    /// Model folder to write
    #[arg(long, short, value_parser = path)]
    pub output: PathBuf,
    /// Recipe that the model was trained with: reference, facenet-fixed-160, facenet-prewhiten-160,
    /// or a TOML or JSON file [the file's own, or facenet-fixed-160 for a network of 160 pixels]
    #[arg(long, value_name = "NAME|FILE", value_parser = path_text)]
    pub recipe: Option<String>,
    /// Side of the network's input, in pixels, where the file does not say it [the recipe's, or 160]
    #[arg(long)]
    pub image_size: Option<usize>,
}

/// How a model is taken elsewhere: what `--help` begins with.
pub(super) const EXPORT_EXAMPLE: &str = "Write a model folder as a file for other frameworks

Example: facenet export models/published --onnx published.onnx

The ONNX file (operator set 17) takes `images` [n, 3, side, side] in f32, RGB, standardised by the recipe that its \
metadata names, and gives `embeddings` [n, dim] of unit length. The PyTorch file is for torch.load(FILE, weights_only=True) and \
facenet_pytorch.InceptionResnetV1; rows are then of unit length too. This and safetensors have the recipe beside the tensors, \
which import takes. No file says anything of training, folders, or the people that a model has seen.";

/// Flags of `export`.
#[derive(Clone, Debug, Args)]
#[command(
    group = ArgGroup::new("files").required(true).multiple(true).args(["onnx", "pytorch", "safetensors"])
)]
pub struct ExportArgs {
    /// Model folder to read
    #[arg(value_parser = path)]
    pub model: PathBuf,
    /// ONNX file to write, batch norms folded into convolutions, for inference
    #[arg(long, value_name = "FILE", value_parser = path)]
    pub onnx: Option<PathBuf>,
    /// PyTorch file to write: a state dictionary with facenet-pytorch's names
    #[arg(long, value_name = "FILE", value_parser = path)]
    pub pytorch: Option<PathBuf>,
    /// Safetensors file to write, with the same names
    #[arg(long, value_name = "FILE", value_parser = path)]
    pub safetensors: Option<PathBuf>,
}
