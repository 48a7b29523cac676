//! Winograd's algorithm against the definition in `f64`.

use candle_core::{DType, Device, Result, Tensor, Var};
use facenet_ops::{
    Act, Algorithm, Arithmetic, ConvConfig, Filter, Isa, KeptWeights, NhwcConv, Norm, Setting,
    run_nhwc, with_isa,
};
use proptest::prelude::*;

use crate::kernels::sets;
use crate::tensors::numbers;

/// What a value of each pass, forward, data gradient and weight gradient, may be off by, in units
/// of `2^-24 √k σ`: so much a sum of `k` products rounds one after the other, where `σ = √k / 3` is
/// its standard deviation for numbers uniform in `[-1, 1)`. The transforms sum numbers larger than
/// their results, and few products have as many roundings as many. Measured over 8,000 shapes: 106,
/// 125 and 55 at most.
const ROUNDINGS: [f64; 3] = [250.0, 250.0, 150.0];
/// Off by, relative to the largest value, in layers of the networks. Measured: 1.3e-5, 1.2e-5 and
/// 8.5e-6 at most, for 256 channels and for 980 tiles; about 5e-6 for 32 channels.
const OF_LARGEST: [f64; 3] = [2e-5, 2e-5, 1.5e-5];

/// A convolution of 3 x 3 with its numbers.
#[derive(Clone, Debug)]
struct Case {
    n: usize,
    size: (usize, usize),
    channels: (usize, usize),
    padding: (usize, usize),
}

/// Input, weight and output's gradient.
type Numbers = [Vec<f32>; 3];

impl Case {
    fn conv(&self) -> Result<NhwcConv> {
        let config = ConvConfig {
            stride: (1, 1),
            padding: self.padding,
        };
        NhwcConv::new(self.n, self.size, self.channels, (3, 3), config)
    }

    fn out(&self) -> (usize, usize) {
        let axis = |size, padding| size + 2 * padding - 2;
        (
            axis(self.size.0, self.padding.0),
            axis(self.size.1, self.padding.1),
        )
    }

    fn numbers(&self) -> Numbers {
        let (c_in, c_out) = self.channels;
        let pixels = |size: (usize, usize)| self.n * size.0 * size.1;
        let rounded = |seed, n| numbers(seed, n).into_iter().map(|v| v as f32).collect();
        [
            rounded(1, pixels(self.size) * c_in),
            rounded(2, c_out * c_in * 9),
            rounded(3, pixels(self.out()) * c_out),
        ]
    }

    /// Terms of each sum of output, data gradient and weight gradient.
    fn terms(&self) -> [usize; 3] {
        let (out, (c_in, c_out)) = (self.out(), self.channels);
        [9 * c_in, 9 * c_out, self.n * out.0 * out.1]
    }

    /// Calls `f` with input pixel, output pixel and tap of each pair inside.
    fn taps(&self, mut f: impl FnMut(usize, usize, usize)) {
        let ((h, w), out) = (self.size, self.out());
        for place in 0..self.n * out.0 * out.1 * 9 {
            let (pixel, tap) = (place / 9, place % 9);
            let (image, y, x) = (
                pixel / (out.0 * out.1),
                pixel / out.1 % out.0,
                pixel % out.1,
            );
            let row = (y + tap / 3).checked_sub(self.padding.0);
            let column = (x + tap % 3).checked_sub(self.padding.1);
            if let (Some(row), Some(column)) = (row, column)
                && row < h
                && column < w
            {
                f((image * h + row) * w + column, pixel, tap);
            }
        }
    }

    /// Output and both gradients by their definition.
    fn expected(&self, [x, weight, grad]: &Numbers) -> [Vec<f64>; 3] {
        let (c_in, c_out) = self.channels;
        let zeros = |of: &Vec<f32>| vec![0.0; of.len()];
        let (mut y, mut dx, mut dw) = (zeros(grad), zeros(x), zeros(weight));
        self.taps(|from, to, tap| {
            for c in 0..c_in {
                for o in 0..c_out {
                    let at = (o * c_in + c) * 9 + tap;
                    let (from, to) = (from * c_in + c, to * c_out + o);
                    y[to] += f64::from(x[from]) * f64::from(weight[at]);
                    dx[from] += f64::from(grad[to]) * f64::from(weight[at]);
                    dw[at] += f64::from(grad[to]) * f64::from(x[from]);
                }
            }
        });
        [y, dx, dw]
    }

    /// The same by Winograd's algorithm.
    fn found(&self, [x, weight, grad]: &Numbers) -> Result<[Vec<f32>; 3]> {
        let conv = self.conv()?.by(Algorithm::Winograd)?;
        Ok([
            conv.forward(x, weight)?,
            conv.data_gradient(weight, grad)?,
            conv.weight_gradient(x, grad)?,
        ])
    }

