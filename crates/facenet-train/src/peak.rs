//! The most that the processor computes.

use std::time::Instant;

use facenet_model::{Isa, Precision};

use crate::error::TrainError;

/// Rounds of a burst of [`peak`] on each thread: some 60 ms at 3.65 GHz, a vector a cycle.
const ROUNDS: u64 = 10_000_000;

/// Floating-point operations a second of nothing but multiplications and additions in registers,
/// on all threads of the current pool at once: what no kernel can pass. The best of three bursts,
/// by the wall clock.
///
/// - `precision`: what is multiplied; sums are `f32`
///
/// # Errors
/// None where the set was taken from [`Isa::best`].
pub fn peak(precision: Precision) -> Result<f64, TrainError> {
    let isa = Isa::best();
    let burst = || -> Result<f64, TrainError> {
        let start = Instant::now();
        let made = rayon::broadcast(|_| isa.multiply_and_add(precision, ROUNDS));
        let seconds = start.elapsed().as_secs_f64();
        let made: candle_core::Result<f64> = made.into_iter().sum();
        Ok(made? / seconds)
    };
    let bursts = [burst()?, burst()?, burst()?];
    Ok(bursts.into_iter().fold(0.0, f64::max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_of_a_pool_takes_part() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build();
        let made = pool.expect("two threads").install(|| {
            let made = rayon::broadcast(|_| Isa::best().multiply_and_add(Precision::Bf16, 1));
            made.into_iter().sum::<candle_core::Result<f64>>()
        });
        let one = Isa::best()
            .multiply_and_add(Precision::Bf16, 1)
            .expect("the best there is");
        assert_eq!(made.expect("the best there is"), 2.0 * one);
        let peak = peak(Precision::Bf16).expect("the best there is");
        assert!(peak > 0.0 && peak.is_finite());
    }
}
