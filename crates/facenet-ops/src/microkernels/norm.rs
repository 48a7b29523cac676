//! Batch normalisation: rows of channels, in blocks of rows and vectors of channels.
#![expect(unsafe_code, reason = "kernels take pointers")]
#![expect(
    clippy::inline_always,
    reason = "vectors stay in registers only where everything is compiled for the set at once"
)]
#![expect(
    clippy::needless_range_loop,
    reason = "a vector's number counts in several arrays"
)]

mod bend;
#[cfg(test)]
mod oracle;
mod rows;

use std::ops::Range;

use crate::isa::Isa;
use crate::microkernels::Activation;
use crate::microkernels::lanes::{Lanes, load, store};
use crate::number::Number;
use bend::{Bend, Bent, Rectified, Straight};
use rows::{Columns, OnRows, walk};

/// Runs `$call` with the activation as a type of its own.
macro_rules! with_bend {
    ($activation:expr, $bend:ident => $call:expr) => {
        match $activation {
            Activation::Identity => {
                let $bend = Straight;
                $call
            }
            Activation::Relu => {
                let $bend = Rectified;
                $call
            }
            Activation::Prelu(slopes) => {
                let $bend = Bent(slopes);
                $call
            }
        }
    };
}

/// `scale (x - mean) + bias` of each channel, and the activation that follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bends<'a> {
    pub(crate) scale: &'a [f32],
    pub(crate) mean: &'a [f32],
    pub(crate) bias: &'a [f32],
    pub(crate) activation: Activation<'a>,
}

impl Bends<'_> {
    /// Channels, where `len` numbers are rows of them.
    fn channels(&self, len: usize) -> usize {
        let c = self.scale.len();
        let is_whole = match self.activation {
            Activation::Prelu(slopes) => slopes.len() == c,
            Activation::Identity | Activation::Relu => true,
        };
        assert!(
            is_whole
                && self.mean.len() == c
                && self.bias.len() == c
                && len.is_multiple_of(c.max(1)),
            "vectors have a number for each channel of each row"
        );
        c
    }
}

/// Adds to `sums`, `[2, c]`, those of `x - pivot` and of its square over the rows.
///
/// # Panics
/// Where lengths disagree.
pub(crate) fn moments<T: Number>(isa: Isa, x: &[T], pivot: &[f32], sums: &mut [f64]) {
    let channels = pivot.len();
    assert!(x.len().is_multiple_of(channels.max(1)) && sums.len() == 2 * channels);
    let on_rows = Moments { x, pivot, sums };
    // SAFETY: whole rows of `x`, and a pivot and two sums for each channel, as was just seen.
    unsafe { walk(isa, x.len(), channels, on_rows) };
}

/// Writes `activation(scale (x - mean) + bias)`.
///
/// # Panics
/// Where lengths disagree.
pub(crate) fn normalise<T: Number>(isa: Isa, x: &[T], bends: Bends<'_>, z: &mut [T]) {
    let channels = bends.channels(x.len());
    assert_eq!(x.len(), z.len());
    let z = z.as_mut_ptr();
    let len = x.len();
    // SAFETY: whole rows of both, and vectors of all channels, as was just seen.
    unsafe {
        with_bend!(bends.activation, bend => walk(isa, len, channels, Normalise { x, bends, z, bend }));
    }
}

/// Adds to `sums`, `[3, c]`, those of the gradient `g` before the activation, of `g (x - mean)`,
/// and, where there are slopes, of the output's gradient times what is negative before the
/// activation.
///
/// # Panics
/// Where lengths disagree.
pub(crate) fn gradient_sums<T: Number>(
    isa: Isa,
    (x, grad): (&[T], &[T]),
    bends: Bends<'_>,
    sums: &mut [f64],
) {
    let channels = bends.channels(x.len());
    assert!(x.len() == grad.len() && sums.len() == 3 * channels);
    let len = x.len();
    // SAFETY: whole rows of both, and vectors of all channels, as was just seen.
    unsafe {
        with_bend!(bends.activation, bend => walk(isa, len, channels, Sums { x, grad, bends, totals: sums, bend }));
    }
}

