//! NaN, ties, and shapes that do not fit.

use candle_core::{DType, Device, Result, Tensor, Var};
use facenet_ops::{
    ConvConfig, Route, add_channel_bias, batch_norm_eval, batch_norm_train, conv2d,
    depthwise_conv2d, max_pool2d, prelu, relu, residual,
};

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).expect("a tensor")
}

#[test]
fn a_nan_goes_on_and_is_noticed() -> Result<()> {
    let x = Tensor::new(&[[[[0.5_f32, f32::NAN], [2.0, -1.0]]]], &Device::Cpu)?;
    let ones = Tensor::ones(1, DType::F32, &Device::Cpu)?;
    let has_nan = |y: &Tensor| -> Result<bool> {
        Ok(y.flatten_all()?
            .to_vec1::<f32>()?
            .iter()
            .any(|value| value.is_nan()))
    };
    assert!(has_nan(&relu(&x, Route::Own)?)?);
    assert!(has_nan(&prelu(&x, &ones, Route::Own)?)?);
    assert!(has_nan(&max_pool2d(&x, 2, 1, Route::Own)?)?);
    assert!(has_nan(&residual(&x, &x, 1.0, true, Route::Own)?)?);
    assert!(has_nan(
        &batch_norm_train(&x, &ones, &ones, 1e-3, Route::Own)?.0
    )?);
    Ok(())
}

#[test]
fn the_first_of_equal_maxima_has_the_gradient() -> Result<()> {
    let x = Var::from_tensor(&Tensor::ones((1, 1, 3, 3), DType::F64, &Device::Cpu)?)?;
    let grads = max_pool2d(&x, 3, 2, Route::Own)?.sum_all()?.backward()?;
    let dx = grads
        .get(&x)
        .expect("in the graph")
        .flatten_all()?
        .to_vec1::<f64>()?;
    assert_eq!(dx, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    Ok(())
}

#[test]
fn batch_statistics_are_mean_and_biased_variance() -> Result<()> {
    let x = Tensor::new(&[[1.0_f64, 10.0], [3.0, 10.0]], &Device::Cpu)?;
    let (w, b) = (
        Tensor::ones(2, DType::F64, &Device::Cpu)?,
        zeros(&[2]).to_dtype(DType::F64)?,
    );
    for route in [Route::Native, Route::Own] {
        let (y, batch) = batch_norm_train(&x, &w, &b, 3.0, route)?;
        assert_eq!(batch.mean.to_vec1::<f64>()?, [2.0, 10.0]);
        assert_eq!(batch.variance.to_vec1::<f64>()?, [1.0, 0.0]);
        assert_eq!(batch.count, 2);
        // (1 - 2) / sqrt(1 + 3)
        assert_eq!(y.to_vec2::<f64>()?, [[-0.5, 0.0], [0.5, 0.0]]);
    }
    Ok(())
}

#[track_caller]
fn refused<T>(made: Result<T>, expected: &str) {
    let message = made.err().expect("this does not fit").to_string();
    assert!(message.contains(expected), "{message:?} lacks {expected:?}");
}

#[test]
fn what_does_not_fit_is_an_error() {
    let x = zeros(&[2, 3, 4, 4]);
    let config = ConvConfig::default();
    for route in [Route::Native, Route::Own] {
        refused(
            conv2d(&x, &zeros(&[5, 2, 1, 1]), config, route),
            "takes 2 channels, found 3",
        );
        refused(
            conv2d(&x, &zeros(&[5, 3, 5, 5]), config, route),
            "does not fit",
        );
        refused(
            depthwise_conv2d(&x, &zeros(&[3, 3, 1, 1]), config, route),
            "expected weight",
        );
        refused(max_pool2d(&x, 5, 1, route), "does not fit");
        refused(prelu(&x, &zeros(&[4]), route), "prelu");
        refused(
            add_channel_bias(&x, &zeros(&[4]), route),
            "add_channel_bias",
        );
        refused(
            residual(&x, &zeros(&[2, 3, 4, 5]), 1.0, true, route),
            "disagree",
        );
        let (c, one) = (zeros(&[3]), zeros(&[1, 3]));
        refused(
            batch_norm_train(&one, &c, &c, 1e-3, route),
            "two values a channel, found 1",
        );
        refused(
            batch_norm_train(&x, &zeros(&[4]), &c, 1e-3, route),
            "vectors of 3 channels",
        );
        refused(
            batch_norm_eval(&zeros(&[3]), &c, &c, &c, &c, 1e-3, route),
            "takes [n, c] or [n, c, h, w]",
        );
    }
}