    /// The largest error of each pass and its largest value.
    fn errors(&self) -> Vec<[(f64, f64); 3]> {
        let numbers = self.numbers();
        let expected = self.expected(&numbers);
        let of = |isa| {
            let found = with_isa(isa, || self.found(&numbers)).expect("a shape for it");
            std::array::from_fn(|pass| {
                assert_eq!(found[pass].len(), expected[pass].len());
                let pairs = found[pass].iter().zip(&expected[pass]);
                pairs.fold((0.0, 0.0), |(error, largest): (f64, f64), (f, e)| {
                    (error.max((f64::from(*f) - e).abs()), largest.max(e.abs()))
                })
            })
        };
        sets().map(of).collect()
    }
}

/// Few or many channels, odd ones too; images smaller than a tile and larger.
fn arb_case() -> impl Strategy<Value = Case> {
    let channels = || prop_oneof![3 => 1_usize..20, 1 => 20_usize..300];
    let sizes = (1_usize..6, (1_usize..21, 1_usize..21));
    let padding = (0_usize..3, 0_usize..3);
    (sizes, (channels(), channels()), padding).prop_filter_map(
        "it fits, and is not too large",
        |((n, size), channels, padding)| {
            let case = Case {
                n,
                size,
                channels,
                padding,
            };
            case.conv().ok()?;
            let (out, (c_in, c_out)) = (case.out(), channels);
            (n * out.0 * out.1 * 9 * c_in * c_out < 4_000_000).then_some(case)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_pass_is_its_definition(case in arb_case()) {
        for (set, errors) in sets().zip(case.errors()) {
            for (pass, (error, _)) in errors.into_iter().enumerate() {
                let unit = f64::from(f32::EPSILON) / 2.0 * case.terms()[pass] as f64 / 3.0;
                prop_assert!(
                    error <= ROUNDINGS[pass] * unit,
                    "{set:?} pass {pass} of {case:?}: off by {} units", error / unit
                );
            }
        }
    }
}

fn case(n: usize, side: usize, channels: (usize, usize), padding: usize) -> Case {
    Case {
        n,
        size: (side, side),
        channels,
        padding: (padding, padding),
    }
}

#[test]
fn shapes_of_the_networks_are_within_a_bound_of_the_largest_value() {
    for case in [
        case(2, 23, (32, 32), 0),
        case(1, 21, (32, 64), 1),
        case(1, 14, (80, 192), 0),
        case(2, 17, (32, 32), 1),
        case(1, 17, (192, 192), 1),
        case(3, 8, (256, 256), 1),
        case(2, 6, (192, 32), 2),
        // More tiles than are summed together, in four parts.
        case(5, 56, (16, 8), 1),
    ] {
        for errors in case.errors() {
            for (pass, (error, largest)) in errors.into_iter().enumerate() {
                assert!(
                    error <= OF_LARGEST[pass] * largest,
                    "pass {pass} of {case:?}: {}",
                    error / largest
                );
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let bits = |isa: Isa, case: &Case, threads: usize| -> Vec<u32> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let numbers = case.numbers();
        let found = pool
            .expect("threads")
            .install(|| with_isa(isa, || case.found(&numbers)));
        let found = found.expect("a shape for it").into_iter().flatten();
        found.map(f32::to_bits).collect()
    };
    for case in [case(3, 40, (17, 20), 1), case(2, 17, (40, 70), 2)] {
        for isa in sets() {
            let one = bits(isa, &case, 1);
            assert!(one == bits(isa, &case, 2), "{isa:?} {case:?}");
            assert!(one == bits(isa, &case, 4), "{isa:?} {case:?}");
        }
    }
}

/// Whether each value is finite.
fn finite<T: Copy + Into<f64>>(values: &[T]) -> Vec<bool> {
    values.iter().map(|&v| v.into().is_finite()).collect()
}

#[test]
fn what_is_not_finite_reaches_what_depends_on_it_and_its_tiles_only() -> Result<()> {
    let case = case(2, 11, (19, 37), 1);
    let far = |pixel: usize, from: usize| {
        let (a, b) = ((pixel / 11 % 11, pixel % 11), (from / 11 % 11, from % 11));
        let is_other = pixel / 121 != from / 121;
        // A window reaches less than 6 pixels.
        is_other || a.0.abs_diff(b.0) >= 6 || a.1.abs_diff(b.1) >= 6
    };
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for pixel in [0, 5 * 11 + 6, 121, 241] {
            for (isa, place) in sets().flat_map(|isa| [0, 2].map(|place| (isa, place))) {
                let mut numbers = case.numbers();
                let c = if place == 0 { 19 } else { 37 };
                numbers[place][pixel * c + 3] = value;
                let expected = case.expected(&numbers);
                let found = with_isa(isa, || case.found(&numbers))?;
                for (found, expected) in found.iter().zip(&expected) {
                    let pairs = finite(found).into_iter().zip(finite(expected));
                    assert!(pairs.clone().all(|(found, expected)| expected || !found));
                }
                // Outputs of a changed input, input gradients of a changed output gradient.
                let (pass, c) = if place == 0 { (0, 37) } else { (1, 19) };
                for (at, is_finite) in finite(&found[pass]).into_iter().enumerate() {
                    assert!(is_finite || !far(at / c, pixel), "{isa:?} {at} of {pixel}");
                }
                let is_own = |at: usize| [at / 9 % 19, 0, at / 9 / 19][place] == 3;
                let dw = finite(&found[2]).into_iter().enumerate();
                assert!(dw.clone().all(|(at, is_finite)| is_finite || is_own(at)));
            }
        }
    }
    Ok(())
}

#[test]
fn a_weight_that_is_not_finite_reaches_its_channel() -> Result<()> {
    let case = case(1, 5, (3, 21), 1);
    for isa in sets() {
        let mut numbers = case.numbers();
        numbers[1][(17 * 3 + 1) * 9 + 4] = f32::NAN;
        let [y, dx, _] = with_isa(isa, || case.found(&numbers))?;
        let is_nan = |(at, v): (usize, &f32), c: usize, own: usize| v.is_nan() == (at % c == own);
        assert!(y.iter().enumerate().all(|pair| is_nan(pair, 21, 17)));
        assert!(dx.iter().enumerate().all(|pair| is_nan(pair, 3, 1)));
    }
    Ok(())
}

#[test]
fn other_kernels_strides_and_paddings_are_refused() -> Result<()> {
    let config = |stride, padding| ConvConfig { stride, padding };
    for (kernel, config) in [
        ((3, 1), config((1, 1), (0, 0))),
        ((3, 3), config((1, 2), (1, 1))),
        ((3, 3), config((1, 1), (1, 3))),
    ] {
        let conv = NhwcConv::new(1, (9, 9), (2, 2), kernel, config)?;
        let message = conv.by(Algorithm::Winograd).expect_err("not for it");
        assert!(message.to_string().contains("Winograd is not for"));
        assert!(conv.by(Algorithm::Direct).is_ok());
    }
    Ok(())
}

#[test]
fn no_images_are_no_work() -> Result<()> {
    let [y, dx, dw] = case(0, 5, (2, 3), 1).found(&case(0, 5, (2, 3), 1).numbers())?;
    assert!(y.is_empty() && dx.is_empty());
    assert_eq!(dw, [0.0; 54]);
    Ok(())
}

/// A layer's mean outputs, and where it is tracked the gradients of images and weight.
fn layer(setting: &Setting) -> Result<Vec<f32>> {
    let var = |seed, shape: [usize; 4]| -> Result<Var> {
        let values = numbers(seed, shape.iter().product());
        let tensor = Tensor::from_vec(values, &shape, &Device::Cpu)?;
        Var::from_tensor(&tensor.to_dtype(DType::F32)?)
    };
    let (images, weight) = (var(1, [2, 32, 17, 17])?, var(2, [32, 32, 3, 3])?);
    let ones = Tensor::ones(32, DType::F32, &Device::Cpu)?;
    let y = run_nhwc::<f32>(&images, setting, |tape, x| {
        let filter = Filter {
            weight: &weight,
            config: ConvConfig {
                stride: (1, 1),
                padding: (1, 1),
            },
            is_depthwise: false,
        };
        let norm = Norm {
            weight: &ones,
            bias: &ones,
            eps: 1e-3,
            given: Some((&ones, &ones)),
        };
        let (y, _) = tape.conv_norm(&x, &filter, &norm, Act::Identity)?;
        Ok(tape.global_average_pool(&y))
    })?;
    let mut all = y.flatten_all()?.to_vec1()?;
    if setting.is_tracked {
        let grads = y.sqr()?.sum_all()?.backward()?;
        for var in [&images, &weight] {
            let grad = grads.get(var).expect("in the graph");
            all.extend(grad.flatten_all()?.to_vec1::<f32>()?);
        }
    }
    Ok(all)
}

#[test]
fn a_tape_goes_by_it_where_its_arithmetic_says_so() -> Result<()> {
    for (is_tracked, kept_weights) in [
        (true, None),
        (false, None),
        (false, Some(KeptWeights::default())),
    ] {
        let of = |is_winograd| {
            layer(&Setting {
                is_tracked,
                arithmetic: Arithmetic {
                    is_winograd,
                    ..Arithmetic::default()
                },
                kept_weights: kept_weights.clone(),
                ..Setting::default()
            })
        };
        let (direct, winograd) = (of(false)?, of(true)?);
        assert_eq!(direct.len(), winograd.len());
        let largest = direct.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
        let is_near = |(a, b): (&f32, &f32)| (a - b).abs() <= 2e-5 * largest;
        assert!(direct.iter().zip(&winograd).all(is_near));
        assert_ne!(direct, winograd, "rounded in another order");
        assert_eq!(winograd, of(true)?);
    }
    Ok(())
}
