//! The numbers that activations are kept in, and the 4-byte steps that kernels read them by.

use std::fmt::Debug;

use rayon::prelude::*;

use crate::arithmetic::Precision;
use crate::isa::Isa;
use crate::microkernels::Kernels;
use crate::microkernels::buffer::{Buffer, Plain};
use crate::nhwc::winograd::{self, Passes};
use crate::own::element::wide;

/// The upper half of an `f32`: its sign, its exponent, and 7 bits of its mantissa. Two are equal
/// where their bits are.
///
/// ```
/// use facenet_ops::Bf16;
/// assert_eq!(Bf16::from_f32(1.0 + 1.0 / 256.0).to_f32(), 1.0); // a tie goes to the even one
/// assert_eq!(Bf16::from_f32(1.0 + 3.0 / 256.0).to_f32(), 1.0 + 4.0 / 256.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Bf16(u16);

impl Bf16 {
    /// The nearest, the even one of two; beyond the largest is infinite, and NaN stays NaN.
    #[inline]
    pub fn from_f32(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
        let quiet = bits | 0x0040_0000;
        Self(((if value.is_nan() { quiet } else { rounded }) >> 16) as u16)
    }

    /// The same number, exactly.
    #[inline]
    pub fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

/// What the activations of a [`crate::Tape`] are kept in: `f32` or [`Bf16`], no other type.
pub trait Format: Number {
    /// Its name.
    const PRECISION: Precision;
}

impl Format for f32 {
    const PRECISION: Precision = Precision::F32;
}

impl Format for Bf16 {
    const PRECISION: Precision = Precision::Bf16;
}

/// Rows that are filled up together.
const ROWS: usize = 4096;

/// `f32` or [`Bf16`].
///
/// Kernels count in steps of 4 bytes, one `f32` or a pair of [`Bf16`], so that they differ in
/// one instruction only.
pub trait Number: Copy + Debug + Plain {
    /// What a kernel broadcasts.
    type Step: Copy + Debug + Plain;

    /// Numbers of a step.
    const PACK: usize;

    /// The nearest to `value`.
    fn of(value: f32) -> Self;

    /// The same number.
    fn widened(self) -> f32;

    /// `sum` and the products of two steps.
    fn add_product(sum: f32, a: Self::Step, b: Self::Step) -> f32;

    /// Winograd's algorithm, where there is one for these numbers.
    const WINOGRAD: Option<Passes<Self>> = None;

    /// The kernels of a set that this machine has.
    fn kernels(isa: Isa) -> &'static Kernels<Self>;

    /// Where a step is one number, the same memory.
    fn in_place(values: &[Self]) -> Option<&[Self::Step]>;

    /// Rows of `channels` as steps; a zero fills a row up, in a copy in `filled`.
    fn steps<'a>(
        values: &'a [Self],
        channels: usize,
        filled: &'a mut Buffer<Self::Step>,
    ) -> &'a [Self::Step];

    /// Writes a step of each number, and of its partner where there is one; without, of zero.
    fn pair(own: &[Self], partner: Option<&[Self]>, steps: &mut [Self::Step]);

    /// Writes a panel that `fill` gives as `[tap][channel][width]`.
    ///
    /// - `size`: channels and width
    fn panel(panel: &mut [Self::Step], size: (usize, usize), fill: impl FnOnce(&mut [f32]));
}

impl Number for f32 {
    type Step = f32;

    const PACK: usize = 1;

    const WINOGRAD: Option<Passes<Self>> = Some(winograd::PASSES);

    #[inline]
    fn of(value: f32) -> Self {
        value
    }

    #[inline]
    fn widened(self) -> f32 {
        self
    }

    #[inline]
    fn add_product(sum: f32, a: f32, b: f32) -> f32 {
        sum + a * b
    }

    fn kernels(isa: Isa) -> &'static Kernels<Self> {
        Kernels::of_f32(isa)
    }

    fn in_place(values: &[Self]) -> Option<&[f32]> {
        Some(values)
    }

    fn steps<'a>(values: &'a [Self], _: usize, _: &'a mut Buffer<f32>) -> &'a [f32] {
        values
    }

    #[inline]
    fn pair(own: &[Self], _: Option<&[Self]>, steps: &mut [f32]) {
        steps.copy_from_slice(own);
    }

    fn panel(panel: &mut [f32], _: (usize, usize), fill: impl FnOnce(&mut [f32])) {
        fill(panel);
    }
}

impl Number for Bf16 {
    type Step = [Self; 2];

    const PACK: usize = 2;

    #[inline]
    fn of(value: f32) -> Self {
        Self::from_f32(value)
    }

    #[inline]
    fn widened(self) -> f32 {
        self.to_f32()
    }

    #[inline]
    fn add_product(sum: f32, a: Self::Step, b: Self::Step) -> f32 {
        sum + a[0].to_f32() * b[0].to_f32() + a[1].to_f32() * b[1].to_f32()
    }

