//! How the learning rate goes, and what cuts a step or a run off.

use clap::Args;
use facenet_train::{Course, OnCollapse};

use crate::values::named;

/// Flags of `train` that the reference lacks: the course of the rate, and limits.
#[derive(Clone, Debug, Default, Args)]
pub struct CourseArgs {
    /// How the rate falls: exponential (by the decay flags), or to 0 at the run's end by cosine or
    /// polynomial (which leave the decay flags aside)
    #[arg(long, value_parser = named::<Course>, help_heading = "Training")]
    pub learning_rate_schedule: Option<Course>,
    /// With polynomial, the exponent; 1 is a straight line
    #[arg(long, allow_negative_numbers = true, help_heading = "Training")]
    pub learning_rate_power: Option<f64>,
    /// First steps, over which the rate rises in a line
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub warm_up_steps: Option<u64>,
    /// Scale the loss's gradient down to this L2 norm where it is longer
    #[arg(
        long,
        value_name = "X",
        allow_negative_numbers = true,
        help_heading = "Training"
    )]
    pub clip_gradient_norm: Option<f64>,
    /// Epochs in a row without a better score that end the run; the best stays in `best`
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub patience: Option<u64>,
    /// When embeddings collapse or are no numbers: stop, or rollback to the last good checkpoint
    /// with a quarter of the rate, three times at most
    #[arg(long, value_parser = named::<OnCollapse>, help_heading = "Training")]
    pub on_collapse: Option<OnCollapse>,
}
