//! Products back to outputs, with their epilogue.
#![expect(
    clippy::inline_always,
    reason = "vectors stay in registers only where everything is compiled for the set at once"
)]

use super::lanes::{LANES, Lanes, Work, on};
use super::transform::Output;
use super::turn::{Tile, columns, row, tails, vectors};
use crate::isa::Isa;
use crate::microkernels::{Activation, Epilogue};
use crate::nhwc::winograd::grid::Pixels;

/// Part of an output: some pixels of all channels.
pub(crate) struct Target<'a> {
    /// Its first pixel.
    pub(crate) first: usize,
    pub(crate) channels: usize,
    pub(crate) values: &'a mut [f32],
}

/// Writes `Aᵀ m A` with the epilogue to the pixels at `places`, where there are any.
///
/// - `products`: of the target's channels
///
/// # Panics
/// Where rows differ in length, a pixel is not in the target, or a vector of the epilogue is too
/// short.
pub(crate) fn gather(
    isa: Isa,
    products: &Tile<'_, 6>,
    epilogue: &Epilogue<'_, f32>,
    places: &Pixels<4>,
    target: &mut Target<'_>,
) {
    let gather = Gather {
        products,
        epilogue,
        places,
        target,
    };
    on(isa, gather);
}

struct Gather<'a, 'b> {
    products: &'a Tile<'a, 6>,
    epilogue: &'a Epilogue<'a, f32>,
    places: &'a Pixels<4>,
    target: &'a mut Target<'b>,
}

impl Work for Gather<'_, '_> {
    #[inline(always)]
    fn run<V: Lanes>(mut self) {
        let channels = self.target.channels;
        let whole = channels / LANES * LANES;
        for at in (0..whole).step_by(LANES) {
            let half = columns(Output, &vectors::<V, 6>(self.products, at));
            self.store(&half, at, LANES);
        }
        if whole < channels {
            let half = columns(Output, &tails::<V, 6>(self.products, whole));
            self.store(&half, whole, channels - whole);
        }
    }
}

impl Gather<'_, '_> {
    /// Channels from `at` on.
    #[inline(always)]
    fn store<V: Lanes>(&mut self, half: &[[V; 4]; 6], at: usize, channels: usize) {
        let c = self.target.channels;
        for y in 0..4 {
            let row = row(Output, half, y);
            for (x, value) in row.into_iter().enumerate() {
                let Some(place) = self.places.get(y, x) else {
                    continue;
                };
                let mut values = [0.0; LANES];
                value.store(&mut values);
                finish(self.epilogue, at, place * c + at, &mut values[..channels]);
                let own = (place - self.target.first) * c + at;
                self.target.values[own..][..channels].copy_from_slice(&values[..channels]);
            }
        }
    }
}

/// The epilogue on some channels from `channel` on; `element` is the first one's in the output.
#[inline(always)]
fn finish(epilogue: &Epilogue<'_, f32>, channel: usize, element: usize, values: &mut [f32]) {
    if let Some(scale) = epilogue.scale {
        let pairs = values.iter_mut().zip(&scale[channel..]);
        pairs.for_each(|(y, scale)| *y *= scale);
    }
    if let Some(bias) = epilogue.bias {
        let pairs = values.iter_mut().zip(&bias[channel..]);
        pairs.for_each(|(y, bias)| *y += bias);
    }
    if let Some(added) = &epilogue.added {
        let pairs = values.iter_mut().zip(&added.values[element..]);
        pairs.for_each(|(y, other)| *y = other + added.scale * *y);
    }
    match epilogue.activation {
        Activation::Identity => {}
        // No comparison with NaN holds, and NaN stays.
        Activation::Relu => values
            .iter_mut()
            .for_each(|y| *y = if *y < 0.0 { 0.0 } else { *y }),
        Activation::Prelu(slopes) => {
            let pairs = values.iter_mut().zip(&slopes[channel..]);
            pairs.for_each(|(y, slope)| *y = if *y < 0.0 { *y * slope } else { *y });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epilogue_scales_shifts_adds_and_rectifies_in_this_order() {
        use crate::microkernels::Added;
        let epilogue = Epilogue {
            scale: Some(&[9.0, 2.0, 2.0, 2.0]),
            bias: Some(&[9.0, 1.0, 1.0, -20.0]),
            added: Some(Added {
                values: &[9.0, 9.0, 100.0, f32::NAN, 0.0],
                scale: 10.0,
            }),
            activation: Activation::Relu,
        };
        let mut values = [3.0, 4.0, 5.0];
        finish(&epilogue, 1, 2, &mut values);
        // 100 + 10 (2 * 3 + 1), NaN, and 10 (2 * 5 - 20) rectified.
        assert_eq!((values[0], values[2]), (170.0, 0.0));
        assert!(values[1].is_nan());
    }
}
