//! Depthwise convolution: products of the same channels, in vectors of channels.
#![expect(unsafe_code, reason = "kernels take pointers")]
#![expect(
    clippy::inline_always,
    reason = "vectors stay in registers only where everything is compiled for the set at once"
)]

use crate::isa::Isa;
use crate::microkernels::lanes::{self, Lanes, Work, load, store};
use crate::nhwc::axis::Place;
use crate::number::Number;

/// What a tap reads: elements of the source from a pixel's on, and of the weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tap {
    pub(crate) source: usize,
    pub(crate) weight: usize,
}

/// Pixels of a row that read the same taps; places count elements.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) taps: Vec<Tap>,
    pub(crate) places: Vec<Place>,
    pub(crate) channels: usize,
}

impl Stretch {
    /// Writes the sum of the products of each pixel's taps, which is zero where it has none.
    ///
    /// # Panics
    /// Where a slice is too short.
    pub(crate) fn sum<T: Number>(&self, isa: Isa, source: &[T], weights: &[f32], target: &mut [T]) {
        self.check(source.len(), weights.len(), target.len());
        let sums = Sums {
            stretch: self,
            source: source.as_ptr(),
            weights: weights.as_ptr(),
            target: target.as_mut_ptr(),
        };
        // SAFETY: the slices hold all that the stretch reads and writes, as was just seen.
        unsafe { lanes::on(isa, sums) };
    }

    /// Adds to each tap's weights the products of its source and of `grad`, over the pixels.
    ///
    /// # Panics
    /// Where a slice is too short.
    pub(crate) fn add_products<T: Number>(
        &self,
        isa: Isa,
        source: &[T],
        grad: &[T],
        weights: &mut [f32],
    ) {
        self.check(source.len(), weights.len(), grad.len());
        let products = Products {
            stretch: self,
            source: source.as_ptr(),
            grad: grad.as_ptr(),
            weights: weights.as_mut_ptr(),
        };
        // SAFETY: as above.
        unsafe { lanes::on(isa, products) };
    }

    /// # Panics
    /// Where lengths do not hold what the kernels touch.
    fn check(&self, source: usize, weights: usize, target: usize) {
        let (taps, places) = (&self.taps, &self.places);
        let from = places.iter().map(|place| place.source).max();
        let to = places.iter().map(|place| place.target).max();
        let tap = taps.iter().map(|tap| tap.source).max();
        let weight = taps.iter().map(|tap| tap.weight).max();
        let is_inside =
            |first: Option<usize>, len| first.is_none_or(|at| at + self.channels <= len);
        let last = from.zip(tap).map(|(from, tap)| from + tap);
        assert!(
            is_inside(last, source) && is_inside(weight, weights) && is_inside(to, target),
            "slices hold what the stretch reads and writes"
        );
    }
}

/// Runs `$call` with the next of `$all` as `$own`, as many of the given numbers as there are,
/// until none are left.
macro_rules! in_chunks {
    ($all:expr, [$($n:literal),+], $own:ident => $call:expr) => {
        let mut left = $all;
        while !left.is_empty() {
            $(if let Some(($own, rest)) = left.split_first_chunk::<$n>() {
                $call;
                left = rest;
                continue;
            })+
        }
    };
}

/// [`Stretch::sum`], which has seen the slices.
struct Sums<'a, T> {
    stretch: &'a Stretch,
    source: *const T,
    weights: *const f32,
    target: *mut T,
}

impl<T: Number> Work for Sums<'_, T> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // SAFETY: the caller's promise.
        unsafe {
            in_chunks!(&self.stretch.places[..], [8, 4, 1], own => self.pixels::<V, _>(own));
        }
    }
}

impl<T: Number> Sums<'_, T> {
    /// All channels of a few pixels.
    #[inline(always)]
    unsafe fn pixels<V: Lanes, const J: usize>(&self, places: &[Place; J]) {
        let channels = self.stretch.channels;
        let whole = channels / V::LANES * V::LANES;
        // SAFETY: the caller's promise; a vector's lanes, and what is left, are channels.
        unsafe {
            for channel in (0..whole).step_by(V::LANES) {
                self.vector::<V, J, true>(places, channel, V::LANES);
            }
            if whole < channels {
                self.vector::<V, J, false>(places, whole, channels - whole);
            }
        }
    }

    /// `n` channels from `channel` on: all lanes where `WHOLE`.
    #[inline(always)]
    unsafe fn vector<V: Lanes, const J: usize, const WHOLE: bool>(
        &self,
        places: &[Place; J],
        channel: usize,
        n: usize,
    ) {
        let mut sums = [V::zero(); J];
        let weights = self.weights.wrapping_add(channel);
        let (source, target) = (
            self.source.wrapping_add(channel),
            self.target.wrapping_add(channel),
        );
        // SAFETY: the caller's promise.
        unsafe {
            for tap in &self.stretch.taps {
                let weight = load::<_, V, WHOLE>(weights.wrapping_add(tap.weight), n);
                let source = source.wrapping_add(tap.source);
                for j in 0..J {
                    let x = load::<_, V, WHOLE>(source.wrapping_add(places[j].source), n);
                    sums[j] = sums[j].plus_product(weight, x);
                }
            }
            for j in 0..J {
                store::<_, V, WHOLE>(sums[j], target.wrapping_add(places[j].target), n);
            }
        }
    }
}

/// [`Stretch::add_products`], which has seen the slices.
struct Products<'a, T> {
    stretch: &'a Stretch,
    source: *const T,
    grad: *const T,
    weights: *mut f32,
}

impl<T: Number> Work for Products<'_, T> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let channels = self.stretch.channels;
        let whole = channels / V::LANES * V::LANES;
        // SAFETY: the caller's promise; a vector's lanes, and what is left, are channels.
        unsafe {
            for channel in (0..whole).step_by(V::LANES) {
                self.taps::<V, true>(channel, V::LANES);
            }
            if whole < channels {
                self.taps::<V, false>(whole, channels - whole);
            }
        }
    }
}

impl<T: Number> Products<'_, T> {
    /// All taps, as many at a time as there are registers for.
    #[inline(always)]
    unsafe fn taps<V: Lanes, const WHOLE: bool>(&self, channel: usize, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            in_chunks!(
                &self.stretch.taps[..],
                [9, 3, 1],
                own => self.vector::<V, _, WHOLE>(own, channel, n)
            );
        }
    }

    #[inline(always)]
    unsafe fn vector<V: Lanes, const K: usize, const WHOLE: bool>(
        &self,
        taps: &[Tap; K],
        channel: usize,
        n: usize,
    ) {
        let mut sums = [V::zero(); K];
        let weights = self.weights.wrapping_add(channel);
        let (source, grad) = (
            self.source.wrapping_add(channel),
            self.grad.wrapping_add(channel),
        );
        // SAFETY: the caller's promise.
        unsafe {
            for place in &self.stretch.places {
                let grad = load::<_, V, WHOLE>(grad.wrapping_add(place.target), n);
                let source = source.wrapping_add(place.source);
                for k in 0..K {
                    let x = load::<_, V, WHOLE>(source.wrapping_add(taps[k].source), n);
                    sums[k] = sums[k].plus_product(grad, x);
                }
            }
            for k in 0..K {
                let weights = weights.wrapping_add(taps[k].weight);
                let sum = load::<_, V, WHOLE>(weights.cast_const(), n).plus(sums[k]);
                store::<_, V, WHOLE>(sum, weights, n);
            }
        }
    }
}
