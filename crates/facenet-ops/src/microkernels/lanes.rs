//! Vectors of an instruction set, read from and written as `f32` or `bf16`.
//!
//! Memory is read and written as arrays of bytes: of wider values, and by the intrinsics that
//! load and store, a build with debug assertions checks each access, which takes longer than it.
#![expect(unsafe_code, reason = "vectors are read and written by pointers")]
#![expect(
    clippy::inline_always,
    reason = "vectors stay in registers only where everything is compiled for the set at once"
)]

#[cfg(target_arch = "x86_64")]
mod x86;

use crate::isa::Isa;
use crate::number::Number;

/// Most lanes of a vector.
pub(crate) const MOST: usize = 16;

/// A vector of `f32`. Types for a set are used by [`on`] only, where the machine has it.
pub(crate) trait Lanes: Copy {
    const LANES: usize;

    fn zero() -> Self;

    /// The same in each lane.
    fn all(value: f32) -> Self;

    /// # Safety
    /// [`Lanes::LANES`] numbers are there.
    unsafe fn load<T: Number>(from: *const T) -> Self;

    /// Each rounded to the nearest.
    ///
    /// # Safety
    /// There is room for [`Lanes::LANES`] numbers.
    unsafe fn store<T: Number>(self, to: *mut T);

    fn plus(self, other: Self) -> Self;

    fn minus(self, other: Self) -> Self;

    fn times(self, other: Self) -> Self;

    /// `self + a b`.
    fn plus_product(self, a: Self, b: Self) -> Self;

    /// `self + other factor`.
    #[inline(always)]
    fn plus_times(self, other: Self, factor: f32) -> Self {
        self.plus_product(other, Self::all(factor))
    }

    /// Lanes of `then` where those of `self` are less than those of `other`, and of `otherwise`
    /// where not, or where one is NaN.
    fn where_less(self, other: Self, then: Self, otherwise: Self) -> Self;

    /// Lanes of `then` where those of `self` are NaN, and of `otherwise` where not.
    fn where_nan(self, then: Self, otherwise: Self) -> Self;
}

/// What is done in lanes.
pub(crate) trait Work {
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
pub(crate) unsafe fn on(isa: Isa, work: impl Work) {
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
    unsafe { work.run::<x86::Zmm>() };
}

/// # Safety
/// As for [`Work::run`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn on_avx2(work: impl Work) {
    // SAFETY: the caller's promise.
    unsafe { work.run::<x86::Ymm>() };
}

/// For any machine.
impl Lanes for [f32; 8] {
    const LANES: usize = 8;

    #[inline(always)]
    fn zero() -> Self {
        [0.0; 8]
    }

    #[inline(always)]
    fn all(value: f32) -> Self {
        [value; 8]
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
    fn minus(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] - other[lane])
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] * other[lane])
    }

    #[inline(always)]
    fn plus_product(self, a: Self, b: Self) -> Self {
        std::array::from_fn(|lane| self[lane] + a[lane] * b[lane])
    }

    #[inline(always)]
    fn where_less(self, other: Self, then: Self, otherwise: Self) -> Self {
        let chosen = |lane| {
            let is_less = self[lane] < other[lane];
            if is_less { then[lane] } else { otherwise[lane] }
        };
        std::array::from_fn(chosen)
    }

    #[inline(always)]
    fn where_nan(self, then: Self, otherwise: Self) -> Self {
        let chosen = |lane: usize| {
            let is_nan = self[lane].is_nan();
            if is_nan { then[lane] } else { otherwise[lane] }
        };
        std::array::from_fn(chosen)
    }
}

/// A whole vector, or `n` numbers and zeros.
///
/// # Safety
/// They are there.
#[inline(always)]
pub(crate) unsafe fn load<N: Number, V: Lanes, const WHOLE: bool>(from: *const N, n: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        if WHOLE {
            return V::load(from);
        }
        let mut values = [0.0; MOST];
        for (lane, value) in values.iter_mut().enumerate().take(n) {
            *value = (*from.wrapping_add(lane)).widened();
        }
        V::load(values.as_ptr())
    }
}

/// Stores a whole vector, or its first `n` lanes.
///
/// # Safety
/// There is room for them.
#[inline(always)]
pub(crate) unsafe fn store<N: Number, V: Lanes, const WHOLE: bool>(
    values: V,
    to: *mut N,
    n: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if WHOLE {
            return values.store(to);
        }
        let mut all = [0.0_f32; MOST];
        values.store(all.as_mut_ptr());
        for (lane, &value) in all.iter().enumerate().take(n) {
            *to.wrapping_add(lane) = N::of(value);
        }
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
                    let sum = square.plus(x).minus(x.times(x)).plus(square);
                    let sum = x.where_less(V::zero(), V::zero().minus(sum), sum);
                    let sum = sum.where_nan(V::zero().minus(V::load([1.0; MOST].as_ptr())), sum);
                    sum.store(self.1[first..].as_mut_ptr());
                }
            }
        }
    }

    fn check<T: Number>() {
        // Of both signs, and a NaN, which is made -1.
        let x = |lane: usize| {
            if lane == 9 {
                f32::NAN
            } else {
                lane as f32 - 4.0
            }
        };
        let expected = |x: f32| if x < 0.0 { -x * x - x } else { x * x + x };
        let expected = |x: f32| if x.is_nan() { -1.0 } else { expected(x) };
        let from = std::array::from_fn(|lane| T::of(x(lane)));
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let mut to = [T::default(); MOST];
            // SAFETY: both arrays are there.
            unsafe { on(isa, Steps(&from, &mut to)) };
            for (lane, found) in to.into_iter().enumerate() {
                let (found, expected) = (found.widened(), expected(x(lane)));
                assert_eq!(found, expected, "{isa:?}");
            }
        }
    }

    #[test]
    fn each_set_does_the_same_in_every_lane() {
        check::<f32>();
        check::<Bf16>();
    }
}
