//! Random draws: a function of seed, epoch, step and pair, in no order.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::chacha::{STREAMS, Words};
use crate::simd::{Level, first_words};

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
    /// Source of the draws for pairs.
    pub(crate) fn pairs(self) -> PairDraws {
        let key = self.key(CHOOSE);
        let word = |i: usize| u32::from_le_bytes(std::array::from_fn(|byte| key[4 * i + byte]));
        PairDraws {
            rng: self.rng(CHOOSE),
            key: std::array::from_fn(word),
        }
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
        ChaCha8Rng::from_seed(self.key(purpose))
    }

    fn key(self, purpose: u64) -> [u8; 32] {
        let mut key = [0; 32];
        for (bytes, word) in key
            .chunks_exact_mut(8)
            .zip([self.seed, purpose, self.epoch, self.step])
        {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        key
    }
}

/// The streams of all pairs.
#[derive(Debug, Clone)]
pub(crate) struct PairDraws {
    rng: ChaCha8Rng,
    key: [u32; 8],
}

/// First words of a few pairs' streams, made together.
#[derive(Debug, Clone, Default)]
pub(crate) struct FirstWords {
    /// First pair, and a word for it and those after it.
    held: Option<(u64, Words)>,
}

impl PairDraws {
    /// Draws uniformly from `0..n` for pair number `pair`; `n` is positive. Quick when pairs come
    /// in ascending order with the same `held`.
    pub(crate) fn choose(&self, held: &mut FirstWords, pair: u64, n: usize) -> usize {
        if n == 1 {
            return 0;
        }
        let n = n as u64;
        let product = u128::from(self.first_word(held, pair)) * u128::from(n);
        if (product as u64) < n {
            // It may be one to reject: the stream itself decides.
            let mut rng = self.rng.clone();
            rng.set_stream(pair);
            return below(&mut rng, n) as usize;
        }
        (product >> 64) as usize
    }

    /// Draws uniformly from the multiples of 2^-53 in `[0, 1)` for pair number `pair`.
    pub(crate) fn share(&self, held: &mut FirstWords, pair: u64) -> f64 {
        (self.first_word(held, pair) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The first 64 bits of a pair's stream.
    fn first_word(&self, held: &mut FirstWords, pair: u64) -> u64 {
        if let Some((first, words)) = &held.held
            && let Some(offset) = pair.checked_sub(*first)
            && offset < STREAMS as u64
        {
            return words[offset as usize];
        }
        let words = first_words(Level::best(), &self.key, pair);
        held.held = Some((pair, words));
        words[0]
    }
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
        let drawn = |seed, epoch, step, pair| {
            let draws = Draw { seed, epoch, step }.pairs();
            draws.choose(&mut FirstWords::default(), pair, usize::MAX)
        };
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
        let draws = Draw {
            seed: 5,
            epoch: 0,
            step: 0,
        }
        .pairs();
        let (mut counts, mut held) = ([0; 7], FirstWords::default());
        (0..7000).for_each(|pair| counts[draws.choose(&mut held, pair, 7)] += 1);
        // Binomial(7000, 1/7): mean 1000, standard deviation 29.3; five of them.
        assert!(
            counts.iter().all(|count| (854..=1146).contains(count)),
            "{counts:?}"
        );
        assert_eq!(draws.choose(&mut held, 3, 1), 0);
    }

    /// So large an `n` that a third of the words are rejected; pairs in any order.
    #[test]
    fn choices_are_those_of_the_pairs_stream() {
        let (draw, n) = (
            Draw {
                seed: 3,
                epoch: 1,
                step: 4,
            },
            (u64::MAX / 3) * 2,
        );
        let (draws, mut held) = (draw.pairs(), FirstWords::default());
        for pair in (0..200).chain([7, 1000, 1015, 1016, 1003]) {
            let mut rng = draw.rng(CHOOSE);
            rng.set_stream(pair);
            let expected = below(&mut rng, n) as usize;
            assert_eq!(
                draws.choose(&mut held, pair, n as usize),
                expected,
                "{pair}"
            );
        }
    }
}
