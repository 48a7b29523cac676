//! Two arrays, number by number.
#![expect(unsafe_code, reason = "kernels take pointers")]
#![expect(
    clippy::inline_always,
    reason = "vectors stay in registers only where everything is compiled for the set at once"
)]

use crate::isa::Isa;
use crate::microkernels::lanes::{self, Lanes, Work, load, store};
use crate::number::Number;

/// Writes `a + b`, each sum rounded once.
///
/// # Panics
/// Where lengths disagree.
pub(crate) fn sum<T: Number>(isa: Isa, a: &[T], b: &[T], sum: &mut [T]) {
    assert!(a.len() == b.len() && a.len() == sum.len());
    let (a, b, to, len) = (a.as_ptr(), b.as_ptr(), sum.as_mut_ptr(), a.len());
    // SAFETY: `len` numbers each, as was just seen.
    unsafe { lanes::on(isa, Pairs::<_, Plus>::new((a, b), to, len)) };
}

/// `a += b`, each sum rounded once.
///
/// # Panics
/// Where lengths disagree.
pub(crate) fn add<T: Number>(isa: Isa, a: &mut [T], b: &[T]) {
    assert_eq!(a.len(), b.len());
    let (len, to) = (a.len(), a.as_mut_ptr());
    // SAFETY: as above; each number is read before it is written.
    unsafe { lanes::on(isa, Pairs::<_, Plus>::new((to, b.as_ptr()), to, len)) };
}

/// Clears each `grad` whose `y` is not positive.
///
/// # Panics
/// Where lengths disagree.
pub(crate) fn mask<T: Number>(isa: Isa, grad: &mut [T], y: &[T]) {
    assert_eq!(grad.len(), y.len());
    let (len, to) = (grad.len(), grad.as_mut_ptr());
    // SAFETY: as above.
    unsafe { lanes::on(isa, Pairs::<_, Masked>::new((to, y.as_ptr()), to, len)) };
}

/// What becomes of two numbers.
trait Operation {
    fn of<V: Lanes>(a: V, b: V) -> V;
}

struct Plus;

impl Operation for Plus {
    #[inline(always)]
    fn of<V: Lanes>(a: V, b: V) -> V {
        a.plus(b)
    }
}

struct Masked;

impl Operation for Masked {
    #[inline(always)]
    fn of<V: Lanes>(a: V, b: V) -> V {
        V::zero().where_less(b, a, V::zero())
    }
}

/// An operation on `len` pairs.
struct Pairs<T, O> {
    from: (*const T, *const T),
    to: *mut T,
    len: usize,
    operation: std::marker::PhantomData<O>,
}

impl<T, O> Pairs<T, O> {
    fn new(from: (*const T, *const T), to: *mut T, len: usize) -> Self {
        Self {
            from,
            to,
            len,
            operation: std::marker::PhantomData,
        }
    }

    /// All lanes from `at` on where `WHOLE`, else `n`.
    ///
    /// # Safety
    /// They are there, and the machine has the set of `V`.
    #[inline(always)]
    unsafe fn vector<V: Lanes, const WHOLE: bool>(&self, at: usize, n: usize)
    where
        T: Number,
        O: Operation,
    {
        // SAFETY: the caller's promise.
        unsafe {
            let a: V = load::<_, V, WHOLE>(self.from.0.wrapping_add(at), n);
            let b: V = load::<_, V, WHOLE>(self.from.1.wrapping_add(at), n);
            store::<_, V, WHOLE>(O::of(a, b), self.to.wrapping_add(at), n);
        }
    }
}

impl<T: Number, O: Operation> Work for Pairs<T, O> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let whole = self.len / V::LANES * V::LANES;
        // SAFETY: the caller's promise.
        unsafe {
            for at in (0..whole).step_by(V::LANES) {
                self.vector::<V, true>(at, V::LANES);
            }
            if whole < self.len {
                self.vector::<V, false>(whole, self.len - whole);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Bf16;

    fn check<T: Number>() {
        let numbers = |step: usize, special: f32| -> Vec<T> {
            let of = |i: usize| {
                if i == 9 {
                    special
                } else {
                    (i * step % 9) as f32 - 4.0
                }
            };
            (0..37).map(|i| T::of(of(i))).collect()
        };
        let widened = |values: &[T]| -> Vec<f32> { values.iter().map(|v| v.widened()).collect() };
        let (all_a, all_b) = (numbers(5, 3.0), numbers(7, f32::NAN));
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for len in [0, 1, 8, 15, 16, 17, 37] {
                let (a, b) = (&all_a[..len], &all_b[..len]);
                let (mut sums, mut added, mut masked) = (a.to_vec(), a.to_vec(), a.to_vec());
                sum(isa, a, b, &mut sums);
                add(isa, &mut added, b);
                mask(isa, &mut masked, b);
                for (i, (a, b)) in widened(a).into_iter().zip(widened(b)).enumerate() {
                    let kept = if b > 0.0 { a } else { 0.0 };
                    assert_eq!(masked[i].widened(), kept);
                    for sum in [sums[i].widened(), added[i].widened()] {
                        assert!(sum == a + b || (sum.is_nan() && b.is_nan()), "{isa:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_set_gives_what_a_number_at_a_time_gives() {
        check::<f32>();
        check::<Bf16>();
    }
}
