//! The three passes of a convolution on NHWC activations; weights are OIHW.

use candle_core::{Result, bail};

use crate::config::ConvConfig;
use crate::isa::Isa;
use crate::microkernels::{Epilogue, implicit, weights};
use crate::nhwc::panels::Panels;
use crate::nhwc::plan::{ConvShape, Plan};
use crate::nhwc::weight_plan::WeightPlan;

/// Writes the output with its epilogue, `[n, out_h, out_w, c_out]`.
pub(crate) fn forward(
    shape: &ConvShape,
    x: &[f32],
    weight: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) {
    let panels = Panels::forward(shape, weight, Isa::current());
    forward_packed(shape, x, &panels, epilogue, y);
    panels.give_back();
}

/// [`forward`] with its weights packed.
pub(crate) fn forward_packed(
    shape: &ConvShape,
    x: &[f32],
    panels: &Panels,
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) {
    implicit::run(&Plan::forward(shape), shape.n, x, panels, epilogue, y);
}

/// Writes the input's gradient, `[n, h, w, c_in]`, of the output's, with an epilogue.
pub(crate) fn data_gradient(
    shape: &ConvShape,
    weight: &[f32],
    grad: &[f32],
    epilogue: &Epilogue<'_>,
    dx: &mut [f32],
) {
    let panels = Panels::gradient(shape, weight, Isa::current());
    implicit::run(&Plan::gradient(shape), shape.n, grad, &panels, epilogue, dx);
    panels.give_back();
}

/// The weight's gradient, `[c_out, c_in, kh, kw]`, of the output's.
pub(crate) fn weight_gradient(shape: &ConvShape, x: &[f32], grad: &[f32]) -> Vec<f32> {
    weights::gradient(shape, &WeightPlan::new(shape), x, grad, Isa::current())
}

/// A dense convolution of NHWC slices, `f32`, threaded by rayon, with no tensors around it.
///
/// Weights are `[c_out, c_in, kh, kw]`. No bit of a result depends on the number of threads.
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
        Ok(Self { shape })
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
        self.check("x", x, self.shape.image() * self.shape.n)?;
        self.check("weight", weight, self.weights())?;
        let mut y = vec![0.0; self.shape.n * self.shape.out_image()];
        forward(&self.shape, x, weight, &Epilogue::default(), &mut y);
        Ok(y)
    }

    /// The input's gradient of the output's.
    ///
    /// # Errors
    /// Where a slice has another length.
    pub fn data_gradient(&self, weight: &[f32], grad: &[f32]) -> Result<Vec<f32>> {
        self.check("weight", weight, self.weights())?;
        self.check("grad", grad, self.shape.out_image() * self.shape.n)?;
        let mut dx = vec![0.0; self.shape.n * self.shape.image()];
        data_gradient(&self.shape, weight, grad, &Epilogue::default(), &mut dx);
        Ok(dx)
    }

    /// The weight's gradient of the output's.
    ///
    /// # Errors
    /// Where a slice has another length.
    pub fn weight_gradient(&self, x: &[f32], grad: &[f32]) -> Result<Vec<f32>> {
        self.check("x", x, self.shape.image() * self.shape.n)?;
        self.check("grad", grad, self.shape.out_image() * self.shape.n)?;
        Ok(weight_gradient(&self.shape, x, grad))
    }

    fn weights(&self) -> usize {
        self.shape.c_out * self.shape.c_in * self.shape.taps()
    }

    fn check(&self, what: &str, slice: &[f32], expected: usize) -> Result<()> {
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
