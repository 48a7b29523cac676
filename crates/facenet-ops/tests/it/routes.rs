//! The own route against the native one, and against itself on other numbers of threads.

use candle_core::{Result, Tensor, Var};
use facenet_ops::{
    ConvConfig, Route, batch_norm_train, conv2d, depthwise_conv2d, max_pool2d, prelu, residual,
};
use proptest::prelude::*;

use crate::naive::arb_conv;
use crate::tensors::{EXACT, assert_close, flat, gradients, var};

#[track_caller]
fn check_routes(vars: &[Var], f: &dyn Fn(&[Var], Route) -> Result<Tensor>) {
    let run = |route| gradients(vars, &|v| f(v, route)).expect("differentiable");
    let ((own, own_grads), (native, native_grads)) = (run(Route::Own), run(Route::Native));
    assert_close(
        &flat(&own).expect("f64"),
        &flat(&native).expect("f64"),
        EXACT,
        "output",
    );
    for (own, native) in own_grads.iter().zip(&native_grads) {
        assert_close(own, native, EXACT, "gradient");
    }
}

fn two(first: &[usize], second: &[usize]) -> [Var; 2] {
    [
        var(4, first).expect("a tensor"),
        var(5, second).expect("a tensor"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn convolutions_agree((xs, kernel, config) in arb_conv(), c_out in 1_usize..8) {
        check_routes(&two(&xs, &[c_out, xs[1], kernel.0, kernel.1]), &|v, route| {
            conv2d(&v[0], &v[1], config, route)
        });
        check_routes(&two(&xs, &[xs[1], 1, kernel.0, kernel.1]), &|v, route| {
            depthwise_conv2d(&v[0], &v[1], config, route)
        });
    }

    #[test]
    fn the_others_agree(n in 2_usize..4, c in 1_usize..9, h in 3_usize..9, w in 3_usize..9) {
        let shape = [n, c, h, w];
        check_routes(&two(&shape, &[c]), &|v, route| prelu(&v[0], &v[1], route));
        check_routes(&two(&shape, &shape), &|v, route| residual(&v[0], &v[1], 0.2, true, route));
        check_routes(&two(&shape, &[c])[..1], &|v, route| max_pool2d(&v[0], 3, 2, route));
        let [x, weight] = two(&shape, &[c]);
        let bias = var(6, &[c]).expect("a tensor");
        // Channels of few values may be nearly constant: eps keeps the division tame.
        check_routes(&[x, weight, bias], &|v, route| {
            Ok(batch_norm_train(&v[0], &v[1], &v[2], 1e-2, route)?.0)
        });
    }
}

/// 9 x 7 pixels: two images share a product, and each eighth of the batch has two products and a
/// narrower third.
#[test]
fn a_batch_of_many_products_agrees() {
    let config = ConvConfig {
        stride: (1, 1),
        padding: (1, 1),
    };
    check_routes(&two(&[40, 2, 9, 7], &[3, 2, 3, 3]), &|v, route| {
        conv2d(&v[0], &v[1], config, route)
    });
}

/// Bits of outputs and gradients of the operations with reductions, on `threads` threads.
fn bits(threads: usize) -> Vec<u64> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .expect("threads");
    pool.install(|| {
        let config = ConvConfig {
            stride: (1, 1),
            padding: (1, 1),
        };
        let [x, w] = two(&[21, 6, 9, 7], &[5, 6, 3, 3]);
        let (y, grads) = gradients(&[x, w], &|v| conv2d(&v[0], &v[1], config, Route::Own))
            .expect("differentiable");
        let [x, w] = two(&[21, 6, 9, 7], &[6, 1, 3, 3]);
        let depthwise = |v: &[Var]| depthwise_conv2d(&v[0], &v[1], config, Route::Own);
        let (z, more) = gradients(&[x, w], &depthwise).expect("differentiable");
        let vars = [(7, &[21, 6, 9, 7][..]), (8, &[6]), (9, &[6])]
            .map(|(seed, shape)| var(seed, shape).expect("a tensor"));
        let norm = |v: &[Var]| Ok(batch_norm_train(&v[0], &v[1], &v[2], 1e-3, Route::Own)?.0);
        let (b, rest) = gradients(&vars, &norm).expect("differentiable");
        let outputs = [y, z, b].map(|tensor| flat(&tensor).expect("f64"));
        let all = outputs.into_iter().chain(grads).chain(more).chain(rest);
        all.flatten().map(f64::to_bits).collect()
    })
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let one = bits(1);
    assert_eq!(one, bits(2));
    assert_eq!(one, bits(4));
}
