//! Both passes in vectors of sixteen 16-bit numbers: a row of each of two blocks.

use std::arch::x86_64::__m256i;

use pulp::bytemuck::cast;
use pulp::x86::V3;

use super::factors::{EVEN_2, EVEN_3, ODD_0, ODD_1, ODD_2, ODD_3, ODD_Z3, ODD_Z4};
use super::{CONST_BITS, FIRST, Pair, SECOND, Samples, Transform};

type Rows = [__m256i; 8];
/// Sums of 32 bits: of columns 0 to 3 of both blocks, and 4 to 7.
type Sums = [__m256i; 2];

impl Transform for V3 {
    #[inline(always)]
    fn samples(self, pair: &Pair) -> Samples {
        let columns = transposed(self, pass::<{ FIRST as i32 }>(self, cast(*pair)));
        let rows = transposed(self, pass::<{ SECOND as i32 }>(self, columns));
        let pack = |i: usize| {
            let levels = self.avx2._mm256_packs_epi16(rows[2 * i], rows[2 * i + 1]);
            // From -128..=127 to 0..=255.
            self.avx2._mm256_xor_si256(levels, cast([0x80u8; 32]))
        };
        cast([pack(0), pack(1), pack(2), pack(3)])
    }
}

#[inline(always)]
fn add(simd: V3, a: Sums, b: Sums) -> Sums {
    let add = |i: usize| simd.avx2._mm256_add_epi32(a[i], b[i]);
    [add(0), add(1)]
}

#[inline(always)]
fn sub(simd: V3, a: Sums, b: Sums) -> Sums {
    let sub = |i: usize| simd.avx2._mm256_sub_epi32(a[i], b[i]);
    [sub(0), sub(1)]
}

/// `a * f + b * g` in 32 bits.
#[inline(always)]
fn dots(simd: V3, a: __m256i, b: __m256i, [f, g]: [i32; 2]) -> Sums {
    let factors = cast([[f as i16, g as i16]; 8]);
    let dot = |pairs| simd.avx2._mm256_madd_epi16(pairs, factors);
    [
        dot(simd.avx2._mm256_unpacklo_epi16(a, b)),
        dot(simd.avx2._mm256_unpackhi_epi16(a, b)),
    ]
}

/// `x * 2^CONST_BITS`, and what rounds the sums that it goes into.
#[inline(always)]
fn widened<const SHIFT: i32>(simd: V3, x: __m256i) -> Sums {
    const HALVES: i32 = 16 - CONST_BITS as i32;
    let zero = simd.avx._mm256_setzero_si256();
    let round = cast([1 << (SHIFT - 1); 8]);
    let widen = |x| {
        let product = simd.avx2._mm256_srai_epi32::<HALVES>(x);
        simd.avx2._mm256_add_epi32(product, round)
    };
    [
        widen(simd.avx2._mm256_unpacklo_epi16(zero, x)),
        widen(simd.avx2._mm256_unpackhi_epi16(zero, x)),
    ]
}

#[inline(always)]
fn cut<const SHIFT: i32>(simd: V3, sums: Sums) -> __m256i {
    let low = simd.avx2._mm256_srai_epi32::<SHIFT>(sums[0]);
    let high = simd.avx2._mm256_srai_epi32::<SHIFT>(sums[1]);
    simd.avx2._mm256_packs_epi32(low, high)
}

/// The transform of each column.
#[inline(always)]
fn pass<const SHIFT: i32>(simd: V3, x: Rows) -> Rows {
    let sum = widened::<SHIFT>(simd, simd.avx2._mm256_add_epi16(x[0], x[4]));
    let difference = widened::<SHIFT>(simd, simd.avx2._mm256_sub_epi16(x[0], x[4]));
    let t2 = dots(simd, x[2], x[6], EVEN_2);
    let t3 = dots(simd, x[2], x[6], EVEN_3);
    let even = [
        add(simd, sum, t3),
        add(simd, difference, t2),
        sub(simd, difference, t2),
        sub(simd, sum, t3),
    ];
    let a = simd.avx2._mm256_add_epi16(x[7], x[3]);
    let b = simd.avx2._mm256_add_epi16(x[5], x[1]);
    let (z3, z4) = (dots(simd, a, b, ODD_Z3), dots(simd, a, b, ODD_Z4));
    let odd = [
        add(simd, dots(simd, x[7], x[1], ODD_3), z4),
        add(simd, dots(simd, x[5], x[3], ODD_2), z3),
        add(simd, dots(simd, x[5], x[3], ODD_1), z4),
        add(simd, dots(simd, x[7], x[1], ODD_0), z3),
    ];
    let top = |i: usize| cut::<SHIFT>(simd, add(simd, even[i], odd[i]));
    let bottom = |i: usize| cut::<SHIFT>(simd, sub(simd, even[i], odd[i]));
    [
        top(0),
        top(1),
        top(2),
        top(3),
        bottom(3),
        bottom(2),
        bottom(1),
        bottom(0),
    ]
}

/// Rows to columns, in each block.
#[inline(always)]
fn transposed(simd: V3, r: Rows) -> Rows {
    let words = |i: usize| {
        let (a, b) = (r[i], r[i + 1]);
        let low = simd.avx2._mm256_unpacklo_epi16(a, b);
        (low, simd.avx2._mm256_unpackhi_epi16(a, b))
    };
    let pairs = |a, b| {
        let low = simd.avx2._mm256_unpacklo_epi32(a, b);
        (low, simd.avx2._mm256_unpackhi_epi32(a, b))
    };
    let fours = |a, b| {
        let low = simd.avx2._mm256_unpacklo_epi64(a, b);
        [low, simd.avx2._mm256_unpackhi_epi64(a, b)]
    };
    let ((a0, b0), (a2, b2), (a4, b4), (a6, b6)) = (words(0), words(2), words(4), words(6));
    let ((p0, p2), (q0, q2)) = (pairs(a0, a2), pairs(a4, a6));
    let ((p4, p6), (q4, q6)) = (pairs(b0, b2), pairs(b4, b6));
    let [c0, c1] = fours(p0, q0);
    let [c2, c3] = fours(p2, q2);
    let [c4, c5] = fours(p4, q4);
    let [c6, c7] = fours(p6, q6);
    [c0, c1, c2, c3, c4, c5, c6, c7]
}
