//! A small network over everything that a tape has, on a tape and as a composition.

use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor, Var};
use facenet_ops::{
    Act, Bf16, ConvConfig, Filter, Format, Nhwc, Norm, Residual, Route, Tape, add_channel_bias,
    batch_norm_eval, batch_norm_train, conv2d, depthwise_conv2d, global_average_pool, max_pool2d,
    prelu, relu, residual,
};

use crate::tensors::numbers;

/// Keeps a nearly constant channel from being scaled up by more than 10.
pub(crate) const EPS: f64 = 1e-2;

/// The network; its variables are in the order of [`variables`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Net {
    pub(crate) n: usize,
    /// Channels in, of the block, and of its branches.
    pub(crate) channels: (usize, usize, usize),
    pub(crate) size: (usize, usize),
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    /// By the batch's own statistics, or given ones.
    pub(crate) is_batch: bool,
}

impl Net {
    fn shapes(&self) -> Vec<Vec<usize>> {
        let (c_in, c, b) = self.channels;
        let vector = |c| vec![c];
        vec![
            vec![self.n, c_in, self.size.0, self.size.1],
            vec![c, c_in, 3, 3],
            vector(c),
            vector(c),
            vector(c), // PReLU
            vec![b, c, 1, 1],
            vector(b),
            vector(b), // ReLU
            vec![c, 1, 3, 3],
            vector(c),
            vector(c), // depthwise, nothing
            vec![c, c + b, 1, 1],
            vector(c), // end of the block
        ]
    }

    pub(crate) fn first(&self) -> ConvConfig {
        ConvConfig {
            stride: (self.stride, self.stride),
            padding: (self.padding, self.padding),
        }
    }
}

/// Mean and variance to normalise by.
fn statistics(c: usize, dtype: DType) -> Result<(Tensor, Tensor)> {
    let mean = Tensor::from_vec(numbers(50, c), c, &Device::Cpu)?;
    let variance = (Tensor::from_vec(numbers(51, c), c, &Device::Cpu)? + 1.5)?;
    Ok((mean.to_dtype(dtype)?, variance.to_dtype(dtype)?))
}

/// Padding and stride 1.
const SAME: ConvConfig = ConvConfig {
    stride: (1, 1),
    padding: (1, 1),
};

/// Rounded to `f32`, as `dtype`.
pub(crate) fn variables(net: &Net, dtype: DType) -> Result<Vec<Var>> {
    let shapes = net.shapes().into_iter().zip(1..);
    let var = |(shape, seed): (Vec<usize>, u64)| {
        let values = numbers(seed, shape.iter().product());
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
        Var::from_tensor(&tensor.to_dtype(DType::F32)?.to_dtype(dtype)?)
    };
    shapes.map(var).collect()
}

/// How near the values of a pass have come to where a gradient jumps.
struct Nearest(f64);

impl Nearest {
    /// Takes in how near `x` is to zero.
    fn see_zero(&mut self, x: &Tensor) -> Result<()> {
        let nearest = flat(x)?
            .into_iter()
            .fold(self.0, |least, x| least.min(x.abs()));
        self.0 = nearest;
        Ok(())
    }

    /// Takes in how near to each other the two largest values of each window are, 2 by 2 with
    /// stride 1.
    fn see_ties(&mut self, x: &Tensor) -> Result<()> {
        let (_, _, h, w) = x.dims4()?;
        let corner = |(i, j)| flat(&x.narrow(2, i, h - 1)?.narrow(3, j, w - 1)?);
        let corners: Vec<_> = [(0, 0), (0, 1), (1, 0), (1, 1)]
            .map(corner)
            .into_iter()
            .collect::<Result<_>>()?;
        for at in 0..corners[0].len() {
            let mut window: Vec<_> = corners.iter().map(|corner| corner[at]).collect();
            window.sort_by(f64::total_cmp);
            self.0 = self.0.min(window[3] - window[2]);
        }
        Ok(())
    }
}

/// What a tape keeps its activations in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kept {
    /// `f32` or wider: as if exactly.
    Exactly,
    /// Each rounded to `bf16`.
    InBf16,
    /// Likewise but for a convolution whose statistics are given: that is never stored.
    InBf16Fused,
}

/// Rounds to `bf16`; gradients pass as they are.
struct Rounded;

impl CustomOp1 for Rounded {
    fn name(&self) -> &'static str {
        "rounded"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (first, end) = layout.contiguous_offsets().expect("contiguous");
        let values = storage.as_slice::<f64>()?[first..end].iter();
        let rounded = values.map(|&v| f64::from(Bf16::from_f32(v as f32).to_f32()));
        Ok((CpuStorage::F64(rounded.collect()), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(grad.clone()))
    }
}

impl Kept {
    /// `x` as it is stored.
    fn stored(self, x: Tensor) -> Result<Tensor> {
        match self {
            Self::Exactly => Ok(x),
            _ => x.contiguous()?.apply_op1(Rounded),
        }
    }

