//! Which instruction set the convolution kernels use.

use std::cell::Cell;

use candle_core::{Result, bail};

use crate::arithmetic::Precision;
use crate::microkernels::peak;

/// An instruction set that the convolution kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// AVX-512 (F, BW, VL): tiles of 12 pixels by 32 channels; `bf16` where the processor has
    /// AVX512-BF16 too, else as [`Isa::Portable`].
    Avx512,
    /// AVX2 with FMA: tiles of 6 pixels by 16 channels; `bf16` as [`Isa::Portable`].
    Avx2,
    /// Plain loops for any processor: tiles of 4 pixels by 16 channels.
    Portable,
}

impl Isa {
    /// All of them, fastest first.
    pub const ALL: [Self; 3] = [Self::Avx512, Self::Avx2, Self::Portable];

    /// Whether this machine has it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
            Self::Portable => true,
        }
    }

    /// Whether its kernels multiply `bf16` in one instruction, at up to twice the rate of `f32`.
    /// Others widen it first, in plain loops that are slower than those of `f32`.
    pub fn has_bf16(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Avx512 {
            return self.is_available() && is_x86_feature_detected!("avx512bf16");
        }
        false
    }

    /// The fastest that this machine has.
    pub fn best() -> Self {
        let mut available = Self::ALL.into_iter().filter(|isa| isa.is_available());
        available.next().unwrap_or(Self::Portable)
    }

    /// Runs a loop of nothing but multiplications and additions in registers, on the calling
    /// thread, and gives its floating-point operations: over its time, the peak of a core.
    ///
    /// - `precision`: what is multiplied; sums are `f32`
    /// - `rounds`: a few hundred operations each; 0 counts as 1
    ///
    /// # Errors
    /// Where this machine lacks the set.
    pub fn multiply_and_add(self, precision: Precision, rounds: u64) -> Result<f64> {
        if !self.is_available() {
            bail!("multiply_and_add: this processor has no {self:?}; use Isa::best()");
        }
        Ok(peak::multiply_and_add(self, precision, rounds))
    }

    /// The one that operations called on this thread use: [`Isa::best`], or that of [`with_isa`].
    pub fn current() -> Self {
        FORCED.get().unwrap_or_else(Self::best)
    }
}

thread_local! {
    static FORCED: Cell<Option<Isa>> = const { Cell::new(None) };
}

/// Runs `f` with operations that this thread calls, backward passes too, on one instruction set.
///
/// For tests and measurements: results differ in rounding only.
///
/// # Errors
/// Where this machine lacks it, and `f`'s own.
pub fn with_isa<R>(isa: Isa, f: impl FnOnce() -> Result<R>) -> Result<R> {
    if !isa.is_available() {
        bail!("with_isa: this processor has no {isa:?}; use Isa::best()");
    }
    let _restore = Restore(FORCED.replace(Some(isa)));
    f()
}

/// Puts the former choice back, also where `f` panics.
struct Restore(Option<Isa>);

impl Drop for Restore {
    fn drop(&mut self) {
        FORCED.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forced_set_ends_with_its_scope() -> Result<()> {
        assert_eq!(Isa::current(), Isa::best());
        let inner = with_isa(Isa::Portable, || {
            with_isa(Isa::best(), || Ok(()))?;
            Ok(Isa::current())
        })?;
        assert_eq!(inner, Isa::Portable);
        assert_eq!(Isa::current(), Isa::best());
        Ok(())
    }

    #[test]
    fn every_machine_has_the_portable_one() {
        assert!(Isa::Portable.is_available());
        assert!(Isa::best().is_available());
    }
}
