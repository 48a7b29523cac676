//! Loops in the widest vectors that are worth it.

/// Runs `f`, compiled for 256-bit vectors where the machine has them: what of it is inlined.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a loop that is not inlined into `vectorize` is not compiled for it"
)]
pub(crate) fn wide<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return simd.vectorize(f);
    }
    f()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_run_is_returned() {
        let values = [3, 4, 5];
        assert_eq!(wide(|| values.iter().sum::<i32>()), 12);
    }
}
