//! Where candle tensors come in and go out.
//!
//! The whole pass is one operation of candle's graph. It has more parameters than candle lets an
//! operation have, so they hang on a chain of their own: each link passes a scalar on, and gives
//! its parameter the gradient that the pass has left for it.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, DType, Device, Layout, Result, Shape, Tensor, bail};

use super::backward::Gradient;
use super::{Nhwc, Tape};
use crate::arithmetic::{Arithmetic, Precision};
use crate::nhwc::transpose::{to_nchw, to_nhwc};
use crate::own::element::with_elements;

/// Runs `f` on the images as NHWC activations; gives its activations, of one pixel, as `[n, c]`.
///
/// The result can be differentiated by the images and by every tensor that `f` gives the tape's
/// layers, where `is_tracked`; without, nothing is kept, and layers are fused further.
///
/// - `images`: `[n, c, h, w]`, `f32`, on the CPU
/// - `arithmetic`: of the convolutions
///
/// # Errors
/// For images of another type or place, a result of more than one pixel, and `f`'s own.
pub fn run(
    images: &Tensor,
    is_tracked: bool,
    arithmetic: Arithmetic,
    f: impl FnOnce(&mut Tape, Nhwc) -> Result<Nhwc>,
) -> Result<Tensor> {
    let (n, c, h, w) = images.dims4()?;
    if images.dtype() != DType::F32 || !images.device().is_cpu() {
        bail!(
            "run: expected f32 on the CPU, found {:?}; use the composed operations",
            images.dtype()
        );
    }
    if arithmetic.precision == Precision::Bf16 {
        bail!("run: expected precision f32, found bf16, which this version does not compute");
    }
    let mut tape = Tape {
        is_recording: is_tracked,
        arithmetic,
        is_input_needed: images.track_op(),
        activations: 0,
        parameters: Vec::new(),
        nodes: Vec::new(),
    };
    let values = with_elements(images, |values| Ok(to_nhwc(values, c, h * w)))?;
    let input = tape.activation(values, [n, h, w, c]);
    let output = f(&mut tape, input)?;
    if output.pixels() != 1 {
        bail!(
            "run: expected one pixel in the end, found {:?}",
            output.dims
        );
    }
    let shape = Shape::from((n, output.channels()));
    if !is_tracked {
        return Tensor::from_vec(values_of(output), shape, &Device::Cpu);
    }
    connect(images, tape, &output, shape)
}

/// The values, moved where nothing else holds them.
fn values_of(output: Nhwc) -> Vec<f32> {
    Arc::try_unwrap(output.values).unwrap_or_else(|shared| shared.as_ref().clone())
}

/// `[n, c, h, w]`.
pub(super) fn tensor(activations: &Nhwc) -> Result<Tensor> {
    let [n, h, w, c] = activations.dims;
    Tensor::from_vec(
        to_nchw(&activations.values, c, h * w),
        (n, c, h, w),
        &Device::Cpu,
    )
}

/// Gradients that the pass leaves for the links.
type Left = Arc<Mutex<Vec<Gradient>>>;

/// The pass in candle's graph.
fn connect(images: &Tensor, tape: Tape, output: &Nhwc, shape: Shape) -> Result<Tensor> {
    let left = Left::default();
    let mut scalar = Tensor::zeros(1, DType::F32, &Device::Cpu)?;
    for (place, parameter) in tape.parameters.iter().enumerate() {
        let link = Link {
            place,
            left: left.clone(),
        };
        scalar = scalar.apply_op2(parameter, link)?;
    }
    let whole = Whole {
        values: output.values.clone(),
        place: output.place,
        tape,
        left,
        shape,
    };
    images.contiguous()?.apply_op2(&scalar, whole)
}

/// The gradient of one parameter.
struct Link {
    place: usize,
    left: Left,
}

impl CustomOp2 for Link {
    fn name(&self) -> &'static str {
        "facenet-parameter"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        scalar: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), scalar.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        parameter: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let own = left.get_mut(self.place).and_then(Option::take);
        let own = own.map(|own| Tensor::from_vec(own, parameter.shape(), parameter.device()));
        Ok((Some(grad.clone()), own.transpose()?))
    }
}

/// All operations of a tape.
struct Whole {
    tape: Tape,
    values: Arc<Vec<f32>>,
    place: usize,
    left: Left,
    shape: Shape,
}

impl CustomOp2 for Whole {
    fn name(&self) -> &'static str {
        "facenet-tape"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((
            CpuStorage::F32(self.values.as_ref().clone()),
            self.shape.clone(),
        ))
    }

    fn bwd(
        &self,
        images: &Tensor,
        scalar: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = with_elements(grad, |grad| Ok(grad.to_vec()))?;
        let (parameters, dx) = self.tape.backward(self.place, grad)?;
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = parameters;
        let (_, c, h, w) = images.dims4()?;
        let dx =
            dx.map(|dx| Tensor::from_vec(to_nchw(&dx, c, h * w), images.shape(), images.device()));
        Ok((dx.transpose()?, Some(scalar.zeros_like()?)))
    }
}
