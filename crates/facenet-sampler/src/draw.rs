//! Where random draws come from: a trait, and the `ChaCha` generator that the sampler uses.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Purpose of the key, so that no other consumer of the same seed shares these draws.
const PURPOSE: u64 = u64::from_le_bytes(*b"sample\0\0");

/// A source of uniform draws. Tests put the reference's own generator behind it.
pub trait Draw {
    /// Draws uniformly from `0..n`. Returns 0 for `n` of 0 or 1.
    fn below(&mut self, n: usize) -> usize;

    /// Shuffles uniformly: Fisher-Yates from the last element down, as `numpy.random.shuffle`.
    fn shuffle<T>(&mut self, xs: &mut [T]) {
        for last in (1..xs.len()).rev() {
            xs.swap(last, self.below(last + 1));
        }
    }
}

/// `ChaCha8` draws of one round: a function of seed and step, and of nothing before them.
///
/// The key is `[seed, "sample", 0, step]` as four little-endian `u64`, the stream 0.
#[derive(Debug, Clone)]
pub struct ChaChaDraw(ChaCha8Rng);

impl ChaChaDraw {
    /// Begins the draws of round `step` under `seed`.
    pub fn new(seed: u64, step: u64) -> Self {
        Self::of_purpose(seed, PURPOSE, 0, step)
    }

    /// Begins the draws of another purpose.
    pub(crate) fn of_purpose(seed: u64, purpose: u64, epoch: u64, step: u64) -> Self {
        let mut key = [0; 32];
        for (bytes, word) in key.chunks_exact_mut(8).zip([seed, purpose, epoch, step]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// 64 random bits.
    pub(crate) fn word(&mut self) -> u64 {
        self.0.next_u64()
    }
}

impl Draw for ChaChaDraw {
    /// Lemire's multiplication with rejection (arXiv:1805.10941) on 64-bit draws: exactly uniform.
    fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        if n < 2 {
            return 0;
        }
        let rejected = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(n);
            if product as u64 >= rejected {
                return (product >> 64) as usize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws a fixed list, to follow the shuffle by hand.
    struct Listed(Vec<usize>);

    impl Draw for Listed {
        fn below(&mut self, n: usize) -> usize {
            let drawn = self.0.remove(0);
            assert!(drawn < n);
            drawn
        }
    }

    #[test]
    fn shuffle_goes_from_the_last_element_down() {
        let mut xs = ['a', 'b', 'c', 'd'];
        // d<->b: a d c b; then c stays: a d c b; then d<->a: d a c b.
        Listed(vec![1, 2, 0]).shuffle(&mut xs);
        assert_eq!(xs, ['d', 'a', 'c', 'b']);
    }

    #[test]
    fn shuffling_nothing_draws_nothing() {
        Listed(vec![]).shuffle::<u8>(&mut []);
        Listed(vec![]).shuffle(&mut [1]);
    }

    #[test]
    fn below_stays_below_and_reaches_all() {
        let mut draw = ChaChaDraw::new(1, 0);
        assert_eq!((draw.below(0), draw.below(1)), (0, 0));
        let mut counts = [0; 3];
        (0..3000).for_each(|_| counts[draw.below(3)] += 1);
        // Binomial(3000, 1/3): mean 1000, standard deviation 25.8; five of them.
        assert!(
            counts.iter().all(|count| (871..=1129).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn seed_and_step_both_matter() {
        let first = |seed, step| ChaChaDraw::new(seed, step).below(usize::MAX);
        assert_eq!(first(5, 6), first(5, 6));
        assert_ne!(first(5, 6), first(6, 5));
        assert_ne!(first(5, 6), first(5, 7));
    }
}