    fn kernels(isa: Isa) -> &'static Kernels<Self> {
        Kernels::of_bf16(isa)
    }

    fn in_place(_: &[Self]) -> Option<&[Self::Step]> {
        None
    }

    fn steps<'a>(
        values: &'a [Self],
        channels: usize,
        filled: &'a mut Buffer<Self::Step>,
    ) -> &'a [Self::Step] {
        if channels.is_multiple_of(2) {
            return values.as_chunks().0;
        }
        let pairs = channels.div_ceil(2);
        filled.resize(values.len() / channels * pairs);
        let items = values.par_chunks(ROWS * channels);
        items
            .zip(filled.par_chunks_mut(ROWS * pairs))
            .for_each(|(values, filled)| {
                let rows = values.chunks_exact(channels);
                for (row, steps) in rows.zip(filled.chunks_exact_mut(pairs)) {
                    let (whole, last) = steps.split_at_mut(pairs - 1);
                    whole.copy_from_slice(row.as_chunks().0);
                    last[0] = [row[channels - 1], Self::default()];
                }
            });
        filled
    }

    #[inline]
    fn pair(own: &[Self], partner: Option<&[Self]>, steps: &mut [Self::Step]) {
        let both = steps.iter_mut().zip(own);
        match partner {
            Some(partner) => {
                let all = both.zip(partner);
                all.for_each(|((step, &own), &partner)| *step = [own, partner]);
            }
            None => both.for_each(|(step, &own)| *step = [own, Self::default()]),
        }
    }

    fn panel(
        panel: &mut [Self::Step],
        (channels, width): (usize, usize),
        fill: impl FnOnce(&mut [f32]),
    ) {
        let taps = panel.len() / (channels.div_ceil(2) * width);
        let mut rows = Buffer::<f32>::take(taps * channels * width);
        fill(&mut rows);
        let steps = panel.chunks_exact_mut(channels.div_ceil(2) * width);
        for (rows, steps) in rows.chunks_exact(channels * width).zip(steps) {
            let pairs = rows.chunks(2 * width).zip(steps.chunks_exact_mut(width));
            wide(|| pairs.for_each(|(pair, steps)| narrow(pair.split_at(width), steps)));
        }
        rows.give_back();
    }
}

/// Writes pairs of the nearest numbers; zeros where there is no second row.
#[inline]
fn narrow((first, second): (&[f32], &[f32]), steps: &mut [[Bf16; 2]]) {
    let first = steps.iter_mut().zip(first);
    if second.is_empty() {
        first.for_each(|(step, &a)| *step = [Bf16::from_f32(a), Bf16::default()]);
    } else {
        let pairs = first.zip(second);
        pairs.for_each(|((step, &a), &b)| *step = [Bf16::from_f32(a), Bf16::from_f32(b)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bf16_is_the_nearest_to_itself() {
        for bits in 0..=u16::MAX {
            let (number, again) = (Bf16(bits), Bf16::from_f32(Bf16(bits).to_f32()));
            if number.to_f32().is_nan() {
                assert!(again.to_f32().is_nan(), "{bits:04x}");
            } else {
                assert_eq!(again, number);
            }
        }
    }

    #[test]
    fn a_number_between_two_goes_to_the_nearer_and_a_tie_to_the_even_one() {
        for bits in (0..0x7f80_u32).chain(0x8000..0xff80) {
            let at = |low: u32| Bf16::from_f32(f32::from_bits(bits << 16 | low)).0;
            let (down, up) = (bits as u16, bits as u16 + 1);
            let even = if bits % 2 == 0 { down } else { up };
            assert_eq!([at(0x7fff), at(0x8000), at(0x8001)], [down, even, up]);
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        // A NaN whose upper half alone would be infinite.
        assert!(
            Bf16::from_f32(f32::from_bits(0x7f80_0001))
                .to_f32()
                .is_nan()
        );
        assert!(
            Bf16::from_f32(f32::from_bits(0xffff_ffff))
                .to_f32()
                .is_nan()
        );
        assert_eq!(Bf16::from_f32(f32::MAX).to_f32(), f32::INFINITY);
        assert_eq!(
            Bf16::from_f32(f32::NEG_INFINITY).to_f32(),
            f32::NEG_INFINITY
        );
    }

    #[test]
    fn an_odd_row_is_filled_up_with_zero() {
        let numbers = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0].map(Bf16::from_f32);
        let zero = Bf16::default();
        let [a, b, c, d, e, f] = numbers;
        let mut filled = Buffer::take(0);
        let steps = Bf16::steps(&numbers, 2, &mut filled);
        assert_eq!(steps, [[a, b], [c, d], [e, f]]);
        let steps = Bf16::steps(&numbers, 3, &mut filled);
        assert_eq!(steps, [[a, b], [c, zero], [d, e], [f, zero]]);
        let mut steps = [[zero; 2]; 2];
        Bf16::pair(&[a, b], None, &mut steps);
        assert_eq!(steps, [[a, zero], [b, zero]]);
        Bf16::panel(&mut steps, (3, 1), |rows| {
            rows.copy_from_slice(&[1.0, 2.0, 3.0]);
        });
        assert_eq!(steps, [[a, b], [c, zero]]);
    }
}
