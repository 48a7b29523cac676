//! Random numbers as functions of a key.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Purpose of initial weights.
pub(crate) const INIT: u64 = u64::from_le_bytes(*b"init\0\0\0\0");
/// Purpose of dropout masks.
pub(crate) const DROPOUT: u64 = u64::from_le_bytes(*b"dropout\0");

/// The generator of (seed, purpose, epoch, step, index).
pub(crate) fn generator(key: [u64; 4], index: u64) -> ChaCha8Rng {
    let mut seed = [0; 32];
    for (bytes, word) in seed.chunks_exact_mut(8).zip(key) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    let mut rng = ChaCha8Rng::from_seed(seed);
    rng.set_stream(index);
    rng
}

/// A number in `[0, 1)` with 53 random bits.
pub(crate) fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// FNV-1a, 64 bit: a tensor's name as a number.
pub(crate) fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_key_matters() {
        let draw = |key, index| generator(key, index).next_u64();
        let base = draw([1, 2, 3, 4], 5);
        assert_eq!(base, draw([1, 2, 3, 4], 5));
        for other in [[9, 2, 3, 4], [1, 9, 3, 4], [1, 2, 9, 4], [1, 2, 3, 9]] {
            assert_ne!(base, draw(other, 5));
        }
        assert_ne!(base, draw([1, 2, 3, 4], 6));
    }

    #[test]
    fn uniform_numbers_fill_the_unit_interval() {
        let mut rng = generator([0; 4], 0);
        let values: Vec<_> = (0..1000).map(|_| uniform(&mut rng)).collect();
        assert!(values.iter().all(|value| (0.0..1.0).contains(value)));
        let mean = values.iter().sum::<f64>() / 1000.0;
        // The mean of 1,000 has standard deviation 0.0091.
        assert!((mean - 0.5).abs() < 0.05, "{mean}");
    }

    #[test]
    fn fnv_has_its_published_values() {
        // The offset basis, and the published hash of "a".
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a"), 0xaf63_dc4c_8601_ec8c);
    }
}
