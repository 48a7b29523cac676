//! The three passes of a convolution on NHWC activations; weights are OIHW.

use candle_core::{Result, bail};

use crate::config::ConvConfig;
use crate::isa::Isa;
use crate::microkernels::buffer::Buffer;
use crate::microkernels::{Epilogue, implicit, weights};
use crate::nhwc::algorithm::Algorithm;
use crate::nhwc::panels::Panels;
use crate::nhwc::plan::{ConvShape, Plan};
use crate::nhwc::weight_plan::WeightPlan;
use crate::nhwc::winograd;
use crate::number::{Bf16, Number};

/// Writes the output with its epilogue, `[n, out_h, out_w, c_out]`.
pub(crate) fn forward<T: Number>(
    shape: &ConvShape,
    x: &[T],
    weight: &[f32],
    epilogue: &Epilogue<'_, T>,
    y: &mut [T],
) {
    let panels = Panels::forward(shape, weight, Isa::current());
    forward_packed(shape, x, &panels, epilogue, y);
    panels.give_back();
}

/// [`forward`] with its weights packed.
pub(crate) fn forward_packed<T: Number>(
    shape: &ConvShape,
    x: &[T],
    panels: &Panels<T>,
    epilogue: &Epilogue<'_, T>,
    y: &mut [T],
) {
    let (plan, mut filled) = (Plan::forward(shape, T::PACK), Buffer::take(0));
    let x = T::steps(x, shape.c_in, &mut filled);
    implicit::run(&plan, shape.n, x, panels, epilogue, y);
    filled.give_back();
}

/// Writes the input's gradient, `[n, h, w, c_in]`, of the output's, with an epilogue.
pub(crate) fn data_gradient<T: Number>(
    shape: &ConvShape,
    weight: &[f32],
    grad: &[T],
    epilogue: &Epilogue<'_, T>,
    dx: &mut [T],
) {
    let (plan, mut filled) = (Plan::gradient(shape, T::PACK), Buffer::take(0));
    let grad = T::steps(grad, shape.c_out, &mut filled);
    let panels = Panels::gradient(shape, weight, Isa::current());
    implicit::run(&plan, shape.n, grad, &panels, epilogue, dx);
    panels.give_back();
    filled.give_back();
}

/// The weight's gradient, `[c_out, c_in, kh, kw]`, of the output's.
pub(crate) fn weight_gradient<T: Number>(shape: &ConvShape, x: &[T], grad: &[T]) -> Vec<f32> {
    let plan = WeightPlan::new(shape, T::PACK);
    weights::gradient(shape, &plan, x, grad, Isa::current())
}

/// A dense convolution of NHWC slices, `f32` or [`Bf16`], threaded by rayon, with no tensors
/// around it.
///
/// Weights are `[c_out, c_in, kh, kw]`, always `f32`: the passes of [`Bf16`] read them rounded. No bit of a result depends on the number of threads.
///
/// ```
/// # fn main() -> candle_core::Result<()> {
/// let conv = facenet_ops::NhwcConv::new(1, (1, 2), (2, 1), (1, 1), Default::default())?;
/// assert_eq!(conv.forward(&[1.0, 2.0, 3.0, 4.0], &[10.0, 1.0])?, [12.0, 34.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NhwcConv {
    shape: ConvShape,
    algorithm: Algorithm,
}

impl NhwcConv {
    /// Of `n` images of `size`, `(height, width)`, from `channels.0` to `channels.1` channels.
    ///
    /// # Errors
    /// Where the window does not fit, or there are no channels.
    pub fn new(
        n: usize,
        size: (usize, usize),
        channels: (usize, usize),
        kernel: (usize, usize),
        config: ConvConfig,
    ) -> Result<Self> {
        if channels.0 == 0 || channels.1 == 0 {
            bail!("NhwcConv: expected channels, found {channels:?}; name one at least");
        }
        let shape = ConvShape::new(n, size, channels, kernel, config)?;
        let algorithm = Algorithm::Direct;
        Ok(Self { shape, algorithm })
    }

