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

/// Where an image's pixels stand in the rows of a matrix that several images share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Columns of the matrix.
    pub(crate) width: usize,
    /// The image's first column.
    pub(crate) first: usize,
}

/// Places of `n` images of `pixels` output pixels, side by side.
pub(crate) fn places(n: usize, pixels: usize) -> impl Iterator<Item = Place> {
    let width = n * pixels;
    (0..n).map(move |image| Place {
        width,
        first: image * pixels,
    })
}

/// Fills the image's columns, which are zero, with its windows; what lies outside stays zero.
pub(crate) fn gather<T: Element>(
    geometry: &Geometry,
    image: &[T],
    columns: &mut [T],
    place: Place,
) {
    let stride = geometry.config.stride.1;
    geometry.stretches(|row, to, from, n| {
        let to = &mut columns[row * place.width + place.first + to..][..n];
        if stride == 1 {
            to.copy_from_slice(&image[from..from + n]);
        } else {
            let taps = image[from..].iter().step_by(stride);
            to.iter_mut().zip(taps).for_each(|(to, &tap)| *to = tap);
        }
    });
}

/// Adds each window of the image's columns back onto the image it came from.
pub(crate) fn scatter_add<T: Element>(
    geometry: &Geometry,
    columns: &[T],
    image: &mut [T],
    place: Place,
) {
    let stride = geometry.config.stride.1;
    geometry.stretches(|row, from, to, n| {
        let from = &columns[row * place.width + place.first + from..][..n];
        let taps = image[to..].iter_mut().step_by(stride);
        taps.zip(from).for_each(|(tap, &value)| *tap += value);
    });
}

/// Copies images `[n, rows, pixels]` into one matrix `[rows, n pixels]`.
pub(crate) fn join<T: Element>(images: &[T], rows: usize, pixels: usize, joined: &mut [T]) {
    let images = images.chunks_exact(rows * pixels);
    for (image, place) in images.clone().zip(places(images.len(), pixels)) {
        let to = joined.chunks_exact_mut(place.width);
        for (to, from) in to.zip(image.chunks_exact(pixels)) {
            to[place.first..place.first + pixels].copy_from_slice(from);
        }
    }
}

/// Copies one matrix `[rows, n pixels]` apart into images `[n, rows, pixels]`.
pub(crate) fn part<T: Element>(joined: &[T], rows: usize, pixels: usize, images: &mut [T]) {
    let n = images.len() / (rows * pixels);
    let images = images.chunks_exact_mut(rows * pixels);
    for (image, place) in images.zip(places(n, pixels)) {
        let from = joined.chunks_exact(place.width);
        for (from, to) in from.zip(image.chunks_exact_mut(pixels)) {
            to.copy_from_slice(&from[place.first..place.first + pixels]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_stand_side_by_side_and_come_apart_again() {
        // Two images of two rows of three pixels.
        let images: Vec<f32> = (0..12_u8).map(f32::from).collect();
        let mut joined = [0.0; 12];
        join(&images, 2, 3, &mut joined);
        assert_eq!(joined[..6], [0.0, 1.0, 2.0, 6.0, 7.0, 8.0]);
        assert_eq!(joined[6..], [3.0, 4.0, 5.0, 9.0, 10.0, 11.0]);
        let mut apart = [0.0; 12];
        part(&joined, 2, 3, &mut apart);
        assert_eq!(apart, *images);
    }
}
