//! MobileFaceNet (Chen et al., arXiv:1804.07573, table 1).

use candle_core::Result;
use candle_nn::VarBuilder;

use crate::engine::Engine;
use crate::layers::{Bottleneck, ConvNorm, Window};
use crate::network::Trunk;

/// Expansion, channels, repeats and first stride of each row of table 1's bottlenecks.
const TABLE: [(usize, usize, usize, usize); 5] = [
    (2, 64, 5, 2),
    (4, 128, 1, 2),
    (2, 128, 6, 1),
    (4, 128, 1, 2),
    (2, 128, 2, 1),
];

/// Expands, filters by channel, projects; adds the input where the shape is the same.
struct InvertedResidual {
    expand: ConvNorm,
    depthwise: ConvNorm,
    project: ConvNorm,
    is_residual: bool,
}

impl InvertedResidual {
    fn new(
        (c_in, c_out): (usize, usize),
        expansion: usize,
        stride: usize,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let (c, point) = (c_in * expansion, Window::square(1, 1, 0));
        let filter = Window::square(3, stride, 1);
        Ok(Self {
            expand: ConvNorm::sloped(c_in, c, point, true, &vb.pp("expand"))?,
            depthwise: ConvNorm::depthwise(c, filter, true, &vb.pp("depthwise"))?,
            project: ConvNorm::sloped(c, c_out, point, false, &vb.pp("project"))?,
            is_residual: stride == 1 && c_in == c_out,
        })
    }

    fn forward<E: Engine>(&self, xs: &E::Value, engine: &mut E) -> Result<E::Value> {
        let ys = engine.conv_norm(xs, &self.expand)?;
        let ys = engine.conv_norm(&ys, &self.depthwise)?;
        let ys = engine.conv_norm(&ys, &self.project)?;
        if self.is_residual {
            engine.add(xs, &ys)
        } else {
            Ok(ys)
        }
    }
}

/// The network; images are reduced 16 times, and the last kernel covers what is left.
pub(crate) struct MobileFaceNet {
    conv1: ConvNorm,
    conv2_dw: ConvNorm,
    blocks: Vec<InvertedResidual>,
    conv_last: ConvNorm,
    gdc: ConvNorm,
    bottleneck: Bottleneck,
}

impl MobileFaceNet {
    /// Reads this project's names below `vb`; `side` is a multiple of 16.
    pub(crate) fn new(side: usize, dim: usize, vb: &VarBuilder) -> Result<Self> {
        let last = Window::square(side / 16, 1, 0);
        Ok(Self {
            conv1: ConvNorm::sloped(3, 64, Window::square(3, 2, 1), true, &vb.pp("conv1"))?,
            conv2_dw: ConvNorm::depthwise(64, Window::square(3, 1, 1), true, &vb.pp("conv2_dw"))?,
            blocks: blocks(&vb.pp("blocks"))?,
            conv_last: ConvNorm::sloped(
                128,
                512,
                Window::square(1, 1, 0),
                true,
                &vb.pp("conv_last"),
            )?,
            gdc: ConvNorm::depthwise(512, last, false, &vb.pp("gdc"))?,
            bottleneck: Bottleneck::new(512, dim, vb)?,
        })
    }
}

fn blocks(vb: &VarBuilder) -> Result<Vec<InvertedResidual>> {
    let mut blocks = Vec::new();
    let mut c = 64;
    for (expansion, c_out, repeats, first_stride) in TABLE {
        for repeat in 0..repeats {
            let stride = if repeat == 0 { first_stride } else { 1 };
            let vb = vb.pp(blocks.len());
            blocks.push(InvertedResidual::new((c, c_out), expansion, stride, &vb)?);
            c = c_out;
        }
    }
    Ok(blocks)
}

impl Trunk for MobileFaceNet {
    fn trunk<E: Engine>(&self, xs: &E::Value, engine: &mut E) -> Result<E::Value> {
        let mut xs = engine.conv_norm(xs, &self.conv1)?;
        engine.tell("conv1", &xs)?;
        xs = engine.conv_norm(&xs, &self.conv2_dw)?;
        engine.tell("conv2_dw", &xs)?;
        for (place, block) in self.blocks.iter().enumerate() {
            xs = block.forward(&xs, engine)?;
            engine.tell(&format!("blocks.{place}"), &xs)?;
        }
        xs = engine.conv_norm(&xs, &self.conv_last)?;
        engine.tell("conv_last", &xs)?;
        xs = engine.conv_norm(&xs, &self.gdc)?;
        engine.tell("gdc", &xs)?;
        Ok(xs)
    }

    fn bottleneck(&self) -> &Bottleneck {
        &self.bottleneck
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Origin, Store};
    use candle_core::{DType, Device};

    #[test]
    fn the_table_has_fifteen_blocks_and_the_input_is_added_where_the_shape_stays() -> Result<()> {
        let store = Store::new(Origin::Seed(0));
        let blocks = blocks(&store.builder(DType::F32, &Device::Cpu))?;
        let added: Vec<_> = blocks.iter().map(|block| block.is_residual).collect();
        // Rows 5, 1, 6, 1, 2: each first block of stride 2, or of another width, adds nothing.
        let mut expected = [true; 15];
        for first in [0, 5, 12] {
            expected[first] = false;
        }
        assert_eq!(added, expected);
        Ok(())
    }
}