    /// The same by another algorithm, whether that is faster or not; passes of [`Bf16`] know
    /// [`Algorithm::Direct`] only and stay with it.
    ///
    /// # Errors
    /// Where the algorithm is not for this kernel, stride or padding.
    pub fn by(self, algorithm: Algorithm) -> Result<Self> {
        if !algorithm.is_possible(&self.shape) {
            bail!(
                "NhwcConv: {algorithm:?} is not for {:?}; use Algorithm::Direct",
                self.shape
            );
        }
        Ok(Self { algorithm, ..self })
    }

    /// Height and width of the output.
    pub fn output(&self) -> (usize, usize) {
        self.shape.out
    }

    /// Nominal operations of one pass: 2 a multiply-add, padding counted.
    pub fn operations(&self) -> f64 {
        let products = self.shape.n * self.shape.out_image() * self.shape.c_in * self.shape.taps();
        2.0 * products as f64
    }

    /// `[n, h, w, c_in]` gives `[n, out_h, out_w, c_out]`.
    ///
    /// # Errors
    /// Where a slice has another length.
    pub fn forward(&self, x: &[f32], weight: &[f32]) -> Result<Vec<f32>> {
        if self.algorithm == Algorithm::Direct {
            return self.forward_in(x, weight);
        }
        self.check("x", x, self.shape.image() * self.shape.n)?;
        self.check("weight", weight, self.weights())?;
        let mut y = vec![0.0; self.shape.n * self.shape.out_image()];
        winograd::forward(&self.shape, x, weight, &Epilogue::default(), &mut y);
        Ok(y)
    }

    /// The input's gradient of the output's.
    ///
    /// # Errors
    /// Where a slice has another length.
    pub fn data_gradient(&self, weight: &[f32], grad: &[f32]) -> Result<Vec<f32>> {
        if self.algorithm == Algorithm::Direct {
            return self.data_gradient_in(weight, grad);
        }
        self.check("weight", weight, self.weights())?;
        self.check("grad", grad, self.shape.out_image() * self.shape.n)?;
        let mut dx = vec![0.0; self.shape.n * self.shape.image()];
        winograd::data_gradient(&self.shape, weight, grad, &Epilogue::default(), &mut dx);
        Ok(dx)
    }

    /// The weight's gradient of the output's.
    ///
    /// # Errors
    /// Where a slice has another length.
    pub fn weight_gradient(&self, x: &[f32], grad: &[f32]) -> Result<Vec<f32>> {
        if self.algorithm == Algorithm::Direct {
            return self.weight_gradient_in(x, grad);
        }
        self.check("x", x, self.shape.image() * self.shape.n)?;
        self.check("grad", grad, self.shape.out_image() * self.shape.n)?;
        Ok(winograd::weight_gradient(&self.shape, x, grad))
    }

    /// [`NhwcConv::forward`] of [`Bf16`]: weights are rounded, products summed in `f32`, and sums
    /// rounded.
    ///
    /// Where [`Isa::has_bf16`], denormal numbers count as zero.
    ///
    /// ```
    /// # fn main() -> candle_core::Result<()> {
    /// use facenet_ops::Bf16;
    /// let conv = facenet_ops::NhwcConv::new(1, (1, 2), (2, 1), (1, 1), Default::default())?;
    /// let x = [1.0, 2.0, 3.0, 4.0].map(Bf16::from_f32);
    /// // No `Bf16` is 1 / 256 above 1: the weight is 1.
    /// let y = conv.forward_bf16(&x, &[100.0, 1.0 + 1.0 / 256.0])?;
    /// assert_eq!(y, [102.0, 304.0].map(Bf16::from_f32));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where a slice has another length.
    pub fn forward_bf16(&self, x: &[Bf16], weight: &[f32]) -> Result<Vec<Bf16>> {
        self.forward_in(x, weight)
    }

