//! Sixteen floats in the vectors of an instruction set.
#![expect(unsafe_code, reason = "vector instructions")]
#![expect(
    clippy::inline_always,
    reason = "vectors stay in registers only where everything is compiled for the set at once"
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, __m512, __mmask16, _CMP_LT_OQ, _mm256_add_ps, _mm256_blendv_ps, _mm256_cmp_ps,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_mul_ps, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_storeu_ps, _mm256_sub_ps, _mm512_add_ps, _mm512_cmp_ps_mask, _mm512_fmadd_ps,
    _mm512_mask_mov_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_mul_ps,
    _mm512_set1_ps, _mm512_setzero_ps, _mm512_sub_ps,
};

#[cfg(target_arch = "x86_64")]
use std::mem::transmute;

use crate::isa::Isa;

pub(crate) const LANES: usize = 16;

/// Sixteen floats. Types for a set are used by [`on`] only, where the machine has it.
pub(super) trait Lanes: Copy {
    fn load(from: &[f32; LANES]) -> Self;
    fn store(self, to: &mut [f32; LANES]);
    /// As [`Lanes::load`], by an instruction that debug assertions do not look at.
    ///
    /// # Safety
    /// The floats are there.
    unsafe fn read(from: *const f32) -> Self;
    /// As [`Lanes::store`].
    ///
    /// # Safety
    /// There is room for the floats.
    unsafe fn write(self, to: *mut f32);
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, factor: f32) -> Self;
    /// `self + other * factor`, rounded once where the set can.
    fn plus_times(self, other: Self, factor: f32) -> Self;
    fn times_each(self, other: Self) -> Self;
    /// The lanes of `other` where those of `self` are below zero; no NaN is.
    fn where_negative(self, other: Self) -> Self;
}

/// What is done in lanes.
pub(super) trait Work {
    fn run<V: Lanes>(self);
}

/// Does `work` compiled for the set.
///
/// # Panics
/// Where the machine lacks it.
pub(super) fn on(isa: Isa, work: impl Work) {
    assert!(
        isa.is_available(),
        "{isa:?} was checked where it was chosen"
    );
    match isa {
        // SAFETY: the machine has it, as was just seen.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { on_avx512(work) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { on_avx2(work) },
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx512 | Isa::Avx2 => unreachable!("not available, as checked above"),
        Isa::Portable => work.run::<[f32; LANES]>(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn on_avx512(work: impl Work) {
    work.run::<Zmm>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn on_avx2(work: impl Work) {
    work.run::<Ymms>();
}

/// For AVX-512.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Zmm(__m512);

#[cfg(target_arch = "x86_64")]
impl Lanes for Zmm {
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        // SAFETY: sixteen floats, whatever their bits; `on` has seen that the machine has AVX-512.
        Self(unsafe { transmute::<[f32; LANES], __m512>(*from) })
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        // SAFETY: as above.
        *to = unsafe { transmute::<__m512, [f32; LANES]>(self.0) };
    }

    #[inline(always)]
    unsafe fn read(from: *const f32) -> Self {
        // SAFETY: the caller's promise, and as above.
        Self(unsafe { _mm512_maskz_loadu_ps(__mmask16::MAX, from) })
    }

    #[inline(always)]
    unsafe fn write(self, to: *mut f32) {
        // SAFETY: as in `read`.
        unsafe { _mm512_mask_storeu_ps(to, __mmask16::MAX, self.0) };
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
    fn times(self, factor: f32) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_mul_ps(self.0, _mm512_set1_ps(factor)) })
    }

    #[inline(always)]
    fn plus_times(self, other: Self, factor: f32) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_fmadd_ps(other.0, _mm512_set1_ps(factor), self.0) })
    }

    #[inline(always)]
    fn times_each(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn where_negative(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            let is_negative = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, _mm512_setzero_ps());
            Self(_mm512_mask_mov_ps(self.0, is_negative, other.0))
        }
    }
}

/// For AVX2.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Ymms(__m256, __m256);