/// Turns the output's gradient into `scale g + (slope (x - mean) + shift)`, where `g` is the
/// gradient before the activation.
///
/// - `own`: slope and shift of each channel
///
/// # Panics
/// Where lengths disagree.
pub(crate) fn gradient<T: Number>(
    isa: Isa,
    x: &[T],
    bends: Bends<'_>,
    own: (&[f32], &[f32]),
    grad: &mut [T],
) {
    let channels = bends.channels(x.len());
    assert!(x.len() == grad.len() && own.0.len() == channels && own.1.len() == channels);
    let (len, grad) = (x.len(), grad.as_mut_ptr());
    // SAFETY: whole rows of both, and vectors of all channels, as was just seen.
    unsafe {
        with_bend!(bends.activation, bend => walk(isa, len, channels, Gradient { x, grad, bends, own, bend }));
    }
}

/// [`moments`], which has seen the slices.
struct Moments<'a, T> {
    x: &'a [T],
    pivot: &'a [f32],
    sums: &'a mut [f64],
}

impl<T: Number> OnRows for Moments<'_, T> {
    #[inline(always)]
    unsafe fn block<V: Lanes, const G: usize, const WHOLE: bool>(
        &mut self,
        rows: Range<usize>,
        at: Columns,
    ) {
        let (mut sum, mut squares, mut pivot) = ([V::zero(); G], [V::zero(); G], [V::zero(); G]);
        let x = self.x.as_ptr();
        // SAFETY: the caller's promise.
        unsafe {
            for g in 0..G {
                pivot[g] = at.of::<V, WHOLE>(self.pivot, g);
            }
            for row in rows {
                for g in 0..G {
                    let x = load::<_, V, WHOLE>(x.wrapping_add(at.at::<V>(row, g)), at.n);
                    let d = x.minus(pivot[g]);
                    sum[g] = sum[g].plus(d);
                    squares[g] = squares[g].plus_product(d, d);
                }
            }
            let (of_d, of_squares) = self.sums.split_at_mut(at.channels);
            for g in 0..G {
                at.add(sum[g], g, of_d);
                at.add(squares[g], g, of_squares);
            }
        }
    }
}

/// Some vectors of [`Bends`].
struct Lines<V, const G: usize> {
    scale: [V; G],
    mean: [V; G],
    bias: [V; G],
    slope: [V; G],
}

impl<V: Lanes, const G: usize> Lines<V, G> {
    /// # Safety
    /// They are there.
    #[inline(always)]
    unsafe fn load<const WHOLE: bool>(bends: &Bends<'_>, bend: impl Bend, at: Columns) -> Self {
        let zeros = [V::zero(); G];
        let (scale, mean, bias, slope) = (zeros, zeros, zeros, zeros);
        let mut lines = Self {
            scale,
            mean,
            bias,
            slope,
        };
        for g in 0..G {
            // SAFETY: the caller's promise.
            unsafe {
                lines.scale[g] = at.of::<V, WHOLE>(bends.scale, g);
                lines.mean[g] = at.of::<V, WHOLE>(bends.mean, g);
                lines.bias[g] = at.of::<V, WHOLE>(bends.bias, g);
                if let Some(slopes) = bend.slopes() {
                    lines.slope[g] = at.of::<V, WHOLE>(slopes, g);
                }
            }
        }
        lines
    }
}

/// [`normalise`], which has seen the slices.
struct Normalise<'a, T, B> {
    x: &'a [T],
    bends: Bends<'a>,
    z: *mut T,
    bend: B,
}

impl<T: Number, B: Bend> OnRows for Normalise<'_, T, B> {
    #[inline(always)]
    unsafe fn block<V: Lanes, const G: usize, const WHOLE: bool>(
        &mut self,
        rows: Range<usize>,
        at: Columns,
    ) {
        let x = self.x.as_ptr();
        // SAFETY: the caller's promise.
        unsafe {
            let lines = Lines::<V, G>::load::<WHOLE>(&self.bends, self.bend, at);
            for row in rows {
                for g in 0..G {
                    let place = at.at::<V>(row, g);
                    let x = load::<_, V, WHOLE>(x.wrapping_add(place), at.n);
                    let y = lines.bias[g].plus_product(lines.scale[g], x.minus(lines.mean[g]));
                    let z = self.bend.forward(y, lines.slope[g]);
                    store::<_, V, WHOLE>(z, self.z.wrapping_add(place), at.n);
                }
            }
        }
    }
}

