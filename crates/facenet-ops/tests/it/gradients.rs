//! Gradients of both routes against central differences in f64.

use candle_core::{Device, Result, Tensor, Var};
use facenet_ops::{
    ConvConfig, Route, add_channel_bias, batch_norm_eval, batch_norm_train, conv2d,
    depthwise_conv2d, max_pool2d, prelu, relu, residual,
};

use crate::tensors::{assert_close, flat, gradients, numbers, var};

/// Step of the differences: its square and the rounding over it are both about 1e-10.
const STEP: f64 = 1e-5;
/// Truncation (third derivatives of batch norm are below 100 here) and rounding together.
const CLOSE: f64 = 1e-6;

#[track_caller]
fn check(vars: &[Var], f: &dyn Fn(&[Var]) -> Result<Tensor>) {
    let (y, found) = gradients(vars, f).expect("differentiable");
    let weights = numbers(99, y.elem_count());
    let value = || -> f64 {
        let y = flat(&f(vars).expect("as before")).expect("f64");
        y.iter().zip(&weights).map(|(y, w)| y * w).sum()
    };
    for (place, var) in vars.iter().enumerate() {
        let base = flat(var).expect("f64");
        let differences: Vec<f64> = (0..base.len())
            .map(|i| {
                let at = |step: f64| {
                    let mut moved = base.clone();
                    moved[i] += step;
                    set(var, moved);
                    value()
                };
                (at(STEP) - at(-STEP)) / (2.0 * STEP)
            })
            .collect();
        set(var, base);
        assert_close(
            &found[place],
            &differences,
            CLOSE,
            &format!("gradient {place}"),
        );
    }
}

fn set(var: &Var, values: Vec<f64>) {
    let tensor = Tensor::from_vec(values, var.shape(), &Device::Cpu).expect("the same shape");
    var.set(&tensor).expect("the same shape");
}

fn vars(shapes: &[&[usize]]) -> Vec<Var> {
    let numbered = shapes.iter().enumerate();
    numbered
        .map(|(i, shape)| var(i as u64 + 10, shape).expect("a tensor"))
        .collect()
}

const ROUTES: [Route; 2] = [Route::Native, Route::Own];

#[test]
fn convolution() {
    for route in ROUTES {
        for (kernel, stride, padding) in [
            ((3, 3), (1, 1), (1, 1)),
            ((3, 3), (2, 2), (0, 0)),
            ((1, 7), (1, 1), (0, 3)),
            ((3, 1), (1, 2), (2, 0)),
            ((1, 1), (1, 1), (0, 0)),
        ] {
            let config = ConvConfig { stride, padding };
            check(&vars(&[&[2, 3, 6, 5], &[4, 3, kernel.0, kernel.1]]), &|v| {
                conv2d(&v[0], &v[1], config, route)
            });
            check(&vars(&[&[2, 3, 6, 5], &[3, 1, kernel.0, kernel.1]]), &|v| {
                depthwise_conv2d(&v[0], &v[1], config, route)
            });
        }
    }
}

#[test]
fn pooling() {
    for route in ROUTES {
        check(&vars(&[&[2, 2, 7, 6]]), &|v| max_pool2d(&v[0], 3, 2, route));
    }
}

#[test]
fn batch_norm() {
    for route in ROUTES {
        for shape in [&[3, 2, 3, 2][..], &[5, 2]] {
            check(&vars(&[shape, &[2], &[2]]), &|v| {
                Ok(batch_norm_train(&v[0], &v[1], &v[2], 1e-3, route)?.0)
            });
            let mean = Tensor::new(&[0.1_f64, -0.2], &Device::Cpu).expect("a vector");
            let variance = Tensor::new(&[0.5_f64, 1.5], &Device::Cpu).expect("a vector");
            check(&vars(&[shape, &[2], &[2]]), &|v| {
                batch_norm_eval(&v[0], &v[1], &v[2], &mean, &variance, 1e-3, route)
            });
        }
    }
}

#[test]
fn activations_and_sums() {
    for route in ROUTES {
        check(&vars(&[&[2, 3, 4, 5]]), &|v| relu(&v[0], route));
        check(&vars(&[&[2, 3, 4, 5], &[3]]), &|v| {
            prelu(&v[0], &v[1], route)
        });
        check(&vars(&[&[2, 3, 4, 5], &[3]]), &|v| {
            add_channel_bias(&v[0], &v[1], route)
        });
        for relu in [false, true] {
            check(&vars(&[&[2, 3, 4, 5], &[2, 3, 4, 5]]), &|v| {
                residual(&v[0], &v[1], 0.17, relu, route)
            });
        }
    }
}