#[cfg(target_arch = "x86_64")]
impl Lanes for Ymms {
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        // SAFETY: twice eight floats, whatever their bits; `on` has seen that the machine has AVX2.
        let [low, high] = unsafe { transmute::<[f32; LANES], [__m256; 2]>(*from) };
        Self(low, high)
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        // SAFETY: as above.
        *to = unsafe { transmute::<[__m256; 2], [f32; LANES]>([self.0, self.1]) };
    }

    #[inline(always)]
    unsafe fn read(from: *const f32) -> Self {
        // SAFETY: the caller's promise, and as above.
        unsafe {
            Self(
                _mm256_loadu_ps(from),
                _mm256_loadu_ps(from.wrapping_add(LANES / 2)),
            )
        }
    }

    #[inline(always)]
    unsafe fn write(self, to: *mut f32) {
        // SAFETY: as in `read`.
        unsafe {
            _mm256_storeu_ps(to, self.0);
            _mm256_storeu_ps(to.wrapping_add(LANES / 2), self.1);
        }
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            Self(
                _mm256_add_ps(self.0, other.0),
                _mm256_add_ps(self.1, other.1),
            )
        }
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            Self(
                _mm256_sub_ps(self.0, other.0),
                _mm256_sub_ps(self.1, other.1),
            )
        }
    }

    #[inline(always)]
    fn times(self, factor: f32) -> Self {
        // SAFETY: as above.
        unsafe {
            let factor = _mm256_set1_ps(factor);
            Self(_mm256_mul_ps(self.0, factor), _mm256_mul_ps(self.1, factor))
        }
    }

    #[inline(always)]
    fn plus_times(self, other: Self, factor: f32) -> Self {
        // SAFETY: as above; FMA comes with it.
        unsafe {
            let factor = _mm256_set1_ps(factor);
            Self(
                _mm256_fmadd_ps(other.0, factor, self.0),
                _mm256_fmadd_ps(other.1, factor, self.1),
            )
        }
    }

    #[inline(always)]
    fn times_each(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            Self(
                _mm256_mul_ps(self.0, other.0),
                _mm256_mul_ps(self.1, other.1),
            )
        }
    }

    #[inline(always)]
    fn where_negative(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            let half = |own, other| {
                let is_negative = _mm256_cmp_ps::<_CMP_LT_OQ>(own, _mm256_setzero_ps());
                _mm256_blendv_ps(own, other, is_negative)
            };
            Self(half(self.0, other.0), half(self.1, other.1))
        }
    }
}

/// For any machine.
impl Lanes for [f32; LANES] {
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        *from
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        *to = self;
    }

    #[inline(always)]
    unsafe fn read(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<Self>().read() }
    }

    #[inline(always)]
    unsafe fn write(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<Self>().write(self) };
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] + other[lane])
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] - other[lane])
    }

    #[inline(always)]
    fn times(self, factor: f32) -> Self {
        self.map(|value| value * factor)
    }

    #[inline(always)]
    fn plus_times(self, other: Self, factor: f32) -> Self {
        std::array::from_fn(|lane| self[lane] + other[lane] * factor)
    }

    #[inline(always)]
    fn times_each(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] * other[lane])
    }

    #[inline(always)]
    fn where_negative(self, other: Self) -> Self {
        std::array::from_fn(|lane| {
            if self[lane] < 0.0 {
                other[lane]
            } else {
                self[lane]
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Steps<'a>(&'a mut [f32; LANES]);

    impl Work for Steps<'_> {
        fn run<V: Lanes>(self) {
            let x = V::load(self.0);
            let y = x.times(3.0).minus(x.plus(x.times(0.5)));
            let z = y.plus_times(y, 2.0).where_negative(y.times_each(x));
            z.store(self.0);
        }
    }

    #[test]
    fn each_set_does_the_same_in_every_lane() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let mut values = std::array::from_fn(|lane| lane as f32 - 4.0);
            on(isa, Steps(&mut values));
            // y = 3 x - (x + x / 2), and 3 y, or x y where that is negative
            let expected = |lane: usize| {
                let x = lane as f32 - 4.0;
                if x < 0.0 { 1.5 * x * x } else { 4.5 * x }
            };
            assert_eq!(values, std::array::from_fn(expected));
        }
    }
}
