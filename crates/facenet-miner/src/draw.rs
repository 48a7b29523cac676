//! Random draws: a function of seed, epoch, step and pair, in no order.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Purposes of the key: other consumers of the same seed share no draws with these.
const CHOOSE: u64 = u64::from_le_bytes(*b"mine\0\0\0\0");
const SHUFFLE: u64 = u64::from_le_bytes(*b"mineshuf");
const QUANTILE: u64 = u64::from_le_bytes(*b"minequan");

/// Names the draws of one call.
///
/// The draw for a pair is from `ChaCha8` with the key `[seed, "mine", epoch, step]` (four
/// little-endian `u64`) and the pair's index as its stream, so no pair's draw depends on
/// another's and threads may take pairs in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Draw {
    /// Seed of the run.
    pub seed: u64,
    /// Epoch of the run.
    pub epoch: u64,
    /// Step or round within the run.
    pub step: u64,
}

impl Draw {
    /// Source of the draws for pairs, to be cloned by [`choose`].
    pub(crate) fn pairs(self) -> ChaCha8Rng {
        self.rng(CHOOSE)
    }

    /// Source of the positions at which distances are sampled for quantiles.
    pub(crate) fn quantiles(self) -> ChaCha8Rng {
        self.rng(QUANTILE)
    }

    /// Fisher-Yates from the last element down.
    pub(crate) fn shuffle<T>(self, xs: &mut [T]) {
        let mut rng = self.rng(SHUFFLE);
        for last in (1..xs.len()).rev() {
            xs.swap(last, below(&mut rng, last as u64 + 1) as usize);
        }
    }

    fn rng(self, purpose: u64) -> ChaCha8Rng {
        let mut key = [0; 32];
        for (bytes, word) in key
            .chunks_exact_mut(8)
            .zip([self.seed, purpose, self.epoch, self.step])
        {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha8Rng::from_seed(key)
    }
}

/// Draws uniformly from `0..n` for pair number `pair`; `n` is positive.
pub(crate) fn choose(rng: &ChaCha8Rng, pair: u64, n: usize) -> usize {
    if n == 1 {
        return 0;
    }
    let mut rng = rng.clone();
    rng.set_stream(pair);
    below(&mut rng, n as u64) as usize
}

/// Lemire's multiplication with rejection (arXiv:1805.10941) on 64-bit draws: exactly uniform.
pub(crate) fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    let rejected = n.wrapping_neg() % n;
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(n);
        if product as u64 >= rejected {
            return (product >> 64) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_name_matters() {
        let drawn =
            |seed, epoch, step, pair| choose(&Draw { seed, epoch, step }.pairs(), pair, usize::MAX);
        let first = drawn(1, 2, 3, 4);
        assert_eq!(first, drawn(1, 2, 3, 4));
        for other in [
            drawn(9, 2, 3, 4),
            drawn(1, 9, 3, 4),
            drawn(1, 2, 9, 4),
            drawn(1, 2, 3, 9),
        ] {
            assert_ne!(first, other);
        }
        assert_ne!(drawn(1, 2, 3, 4), drawn(1, 3, 2, 4));
    }

    #[test]
    fn choices_are_uniform_over_pairs() {
        let rng = Draw {
            seed: 5,
            epoch: 0,
            step: 0,
        }
        .pairs();
        let mut counts = [0; 7];
        (0..7000).for_each(|pair| counts[choose(&rng, pair, 7)] += 1);
        // Binomial(7000, 1/7): mean 1000, standard deviation 29.3; five of them.
        assert!(
            counts.iter().all(|count| (854..=1146).contains(count)),
            "{counts:?}"
        );
        assert_eq!(choose(&rng, 3, 1), 0);
    }
}
