//! Strides, padding and what they make of a size.

use candle_core::{Result, bail};

/// How a window walks over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvConfig {
    /// Step, `(vertical, horizontal)`, at least 1.
    pub stride: (usize, usize),
    /// Zeros added on either side, `(vertical, horizontal)`.
    pub padding: (usize, usize),
}

impl Default for ConvConfig {
    /// Stride 1, no padding.
    fn default() -> Self {
        Self {
            stride: (1, 1),
            padding: (0, 0),
        }
    }
}

impl ConvConfig {
    /// Size of the output: `⌊(size + 2 padding - kernel) / stride⌋ + 1` on each axis.
    ///
    /// # Errors
    /// Where the stride or the kernel is 0, or the padded image is smaller than the kernel.
    pub fn output(&self, size: (usize, usize), kernel: (usize, usize)) -> Result<(usize, usize)> {
        let axis = |size: usize, kernel: usize, padding: usize, stride: usize| {
            let room = (size + 2 * padding).checked_sub(kernel)?;
            Some(room.checked_div(stride)? + 1)
        };
        let out = axis(size.0, kernel.0, self.padding.0, self.stride.0)
            .zip(axis(size.1, kernel.1, self.padding.1, self.stride.1))
            .filter(|_| kernel.0 > 0 && kernel.1 > 0);
        match out {
            Some(out) => Ok(out),
            None => bail!("a window of {kernel:?} with {self:?} does not fit an image of {size:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_formula() {
        let config = |stride, padding| ConvConfig { stride, padding };
        let plain = ConvConfig::default();
        assert_eq!(plain.output((5, 7), (3, 1)).expect("fits"), (3, 7));
        assert_eq!(
            config((2, 2), (0, 0))
                .output((160, 8), (3, 3))
                .expect("fits"),
            (79, 3)
        );
        assert_eq!(
            config((1, 1), (0, 3)).output((8, 8), (1, 7)).expect("fits"),
            (8, 8)
        );
        assert_eq!(
            config((1, 2), (1, 1)).output((1, 1), (3, 3)).expect("fits"),
            (1, 1)
        );
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert!(ConvConfig::default().output((2, 5), (3, 3)).is_err());
        assert!(ConvConfig::default().output((2, 5), (0, 1)).is_err());
        let config = ConvConfig {
            stride: (0, 1),
            padding: (0, 0),
        };
        assert!(config.output((5, 5), (3, 3)).is_err());
    }
}
