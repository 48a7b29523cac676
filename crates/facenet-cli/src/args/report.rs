//! Flags of `report`.

use std::path::PathBuf;

use clap::Args;

use super::ComputeArgs;
use crate::values::{path, positive};

/// What `report --help` begins with.
pub(super) const REPORT_EXAMPLE: &str = "Write one page that shows a training run, for a browser

Example: facenet report logs/20260102-030405 --output report.html

One file, which loads nothing and runs nothing: the loss and what else each step logged, the scores, and the run's best \
model on the pairs that the run was scored on: ROC with the FAR points that the people support, distances, folds, the pairs that \
it is most wrong about, and the embeddings in two dimensions. A run without pairs gets the page without these. The page names \
people; --with-images adds small pictures of the hardest pairs.";

/// Flags of `report`.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// A run: its log folder or its model folder
    #[arg(value_parser = path)]
    pub run: PathBuf,
    /// File to write [report.html in the run's log folder]
    #[arg(long, short, value_name = "FILE", value_parser = path)]
    pub output: Option<PathBuf>,
    /// Model to show: `best`, `model`, `model-ema` or a checkpoint of the run, or any model folder [default: best]
    #[arg(long, value_name = "NAME|DIR", value_parser = path)]
    pub model: Option<PathBuf>,
    /// Put small pictures of the hardest pairs on the page: whoever gets it then gets those
    #[arg(long)]
    pub with_images: bool,
    /// Root of the images that the pairs name [where the run found them]
    #[arg(long, value_name = "DIR", value_parser = path)]
    pub lfw_dir: Option<PathBuf>,
    /// Pairs file [the run's]
    #[arg(long, visible_alias = "pairs", value_name = "FILE", value_parser = path)]
    pub lfw_pairs: Option<PathBuf>,
    /// Images a forward pass
    #[arg(long, default_value_t = 90, value_parser = positive)]
    pub batch_size: usize,
    /// cpu or cuda:N
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// How the model computes
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Threads that decode images
    #[arg(long, default_value_t = 4)]
    pub loader_threads: usize,
}
