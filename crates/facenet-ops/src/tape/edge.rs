//! Where candle tensors come in and go out.
//!
//! The whole pass is one operation of candle's graph. It has more parameters than candle lets an
//! operation have, so they hang on a chain of their own: each link passes a scalar on, and gives
//! its parameter the gradient that the pass has left for it. candle adds each to zeros, on one
//! thread; where [`ParameterGradients`] are given the pass leaves them there instead.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, DType, Device, Layout, Result, Shape, Tensor, Var, bail};

use super::backward::{Backward, Gradient};
use super::parameters::ParameterGradients;
use super::{Nhwc, Tape};
use crate::arithmetic::Arithmetic;
use crate::microkernels::buffer::Memory;
use crate::nhwc::kept::KeptWeights;
use crate::nhwc::transpose::{to_nchw, write_nhwc};
use crate::number::Format;
use crate::own::element::with_elements;

/// How a pass is run.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// Whether the result can be differentiated; where not, nothing is kept, and layers are fused
    /// further.
    pub is_tracked: bool,
    /// Of the convolutions; Winograd is not computed so far.
    pub arithmetic: Arithmetic,
    /// Where activations live.
    pub memory: Memory,
    /// Weights packed by passes before, where they have not changed since; `None` packs them
    /// each time.
    pub kept_weights: Option<KeptWeights>,
    /// Where the way back leaves the parameters' gradients; `None` leaves them to candle.
    pub gradients: Option<ParameterGradients>,
}

/// Runs `f` on the images as NHWC activations; gives its activations, of one pixel, as `[n, c]`.
///
/// A tracked result can be differentiated, once, by the images and by every tensor that `f` gives
/// the tape's layers: what the pass has kept is freed on the way back.
///
/// - `images`: `[n, c, h, w]`, `f32`, on the CPU
///
/// # Errors
/// For a precision other than `T`'s, images of another type or place, a result of more
/// than one pixel, and `f`'s own.
pub fn run<T: Format>(
    images: &Tensor,
    setting: &Setting,
    f: impl FnOnce(&mut Tape<T>, Nhwc<T>) -> Result<Nhwc<T>>,
) -> Result<Tensor> {
    let (n, c, h, w) = images.dims4()?;
    if images.dtype() != DType::F32 || !images.device().is_cpu() {
        bail!(
            "run: expected f32 on the CPU, found {:?}; use the composed operations",
            images.dtype()
        );
    }
    if setting.arithmetic.precision != T::PRECISION {
        bail!(
            "run: expected {:?}, found {:?}, which this tape does not compute",
            T::PRECISION,
            setting.arithmetic.precision
        );
    }
    setting.memory.begin_pass();
    let mut tape = Tape {
        is_recording: setting.is_tracked,
        is_winograd: setting.arithmetic.is_winograd,
        memory: setting.memory.clone(),
        kept: setting.kept_weights.clone(),
        is_input_needed: images.track_op(),
        activations: 0,
        parameters: Vec::new(),
        nodes: Vec::new(),
    };
    let input = with_elements(images, |values| {
        Ok(tape.activation([n, h, w, c], |turned| write_nhwc(values, c, h * w, turned)))
    })?;
    let output = f(&mut tape, input)?;
    if output.pixels() != 1 {
        bail!(
            "run: expected one pixel in the end, found {:?}",
            output.dims
        );
    }
    let shape = Shape::from((n, output.channels()));
    if !setting.is_tracked {
        return Tensor::from_vec(widened(&output), shape, &Device::Cpu);
    }
    connect(images, tape, &output, shape, setting.gradients.clone())
}

/// The values in `f32`, as they lie.
fn widened<T: Format>(activations: &Nhwc<T>) -> Vec<f32> {
    activations.values.iter().map(|v| v.widened()).collect()
}

/// `[n, c, h, w]`.
pub(super) fn tensor<T: Format>(activations: &Nhwc<T>) -> Result<Tensor> {
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
fn connect<T: Format>(
    images: &Tensor,
    tape: Tape<T>,
    output: &Nhwc<T>,
    shape: Shape,
    gradients: Option<ParameterGradients>,
) -> Result<Tensor> {
    let left = Left::default();
    let scalar = match gradients {
        // A variable, so that candle comes back to the pass.
        Some(_) => Var::zeros(1, DType::F32, &Device::Cpu)?.into_inner(),
        None => chain(&tape.parameters, &left)?,
    };
    let whole = Whole {
        values: widened(output),
        place: output.place,
        tape: Mutex::new(Some(tape)),
        left,
        gradients,
        shape,
    };
    images.contiguous()?.apply_op2(&scalar, whole)
}

/// A scalar that each parameter has a hand in.
fn chain(parameters: &[Tensor], left: &Left) -> Result<Tensor> {
    let mut scalar = Tensor::zeros(1, DType::F32, &Device::Cpu)?;
    for (place, parameter) in parameters.iter().enumerate() {
        let link = Link {
            place,
            left: left.clone(),
        };
        scalar = scalar.apply_op2(parameter, link)?;
    }
    Ok(scalar)
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
struct Whole<T: Format> {
    /// Until it has gone back.
    tape: Mutex<Option<Tape<T>>>,
    values: Vec<f32>,
    place: usize,
    left: Left,
    gradients: Option<ParameterGradients>,
    shape: Shape,
}

impl<T: Format> CustomOp2 for Whole<T> {
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
        Ok((CpuStorage::F32(self.values.clone()), self.shape.clone()))
    }

    fn bwd(
        &self,
        images: &Tensor,
        scalar: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let tape = self
            .tape
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(tape) = tape else {
            bail!("backward: this pass has gone back already; run it forward again")
        };
        let mut own = tape.memory.take(grad.elem_count());
        with_elements(grad, |grad| {
            let pairs = own.iter_mut().zip(grad);
            pairs.for_each(|(own, &grad)| *own = T::of(grad));
            Ok(())
        })?;
        let mut backward = Backward::new(tape.memory, tape.activations, tape.parameters.len());
        backward.add(self.place, own);
        let (gradients, dx) = backward.run(tape.nodes)?;
        match &self.gradients {
            Some(apart) => apart.put(tape.parameters, gradients),
            None => *self.left.lock().unwrap_or_else(PoisonError::into_inner) = gradients,
        }
        let (_, c, h, w) = images.dims4()?;
        let dx =
            dx.map(|dx| Tensor::from_vec(to_nchw(&dx, c, h * w), images.shape(), images.device()));
        Ok((dx.transpose()?, Some(scalar.zeros_like()?)))
    }
}
