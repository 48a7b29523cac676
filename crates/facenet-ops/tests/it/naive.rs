//! Convolution and pooling by their definitions, in plain loops.

use candle_core::Result;
use facenet_ops::{ConvConfig, Route, conv2d, depthwise_conv2d, max_pool2d};
use proptest::prelude::*;

use crate::tensors::{EXACT, assert_close, flat, var};

type Shape4 = [usize; 4];

/// `y[n, o, p, q] = Σ x[n, c, p s + i - pad, q t + j - pad] w[o, c, i, j]` over what is inside.
fn naive_conv(
    (x, xs): (&[f64], Shape4),
    (w, ws): (&[f64], Shape4),
    config: ConvConfig,
    is_depthwise: bool,
) -> Vec<f64> {
    let [n, c, h, width] = xs;
    let [c_out, _, kh, kw] = ws;
    let (oh, ow) = config
        .output((h, width), (kh, kw))
        .expect("the strategy fits");
    let mut y = Vec::new();
    for place in 0..n * c_out * oh * ow {
        let (b, o) = (place / (c_out * oh * ow), place / (oh * ow) % c_out);
        let (p, q) = (place / ow % oh, place % ow);
        let channels = if is_depthwise { o..o + 1 } else { 0..c };
        let mut sum = 0.0;
        for (k, ch) in channels.enumerate() {
            for tap in 0..kh * kw {
                let (i, j) = (tap / kw, tap % kw);
                let row = (p * config.stride.0 + i).checked_sub(config.padding.0);
                let column = (q * config.stride.1 + j).checked_sub(config.padding.1);
                if let (Some(row), Some(column)) = (row, column)
                    && row < h
                    && column < width
                {
                    let weight = w[((o * ws[1] + k) * kh + i) * kw + j];
                    sum += x[((b * c + ch) * h + row) * width + column] * weight;
                }
            }
        }
        y.push(sum);
    }
    y
}

/// Kernels of the networks, with strides and padding of their own on each axis.
pub(crate) fn arb_conv() -> impl Strategy<Value = (Shape4, (usize, usize), ConvConfig)> {
    let kernels =
        prop::sample::select(vec![(1, 1), (1, 3), (3, 1), (1, 7), (7, 1), (3, 3), (5, 5)]);
    let sizes = (1_usize..4, 1_usize..9, 1_usize..11, 1_usize..11);
    (
        sizes,
        kernels,
        (1_usize..3, 1_usize..3),
        (0_usize..4, 0_usize..4),
    )
        .prop_filter_map(
            "the window fits",
            |((n, c, h, w), kernel, stride, padding)| {
                let config = ConvConfig { stride, padding };
                config
                    .output((h, w), kernel)
                    .ok()
                    .map(|_| ([n, c, h, w], kernel, config))
            },
        )
}

fn check_conv(xs: Shape4, ws: Shape4, config: ConvConfig, is_depthwise: bool) -> Result<()> {
    let (x, w) = (var(1, &xs)?, var(2, &ws)?);
    let expected = naive_conv((&flat(&x)?, xs), (&flat(&w)?, ws), config, is_depthwise);
    for route in [Route::Native, Route::Own] {
        let op = if is_depthwise {
            depthwise_conv2d
        } else {
            conv2d
        };
        assert_close(
            &flat(&op(&x, &w, config, route)?)?,
            &expected,
            EXACT,
            "output",
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn convolution_is_its_definition((xs, kernel, config) in arb_conv(), c_out in 1_usize..12) {
        check_conv(xs, [c_out, xs[1], kernel.0, kernel.1], config, false).expect("valid shapes");
    }

    #[test]
    fn depthwise_convolution_is_its_definition((xs, kernel, config) in arb_conv()) {
        check_conv(xs, [xs[1], 1, kernel.0, kernel.1], config, true).expect("valid shapes");
    }

    #[test]
    fn pooling_takes_the_largest(
        n in 1_usize..3, c in 1_usize..5, h in 3_usize..12, w in 3_usize..12,
        kernel in 1_usize..4, stride in 1_usize..3,
    ) {
        let x = var(3, &[n, c, h, w]).expect("a tensor");
        let values = flat(&x).expect("f64");
        let (oh, ow) = ((h - kernel) / stride + 1, (w - kernel) / stride + 1);
        let expected: Vec<f64> = (0..n * c * oh * ow).map(|place| {
            let (plane, p, q) = (place / (oh * ow), place / ow % oh, place % ow);
            let at = |i: usize, j: usize| values[(plane * h + p * stride + i) * w + q * stride + j];
            let window = (0..kernel * kernel).map(|tap| at(tap / kernel, tap % kernel));
            window.fold(f64::NEG_INFINITY, f64::max)
        }).collect();
        for route in [Route::Native, Route::Own] {
            let y = max_pool2d(&x, kernel, stride, route).expect("it fits");
            prop_assert_eq!(&flat(&y).expect("f64"), &expected);
        }
    }
}
