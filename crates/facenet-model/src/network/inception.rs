//! Inception-ResNet-v1 (Szegedy et al., arXiv:1602.07261) as facenet-pytorch defines it.

use candle_core::Result;
use candle_nn::VarBuilder;

use crate::engine::Engine;
use crate::layers::{Bottleneck, Branch, ConvNorm, ResidualEnd, Window};
use crate::network::Trunk;

/// A 1 x 1 window.
fn point() -> Window {
    Window::square(1, 1, 0)
}

/// Parallel branches, joined, brought back to the input's channels, scaled and added to it:
/// block35, block17 and block8.
struct ResidualBlock {
    branches: [Branch; 2],
    third: Option<Branch>,
    end: ResidualEnd,
}

impl ResidualBlock {
    /// 17 x 17 pixels at 160: 256 channels, branches of 32.
    fn block35(vb: &VarBuilder) -> Result<Self> {
        let three = Window::square(3, 1, 1);
        Ok(Self {
            branches: [
                Branch::new(256, &[(32, point())], &vb.pp("branch0"))?,
                Branch::new(256, &[(32, point()), (32, three)], &vb.pp("branch1"))?,
            ],
            third: Some(Branch::new(
                256,
                &[(32, point()), (32, three), (32, three)],
                &vb.pp("branch2"),
            )?),
            end: ResidualEnd::new((96, 256), 0.17, true, &vb.pp("conv2d"))?,
        })
    }

    /// 8 x 8 pixels at 160: 896 channels, branches of 128 with 1 x 7 and 7 x 1.
    fn block17(vb: &VarBuilder) -> Result<Self> {
        Self::two_branches(896, 128, 7, 0.10, true, vb)
    }

    /// 3 x 3 pixels at 160: 1,792 channels, branches of 192 with 1 x 3 and 3 x 1.
    fn block8(scale: f64, relu: bool, vb: &VarBuilder) -> Result<Self> {
        Self::two_branches(1792, 192, 3, scale, relu, vb)
    }

    fn two_branches(
        c: usize,
        width: usize,
        kernel: usize,
        scale: f64,
        relu: bool,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let separable = [
            (width, point()),
            (width, Window::same((1, kernel))),
            (width, Window::same((kernel, 1))),
        ];
        Ok(Self {
            branches: [
                Branch::new(c, &[(width, point())], &vb.pp("branch0"))?,
                Branch::new(c, &separable, &vb.pp("branch1"))?,
            ],
            third: None,
            end: ResidualEnd::new((2 * width, c), scale, relu, &vb.pp("conv2d"))?,
        })
    }

    fn forward<E: Engine>(&self, xs: &E::Value, engine: &mut E) -> Result<E::Value> {
        let branches = self.branches.iter().chain(&self.third);
        let outputs: Result<Vec<_>> = branches.map(|branch| branch.forward(xs, engine)).collect();
        let joined = engine.concat(&outputs?)?;
        engine.residual(xs, &joined, &self.end)
    }
}

/// Branches that halve the image, beside a max pool: `mixed_6a` and `mixed_7a`.
struct Reduction(Vec<Branch>);

impl Reduction {
    fn mixed_6a(vb: &VarBuilder) -> Result<Self> {
        let (three, half) = (Window::square(3, 1, 1), Window::square(3, 2, 0));
        Ok(Self(vec![
            Branch::new(256, &[(384, half)], &vb.pp("branch0"))?,
            Branch::new(
                256,
                &[(192, point()), (192, three), (256, half)],
                &vb.pp("branch1"),
            )?,
        ]))
    }

    fn mixed_7a(vb: &VarBuilder) -> Result<Self> {
        let (three, half) = (Window::square(3, 1, 1), Window::square(3, 2, 0));
        Ok(Self(vec![
            Branch::new(896, &[(256, point()), (384, half)], &vb.pp("branch0"))?,
            Branch::new(896, &[(256, point()), (256, half)], &vb.pp("branch1"))?,
            Branch::new(
                896,
                &[(256, point()), (256, three), (256, half)],
                &vb.pp("branch2"),
            )?,
        ]))
    }

    fn forward<E: Engine>(&self, xs: &E::Value, engine: &mut E) -> Result<E::Value> {
        let branches = self.0.iter().map(|branch| branch.forward(xs, engine));
        let mut outputs = branches.collect::<Result<Vec<_>>>()?;
        outputs.push(max_pool(xs, engine)?);
        engine.concat(&outputs)
    }
}

