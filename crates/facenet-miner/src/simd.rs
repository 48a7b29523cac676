//! Choice of instructions at run time, and the `unsafe` that it takes: loads and stores of whole
//! vectors, and calls of functions compiled for more than the baseline.
//!
//! What is called is safe code elsewhere: [`crate::tile`], [`crate::half_tile`], [`crate::marks`],
//! [`crate::ladder`], [`crate::lanes`] and [`crate::chacha`] have a plain version each and test the others against it.
#![expect(
    unsafe_code,
    reason = "vector loads and stores, and calls of functions compiled for AVX2 and AVX-512"
)]

use crate::chacha::{self, Words};
use crate::extremes::{self, Lanes, PARTS};
use crate::half_tile::{self, HalfTile};
use crate::ladder::{self, Ladder};
use crate::marks::{self, Span};
use crate::tile::{self, BLOCK, PANEL, Tile};
use crate::{lanes, weights};

/// Instructions that a function is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// What every processor of the architecture has.
    Plain,
    /// AVX2, FMA, F16C and BMI2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 as of 2017's servers.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The levels that this processor has, the best first.
    pub(crate) fn available() -> Vec<Self> {
        let mut levels = vec![Self::Plain];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("popcnt");
            let avx512 = avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            levels.extend(avx2.then_some(Self::Avx2));
            levels.extend(avx512.then_some(Self::Avx512));
        }
        levels.reverse();
        levels
    }

    /// The best of this processor, found once.
    pub(crate) fn best() -> Self {
        static BEST: std::sync::OnceLock<Level> = std::sync::OnceLock::new();
        *BEST.get_or_init(|| Self::available()[0])
    }
}

