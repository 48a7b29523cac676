//! Flags of `cluster`.

use std::path::PathBuf;

use clap::Args;
use facenet_train::apply::DEFAULT_MIN_IMAGES;

use super::{ModelArgs, ThresholdArgs};
use crate::values::{path, positive};

/// What `cluster --help` begins with.
pub(super) const CLUSTER_EXAMPLE: &str = "Put images into clusters by who seems to be on them, without knowing anybody

Example: facenet cluster photos --model models/published --threshold 0.6 --output clusters

DBSCAN over embeddings: two images are neighbours below the threshold, an image with --min-images neighbours (itself among \
them) grows a cluster, and images of none stay alone. The threshold is the calibrated one of the lowest FAR, or of --far, or \
--threshold. Among n images are n (n - 1) / 2 comparisons, and one that is wrong may join two people, so take a FAR far below \
that of a single comparison. The same images give the same clusters.";

/// Flags of `cluster`.
#[derive(Clone, Debug, Args)]
pub struct ClusterArgs {
    /// An image folder, or embeddings that `embed` stored (.safetensors)
    #[arg(value_parser = path)]
    pub input: PathBuf,
    /// Model folder: what embeds images, or made the stored embeddings, whose calibration decides
    #[arg(long, value_parser = path)]
    pub model: Option<PathBuf>,
    /// Folder to write, which must not exist yet: a folder a cluster, with links to the images
    #[arg(long, short, value_parser = path)]
    pub output: Option<PathBuf>,
    /// Copy the images in place of hard links
    #[arg(long, requires = "output")]
    pub copy: bool,
    /// Table to write: cluster,path
    #[arg(long, value_name = "FILE", value_parser = path)]
    pub csv: Option<PathBuf>,
    /// Neighbours that an image needs to grow a cluster, itself among them
    #[arg(long, default_value_t = DEFAULT_MIN_IMAGES, value_parser = positive)]
    pub min_images: usize,
    /// The folders of the images are people: tell how well clusters agree with them
    #[arg(long)]
    pub score: bool,
    /// Which threshold
    #[command(flatten)]
    pub threshold: ThresholdArgs,
    /// The model in use
    #[command(flatten)]
    pub source: ModelArgs,
}
