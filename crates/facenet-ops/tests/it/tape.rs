//! A tape's layers against compositions of candle operations in `f64`.

use candle_core::{DType, Device, Result, Tensor, Var};
use facenet_ops::{
    Act, Arithmetic, ConvConfig, Filter, Isa, Nhwc, Norm, ParameterGradients, Precision, Residual,
    Route, Setting, Tape, add_channel_bias, batch_norm_eval, batch_norm_train, conv2d,
    depthwise_conv2d, global_average_pool, max_pool2d, prelu, relu, residual, run_nhwc, with_isa,
};
use proptest::prelude::*;

use crate::tensors::numbers;

/// Rounding of `f32` through a convolution, a normalisation and back, relative to the largest
/// value of each result; a channel whose values are nearly equal is scaled up by at most 10.
const F32: f64 = 2e-4;
/// How near to a kink, where a gradient jumps, rounding of `f32` may take a value. Measured over
/// the values of 6,200 networks: they are off by 8.6e-6 at most, in the sums that end a block.
const KINK: f64 = 2e-5;
/// Keeps a nearly constant channel from being scaled up by more than 10.
const EPS: f64 = 1e-2;

/// A small network over everything that a tape has; `vars` in the order of [`variables`].
#[derive(Clone, Copy, Debug)]
struct Net {
    n: usize,
    /// Channels in, of the block, and of its branches.
    channels: (usize, usize, usize),
    size: (usize, usize),
    stride: usize,
    padding: usize,
    /// By the batch's own statistics, or given ones.
    is_batch: bool,
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

