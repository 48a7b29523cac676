//! Keyed random draws.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A stream of draws that depends on its key alone.
pub(super) struct Dice {
    rng: ChaCha8Rng,
}

impl Dice {
    /// Keys `ChaCha8` with `[seed, purpose, subject, 0]` as four little-endian words and seeks
    /// stream `index`.
    pub(super) fn new(seed: u64, purpose: [u8; 8], subject: u64, index: u64) -> Self {
        let words = [seed, u64::from_le_bytes(purpose), subject, 0];
        let mut key = [0; 32];
        for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(index);
        Self { rng }
    }

    /// Uniform in `[0, 1)`, a multiple of 2⁻²⁴.
    pub(super) fn unit(&mut self) -> f32 {
        (self.rng.next_u32() >> 8) as f32 / 16_777_216.0
    }

    /// Uniform between `low` and `high`.
    pub(super) fn within(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform between `-limit` and `limit`.
    pub(super) fn signed(&mut self, limit: f32) -> f32 {
        self.within(-limit, limit)
    }

    /// True with probability `p`.
    pub(super) fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    /// One of `choices`, uniformly; `choices` must not be empty.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let last = choices.len() - 1;
        choices[((self.unit() * choices.len() as f32) as usize).min(last)]
    }

    /// A colour, uniform in the cube between `low` and `high`.
    pub(super) fn colour(&mut self, low: f32, high: f32) -> [f32; 3] {
        [
            self.within(low, high),
            self.within(low, high),
            self.within(low, high),
        ]
    }

    /// The next 32 bits.
    pub(super) fn bits(&mut self) -> u32 {
        self.rng.next_u32()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(seed: u64, purpose: [u8; 8], subject: u64, index: u64) -> u32 {
        Dice::new(seed, purpose, subject, index).bits()
    }

    #[test]
    fn every_part_of_the_key_matters() {
        let base = first(1, *b"picture\0", 2, 3);
        assert_eq!(base, first(1, *b"picture\0", 2, 3));
        assert_ne!(base, first(0, *b"picture\0", 2, 3));
        assert_ne!(base, first(1, *b"identity", 2, 3));
        assert_ne!(base, first(1, *b"picture\0", 3, 3));
        assert_ne!(base, first(1, *b"picture\0", 2, 2));
    }

    #[test]
    fn draws_stay_in_their_ranges() {
        let mut dice = Dice::new(7, *b"identity", 0, 0);
        for _ in 0..1000 {
            assert!((0.0..1.0).contains(&dice.unit()));
            assert!((-2.0..=3.0).contains(&dice.within(-2.0, 3.0)));
            assert!([4, 5].contains(&dice.pick(&[4, 5])));
        }
    }
}
