//! The networks.

pub(crate) mod inception;
pub(crate) mod mobilefacenet;

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::config::{Architecture, ModelConfig};
use crate::pass::Pass;

/// A network from images to rows that are not yet of unit length.
pub(crate) trait Network: Send + Sync {
    /// `[n, 3, side, side]` → `[n, dim]`; `trace` is told each stage's output by name.
    fn forward(
        &self,
        xs: &Tensor,
        pass: &Pass,
        trace: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Tensor>;
}

/// Builds the network that `config` describes.
pub(crate) fn build(config: &ModelConfig, vb: &VarBuilder) -> Result<Box<dyn Network>> {
    let dim = config.embedding_size;
    Ok(match config.architecture {
        Architecture::InceptionResnetV1 => Box::new(inception::InceptionResnetV1::new(dim, vb)?),
        Architecture::MobileFaceNet => Box::new(mobilefacenet::MobileFaceNet::new(
            config.image_size,
            dim,
            vb,
        )?),
    })
}
