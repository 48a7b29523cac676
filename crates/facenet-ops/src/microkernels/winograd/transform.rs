//! Winograd's F(4 x 4, 3 x 3) along one axis, with the points 0, 1, -1, 2, -2 and infinity
//! (A. Lavin and S. Gray, arXiv:1509.09308), on lanes of channels.
//!
//! In two dimensions each is applied along both. Factors other than powers of two occur on weights
//! only: the others round nothing but sums.
#![expect(
    clippy::inline_always,
    reason = "vectors stay in registers only where everything is compiled for the set at once"
)]

use crate::microkernels::lanes::Lanes;

/// A transform along one axis. A trait, since closures are called rather than compiled for the
/// set of their caller.
pub(super) trait Transform<const N: usize, const M: usize>: Copy {
    fn apply<V: Lanes>(self, values: [V; N]) -> [V; M];
}

#[inline(always)]
fn sum_and_difference<V: Lanes>(a: V, b: V) -> (V, V) {
    (a.plus(b), a.minus(b))
}

/// `Bᵀ d`: six neighbours of the input.
#[derive(Clone, Copy)]
pub(super) struct Input;

impl Transform<6, 6> for Input {
    #[inline(always)]
    fn apply<V: Lanes>(self, d: [V; 6]) -> [V; 6] {
        let (even, odd) = (d[4].minus(d[2]), d[3].minus(d[1]));
        let (a, b) = (d[4].plus_times(d[2], -4.0), d[3].plus_times(d[1], -4.0));
        let (one, minus_one) = sum_and_difference(a, b);
        let (two, minus_two) = (even.plus_times(odd, 2.0), even.plus_times(odd, -2.0));
        let first = even.plus_times(d[0].minus(d[2]), 4.0);
        let last = d[5].minus(d[3]).plus_times(odd, -4.0);
        [first, one, minus_one, two, minus_two, last]
    }
}

/// `G w`: three taps.
#[derive(Clone, Copy)]
pub(super) struct Weight;

impl Transform<3, 6> for Weight {
    #[inline(always)]
    fn apply<V: Lanes>(self, w: [V; 3]) -> [V; 6] {
        let outer = w[0].plus(w[2]).times(V::all(-1.0 / 6.0));
        let (minus_one, one) = (
            outer.plus_times(w[1], 1.0 / 6.0),
            outer.plus_times(w[1], -1.0 / 6.0),
        );
        let outer = w[0].times(V::all(1.0 / 24.0)).plus_times(w[2], 1.0 / 6.0);
        let (two, minus_two) = (
            outer.plus_times(w[1], 1.0 / 12.0),
            outer.plus_times(w[1], -1.0 / 12.0),
        );
        [
            w[0].times(V::all(0.25)),
            one,
            minus_one,
            two,
            minus_two,
            w[2],
        ]
    }
}

/// `Aᵀ m`: four outputs of the products.
#[derive(Clone, Copy)]
pub(super) struct Output;

impl Transform<6, 4> for Output {
    #[inline(always)]
    fn apply<V: Lanes>(self, m: [V; 6]) -> [V; 4] {
        let (a, b) = sum_and_difference(m[1], m[2]);
        let (c, d) = sum_and_difference(m[3], m[4]);
        [
            m[0].plus(a).plus(c),
            b.plus_times(d, 2.0),
            a.plus_times(c, 4.0),
            b.plus_times(d, 8.0).plus(m[5]),
        ]
    }
}

/// `A g`: four gradients of outputs.
#[derive(Clone, Copy)]
pub(super) struct Gradient;

impl Transform<4, 6> for Gradient {
    #[inline(always)]
    fn apply<V: Lanes>(self, g: [V; 4]) -> [V; 6] {
        let (one, minus_one) = sum_and_difference(g[0].plus(g[2]), g[1].plus(g[3]));
        let even = g[0].plus_times(g[2], 4.0);
        let odd = g[1].times(V::all(2.0)).plus_times(g[3], 8.0);
        let (two, minus_two) = sum_and_difference(even, odd);
        [g[0], one, minus_one, two, minus_two, g[3]]
    }
}

/// `Gᵀ u`: the gradients of three taps of the sums of products.
#[derive(Clone, Copy)]
pub(super) struct Taps;

impl Transform<6, 3> for Taps {
    #[inline(always)]
    fn apply<V: Lanes>(self, u: [V; 6]) -> [V; 3] {
        let (a, b) = sum_and_difference(u[2], u[1]);
        let (c, d) = sum_and_difference(u[3], u[4]);
        let first = u[0].times(V::all(0.25)).plus_times(a, -1.0 / 6.0);
        [
            first.plus_times(c, 1.0 / 24.0),
            b.times(V::all(1.0 / 6.0)).plus_times(d, 1.0 / 12.0),
            u[5].plus_times(c.minus(a), 1.0 / 6.0),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANES: usize = 8;

    const D: [f32; 6] = [1.0, -2.0, 3.0, 5.0, 7.0, -11.0];

    fn lanes<const N: usize>(values: [f32; N]) -> [[f32; LANES]; N] {
        values.map(|value| [value; LANES])
    }

    fn products(a: &[[f32; LANES]; 6], b: &[[f32; LANES]; 6]) -> [[f32; LANES]; 6] {
        std::array::from_fn(|point| [a[point][0] * b[point][0]; LANES])
    }

    #[track_caller]
    fn check<const N: usize>(found: [[f32; LANES]; N], expected: impl Fn(usize) -> f32) {
        for (at, found) in found.into_iter().enumerate() {
            assert!((found[7] - expected(at)).abs() < 1e-4, "{found:?}");
        }
    }

    /// Products of transformed inputs and weights, turned back, are the convolution.
    #[test]
    fn a_row_of_six_is_convolved_with_three_taps() {
        let w = [2.0, 3.0, -1.0];
        let m = products(&Input.apply(lanes(D)), &Weight.apply(lanes(w)));
        let y = |at: usize| (0..3).map(|tap| D[at + tap] * w[tap]).sum();
        check(Output.apply(m), y);
    }

    /// The transpose: gradients of four outputs and six inputs give those of three taps.
    #[test]
    fn taps_have_the_gradient_of_their_products() {
        let g = [2.0, 3.0, -1.0, 4.0];
        let u = products(&Input.apply(lanes(D)), &Gradient.apply(lanes(g)));
        let dw = |tap: usize| (0..4).map(|at| D[at + tap] * g[at]).sum();
        check(Taps.apply(u), dw);
    }
}
