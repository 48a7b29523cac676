//! Inception-ResNet-v1 (Szegedy et al., arXiv:1602.07261) as facenet-pytorch defines it.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use facenet_ops::{global_average_pool, residual};

use crate::layers::{BasicConv, BiasedConv, Bottleneck, Branch, Window, max_pool};
use crate::network::Network;
use crate::pass::Pass;

/// A 1 x 1 window.
fn point() -> Window {
    Window::square(1, 1, 0)
}

/// Parallel branches, joined, brought back to the input's channels, scaled and added to it:
/// block35, block17 and block8.
struct ResidualBlock {
    branches: [Branch; 2],
    third: Option<Branch>,
    up: BiasedConv,
    scale: f64,
    relu: bool,
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
            up: BiasedConv::new(96, 256, &vb.pp("conv2d"))?,
            scale: 0.17,
            relu: true,
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
            up: BiasedConv::new(2 * width, c, &vb.pp("conv2d"))?,
            scale,
            relu,
        })
    }

    fn forward(&self, xs: &Tensor, pass: &Pass) -> Result<Tensor> {
        let branches = self.branches.iter().chain(&self.third);
        let outputs: Result<Vec<_>> = branches.map(|branch| branch.forward(xs, pass)).collect();
        let joined = self.up.forward(&Tensor::cat(&outputs?, 1)?, pass)?;
        residual(xs, &joined, self.scale, self.relu, pass.route)
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

    fn forward(&self, xs: &Tensor, pass: &Pass) -> Result<Tensor> {
        let branches = self.0.iter().map(|branch| branch.forward(xs, pass));
        let outputs: Result<Vec<_>> = branches.chain([max_pool(xs, pass.route)]).collect();
        Tensor::cat(&outputs?, 1)
    }
}

/// The network; sizes in comments are those at 160 pixels.
pub(crate) struct InceptionResnetV1 {
    /// Before and after the stem's max pool.
    stem: [Vec<(&'static str, BasicConv)>; 2],
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
            BasicConv::new(c_in, c_out, window, &vb.pp(name)).map(|conv| (name, conv))
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

impl Network for InceptionResnetV1 {
    fn forward(
        &self,
        xs: &Tensor,
        pass: &Pass,
        trace: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Tensor> {
        let mut xs = stem(&self.stem[0], xs, pass, trace)?;
        xs = told("maxpool_3a", max_pool(&xs, pass.route)?, trace);
        xs = stem(&self.stem[1], &xs, pass, trace)?;
        xs = told("repeat_1", repeated(&self.repeat_1, xs, pass)?, trace);
        xs = told("mixed_6a", self.mixed_6a.forward(&xs, pass)?, trace);
        xs = told("repeat_2", repeated(&self.repeat_2, xs, pass)?, trace);
        xs = told("mixed_7a", self.mixed_7a.forward(&xs, pass)?, trace);
        xs = told("repeat_3", repeated(&self.repeat_3, xs, pass)?, trace);
        xs = told("block8", self.block8.forward(&xs, pass)?, trace);
        xs = told("avgpool_1a", global_average_pool(&xs)?, trace);
        self.bottleneck.forward(&xs, pass, trace)
    }
}

fn stem(
    convs: &[(&'static str, BasicConv)],
    xs: &Tensor,
    pass: &Pass,
    trace: &mut dyn FnMut(&str, &Tensor),
) -> Result<Tensor> {
    let mut xs = xs.clone();
    for (name, conv) in convs {
        xs = told(name, conv.forward(&xs, pass)?, trace);
    }
    Ok(xs)
}

fn repeated(blocks: &[ResidualBlock], xs: Tensor, pass: &Pass) -> Result<Tensor> {
    blocks
        .iter()
        .try_fold(xs, |xs, block| block.forward(&xs, pass))
}

fn told(name: &str, xs: Tensor, trace: &mut dyn FnMut(&str, &Tensor)) -> Tensor {
    trace(name, &xs);
    xs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Origin, Store};
    use candle_core::{DType, Device};
    use facenet_ops::Route;

    #[test]
    fn a_reduction_halves_the_image_and_its_channels_add_up() -> Result<()> {
        let store = Store::new(Origin::Seed(0));
        let vb = store.builder(DType::F32, &Device::Cpu);
        let pass = Pass {
            train: None,
            route: Route::Own,
            is_tracked: false,
            bn_momentum: 0.1,
            bn_eps: 1e-3,
            keep_probability: 1.0,
        };
        let shape = |reduction: &Reduction, c: usize, side: usize| -> Result<Vec<usize>> {
            let xs = Tensor::ones((1, c, side, side), DType::F32, &Device::Cpu)?;
            Ok(reduction.forward(&xs, &pass)?.dims().to_vec())
        };
        // The figures of 160 pixels: 384 + 256 beside 256, then 384 + 256 + 256 beside 896.
        let first = Reduction::mixed_6a(&vb.pp("mixed_6a"))?;
        assert_eq!(shape(&first, 256, 17)?, [1, 896, 8, 8]);
        let second = Reduction::mixed_7a(&vb.pp("mixed_7a"))?;
        assert_eq!(shape(&second, 896, 8)?, [1, 1792, 3, 3]);
        Ok(())
    }
}