    /// A dense convolution before its normalisation.
    fn convolved(self, net: &Net, y: Tensor) -> Result<Tensor> {
        if self == Self::InBf16Fused && !net.is_batch {
            return Ok(y);
        }
        self.stored(y)
    }
}

/// By compositions of candle operations, and how near they came to a kink.
pub(crate) fn composed(net: &Net, v: &[Var], kept: Kept) -> Result<(Tensor, f64)> {
    let (route, mut nearest) = (Route::Native, Nearest(f64::INFINITY));
    let norm = |x: &Tensor, weight: &Var, bias: &Var| -> Result<Tensor> {
        if net.is_batch {
            return Ok(batch_norm_train(x, weight, bias, EPS, route)?.0);
        }
        let (mean, variance) = statistics(x.dim(1)?, x.dtype())?;
        batch_norm_eval(x, weight, bias, &mean, &variance, EPS, route)
    };
    let x = kept.convolved(net, conv2d(&v[0], &v[1], net.first(), route)?)?;
    let x = norm(&x, &v[2], &v[3])?;
    nearest.see_zero(&x)?;
    let x = kept.stored(prelu(&x, &v[4], route)?)?;
    nearest.see_ties(&x)?;
    // The native route shares a tie's gradient, and rounded values are often equal.
    let x = max_pool2d(&x, 2, 1, Route::Own)?;
    let a = conv2d(&x, &v[5], ConvConfig::default(), route)?;
    let a = norm(&kept.convolved(net, a)?, &v[6], &v[7])?;
    nearest.see_zero(&a)?;
    let a = kept.stored(relu(&a, route)?)?;
    let b = kept.stored(depthwise_conv2d(&x, &v[8], SAME, route)?)?;
    let b = kept.stored(norm(&b, &v[9], &v[10])?)?;
    let joined = Tensor::cat(&[&a, &b], 1)?;
    let end = conv2d(&joined, &v[11], ConvConfig::default(), route)?;
    let end = add_channel_bias(&end, &v[12], route)?;
    nearest.see_zero(&(&x + (&end * 0.2)?)?)?;
    let y = kept.stored(residual(&x, &end, 0.2, true, route)?)?;
    let y = global_average_pool(&kept.stored((y + x)?)?)?;
    Ok((kept.stored(y)?, nearest.0))
}

fn norm<'a>(
    net: &Net,
    (weight, bias): (&'a Var, &'a Var),
    (mean, variance): &'a (Tensor, Tensor),
) -> Norm<'a> {
    let given = (!net.is_batch).then_some((mean, variance));
    Norm {
        weight,
        bias,
        eps: EPS,
        given,
    }
}

pub(crate) fn layers<T: Format>(
    net: &Net,
    v: &[Var],
    tape: &mut Tape<T>,
    x: &Nhwc<T>,
) -> Result<Nhwc<T>> {
    let (_, c, b) = net.channels;
    let (c, b) = (statistics(c, DType::F32)?, statistics(b, DType::F32)?);
    let filter = |weight, config, is_depthwise| Filter {
        weight,
        config,
        is_depthwise,
    };
    let first = filter(v[1].as_tensor(), net.first(), false);
    let (x, _) = tape.conv_norm(x, &first, &norm(net, (&v[2], &v[3]), &c), Act::Prelu(&v[4]))?;
    let x = tape.max_pool(&x, 2, 1)?;
    let point = filter(v[5].as_tensor(), ConvConfig::default(), false);
    let (a, _) = tape.conv_norm(&x, &point, &norm(net, (&v[6], &v[7]), &b), Act::Relu)?;
    let depthwise = filter(v[8].as_tensor(), SAME, true);
    let (b, _) = tape.conv_norm(
        &x,
        &depthwise,
        &norm(net, (&v[9], &v[10]), &c),
        Act::Identity,
    )?;
    let joined = tape.concat(&[a, b])?;
    let end = Residual {
        weight: &v[11],
        bias: &v[12],
        scale: 0.2,
        relu: true,
    };
    let y = tape.residual(&x, &joined, &end)?;
    let y = tape.add(&y, &x)?;
    Ok(tape.global_average_pool(&y))
}

/// One of a few odd channels.
pub(crate) const NET: Net = Net {
    n: 3,
    channels: (3, 33, 17),
    size: (9, 10),
    stride: 1,
    padding: 1,
    is_batch: true,
};

pub(crate) fn flat(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()
}

/// A sum of the outputs with weights.
pub(crate) fn weighted(y: &Tensor) -> Result<Tensor> {
    let weights = Tensor::from_vec(numbers(99, y.elem_count()), y.shape(), &Device::Cpu)?;
    let weights = weights.to_dtype(DType::F32)?.to_dtype(y.dtype())?;
    (y * weights)?.sum_all()
}

/// The output, and the gradients of all variables.
pub(crate) fn results(y: &Tensor, v: &[Var]) -> Result<Vec<Vec<f64>>> {
    let grads = weighted(y)?.backward()?;
    let of = |var: &Var| flat(grads.get(var).expect("every variable is in the graph"));
    std::iter::once(flat(y)).chain(v.iter().map(of)).collect()
}
