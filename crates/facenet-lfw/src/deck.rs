use std::collections::HashMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// First half of the key's meaning: what the draws are for.
const PURPOSE: u64 = u64::from_le_bytes(*b"pairs\0\0\0");

/// The generator of (seed, purpose "pairs", index).
pub(crate) fn generator(seed: u64, index: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&PURPOSE.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(index);
    rng
}

/// A uniform draw from `0..n`, `n > 0`: draws from the incomplete last run are rejected.
pub(crate) fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    let incomplete = (u64::MAX % n + 1) % n;
    loop {
        let drawn = rng.next_u64();
        if drawn <= u64::MAX - incomplete {
            return drawn % n;
        }
    }
}

/// The cards `0..len`, of which only those that moved take memory.
pub(crate) struct Deck {
    len: u64,
    moved: HashMap<u64, u64>,
}

impl Deck {
    pub(crate) fn new(len: u64) -> Self {
        Self {
            len,
            moved: HashMap::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A random place, from 0; the deck must not be empty.
    pub(crate) fn place(&self, rng: &mut ChaCha8Rng) -> u64 {
        below(rng, self.len)
    }

    /// The card at `place`.
    pub(crate) fn card(&self, place: u64) -> u64 {
        self.moved.get(&place).copied().unwrap_or(place)
    }

    /// Takes out the card at `place`; the last one moves there.
    pub(crate) fn remove(&mut self, place: u64) {
        self.len -= 1;
        let last = self.moved.remove(&self.len).unwrap_or(self.len);
        if place < self.len {
            self.moved.insert(place, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_card_is_drawn_once() {
        let mut rng = generator(7, 0);
        let mut deck = Deck::new(50);
        let mut drawn = Vec::new();
        while !deck.is_empty() {
            let place = deck.place(&mut rng);
            drawn.push(deck.card(place));
            deck.remove(place);
        }
        assert_ne!(drawn, (0..50).collect::<Vec<_>>());
        drawn.sort_unstable();
        assert_eq!(drawn, (0..50).collect::<Vec<_>>());
        assert!(deck.moved.is_empty());
    }

    #[test]
    fn a_seed_and_an_index_fix_the_draws() {
        let draws = |seed, index| {
            (0..8)
                .map(|_| 0)
                .scan(generator(seed, index), |rng, _: i32| Some(below(rng, 1000)))
                .collect::<Vec<_>>()
        };
        assert_eq!(draws(1, 2), draws(1, 2));
        assert_ne!(draws(1, 2), draws(1, 3));
        assert_ne!(draws(1, 2), draws(2, 2));
    }

    #[test]
    fn draws_stay_below() {
        let mut rng = generator(3, 0);
        assert!((1..100).all(|n| below(&mut rng, n) < n));
        assert!(below(&mut rng, u64::MAX) < u64::MAX);
    }
}
