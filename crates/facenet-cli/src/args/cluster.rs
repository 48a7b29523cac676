//! Flags of `cluster`.

use std::path::PathBuf;

use clap::Args;
use facenet_train::apply::{ClusterMethod, DEFAULT_MIN_IMAGES};

use super::{ModelArgs, ThresholdArgs};
use crate::values::{named, path, positive};

/// What `cluster --help` begins with.
pub(super) const CLUSTER_EXAMPLE: &str = "Put images into clusters by who seems to be on them, without knowing anybody

Example: facenet cluster photos --model models/published --threshold 0.6 --output clusters

By average linkage, clusters merge while their images are on average nearer than the threshold, and clusters of fewer than \
--min-images images are none; a threshold calibrated for a FAR of 1e-3 or 1e-4 does. It takes 46,341 images at most, and 4 bytes \
of memory for each two. By dbscan, two images are neighbours below the threshold, and one with --min-images neighbours (itself \
among them) grows a cluster: one wrong comparison among n (n - 1) / 2 may join two people, so take a FAR far below that of a \
single one, as is done where neither --far nor --threshold says: average has the first that was calibrated, dbscan the lowest. \
The same images give the same clusters.";

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
    /// average, or dbscan, which needs memory for neighbours only
    #[arg(long, default_value = "average", value_parser = named::<ClusterMethod>, value_name = "average|dbscan")]
    pub method: ClusterMethod,
    /// Fewest images of a cluster; of dbscan, neighbours that an image needs to grow one
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
