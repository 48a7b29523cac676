//! Images as matrices of windows, and back.

use crate::config::ConvConfig;
use crate::own::element::Element;

/// Sizes of one convolution, of one image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) channels: usize,
    pub(crate) size: (usize, usize),
    pub(crate) kernel: (usize, usize),
    pub(crate) out: (usize, usize),
    pub(crate) config: ConvConfig,
}

impl Geometry {
    /// Rows of the window matrix: one for each channel and tap.
    pub(crate) fn rows(&self) -> usize {
        self.channels * self.kernel.0 * self.kernel.1
    }

    /// Its columns: one for each output pixel.
    pub(crate) fn pixels(&self) -> usize {
        self.out.0 * self.out.1
    }

    /// Elements of the image.
    pub(crate) fn image(&self) -> usize {
        self.channels * self.size.0 * self.size.1
    }

    /// Whether the window matrix is the image itself.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.kernel == (1, 1) && self.config == ConvConfig::default()
    }

    /// Calls `f(row, first output pixel, first input pixel, n)` for each stretch of output
    /// pixels of one row whose tap lies inside the image; input pixels step by the horizontal
    /// stride.
    pub(crate) fn stretches(&self, mut f: impl FnMut(usize, usize, usize, usize)) {
        let (kh, kw) = self.kernel;
        for row in 0..self.rows() {
            let (channel, ky, kx) = (row / (kh * kw), row / kw % kh, row % kw);
            let (first, end) = inside(
                self.size.1,
                self.out.1,
                kx,
                self.config.stride.1,
                self.config.padding.1,
            );
            if first >= end {
                continue;
            }
            for oy in 0..self.out.0 {
                let Some(y) = (oy * self.config.stride.0 + ky).checked_sub(self.config.padding.0)
                else {
                    continue;
                };
                if y < self.size.0 {
                    let x = first * self.config.stride.1 + kx - self.config.padding.1;
                    let from = (channel * self.size.0 + y) * self.size.1 + x;
                    f(row, oy * self.out.1 + first, from, end - first);
                }
            }
        }
    }
}

/// The output positions `first..end` whose tap `k` lies inside an axis of `size`.
fn inside(size: usize, out: usize, k: usize, stride: usize, padding: usize) -> (usize, usize) {
    let first = padding.saturating_sub(k).div_ceil(stride);
    let end = (size + padding).saturating_sub(k).div_ceil(stride);
    (first, end.min(out))
}

/// Fills `columns` `[rows, pixels]` with the windows of `image`; what lies outside is 0.
pub(crate) fn gather<T: Element>(geometry: &Geometry, image: &[T], columns: &mut [T]) {
    columns.fill(T::default());
    let (pixels, stride) = (geometry.pixels(), geometry.config.stride.1);
    geometry.stretches(|row, to, from, n| {
        let to = &mut columns[row * pixels + to..][..n];
        if stride == 1 {
            to.copy_from_slice(&image[from..from + n]);
        } else {
            let taps = image[from..].iter().step_by(stride);
            to.iter_mut().zip(taps).for_each(|(to, &tap)| *to = tap);
        }
    });
}

/// Adds each window of `columns` back onto the image it came from.
pub(crate) fn scatter_add<T: Element>(geometry: &Geometry, columns: &[T], image: &mut [T]) {
    let (pixels, stride) = (geometry.pixels(), geometry.config.stride.1);
    geometry.stretches(|row, from, to, n| {
        let from = &columns[row * pixels + from..][..n];
        let taps = image[to..].iter_mut().step_by(stride);
        taps.zip(from).for_each(|(tap, &value)| *tap += value);
    });
}
