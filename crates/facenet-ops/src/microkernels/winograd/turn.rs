//! Tiles of channels from one basis to another.
#![expect(
    clippy::inline_always,
    reason = "vectors stay in registers only where everything is compiled for the set at once"
)]

use super::lanes::{LANES, Lanes, Work, on};
use super::transform::{Gradient, Input, Taps, Transform, Weight};
use crate::isa::Isa;

/// A tile of `N x N` rows of channels.
pub(crate) type Tile<'a, const N: usize> = [[&'a [f32]; N]; N];

/// Where results go: the first one's place, and from one to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub(crate) first: usize,
    pub(crate) stride: usize,
}

/// Writes `Bᵀ d B`, 36 rows, of a window of the input.
///
/// # Panics
/// Where rows differ in length, or the target is too short.
pub(crate) fn input(isa: Isa, window: &Tile<'_, 6>, places: Places, target: &mut [f32]) {
    turn::<_, 6, 6>(isa, Input, window, places, target);
}

/// Writes `G w Gᵀ`, 36 rows, of the taps of a kernel.
///
/// # Panics
/// As [`input`].
pub(crate) fn weight(isa: Isa, taps: &Tile<'_, 3>, places: Places, target: &mut [f32]) {
    turn::<_, 3, 6>(isa, Weight, taps, places, target);
}

/// Writes `A g Aᵀ`, 36 rows, of a tile of the output's gradient.
///
/// # Panics
/// As [`input`].
pub(crate) fn gradient(isa: Isa, tile: &Tile<'_, 4>, places: Places, target: &mut [f32]) {
    turn::<_, 4, 6>(isa, Gradient, tile, places, target);
}

/// Writes `Gᵀ u G`, 9 rows, of sums at all points.
///
/// # Panics
/// As [`input`].
pub(crate) fn taps(isa: Isa, points: &Tile<'_, 6>, places: Places, target: &mut [f32]) {
    turn::<_, 6, 3>(isa, Taps, points, places, target);
}

fn turn<T: Transform<N, M>, const N: usize, const M: usize>(
    isa: Isa,
    transform: T,
    tile: &Tile<'_, N>,
    places: Places,
    target: &mut [f32],
) {
    let turn = Turn::<_, N, M> {
        transform,
        tile,
        stride: places.stride,
        target: &mut target[places.first..],
    };
    on(isa, turn);
}

/// The vector at `at` of each row.
#[inline(always)]
pub(super) fn vectors<V: Lanes, const N: usize>(tile: &Tile<'_, N>, at: usize) -> [[V; N]; N] {
    let mut vectors = [[V::load(&[0.0; LANES]); N]; N];
    for (vectors, rows) in vectors.iter_mut().zip(tile) {
        for (vector, row) in vectors.iter_mut().zip(rows) {
            *vector = V::load(row[at..].first_chunk().expect("a whole vector"));
        }
    }
    vectors
}

/// What is left of each row from `at` on, and zeros.
#[inline(always)]
pub(super) fn tails<V: Lanes, const N: usize>(tile: &Tile<'_, N>, at: usize) -> [[V; N]; N] {
    let mut vectors = [[V::load(&[0.0; LANES]); N]; N];
    for (vectors, rows) in vectors.iter_mut().zip(tile) {
        for (vector, row) in vectors.iter_mut().zip(rows) {
            let mut padded = [0.0; LANES];
            padded[..row.len() - at].copy_from_slice(&row[at..]);
            *vector = V::load(&padded);
        }
    }
    vectors
}

/// The first pass: of each column.
#[inline(always)]
pub(super) fn columns<V: Lanes, T: Transform<N, M>, const N: usize, const M: usize>(
    transform: T,
    tile: &[[V; N]; N],
) -> [[V; M]; N] {
    let mut half = [[tile[0][0]; M]; N];
    for (x, half) in half.iter_mut().enumerate() {
        let mut column = [tile[0][0]; N];
        for (value, row) in column.iter_mut().zip(tile) {
            *value = row[x];
        }
        *half = transform.apply(column);
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
    tile: &'a Tile<'a, N>,
    stride: usize,
    target: &'a mut [f32],
}

impl<T: Transform<N, M>, const N: usize, const M: usize> Work for Turn<'_, T, N, M> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let channels = self.tile[0][0].len();
        let whole = channels / LANES * LANES;
        for at in (0..whole).step_by(LANES) {
            let half = columns(self.transform, &vectors::<V, N>(self.tile, at));
            let mut places = self.target[at..].chunks_mut(self.stride);
            for y in 0..M {
                let row = row(self.transform, &half, y);
                for (value, place) in row.into_iter().zip(&mut places) {
                    value.store(place.first_chunk_mut().expect("room for a vector"));
                }
            }
        }
        if whole < channels {
            let half = columns(self.transform, &tails::<V, N>(self.tile, whole));
            let mut places = self.target[whole..].chunks_mut(self.stride);
            for y in 0..M {
                let row = row(self.transform, &half, y);
                for (value, place) in row.into_iter().zip(&mut places) {
                    let mut values = [0.0; LANES];
                    value.store(&mut values);
                    place[..channels - whole].copy_from_slice(&values[..channels - whole]);
                }
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
                let (mut target, stride) = (vec![f32::NAN; 36 * 40], 40);
                let places = Places { first: 2, stride };
                weight(isa, &[[&row[..]; 3]; 3], places, &mut target);
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