    /// [`NhwcConv::data_gradient`] of [`Bf16`], as [`NhwcConv::forward_bf16`].
    ///
    /// ```
    /// # fn main() -> candle_core::Result<()> {
    /// use facenet_ops::Bf16;
    /// let conv = facenet_ops::NhwcConv::new(1, (1, 1), (2, 1), (1, 1), Default::default())?;
    /// let dx = conv.data_gradient_bf16(&[10.0, 1.0], &[Bf16::from_f32(0.5)])?;
    /// assert_eq!(dx, [5.0, 0.5].map(Bf16::from_f32));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where a slice has another length.
    pub fn data_gradient_bf16(&self, weight: &[f32], grad: &[Bf16]) -> Result<Vec<Bf16>> {
        self.data_gradient_in(weight, grad)
    }

    /// [`NhwcConv::weight_gradient`] of [`Bf16`]; sums and result are `f32`.
    ///
    /// ```
    /// # fn main() -> candle_core::Result<()> {
    /// use facenet_ops::Bf16;
    /// let conv = facenet_ops::NhwcConv::new(1, (1, 2), (1, 1), (1, 1), Default::default())?;
    /// let (x, grad) = ([1.0, 300.0].map(Bf16::from_f32), [1.0, 1.0].map(Bf16::from_f32));
    /// assert_eq!(conv.weight_gradient_bf16(&x, &grad)?, [301.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where a slice has another length.
    pub fn weight_gradient_bf16(&self, x: &[Bf16], grad: &[Bf16]) -> Result<Vec<f32>> {
        self.weight_gradient_in(x, grad)
    }

    fn forward_in<T: Number>(&self, x: &[T], weight: &[f32]) -> Result<Vec<T>> {
        self.check("x", x, self.shape.image() * self.shape.n)?;
        self.check("weight", weight, self.weights())?;
        let mut y = vec![T::default(); self.shape.n * self.shape.out_image()];
        forward(&self.shape, x, weight, &Epilogue::default(), &mut y);
        Ok(y)
    }

    fn data_gradient_in<T: Number>(&self, weight: &[f32], grad: &[T]) -> Result<Vec<T>> {
        self.check("weight", weight, self.weights())?;
        self.check("grad", grad, self.shape.out_image() * self.shape.n)?;
        let mut dx = vec![T::default(); self.shape.n * self.shape.image()];
        data_gradient(&self.shape, weight, grad, &Epilogue::default(), &mut dx);
        Ok(dx)
    }

    fn weight_gradient_in<T: Number>(&self, x: &[T], grad: &[T]) -> Result<Vec<f32>> {
        self.check("x", x, self.shape.image() * self.shape.n)?;
        self.check("grad", grad, self.shape.out_image() * self.shape.n)?;
        Ok(weight_gradient(&self.shape, x, grad))
    }

    fn weights(&self) -> usize {
        self.shape.c_out * self.shape.c_in * self.shape.taps()
    }

    fn check<T>(&self, what: &str, slice: &[T], expected: usize) -> Result<()> {
        if slice.len() != expected {
            bail!(
                "NhwcConv: {what} of {:?}: expected {expected} numbers, found {}",
                self.shape,
                slice.len()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_three_is_filtered_there_and_back() -> Result<()> {
        let conv = NhwcConv::new(1, (1, 3), (1, 1), (1, 2), ConvConfig::default())?;
        assert_eq!((conv.output(), conv.operations()), ((1, 2), 8.0));
        assert_eq!(conv.forward(&[1.0, 2.0, 3.0], &[10.0, 1.0])?, [12.0, 23.0]);
        assert_eq!(
            conv.data_gradient(&[10.0, 1.0], &[1.0, 2.0])?,
            [10.0, 21.0, 2.0]
        );
        assert_eq!(
            conv.weight_gradient(&[1.0, 2.0, 3.0], &[1.0, 2.0])?,
            [5.0, 8.0]
        );
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_an_error() -> Result<()> {
        assert!(NhwcConv::new(1, (1, 3), (0, 1), (1, 1), ConvConfig::default()).is_err());
        let conv = NhwcConv::new(1, (1, 3), (1, 1), (1, 2), ConvConfig::default())?;
        let message = conv
            .forward(&[1.0], &[1.0, 2.0])
            .expect_err("too short")
            .to_string();
        assert!(message.contains("expected 3 numbers, found 1"), "{message}");
        Ok(())
    }
}