/// A function with a version for each level: `avx512` and `avx2` name functions compiled for
/// those features, `plain` one for the baseline.
macro_rules! dispatched {
    (
        $(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*) -> $out:ty:
        $avx512:path, $avx2:path, $plain:path
    ) => {
        $(#[$doc])*
        pub(crate) fn $name(level: Level, $($arg: $ty),*) -> $out {
            match level {
                // SAFETY: a level is only got from `Level::available`, which has found every
                // feature that the functions of the level ask for.
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => unsafe { $avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => unsafe { $avx2($($arg),*) },
                Level::Plain => $plain($($arg),*),
            }
        }
    };
}

/// A plain loop, compiled for each level; the compiler vectorises it.
macro_rules! compiled_for_each {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*) -> $out:ty: $body:path) => {
        $(#[$doc])*
        pub(crate) fn $name(level: Level, $($arg: $ty),*) -> $out {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,popcnt")]
            fn avx512($($arg: $ty),*) -> $out {
                $body($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,popcnt")]
            fn avx2($($arg: $ty),*) -> $out {
                $body($($arg),*)
            }
            match level {
                // SAFETY: a level is only got from `Level::available`, which has found every
                // feature that the functions of the level ask for.
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => unsafe { avx2($($arg),*) },
                Level::Plain => $body($($arg),*),
            }
        }
    };
}

dispatched! {
    /// Squared distances of a block of anchors to a panel of rows.
    fill_tile(tile: &Tile<'_>, out: &mut [[f32; PANEL]; BLOCK]) -> ():
    tile::x86::fill_avx512, tile::x86::fill_avx2, tile::fill_plain
}

dispatched! {
    /// Squared distances of one probe to a panel of rows in halves.
    fill_half(tile: &HalfTile<'_, 1>, out: &mut [[f32; PANEL]; 1]) -> ():
    half_tile::x86::fill_avx512, half_tile::x86::fill_one_avx2, half_tile::fill_plain
}

dispatched! {
    /// Squared distances of a block of probes to a panel of rows in halves.
    fill_halves(tile: &HalfTile<'_, BLOCK>, out: &mut [[f32; PANEL]; BLOCK]) -> ():
    half_tile::x86::fill_avx512, half_tile::x86::fill_block_avx2, half_tile::fill_plain
}

dispatched! {
    /// Marks the values in `span`, a bit each, and counts them.
    mark_within(xs: &[[f32; 64]], span: Span, words: &mut [u64]) -> usize:
    marks::x86::within_avx512, marks::x86::within_avx2, marks::within_plain
}

dispatched! {
    /// Marks the values in each of two spans, a bit each, and counts them.
    mark_both(xs: &[[f32; 64]], spans: [Span; 2], words: [&mut [u64]; 2]) -> [usize; 2]:
    marks::x86::both_avx512, marks::x86::both_avx2, marks::both_plain
}

dispatched! {
    /// Counts for every value how many rungs it has reached, marks those in doubt, and says
    /// whether there is one.
    climb(xs: &[[f32; 64]], ladder: &Ladder, heights: &mut [[u8; 64]], doubtful: &mut [u64]) -> bool:
    ladder::x86::climb_avx512, ladder::x86::climb_avx2, ladder::climb_plain
}

dispatched! {
    /// Marks the values at most so high, a bit each, and counts them.
    mark_up_to(heights: &[[u8; 64]], height: u8, words: &mut [u64]) -> usize:
    ladder::x86::up_to_avx512, ladder::x86::up_to_avx2, ladder::up_to_plain
}

dispatched! {
    /// Takes the marks from the values at most so high, and counts those left.
    unmark_up_to(heights: &[[u8; 64]], height: u8, words: &mut [u64]) -> usize:
    ladder::x86::not_up_to_avx512, ladder::x86::not_up_to_avx2, ladder::not_up_to_plain
}

dispatched! {
    /// Position of marked value number `rank`, from 0.
    nth_marked(words: &[u64], rank: usize) -> Option<usize>:
    marks::x86::nth_bmi2, marks::x86::nth_bmi2, marks::nth_plain
}

dispatched! {
    /// f64 distances from one row to eight: [`crate::sq_l2`], bit for bit.
    sq_l2_to_eight(x: &[f64], rows: [&[f32]; 8]) -> [f64; 8]:
    lanes::x86::to_eight_avx512, lanes::x86::to_eight_avx2, lanes::to_eight_plain
}

dispatched! {
    /// f64 distances of eight pairs of rows: [`crate::sq_l2`], bit for bit.
    sq_l2_of_eight(xs: [&[f32]; 8], ys: [&[f32]; 8]) -> [f64; 8]:
    lanes::x86::of_eight_avx512, lanes::x86::of_eight_avx2, lanes::of_eight_plain
}

compiled_for_each! {
    /// The smallest of `xs` above `above`, or infinity.
    min_above(xs: &[[f32; 64]], above: f32) -> f32: marks::min_above_loop
}

compiled_for_each! {
    /// Sees the values of a tile: those of its rows, and of its columns where they are asked for.
    ///
    /// - `at`: places of the first row and of the first column
    see_tile(
        tile: &[[f32; PANEL]; BLOCK],
        at: [u32; 2],
        rows: &mut [Lanes; BLOCK],
        columns: Option<&mut [Lanes; PARTS]>
    ) -> (): extremes::see_tile_loop
}

compiled_for_each! {
    /// First 64 bits of sixteen consecutive `ChaCha8` streams.
    first_words(key: &[u32; 8], stream: u64) -> Words: chacha::first_words_loop
}

compiled_for_each! {
    /// Turns squared distances into the logarithms of weights.
    log_weights(xs: &mut [f64], exponents: [f64; 2]) -> (): weights::log_weights_loop
}

compiled_for_each! {
    /// Replaces each `x` by `exp(x - greatest)`.
    exp_all(xs: &mut [f64], greatest: f64) -> (): weights::exp_all_loop
}

/// Loads and stores of whole vectors, as transmutations: the intrinsics for unaligned access check
/// for overlap, by way of memory, where debug assertions are on.
#[cfg(target_arch = "x86_64")]
pub(crate) mod vectors {
    use std::arch::x86_64::{__m128i, __m256, __m256d, __m256i, __m512, __m512d, __m512i};
    use std::mem::transmute;

    /// A function between an array and a vector of the same plain numbers.
    macro_rules! same_bits {
        ($(#[$doc:meta])* $name:ident, $features:literal, $from:ty, $to:ty) => {
            $(#[$doc])*
            #[inline]
            #[target_feature(enable = $features)]
            pub(crate) fn $name(xs: $from) -> $to {
                // SAFETY: both are of one size, and any bits are a value of either.
                unsafe { transmute::<$from, $to>(xs) }
            }
        };
    }

    same_bits!(/** Sixteen floats. */ load_16, "avx512f", [f32; 16], __m512);
    same_bits!(/** Eight floats. */ load_8, "avx", [f32; 8], __m256);
    same_bits!(/** Sixteen floats. */ floats_of_16, "avx512f", __m512, [f32; 16]);
    same_bits!(/** Eight floats. */ floats_of_8, "avx", __m256, [f32; 8]);
    same_bits!(/** Sixteen halves. */ load_halves_16, "avx", [u16; 16], __m256i);
    same_bits!(/** Eight halves. */ load_halves_8, "sse2", [u16; 8], __m128i);
    same_bits!(/** 64 bytes. */ load_bytes_64, "avx512f", [u8; 64], __m512i);
    same_bits!(/** 32 bytes. */ load_bytes_32, "avx", [u8; 32], __m256i);
    same_bits!(/** Sixteen bytes. */ bytes_of_16, "sse2", __m128i, [u8; 16]);
    same_bits!(/** Eight integers. */ ints_of_8, "avx", __m256i, [i32; 8]);
    same_bits!(/** Eight doubles. */ doubles_of_8, "avx512f", __m512d, [f64; 8]);
    same_bits!(/** Eight doubles. */ doubles_of_two, "avx", [__m256d; 2], [f64; 8]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_level_is_always_there_and_last() {
        let levels = Level::available();
        assert_eq!(levels.last(), Some(&Level::Plain));
        assert_eq!(Level::best(), levels[0]);
    }
}
