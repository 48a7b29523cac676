//! Rows of a component at the picture's size: libjpeg's triangle filter where a sample belongs to
//! two pixels.
//!
//! A pixel lies a quarter of a sample from the nearest sample, and takes 3/4 of it and 1/4 of the
//! next nearest, along each axis; beyond the rim the samples at the rim go on. What is half way
//! is rounded up and down by turns.

use super::planes::Plane;
use crate::picture::Area;

/// A component this narrow is not filtered, but repeated, where it is stretched sideways.
const TOO_NARROW: usize = 2;

/// Makes rows of a component.
pub(super) struct Rows<'a> {
    plane: &'a Plane,
    left: usize,
    width: usize,
    /// Sums of two rows, with a column more at each end.
    sums: Vec<u16>,
    row: Vec<u8>,
}

impl<'a> Rows<'a> {
    /// Rows of the window's columns.
    pub(super) fn new(plane: &'a Plane, window: Area) -> Self {
        let n_samples =
            (window.left + window.width).div_ceil(plane.across) - window.left / plane.across;
        Self {
            plane,
            left: window.left,
            width: window.width,
            sums: vec![0; n_samples + 2],
            row: vec![0; plane.across * n_samples],
        }
    }

    /// Row `y` of the picture.
    #[inline(always)]
    pub(super) fn at(&mut self, y: usize) -> &[u8] {
        let plane = self.plane;
        let is_filtered = plane.across == 1 || plane.width > TOO_NARROW;
        match (plane.across, plane.down) {
            (1, 1) => {
                let (row, first) = plane.row(y);
                return &row[self.left - first..][..self.width];
            }
            (_, down) if !is_filtered => self.repeat(y / down),
            (1, _) => {
                let bias = 1 + (y % 2) as u16;
                self.sum(y);
                shrink(&self.sums, &mut self.row, bias);
            }
            (_, 1) => {
                self.sum(y);
                stretch::<2>(&self.sums, &mut self.row, [1, 2]);
            }
            _ => {
                self.sum(y);
                stretch::<4>(&self.sums, &mut self.row, [8, 7]);
            }
        }
        &self.row[self.left % plane.across..][..self.width]
    }

    fn repeat(&mut self, y: usize) {
        let (samples, first) = self.plane.row(y);
        let samples = &samples[self.left / 2 - first..];
        for (pair, &sample) in self.row.chunks_exact_mut(2).zip(samples) {
            pair.fill(sample);
        }
    }

    /// Sums of the two rows of samples that row `y` lies between; the samples themselves where
    /// it lies on one.
    #[inline(always)]
    fn sum(&mut self, y: usize) {
        let plane = self.plane;
        let near = y / plane.down;
        let far = match (plane.down, y % 2) {
            (1, _) => near,
            (_, 0) => near.saturating_sub(1),
            _ => (near + 1).min(plane.height - 1),
        };
        let ((near, first), (far, _)) = (plane.row(near), plane.row(far));
        let start = self.left / plane.across;
        let n = self.sums.len() - 2;
        let place = start - first..start - first + n;
        let sum = |near: u8, far: u8| match plane.down {
            1 => u16::from(near),
            _ => 3 * u16::from(near) + u16::from(far),
        };
        let pairs = near[place.clone()].iter().zip(&far[place]);
        for (to, (&near, &far)) in self.sums[1..].iter_mut().zip(pairs) {
            *to = sum(near, far);
        }
        if plane.across == 1 {
            return; // what lies beside is not needed, and may not be kept
        }
        for (to, column) in [
            (0, start.saturating_sub(1)),
            (n + 1, (start + n).min(plane.width - 1)),
        ] {
            self.sums[to] = sum(near[column - first], far[column - first]);
        }
    }
}

/// Pixels from sums of two rows.
#[inline(always)]
fn shrink(sums: &[u16], row: &mut [u8], bias: u16) {
    for (pixel, &sum) in row.iter_mut().zip(&sums[1..]) {
        *pixel = (sum.wrapping_add(bias) >> 2) as u8;
    }
}

/// Two pixels a sum, from it and its neighbours.
#[inline(always)]
fn stretch<const SHIFT: u32>(sums: &[u16], row: &mut [u8], bias: [u16; 2]) {
    let (pairs, _) = row.as_chunks_mut::<2>();
    let n = pairs.len();
    let (before, here, after) = (&sums[..n], &sums[1..][..n], &sums[2..][..n]);
    // A sum is at most 4 * 255, but a compiler cannot know: it would look for overflows.
    let pixel = |near: u16, far: u16, bias: u16| {
        let sum = near.wrapping_mul(3).wrapping_add(far).wrapping_add(bias);
        (sum >> SHIFT) as u8
    };
    for i in 0..n {
        pairs[i] = [
            pixel(here[i], before[i], bias[0]),
            pixel(here[i], after[i], bias[1]),
        ];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<const SHIFT: u32>(samples: &[u16], bias: [u16; 2], expected: &[u8]) {
        let mut sums = samples.to_vec();
        sums.insert(0, samples[0]);
        sums.push(samples[samples.len() - 1]);
        let mut row = vec![0; 2 * samples.len()];
        stretch::<SHIFT>(&sums, &mut row, bias);
        assert_eq!(row, expected);
    }

    #[test]
    fn pixels_take_three_quarters_of_the_nearest_sample() {
        check::<2>(&[8, 16], [1, 2], &[8, 10, 14, 16]);
        check::<2>(&[0, 2, 0], [1, 2], &[0, 1, 1, 2, 0, 0]); // halves down and up by turns
        check::<4>(&[4 * 8, 4 * 16], [8, 7], &[8, 10, 14, 16]);
        check::<4>(&[1020, 1020], [8, 7], &[255; 4]);
    }
}
