//! A network on NHWC activations, forward and backward, with candle at its edges.
//!
//! candle's own tape adds zeros to every gradient, on one thread, and knows operations of three
//! inputs at most; here an operation may be a whole layer, and gradients are moved.

mod backward;
mod edge;
mod layers;
mod ledger;
mod parameters;

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};

use crate::config::ConvConfig;
use crate::microkernels::buffer::{Buffer, Memory};
use crate::nhwc::kept::KeptWeights;
use crate::norm::BatchStatistics;
use crate::number::Format;
use backward::Backward;

pub use edge::{Setting, run};
pub use ledger::{Account, Ledger, Planned, PlannedConv, PlannedPass, plan};
pub use parameters::ParameterGradients;

/// Activations `[n, h, w, c]` of a [`Tape`] of the same numbers.
#[derive(Clone, Debug)]
pub struct Nhwc<T: Format = f32> {
    values: Arc<Buffer<T>>,
    dims: [usize; 4],
    /// Which of the tape's activations.
    place: usize,
}

impl<T: Format> Nhwc<T> {
    /// `[n, h, w, c]`.
    pub fn dims(&self) -> [usize; 4] {
        self.dims
    }

    /// A copy as an `f32` tensor `[n, c, h, w]`, without a graph.
    ///
    /// # Errors
    /// candle's own.
    pub fn to_tensor(&self) -> Result<Tensor> {
        edge::tensor(self)
    }

    fn channels(&self) -> usize {
        self.dims[3]
    }

    fn pixels(&self) -> usize {
        self.dims[1] * self.dims[2]
    }
}

/// A convolution's weight and how it walks.
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    /// `[c_out, c_in, kh, kw]`, depthwise `[c, 1, kh, kw]`.
    pub weight: &'a Tensor,
    /// Stride and padding.
    pub config: ConvConfig,
    /// Whether each channel has a kernel of its own.
    pub is_depthwise: bool,
}

/// Batch normalisation of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// `[c]`.
    pub weight: &'a Tensor,
    /// `[c]`.
    pub bias: &'a Tensor,
    /// Added to the variance.
    pub eps: f64,
    /// Mean and variance, `[c]`, to normalise by; `None` takes the batch's own.
    pub given: Option<(&'a Tensor, &'a Tensor)>,
}

/// What follows the normalisation; each keeps NaN.
#[derive(Clone, Copy, Debug)]
pub enum Act<'a> {
    /// Nothing.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// A slope for what is negative, `[c]`.
    Prelu(&'a Tensor),
}

/// The end of a residual block: `x + scale (conv(branch) + bias)`, then `max(., 0)` where `relu`.
#[derive(Clone, Copy, Debug)]
pub struct Residual<'a> {
    /// `[c, c_branch, 1, 1]`.
    pub weight: &'a Tensor,
    /// `[c]`.
    pub bias: &'a Tensor,
    /// What the branch is multiplied by.
    pub scale: f64,
    /// Whether the sum is rectified.
    pub relu: bool,
}

type Back<T> = Box<dyn FnOnce(&mut Backward<T>, Buffer<T>) -> Result<()> + Send>;

/// The way from the gradient of one activation to those of what it was made of.
struct Node<T: Format> {
    output: usize,
    back: Back<T>,
}

/// A forward pass, recorded where gradients are asked for.
///
/// Its activations, and their gradients on the way back, are kept in `T`; what is computed
/// between is `f32`, sums over a batch `f64`, and so are parameters and their gradients `f32`.
pub struct Tape<T: Format = f32> {
    is_recording: bool,
    is_winograd: bool,
    memory: Memory,
    kept: Option<KeptWeights>,
    /// Whether the images' gradient is asked for.
    is_input_needed: bool,
    activations: usize,
    parameters: Vec<Tensor>,
    nodes: Vec<Node<T>>,
}

impl<T: Format> std::fmt::Debug for Tape<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tape")
            .field("is_recording", &self.is_recording)
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}

impl<T: Format> Tape<T> {
    /// An activation that `write` writes every value of.
    fn activation(&mut self, dims: [usize; 4], write: impl FnOnce(&mut [T])) -> Nhwc<T> {
        let mut values = self.memory.take(dims.iter().product());
        write(&mut values);
        self.activations += 1;
        Nhwc {
            values: Arc::new(values),
            dims,
            place: self.activations - 1,
        }
    }

    /// [`Tape::activation`], where writing may fail.
    fn made(
        &mut self,
        dims: [usize; 4],
        write: impl FnOnce(&mut [T]) -> Result<()>,
    ) -> Result<Nhwc<T>> {
        let mut result = Ok(());
        let made = self.activation(dims, |values| result = write(values));
        result.map(|()| made)
    }

    /// The place of a parameter's gradient.
    fn parameter(&mut self, tensor: &Tensor) -> usize {
        self.parameters.push(tensor.clone());
        self.parameters.len() - 1
    }

    fn record(
        &mut self,
        output: &Nhwc<T>,
        back: impl FnOnce(&mut Backward<T>, Buffer<T>) -> Result<()> + Send + 'static,
    ) {
        self.nodes.push(Node {
            output: output.place,
            back: Box::new(back),
        });
    }

    /// Whether the gradient of `x` leads anywhere.
    fn is_needed(&self, x: &Nhwc<T>) -> bool {
        x.place > 0 || self.is_input_needed
    }
}

/// The elements of a vector of `c` channels.
fn vector(what: &str, tensor: &Tensor, c: usize) -> Result<Vec<f32>> {
    if tensor.dims() != [c] {
        bail!(
            "{what}: expected a vector of {c} channels, found {:?}",
            tensor.shape()
        );
    }
    tensor.to_vec1::<f32>()
}

/// Statistics as tensors.
fn statistics(moments: &[(f64, f64)], count: usize, like: &Tensor) -> Result<BatchStatistics> {
    let tensor = |pick: fn(&(f64, f64)) -> f64| {
        let values: Vec<_> = moments.iter().map(|moments| pick(moments) as f32).collect();
        Tensor::from_vec(values, moments.len(), like.device())
    };
    Ok(BatchStatistics {
        mean: tensor(|m| m.0)?,
        variance: tensor(|m| m.1)?,
        count,
    })
}