    fn first(&self) -> ConvConfig {
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
fn variables(net: &Net, dtype: DType) -> Result<Vec<Var>> {
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

/// By compositions of candle operations, and how near they came to a kink.
fn composed(net: &Net, v: &[Var]) -> Result<(Tensor, f64)> {
    let (route, mut nearest) = (Route::Native, Nearest(f64::INFINITY));
    let norm = |x: &Tensor, weight: &Var, bias: &Var| -> Result<Tensor> {
        if net.is_batch {
            return Ok(batch_norm_train(x, weight, bias, EPS, route)?.0);
        }
        let (mean, variance) = statistics(x.dim(1)?, x.dtype())?;
        batch_norm_eval(x, weight, bias, &mean, &variance, EPS, route)
    };
    let x = norm(&conv2d(&v[0], &v[1], net.first(), route)?, &v[2], &v[3])?;
    nearest.see_zero(&x)?;
    let x = prelu(&x, &v[4], route)?;
    nearest.see_ties(&x)?;
    let x = max_pool2d(&x, 2, 1, route)?;
    let a = norm(
        &conv2d(&x, &v[5], ConvConfig::default(), route)?,
        &v[6],
        &v[7],
    )?;
    nearest.see_zero(&a)?;
    let b = norm(&depthwise_conv2d(&x, &v[8], SAME, route)?, &v[9], &v[10])?;
    let joined = Tensor::cat(&[&relu(&a, route)?, &b], 1)?;
    let end = conv2d(&joined, &v[11], ConvConfig::default(), route)?;
    let end = add_channel_bias(&end, &v[12], route)?;
    nearest.see_zero(&(&x + (&end * 0.2)?)?)?;
    let y = residual(&x, &end, 0.2, true, route)?;
    Ok((global_average_pool(&(y + x)?)?, nearest.0))
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

fn layers(net: &Net, v: &[Var], tape: &mut Tape, x: &Nhwc) -> Result<Nhwc> {
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

fn setting(is_tracked: bool) -> Setting {
    Setting {
        is_tracked,
        ..Setting::default()
    }
}

fn taped(net: &Net, v: &[Var], is_tracked: bool) -> Result<Tensor> {
    run_nhwc(&v[0], &setting(is_tracked), |tape, x| {
        layers(net, v, tape, &x)
    })
}

fn flat(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()
}

/// A sum of the outputs with weights.
fn weighted(y: &Tensor) -> Result<Tensor> {
    let weights = Tensor::from_vec(numbers(99, y.elem_count()), y.shape(), &Device::Cpu)?;
    let weights = weights.to_dtype(DType::F32)?.to_dtype(y.dtype())?;
    (y * weights)?.sum_all()
}

/// The output, and the gradients of all variables.
fn results(y: &Tensor, v: &[Var]) -> Result<Vec<Vec<f64>>> {
    let grads = weighted(y)?.backward()?;
    let of = |var: &Var| flat(grads.get(var).expect("every variable is in the graph"));
    std::iter::once(flat(y)).chain(v.iter().map(of)).collect()
}

#[track_caller]
fn assert_near(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-2_f64, |most, v| most.max(v.abs()));
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(
            difference <= F32 * largest,
            "{what}[{at}]: {found}, expected {expected}"
        );
    }
}

/// Whether the network stays clear of kinks, so that its gradients can be compared.
#[track_caller]
fn check(net: &Net) -> bool {
    let run = || -> Result<bool> {
        let wide = variables(net, DType::F64)?;
        let (y, nearest) = composed(net, &wide)?;
        if nearest < KINK {
            return Ok(false);
        }
        let expected = results(&y, &wide)?;
        let v = variables(net, DType::F32)?;
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let found = with_isa(isa, || results(&taped(net, &v, true)?, &v))?;
            for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_near(
                    found,
                    expected,
                    &format!("{isa:?} result {place} of {net:?}"),
                );
            }
            let untracked = with_isa(isa, || flat(&taped(net, &v, false)?))?;
            assert_near(
                &untracked,
                &expected[0],
                &format!("{isa:?} untracked, {net:?}"),
            );
        }
        Ok(true)
    };
    run().expect("valid shapes")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn layers_agree_with_compositions_in_f64(
        n in 1_usize..5, channels in (1_usize..7, 1_usize..70, 1_usize..40),
        size in (8_usize..12, 8_usize..12), stride in 1_usize..3, padding in 0_usize..2,
        is_batch: bool,
    ) {
        prop_assume!(check(&Net { n, channels, size, stride, padding, is_batch }));
    }
}

const NET: Net = Net {
    n: 3,
    channels: (3, 33, 17),
    size: (9, 10),
    stride: 1,
    padding: 1,
    is_batch: true,
};

fn bits(threads: usize) -> Vec<u64> {
    let run = || {
        let v = variables(&NET, DType::F32)?;
        let all = results(&taped(&NET, &v, true)?, &v)?;
        Ok(all.into_iter().flatten().map(f64::to_bits).collect())
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let bits: Result<_> = pool.expect("threads").install(run);
    bits.expect("valid shapes")
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let one = bits(1);
    assert!(one == bits(2));
    assert!(one == bits(4));
}

#[test]
fn a_pass_goes_back_once() -> Result<()> {
    let v = variables(&NET, DType::F32)?;
    let y = taped(&NET, &v, true)?;
    results(&y, &v)?;
    let message = results(&y, &v)
        .expect_err("what was kept is gone")
        .to_string();
    assert!(message.contains("gone back already"), "{message}");
    Ok(())
}

#[test]
fn a_step_in_used_memory_gives_the_same_bits() -> Result<()> {
    let (v, setting) = (variables(&NET, DType::F32)?, setting(true));
    let step = |net: &Net, v: &[Var]| {
        let y = run_nhwc(&v[0], &setting, |tape, x| layers(net, v, tape, &x))?;
        results(&y, v)
    };
    let first = step(&NET, &v)?;
    let kept = setting.memory.kept_bytes();
    let other = Net { n: 2, ..NET };
    step(&other, &variables(&other, DType::F32)?)?;
    assert!(first == step(&NET, &v)?);
    assert!(kept > 0 && setting.memory.kept_bytes() <= 2 * kept);
    Ok(())
}

#[test]
fn gradients_left_apart_are_those_that_candle_adds_up() -> Result<()> {
    let v = variables(&NET, DType::F32)?;
    let expected = results(&taped(&NET, &v, true)?, &v)?;
    let apart = ParameterGradients::default();
    let setting = Setting {
        gradients: Some(apart.clone()),
        ..setting(true)
    };
    // Images that nobody asks the gradient of: candle must still come back to the pass.
    let images = v[0].as_detached_tensor();
    let y = run_nhwc(&images, &setting, |tape, x| layers(&NET, &v, tape, &x))?;
    let mut store = weighted(&y)?.backward()?;
    assert!(store.get(&v[1]).is_none());
    apart.move_into(&mut store)?;
    for (place, var) in v.iter().enumerate().skip(1) {
        let grad = store.get(var).expect("every parameter is on the tape");
        assert!(flat(grad)? == expected[1 + place], "gradient {place}");
    }
    Ok(())
}

#[test]
fn statistics_are_those_of_the_batch() -> Result<()> {
    let v = variables(&NET, DType::F32)?;
    let mut found = None;
    run_nhwc(&v[0], &setting(false), |tape, x| {
        let filter = Filter {
            weight: &v[1],
            config: NET.first(),
            is_depthwise: false,
        };
        let norm = Norm {
            weight: &v[2],
            bias: &v[3],
            eps: EPS,
            given: None,
        };
        let (y, batch) = tape.conv_norm(&x, &filter, &norm, Act::Identity)?;
        assert_eq!(y.to_tensor()?.dims(), [3, 33, 9, 10]);
        found = batch;
        Ok(tape.global_average_pool(&y))
    })?;
    let found = found.expect("the batch was its own measure");
    let y = conv2d(&v[0], &v[1], NET.first(), Route::Native)?;
    let (_, expected) = batch_norm_train(&y, &v[2], &v[3], EPS, Route::Native)?;
    assert_eq!(found.count, expected.count);
    assert_near(&flat(&found.mean)?, &flat(&expected.mean)?, "mean");
    assert_near(
        &flat(&found.variance)?,
        &flat(&expected.variance)?,
        "variance",
    );
    Ok(())
}

#[test]
fn a_nan_in_one_image_reaches_that_image_only() -> Result<()> {
    let net = Net {
        is_batch: false,
        ..NET
    };
    let v = variables(&net, DType::F32)?;
    let mut values = v[0].flatten_all()?.to_vec1::<f32>()?;
    values[4] = f32::NAN;
    v[0].set(&Tensor::from_vec(values, v[0].shape(), &Device::Cpu)?)?;
    for is_tracked in [false, true] {
        let rows = taped(&net, &v, is_tracked)?.to_vec2::<f32>()?;
        assert!(rows[0].iter().any(|v| v.is_nan()));
        assert!(rows[1..].iter().flatten().all(|v| v.is_finite()));
    }
    Ok(())
}

#[track_caller]
fn refused(f: impl FnOnce(&mut Tape, Nhwc) -> Result<Nhwc>, expected: &str) {
    let images = Tensor::zeros((1, 3, 4, 4), DType::F32, &Device::Cpu).expect("a tensor");
    let message = run_nhwc(&images, &setting(false), f)
        .expect_err("this does not fit")
        .to_string();
    assert!(message.contains(expected), "{message:?} lacks {expected:?}");
}

#[test]
fn what_does_not_fit_is_an_error() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).expect("a tensor");
    let (two, four, c) = (zeros(&[5, 2, 1, 1]), zeros(&[4, 3, 4, 4]), zeros(&[4]));
    let norm = Norm {
        weight: &c,
        bias: &c,
        eps: EPS,
        given: None,
    };
    let filter = |weight, is_depthwise| Filter {
        weight,
        config: ConvConfig::default(),
        is_depthwise,
    };
    let conv = |filter: &Filter<'_>, tape: &mut Tape, x: &Nhwc| {
        Ok(tape.conv_norm(x, filter, &norm, Act::Identity)?.0)
    };
    refused(
        |tape, x| conv(&filter(&two, false), tape, &x),
        "does not take 3 channels",
    );
    refused(
        |tape, x| conv(&filter(&two, true), tape, &x),
        "does not take 3 channels",
    );
    refused(
        |tape, x| conv(&filter(&four, false), tape, &x),
        "two values a channel, found 1",
    );
    refused(|tape, x| tape.max_pool(&x, 5, 1), "does not fit");
    refused(|_, x| Ok(x), "expected one pixel");
    refused(
        |tape, x| {
            let y = tape.max_pool(&x, 2, 2)?;
            tape.add(&x, &y)
        },
        "disagree",
    );
    refused(
        |tape, x| {
            let y = tape.max_pool(&x, 2, 2)?;
            tape.concat(&[x, y])
        },
        "disagree",
    );
    refused(|tape, _| tape.concat(&[]), "found none");
    for arithmetic in [
        Arithmetic {
            precision: Precision::Bf16,
            ..Arithmetic::default()
        },
        Arithmetic {
            is_winograd: true,
            ..Arithmetic::default()
        },
    ] {
        let setting = Setting {
            arithmetic,
            ..setting(false)
        };
        let message = run_nhwc(&zeros(&[1, 3, 4, 4]), &setting, |_, x| Ok(x))
            .expect_err("not computed")
            .to_string();
        assert!(message.contains("does not compute"), "{message}");
    }
    let f64s = Tensor::zeros((1, 3, 4, 4), DType::F64, &Device::Cpu).expect("a tensor");
    let message = run_nhwc(&f64s, &setting(false), |_, x| Ok(x))
        .expect_err("f32 only")
        .to_string();
    assert!(
        message.contains("expected f32 on the CPU, found F64"),
        "{message}"
    );
}