/// [`gradient_sums`], which has seen the slices.
struct Sums<'a, T, B> {
    x: &'a [T],
    grad: &'a [T],
    bends: Bends<'a>,
    totals: &'a mut [f64],
    bend: B,
}

impl<T: Number, B: Bend> OnRows for Sums<'_, T, B> {
    #[inline(always)]
    unsafe fn block<V: Lanes, const G: usize, const WHOLE: bool>(
        &mut self,
        rows: Range<usize>,
        at: Columns,
    ) {
        let zeros = [V::zero(); G];
        let (mut sum, mut product, mut negative) = (zeros, zeros, zeros);
        let (x, grad) = (self.x.as_ptr(), self.grad.as_ptr());
        // SAFETY: the caller's promise.
        unsafe {
            let lines = Lines::<V, G>::load::<WHOLE>(&self.bends, self.bend, at);
            for row in rows {
                for g in 0..G {
                    let place = at.at::<V>(row, g);
                    let d = load::<_, V, WHOLE>(x.wrapping_add(place), at.n).minus(lines.mean[g]);
                    let y = lines.bias[g].plus_product(lines.scale[g], d);
                    let grad = load::<_, V, WHOLE>(grad.wrapping_add(place), at.n);
                    let through = self.bend.backward(y, grad, lines.slope[g]);
                    sum[g] = sum[g].plus(through);
                    product[g] = product[g].plus_product(through, d);
                    if self.bend.slopes().is_some() {
                        let scaled = y.where_less(V::zero(), grad.times(y), V::zero());
                        negative[g] = negative[g].plus(scaled);
                    }
                }
            }
            let (of_sum, rest) = self.totals.split_at_mut(at.channels);
            let (of_product, of_negative) = rest.split_at_mut(at.channels);
            for g in 0..G {
                at.add(sum[g], g, of_sum);
                at.add(product[g], g, of_product);
                at.add(negative[g], g, of_negative);
            }
        }
    }
}

/// [`gradient`], which has seen the slices.
struct Gradient<'a, T, B> {
    x: &'a [T],
    grad: *mut T,
    bends: Bends<'a>,
    own: (&'a [f32], &'a [f32]),
    bend: B,
}

impl<T: Number, B: Bend> OnRows for Gradient<'_, T, B> {
    #[inline(always)]
    unsafe fn block<V: Lanes, const G: usize, const WHOLE: bool>(
        &mut self,
        rows: Range<usize>,
        at: Columns,
    ) {
        let (mut slope, mut shift) = ([V::zero(); G], [V::zero(); G]);
        let x = self.x.as_ptr();
        // SAFETY: the caller's promise.
        unsafe {
            let lines = Lines::<V, G>::load::<WHOLE>(&self.bends, self.bend, at);
            for g in 0..G {
                slope[g] = at.of::<V, WHOLE>(self.own.0, g);
                shift[g] = at.of::<V, WHOLE>(self.own.1, g);
            }
            for row in rows {
                for g in 0..G {
                    let place = at.at::<V>(row, g);
                    let d = load::<_, V, WHOLE>(x.wrapping_add(place), at.n).minus(lines.mean[g]);
                    let y = lines.bias[g].plus_product(lines.scale[g], d);
                    let to = self.grad.wrapping_add(place);
                    let grad = load::<_, V, WHOLE>(to.cast_const(), at.n);
                    let through = self.bend.backward(y, grad, lines.slope[g]);
                    let own = shift[g].plus_product(slope[g], d);
                    store::<_, V, WHOLE>(own.plus_product(lines.scale[g], through), to, at.n);
                }
            }
        }
    }
}
