//! Vectors of AVX-512 and of AVX2.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, __m512, _CMP_LT_OQ, _CMP_UNORD_Q, _mm256_add_epi32, _mm256_add_ps,
    _mm256_and_si256, _mm256_blendv_epi8, _mm256_blendv_ps, _mm256_castps_si256,
    _mm256_castsi256_ps, _mm256_castsi256_si128, _mm256_cmp_ps, _mm256_cvtepu16_epi32,
    _mm256_fmadd_ps, _mm256_mul_ps, _mm256_or_si256, _mm256_packus_epi32, _mm256_permute4x64_epi64,
    _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_slli_epi32, _mm256_srli_epi32,
    _mm256_sub_ps, _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512, _mm512_castps_si512,
    _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_cvtepi32_epi16, _mm512_cvtepu16_epi32,
    _mm512_fmadd_ps, _mm512_mask_blend_epi32, _mm512_mask_blend_ps, _mm512_mul_ps, _mm512_or_si512,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_slli_epi32, _mm512_srli_epi32,
    _mm512_sub_ps,
};
use std::mem::transmute;

use super::Lanes;
use crate::number::Number;

/// Half of what a `bf16` leaves out of an `f32`, less one: what rounds to the nearest, once the
/// last bit that stays is added.
const HALF: i32 = 0x7fff;
/// Keeps the upper half of a NaN one.
const QUIET: i32 = 0x0040_0000;

/// For AVX-512.
#[derive(Clone, Copy)]
pub(super) struct Zmm(__m512);

impl Lanes for Zmm {
    const LANES: usize = 16;

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: `on` has seen that the machine has AVX-512.
        Self(unsafe { _mm512_setzero_ps() })
    }

    #[inline(always)]
    fn all(value: f32) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load<T: Number>(from: *const T) -> Self {
        // SAFETY: as above; any bytes are floats, and these are there.
        unsafe {
            if T::PACK == 1 {
                return Self(transmute::<[u8; 64], __m512>(*from.cast()));
            }
            let halves = _mm512_cvtepu16_epi32(transmute::<[u8; 32], __m256i>(*from.cast()));
            Self(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves)))
        }
    }

    #[inline(always)]
    unsafe fn store<T: Number>(self, to: *mut T) {
        // SAFETY: as above; there is room for them.
        unsafe {
            if T::PACK == 1 {
                *to.cast() = transmute::<__m512, [u8; 64]>(self.0);
            } else {
                *to.cast() = transmute::<__m256i, [u8; 32]>(self.upper_halves());
            }
        }
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn plus_product(self, a: Self, b: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
    }

    #[inline(always)]
    fn where_less(self, other: Self, then: Self, otherwise: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe {
            let is_less = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, other.0);
            _mm512_mask_blend_ps(is_less, otherwise.0, then.0)
        })
    }

    #[inline(always)]
    fn where_nan(self, then: Self, otherwise: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe {
            let is_nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
            _mm512_mask_blend_ps(is_nan, otherwise.0, then.0)
        })
    }
}

impl Zmm {
    /// As [`crate::Bf16`] rounds.
    #[inline(always)]
    fn upper_halves(self) -> __m256i {
        // SAFETY: `on` has seen that the machine has AVX-512.
        unsafe {
            let bits = _mm512_castps_si512(self.0);
            let last = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(last, _mm512_set1_epi32(HALF)));
            let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(QUIET));
            let is_nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
            let kept = _mm512_mask_blend_epi32(is_nan, rounded, quiet);
            _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(kept))
        }
    }
}

/// For AVX2 with FMA.
#[derive(Clone, Copy)]
pub(super) struct Ymm(__m256);

impl Lanes for Ymm {
    const LANES: usize = 8;

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: `on` has seen that the machine has AVX2.
        Self(unsafe { _mm256_setzero_ps() })
    }

    #[inline(always)]
    fn all(value: f32) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load<T: Number>(from: *const T) -> Self {
        // SAFETY: as above; any bytes are floats, and these are there.
        unsafe {
            if T::PACK == 1 {
                return Self(transmute::<[u8; 32], __m256>(*from.cast()));
            }
            let halves = _mm256_cvtepu16_epi32(transmute::<[u8; 16], __m128i>(*from.cast()));
            Self(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(halves)))
        }
    }

    #[inline(always)]
    unsafe fn store<T: Number>(self, to: *mut T) {
        // SAFETY: as above; there is room for them.
        unsafe {
            if T::PACK == 1 {
                *to.cast() = transmute::<__m256, [u8; 32]>(self.0);
            } else {
                *to.cast() = transmute::<__m128i, [u8; 16]>(self.upper_halves());
            }
        }
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn plus_product(self, a: Self, b: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm256_fmadd_ps(a.0, b.0, self.0) })
    }

    #[inline(always)]
    fn where_less(self, other: Self, then: Self, otherwise: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe {
            let is_less = _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, other.0);
            _mm256_blendv_ps(otherwise.0, then.0, is_less)
        })
    }

    #[inline(always)]
    fn where_nan(self, then: Self, otherwise: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe {
            let is_nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.0);
            _mm256_blendv_ps(otherwise.0, then.0, is_nan)
        })
    }
}

impl Ymm {
    /// As [`crate::Bf16`] rounds.
    #[inline(always)]
    fn upper_halves(self) -> __m128i {
        // SAFETY: `on` has seen that the machine has AVX2.
        unsafe {
            let bits = _mm256_castps_si256(self.0);
            let last = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(last, _mm256_set1_epi32(HALF)));
            let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(QUIET));
            let is_nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.0));
            let kept = _mm256_srli_epi32::<16>(_mm256_blendv_epi8(rounded, quiet, is_nan));
            // Halves of the vector are packed apart: the lower quarters of both are what is wanted.
            let packed = _mm256_packus_epi32(kept, kept);
            _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b1000>(packed))
        }
    }
}
