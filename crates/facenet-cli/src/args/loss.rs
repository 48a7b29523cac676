//! What a step minimises.

use clap::Args;
use facenet_train::Loss;

use crate::values::named;

/// The loss of training, and its settings.
#[derive(Clone, Copy, Debug, Args)]
pub struct LossArgs {
    /// Loss: triplet, a hinge at the margin; soft-margin, `ln(1 + exp(d_ap - d_an))` of the same
    /// triplets; softmax and arcface, those of a classifier of the training people that is not
    /// saved: a first stage before triplets [default: triplet]
    #[arg(long, value_parser = named::<Loss>, help_heading = "Mining")]
    pub loss: Option<Loss>,
    /// Triplet margin, in squared L2; with soft-margin only what mining selects by
    #[arg(
        long,
        alias = "alpha",
        allow_negative_numbers = true,
        help_heading = "Mining"
    )]
    pub margin: Option<f32>,
    /// With arcface: what cosines are multiplied by [default: 64]
    #[arg(long, allow_negative_numbers = true, help_heading = "Mining")]
    pub arcface_scale: Option<f64>,
    /// With arcface: what is added to the angle of the own identity, in radians [default: 0.5]
    #[arg(long, allow_negative_numbers = true, help_heading = "Mining")]
    pub arcface_margin: Option<f64>,
}
