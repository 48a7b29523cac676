//! A network of about two thousand parameters, for tests and proofs: nobody recognises a face by it.
//!
//! It has one of each layer that the real ones have states in: a convolution, a depthwise one, a
//! projection, batch norms with running statistics, slopes, dropout. A step of it costs a
//! thousandth of theirs.

use candle_core::Result;
use candle_nn::VarBuilder;

use crate::engine::Engine;
use crate::layers::{Bottleneck, ConvNorm, Window};
use crate::network::Trunk;

/// Channels of the first layers.
const NARROW: usize = 16;
/// Channels of the last.
const WIDE: usize = 32;

/// Images are reduced four times and averaged over what is left.
pub(crate) struct Tiny {
    stem: ConvNorm,
    depthwise: ConvNorm,
    project: ConvNorm,
    bottleneck: Bottleneck,
}

impl Tiny {
    /// Reads this project's names below `vb`.
    pub(crate) fn new(dim: usize, vb: &VarBuilder) -> Result<Self> {
        let (halved, point) = (Window::square(3, 2, 1), Window::square(1, 1, 0));
        Ok(Self {
            stem: ConvNorm::sloped(3, NARROW, halved, true, &vb.pp("stem"))?,
            depthwise: ConvNorm::depthwise(NARROW, halved, true, &vb.pp("depthwise"))?,
            project: ConvNorm::sloped(NARROW, WIDE, point, true, &vb.pp("project"))?,
            bottleneck: Bottleneck::new(WIDE, dim, vb)?,
        })
    }
}

impl Trunk for Tiny {
    fn trunk<E: Engine>(&self, xs: &E::Value, engine: &mut E) -> Result<E::Value> {
        let mut xs = engine.conv_norm(xs, &self.stem)?;
        engine.tell("stem", &xs)?;
        xs = engine.conv_norm(&xs, &self.depthwise)?;
        engine.tell("depthwise", &xs)?;
        xs = engine.conv_norm(&xs, &self.project)?;
        engine.tell("project", &xs)?;
        xs = engine.global_average_pool(&xs)?;
        engine.tell("pool", &xs)?;
        Ok(xs)
    }

    fn bottleneck(&self) -> &Bottleneck {
        &self.bottleneck
    }
}
