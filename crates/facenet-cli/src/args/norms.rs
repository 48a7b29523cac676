//! What batch norms of a pretrained model go by.

use clap::Args;

/// Statistics of batch norms in fine-tuning.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct NormArgs {
    /// With --pretrained-model: batch norms go by its running statistics, which do not move
    /// [on where its norms are folded into convolutions, unless --unfold-bn is given]
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          help_heading = "Model")]
    pub freeze_bn: Option<bool>,
    /// With a --pretrained-model of folded batch norms: give them the statistics of training images
    /// first, with embeddings as they were, and train them as any
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          help_heading = "Model")]
    pub unfold_bn: Option<bool>,
}
