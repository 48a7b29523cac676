//! Products back to outputs, with their epilogue.
#![expect(
    unsafe_code,
    reason = "outputs are written through pointers, checked once"
)]
#![expect(
    clippy::inline_always,
    reason = "vectors stay in registers only where everything is compiled for the set at once"
)]

use super::square::{Square, prefetch};
use super::transform::Output;
use super::turn::{columns, row};
use crate::isa::Isa;
use crate::microkernels::lanes::{Lanes, Work, load, on, store};
use crate::microkernels::{Activation, Epilogue};
use crate::nhwc::winograd::grid::Pixels;

/// Part of an output: some pixels of all channels.
pub(crate) struct Target<'a> {
    /// Its first pixel.
    pub(crate) first: usize,
    pub(crate) channels: usize,
    pub(crate) values: &'a mut [f32],
}

impl Target<'_> {
    /// Asks for pixels, which are to be written soon.
    pub(crate) fn prefetch(&self, places: &Pixels<4>) {
        let c = self.channels;
        for place in (0..16).filter_map(|at| places.get(at / 4, at % 4)) {
            let own = place.wrapping_sub(self.first) * c;
            prefetch(self.values.as_ptr().wrapping_add(own), c);
        }
    }
}

/// Writes `Aᵀ m A` with the epilogue to the pixels at `places`, where there are any.
///
/// - `products`: of the target's channels
///
/// # Panics
/// Where a pixel is not in the target, products are not of its channels, a vector of the epilogue
/// has fewer, or what is added ends before the last pixel.
pub(crate) fn gather(
    isa: Isa,
    products: &Square<'_, 6>,
    epilogue: &Epilogue<'_, f32>,
    places: &Pixels<4>,
    target: &mut Target<'_>,
) {
    let (channels, end) = (target.channels, places.end() * target.channels);
    assert_eq!(products.channels(), channels);
    assert!(places.first() >= target.first && end <= target.first * channels + target.values.len());
    let slopes = match epilogue.activation {
        Activation::Prelu(slopes) => Some(slopes),
        _ => None,
    };
    let vectors = epilogue.scale.iter().chain(&epilogue.bias).chain(&slopes);
    assert!(vectors.into_iter().all(|vector| vector.len() >= channels));
    let added = epilogue.added.as_ref();
    assert!(added.is_none_or(|added| added.values.len() >= end));
    let gather = Gather {
        products,
        epilogue,
        slopes,
        places,
        target,
    };
    // SAFETY: all that is read and written is there, as was just seen.
    unsafe { on(isa, gather) };
}

/// All lengths as [`gather`] has seen.
struct Gather<'a, 'b> {
    products: &'a Square<'a, 6>,
    epilogue: &'a Epilogue<'a, f32>,
    slopes: Option<&'a [f32]>,
    places: &'a Pixels<4>,
    target: &'a mut Target<'b>,
}

impl Work for Gather<'_, '_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        let channels = self.target.channels;
        let whole = channels / V::LANES * V::LANES;
        for at in (0..whole).step_by(V::LANES) {
            self.channels::<V, true>(at, V::LANES);
        }
        if whole < channels {
            self.channels::<V, false>(whole, channels - whole);
        }
    }
}

impl Gather<'_, '_> {
    /// `n` channels from `at` on.
    #[inline(always)]
    fn channels<V: Lanes, const IS_WHOLE: bool>(&mut self, at: usize, n: usize) {
        let half = columns::<V, _, IS_WHOLE, 6, 4>(Output, self.products, at);
        let finish = Finish::<V>::new::<IS_WHOLE>(self, at, n);
        let c = self.target.channels;
        let target = self.target.values.as_mut_ptr();
        for y in 0..4 {
            let row = row(Output, &half, y);
            for (x, value) in row.into_iter().enumerate() {
                let Some(place) = self.places.get(y, x) else {
                    continue;
                };
                let element = place * c + at;
                let to = target.wrapping_add(element - self.target.first * c);
                // SAFETY: the target holds all pixels, and so does what is added.
                unsafe {
                    let value = finish.of::<IS_WHOLE>(value, element, n);
                    store::<f32, V, IS_WHOLE>(value, to, n);
                }
            }
        }
    }
}

/// The epilogue of some channels.
struct Finish<'a, V> {
    scale: Option<V>,
    bias: Option<V>,
    slopes: Option<V>,
    epilogue: &'a Epilogue<'a, f32>,
}

impl<'a, V: Lanes> Finish<'a, V> {
    #[inline(always)]
    fn new<const IS_WHOLE: bool>(of: &Gather<'a, '_>, at: usize, n: usize) -> Self {
        let vector = |values: &[f32]| {
            let values = &values[at..at + n];
            // SAFETY: `n` of them.
            unsafe { load::<f32, V, IS_WHOLE>(values.as_ptr(), n) }
        };
        Self {
            scale: of.epilogue.scale.map(vector),
            bias: of.epilogue.bias.map(vector),
            slopes: of.slopes.map(vector),
            epilogue: of.epilogue,
        }
    }

    /// `value` becomes that of `n` elements of the output from `element` on.
    ///
    /// # Safety
    /// What is added has them.
    #[inline(always)]
    unsafe fn of<const IS_WHOLE: bool>(&self, value: V, element: usize, n: usize) -> V {
        let mut y = value;
        if let Some(scale) = self.scale {
            y = y.times(scale);
        }
        if let Some(bias) = self.bias {
            y = y.plus(bias);
        }
        if let Some(added) = &self.epilogue.added {
            let from = added.values.as_ptr().wrapping_add(element);
            // SAFETY: the caller's promise.
            let other = unsafe { load::<f32, V, IS_WHOLE>(from, n) };
            y = other.plus_times(y, added.scale);
        }
        match (self.epilogue.activation, self.slopes) {
            (Activation::Relu, _) => y.where_less(V::zero(), V::zero(), y),
            (_, Some(slopes)) => y.where_less(V::zero(), y.times(slopes), y),
            _ => y,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::microkernels::Added;

    #[test]
    fn an_epilogue_scales_shifts_adds_and_rectifies_in_this_order() {
        let mut added = [9.0; 6];
        added[3..].copy_from_slice(&[100.0, f32::NAN, 0.0]);
        let epilogue = Epilogue {
            scale: Some(&[2.0, 2.0, 2.0]),
            bias: Some(&[1.0, 1.0, -20.0]),
            added: Some(Added {
                values: &added,
                scale: 10.0,
            }),
            activation: Activation::Relu,
        };
        // The first point alone is the first output; the second pixel is the only one.
        let mut products = [0.0; 36 * 3];
        products[..3].copy_from_slice(&[3.0, 4.0, 5.0]);
        let places = Pixels {
            rows: [Some(0), None, None, None],
            columns: [Some(1), None, None, None],
        };
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let mut values = [7.0; 5];
            let mut target = Target {
                first: 1,
                channels: 3,
                values: &mut values,
            };
            let products = Square::of_rows(&products, 3, 3);
            gather(isa, &products, &epilogue, &places, &mut target);
            // 100 + 10 (2 * 3 + 1), NaN, and 10 (2 * 5 - 20) rectified; no more is written.
            assert_eq!((values[0], values[2]), (170.0, 0.0));
            assert!(values[1].is_nan());
            assert_eq!(values[3..], [7.0, 7.0]);
        }
    }
}
