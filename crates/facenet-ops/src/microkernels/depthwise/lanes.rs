//! Vectors of an instruction set, read from and written as `f32` or `bf16`.
//!
//! Memory is read and written as arrays of bytes: of wider values, and by the intrinsics that
//! load and store, a build with debug assertions checks each access, which takes longer than it.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m128i, __m256, __m256i, __m512, _mm256_add_ps, _mm256_castsi256_ps, _mm256_cvtepu16_epi32,
    _mm256_fmadd_ps, _mm256_setzero_ps, _mm256_slli_epi32, _mm512_add_ps, _mm512_castsi512_ps,
    _mm512_cvtepu16_epi32, _mm512_fmadd_ps, _mm512_setzero_ps, _mm512_slli_epi32,
};
#[cfg(target_arch = "x86_64")]
use std::mem::transmute;

use crate::isa::Isa;
use crate::number::Number;

/// Most lanes of a vector.
pub(super) const MOST: usize = 16;

/// A vector of `f32`. Types for a set are used by [`on`] only, where the machine has it.
pub(super) trait Lanes: Copy {
    const LANES: usize;

    fn zero() -> Self;

    /// # Safety
    /// [`Lanes::LANES`] numbers are there.
    unsafe fn load<T: Number>(from: *const T) -> Self;

    /// Each rounded to the nearest.
    ///
    /// # Safety
    /// There is room for [`Lanes::LANES`] numbers.
    unsafe fn store<T: Number>(self, to: *mut T);

    fn plus(self, other: Self) -> Self;

    /// `self + a b`.
    fn plus_product(self, a: Self, b: Self) -> Self;
}

/// What is done in lanes.
pub(super) trait Work {
    /// # Safety
    /// The machine has the set of `V`, and what the work reads and writes is there.
    unsafe fn run<V: Lanes>(self);
}

/// Does `work` compiled for the set.
///
/// # Safety
/// What the work reads and writes is there.
///
/// # Panics
/// Where the machine lacks the set.
pub(super) unsafe fn on(isa: Isa, work: impl Work) {
    assert!(
        isa.is_available(),
        "{isa:?} was checked where it was chosen"
    );
    // SAFETY: the machine has the set, as was just seen, and the caller's promise.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => on_avx512(work),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => on_avx2(work),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx512 | Isa::Avx2 => unreachable!("not available, as checked above"),
            Isa::Portable => work.run::<[f32; 8]>(),
        }
    }
}

/// # Safety
/// As for [`Work::run`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn on_avx512(work: impl Work) {
    // SAFETY: the caller's promise.
    unsafe { work.run::<Zmm>() };
}

/// # Safety
/// As for [`Work::run`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn on_avx2(work: impl Work) {
    // SAFETY: the caller's promise.
    unsafe { work.run::<Ymm>() };
}

/// For AVX-512.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Zmm(__m512);

#[cfg(target_arch = "x86_64")]
impl Lanes for Zmm {
    const LANES: usize = 16;

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: `on` has seen that the machine has AVX-512.
        Self(unsafe { _mm512_setzero_ps() })
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
                let values = transmute::<__m512, [f32; Self::LANES]>(self.0);
                for (lane, value) in values.into_iter().enumerate() {
                    *to.wrapping_add(lane) = T::of(value);
                }
            }
        }
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn plus_product(self, a: Self, b: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
    }
}

/// For AVX2 with FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Ymm(__m256);

#[cfg(target_arch = "x86_64")]
impl Lanes for Ymm {
    const LANES: usize = 8;

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: `on` has seen that the machine has AVX2.
        Self(unsafe { _mm256_setzero_ps() })
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
                let values = transmute::<__m256, [f32; Self::LANES]>(self.0);
                for (lane, value) in values.into_iter().enumerate() {
                    *to.wrapping_add(lane) = T::of(value);
                }
            }
        }
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn plus_product(self, a: Self, b: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm256_fmadd_ps(a.0, b.0, self.0) })
    }
}

/// For any machine.
impl Lanes for [f32; 8] {
    const LANES: usize = 8;

    #[inline(always)]
    fn zero() -> Self {
        [0.0; 8]
    }

    #[inline(always)]
    unsafe fn load<T: Number>(from: *const T) -> Self {
        // SAFETY: eight numbers, which align as one.
        let numbers = unsafe { *from.cast::<[T; 8]>() };
        numbers.map(T::widened)
    }

    #[inline(always)]
    unsafe fn store<T: Number>(self, to: *mut T) {
        // SAFETY: as above.
        unsafe { *to.cast::<[T; 8]>() = self.map(T::of) };
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] + other[lane])
    }

    #[inline(always)]
    fn plus_product(self, a: Self, b: Self) -> Self {
        std::array::from_fn(|lane| self[lane] + a[lane] * b[lane])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Bf16;

    struct Steps<'a, T>(&'a [T; MOST], &'a mut [T; MOST]);

    impl<T: Number> Work for Steps<'_, T> {
        unsafe fn run<V: Lanes>(self) {
            for first in (0..MOST).step_by(V::LANES) {
                // SAFETY: lanes from `first` on are inside both.
                unsafe {
                    let x = V::load(self.0[first..].as_ptr());
                    let square = V::zero().plus_product(x, x);
                    square.plus(x).store(self.1[first..].as_mut_ptr());
                }
            }
        }
    }

    fn check<T: Number>() {
        let x = |lane: usize| lane as f32 - 4.0;
        let from = std::array::from_fn(|lane| T::of(x(lane)));
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let mut to = [T::default(); MOST];
            // SAFETY: both arrays are there.
            unsafe { on(isa, Steps(&from, &mut to)) };
            for (lane, found) in to.into_iter().enumerate() {
                assert_eq!(found.widened(), x(lane) * x(lane) + x(lane), "{isa:?}");
            }
        }
    }

    #[test]
    fn each_set_does_the_same_in_every_lane() {
        check::<f32>();
        check::<Bf16>();
    }
}
