//! Squares of channels from one basis to another.
#![expect(
    unsafe_code,
    reason = "results are written through pointers, checked once"
)]
#![expect(
    clippy::inline_always,
    reason = "vectors stay in registers only where everything is compiled for the set at once"
)]

use super::square::Square;
use super::transform::{Gradient, Input, Taps, Transform, Weight};
use crate::isa::Isa;
use crate::microkernels::lanes::{Lanes, Work, on, store};

/// Where results go: the first one's place, and from one to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub(crate) first: usize,
    pub(crate) stride: usize,
}

/// Writes `Bᵀ d B`, 36 rows, of a window of the input.
///
/// # Panics
/// Where the target is too short.
pub(crate) fn input(isa: Isa, window: &Square<'_, 6>, places: Places, target: &mut [f32]) {
    turn::<_, 6, 6>(isa, Input, window, places, target);
}

/// Writes `G w Gᵀ`, 36 rows, of the taps of a kernel.
///
/// # Panics
/// As [`input`].
pub(crate) fn weight(isa: Isa, taps: &Square<'_, 3>, places: Places, target: &mut [f32]) {
    turn::<_, 3, 6>(isa, Weight, taps, places, target);
}

/// Writes `A g Aᵀ`, 36 rows, of a tile of the output's gradient.
///
/// # Panics
/// As [`input`].
pub(crate) fn gradient(isa: Isa, tile: &Square<'_, 4>, places: Places, target: &mut [f32]) {
    turn::<_, 4, 6>(isa, Gradient, tile, places, target);
}

/// Writes `Gᵀ u G`, 9 rows, of sums at all points.
///
/// # Panics
/// As [`input`].
pub(crate) fn taps(isa: Isa, points: &Square<'_, 6>, places: Places, target: &mut [f32]) {
    turn::<_, 6, 3>(isa, Taps, points, places, target);
}

fn turn<T: Transform<N, M>, const N: usize, const M: usize>(
    isa: Isa,
    transform: T,
    square: &Square<'_, N>,
    places: Places,
    target: &mut [f32],
) {
    let Places { first, stride } = places;
    let end = first + (M * M - 1) * stride + square.channels();
    assert!(end <= target.len(), "room for the results");
    let turn = Turn::<_, N, M> {
        transform,
        square,
        stride,
        target: &mut target[first..],
    };
    // SAFETY: there is room for the results, as was just seen.
    unsafe { on(isa, turn) };
}

/// The first pass: of each column of a vector of channels from `at` on.
#[inline(always)]
pub(super) fn columns<
    V: Lanes,
    T: Transform<N, M>,
    const IS_WHOLE: bool,
    const N: usize,
    const M: usize,
>(
    transform: T,
    square: &Square<'_, N>,
    at: usize,
) -> [[V; M]; N] {
    let mut half = [[V::zero(); M]; N];
    for (x, half) in half.iter_mut().enumerate() {
        *half = transform.apply(square.column::<V, IS_WHOLE>(x, at));
    }
    half
}

/// The second: of row `y` of what the first has made.
#[inline(always)]
pub(super) fn row<V: Lanes, T: Transform<N, M>, const N: usize, const M: usize>(
    transform: T,
    half: &[[V; M]; N],
    y: usize,
) -> [V; M] {
    let mut values = [half[0][0]; N];
    for (value, column) in values.iter_mut().zip(half) {
        *value = column[y];
    }
    transform.apply(values)
}

struct Turn<'a, T, const N: usize, const M: usize> {
    transform: T,
    square: &'a Square<'a, N>,
    stride: usize,
    /// Has room, as [`turn`] has seen.
    target: &'a mut [f32],
}

impl<T: Transform<N, M>, const N: usize, const M: usize> Work for Turn<'_, T, N, M> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        let channels = self.square.channels();
        let whole = channels / V::LANES * V::LANES;
        for at in (0..whole).step_by(V::LANES) {
            self.channels::<V, true>(at, V::LANES);
        }
        if whole < channels {
            self.channels::<V, false>(whole, channels - whole);
        }
    }
}

impl<T: Transform<N, M>, const N: usize, const M: usize> Turn<'_, T, N, M> {
    /// `n` channels from `at` on.
    #[inline(always)]
    fn channels<V: Lanes, const IS_WHOLE: bool>(&mut self, at: usize, n: usize) {
        let half = columns::<V, T, IS_WHOLE, N, M>(self.transform, self.square, at);
        let mut to = self.target.as_mut_ptr().wrapping_add(at);
        for y in 0..M {
            for value in row(self.transform, &half, y) {
                // SAFETY: there is room for all channels of each result.
                unsafe { store::<f32, V, IS_WHOLE>(value, to, n) };
                to = to.wrapping_add(self.stride);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_turns_channel_by_channel_whatever_their_number() {
        // All taps 1: each point is the product of two sums of G's rows.
        let sums = [0.25, -0.5, -1.0 / 6.0, 7.0 / 24.0, 1.0 / 8.0, 1.0];
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for channels in [1, 7, 16, 29, 32] {
                let row: Vec<_> = (0..channels).map(|c| c as f32).collect();
                let taps = Square::of_rows(&row, 0, channels);
                let (mut target, stride) = (vec![f32::NAN; 36 * 40], 40);
                let places = Places { first: 2, stride };
                weight(isa, &taps, places, &mut target);
                for (point, found) in target.chunks_exact(40).enumerate() {
                    let factor: f32 = sums[point / 6] * sums[point % 6];
                    for (c, found) in found[2..2 + channels].iter().enumerate() {
                        assert!((found - factor * c as f32).abs() < 1e-5);
                    }
                    assert!(found[1].is_nan() && found[2 + channels].is_nan());
                }
            }
        }
    }
}