/// The network; sizes in comments are those at 160 pixels.
pub(crate) struct InceptionResnetV1 {
    /// Before and after the stem's max pool.
    stem: [Vec<(&'static str, ConvNorm)>; 2],
    repeat_1: Vec<ResidualBlock>,
    mixed_6a: Reduction,
    repeat_2: Vec<ResidualBlock>,
    mixed_7a: Reduction,
    repeat_3: Vec<ResidualBlock>,
    block8: ResidualBlock,
    bottleneck: Bottleneck,
}

impl InceptionResnetV1 {
    /// Reads facenet-pytorch's names below `vb`.
    pub(crate) fn new(dim: usize, vb: &VarBuilder) -> Result<Self> {
        let conv = |name: &'static str, c_in, c_out, window| {
            ConvNorm::rectified(c_in, c_out, window, &vb.pp(name)).map(|conv| (name, conv))
        };
        let repeat =
            |name: &str, n: usize, block: &dyn Fn(&VarBuilder) -> Result<ResidualBlock>| {
                (0..n)
                    .map(|i| block(&vb.pp(name).pp(i)))
                    .collect::<Result<Vec<_>>>()
            };
        Ok(Self {
            stem: [
                vec![
                    conv("conv2d_1a", 3, 32, Window::square(3, 2, 0))?, // 79
                    conv("conv2d_2a", 32, 32, Window::square(3, 1, 0))?, // 77
                    conv("conv2d_2b", 32, 64, Window::square(3, 1, 1))?, // 77
                ],
                vec![
                    conv("conv2d_3b", 64, 80, point())?,                   // 38
                    conv("conv2d_4a", 80, 192, Window::square(3, 1, 0))?,  // 36
                    conv("conv2d_4b", 192, 256, Window::square(3, 2, 0))?, // 17
                ],
            ],
            repeat_1: repeat("repeat_1", 5, &ResidualBlock::block35)?,
            mixed_6a: Reduction::mixed_6a(&vb.pp("mixed_6a"))?, // 8
            repeat_2: repeat("repeat_2", 10, &ResidualBlock::block17)?,
            mixed_7a: Reduction::mixed_7a(&vb.pp("mixed_7a"))?, // 3
            repeat_3: repeat("repeat_3", 5, &|vb| ResidualBlock::block8(0.20, true, vb))?,
            block8: ResidualBlock::block8(1.0, false, &vb.pp("block8"))?,
            bottleneck: Bottleneck::new(1792, dim, vb)?,
        })
    }
}

impl Trunk for InceptionResnetV1 {
    fn trunk<E: Engine>(&self, xs: &E::Value, engine: &mut E) -> Result<E::Value> {
        let mut xs = stem(&self.stem[0], xs, engine)?;
        xs = max_pool(&xs, engine)?;
        engine.tell("maxpool_3a", &xs)?;
        xs = stem(&self.stem[1], &xs, engine)?;
        xs = repeated("repeat_1", &self.repeat_1, xs, engine)?;
        xs = self.mixed_6a.forward(&xs, engine)?;
        engine.tell("mixed_6a", &xs)?;
        xs = repeated("repeat_2", &self.repeat_2, xs, engine)?;
        xs = self.mixed_7a.forward(&xs, engine)?;
        engine.tell("mixed_7a", &xs)?;
        xs = repeated("repeat_3", &self.repeat_3, xs, engine)?;
        xs = self.block8.forward(&xs, engine)?;
        engine.tell("block8", &xs)?;
        xs = engine.global_average_pool(&xs)?;
        engine.tell("avgpool_1a", &xs)?;
        Ok(xs)
    }

    fn bottleneck(&self) -> &Bottleneck {
        &self.bottleneck
    }
}

/// Max pooling 3 x 3 with stride 2, as everywhere in Inception-ResNet.
fn max_pool<E: Engine>(xs: &E::Value, engine: &mut E) -> Result<E::Value> {
    engine.max_pool(xs, 3, 2)
}

fn stem<E: Engine>(
    convs: &[(&'static str, ConvNorm)],
    xs: &E::Value,
    engine: &mut E,
) -> Result<E::Value> {
    let mut xs = xs.clone();
    for (name, conv) in convs {
        xs = engine.conv_norm(&xs, conv)?;
        engine.tell(name, &xs)?;
    }
    Ok(xs)
}

fn repeated<E: Engine>(
    name: &str,
    blocks: &[ResidualBlock],
    mut xs: E::Value,
    engine: &mut E,
) -> Result<E::Value> {
    for block in blocks {
        xs = block.forward(&xs, engine)?;
    }
    engine.tell(name, &xs)?;
    Ok(xs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Composed;
    use crate::pass::Pass;
    use crate::store::{Origin, Store};
    use candle_core::{DType, Device, Tensor};
    use facenet_ops::Route;

    #[test]
    fn a_reduction_halves_the_image_and_its_channels_add_up() -> Result<()> {
        let store = Store::new(Origin::Seed(0));
        let vb = store.builder(DType::F32, &Device::Cpu);
        let pass = Pass {
            train: None,
            has_frozen_norms: false,
            measurer: None,
            route: Route::Own,
            setting: facenet_ops::Setting::default(),
            is_traced: false,
            bn_momentum: 0.1,
            bn_eps: 1e-3,
            keep_probability: 1.0,
        };
        let shape = |reduction: &Reduction, c: usize, side: usize| -> Result<Vec<usize>> {
            let xs = Tensor::ones((1, c, side, side), DType::F32, &Device::Cpu)?;
            let mut engine = Composed {
                pass: &pass,
                trace: &mut |_, _| {},
            };
            Ok(reduction.forward(&xs, &mut engine)?.dims().to_vec())
        };
        // The figures of 160 pixels: 384 + 256 beside 256, then 384 + 256 + 256 beside 896.
        let first = Reduction::mixed_6a(&vb.pp("mixed_6a"))?;
        assert_eq!(shape(&first, 256, 17)?, [1, 896, 8, 8]);
        let second = Reduction::mixed_7a(&vb.pp("mixed_7a"))?;
        assert_eq!(shape(&second, 896, 8)?, [1, 1792, 3, 3]);
        Ok(())
    }
}
