//! The first output of many `ChaCha8` streams at once.
//!
//! [`rand_chacha`] makes four blocks, the longest part of a pair's draw, where one word is wanted;
//! here sixteen streams share the work of a block each.

/// Streams of one call.
pub(crate) const STREAMS: usize = 16;

/// The first 64 bits of each stream.
pub(crate) type Words = [u64; STREAMS];

/// One word of the state, for every stream.
type Lanes = [u32; STREAMS];

/// "expand 32-byte k", the constants of ChaCha's state.
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// Pairs of rounds in `ChaCha8`.
const DOUBLE_ROUNDS: usize = 4;

/// Body of [`crate::simd::first_words`].
///
/// - `key`: eight little-endian words
/// - `stream`: of the first; the others follow it
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled for a level only where it is inlined"
)]
pub(crate) fn first_words_loop(key: &[u32; 8], stream: u64) -> Words {
    let mut start = [[0; STREAMS]; 16];
    for (lanes, &word) in start.iter_mut().zip(CONSTANTS.iter().chain(key)) {
        *lanes = [word; STREAMS];
    }
    for (lane, stream) in (0..STREAMS).zip((0..).map(|lane| stream.wrapping_add(lane))) {
        start[14][lane] = stream as u32;
        start[15][lane] = (stream >> 32) as u32;
    }
    let mut state = start;
    for _ in 0..DOUBLE_ROUNDS {
        double_round(&mut state);
    }
    let mut words = [0; STREAMS];
    for (lane, word) in words.iter_mut().enumerate() {
        let low = state[0][lane].wrapping_add(start[0][lane]);
        let high = state[1][lane].wrapping_add(start[1][lane]);
        *word = u64::from(low) | u64::from(high) << 32;
    }
    words
}

#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled for a level only where it is inlined"
)]
fn double_round(state: &mut [Lanes; 16]) {
    for places in [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15]] {
        quarter_round(state, places);
    }
    for places in [[0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]] {
        quarter_round(state, places);
    }
}

#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled for a level only where it is inlined"
)]
fn quarter_round(state: &mut [Lanes; 16], [a, b, c, d]: [usize; 4]) {
    let [mut x, mut y, mut z, mut w] = [a, b, c, d].map(|place| state[place]);
    step(&mut x, &y, &mut w, 16);
    step(&mut z, &w, &mut y, 12);
    step(&mut x, &y, &mut w, 8);
    step(&mut z, &w, &mut y, 7);
    [state[a], state[b], state[c], state[d]] = [x, y, z, w];
}

/// `sum += addend`, and the mixed word rotated by `turn`.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled for a level only where it is inlined"
)]
fn step(sum: &mut Lanes, addend: &Lanes, mixed: &mut Lanes, turn: u32) {
    for ((sum, addend), mixed) in sum.iter_mut().zip(addend).zip(mixed) {
        *sum = sum.wrapping_add(*addend);
        *mixed = (*mixed ^ *sum).rotate_left(turn);
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{RngCore, SeedableRng};

    use super::*;
    use crate::simd::{Level, first_words};

    #[test]
    fn every_level_gives_the_words_of_rand_chacha() {
        let key: [u8; 32] = std::array::from_fn(|i| (i * 41 + 7) as u8);
        let (words, _) = key.as_chunks::<4>();
        let words: [u32; 8] = std::array::from_fn(|i| u32::from_le_bytes(words[i]));
        for stream in [0, 5, u64::from(u32::MAX) - 3, u64::MAX - 7] {
            let expected: Words = std::array::from_fn(|lane| {
                let mut rng = ChaCha8Rng::from_seed(key);
                rng.set_stream(stream.wrapping_add(lane as u64));
                rng.next_u64()
            });
            for level in Level::available() {
                assert_eq!(
                    first_words(level, &words, stream),
                    expected,
                    "{level:?} {stream}"
                );
            }
        }
    }
}
