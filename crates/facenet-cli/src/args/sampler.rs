//! Which identities share a round.

use clap::Args;
use facenet_train::Sampling;

use crate::values::named;

/// How `train` chooses the identities of a round.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct SamplerArgs {
    /// Identities of a round: random; or look-alike, half of them looking like the other half, by
    /// the embeddings of the rounds before [default: random]
    #[arg(long, value_parser = named::<Sampling>, help_heading = "Mining")]
    pub sampler: Option<Sampling>,
    /// With look-alike, largest share of a round's images that are of look-alikes
    #[arg(long, allow_negative_numbers = true, help_heading = "Mining")]
    pub look_alike_share: Option<f64>,
    /// With look-alike, squared L2 below which two identities may be one person under two names,
    /// and do not share a round
    #[arg(long, allow_negative_numbers = true, help_heading = "Mining")]
    pub look_alike_floor: Option<f64>,
}
