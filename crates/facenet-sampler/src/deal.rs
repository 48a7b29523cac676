//! The order in which identities are dealt: each once a cycle.

use crate::{ChaChaDraw, Draw};

/// Identities of the order among which a round may choose: a quarter of a million planes are
/// compared for each that is chosen, some 0.2 ms.
pub const WINDOW: usize = 1 << 15;

/// Purpose of the draws of the order.
const ORDER: u64 = u64::from_le_bytes(*b"order\0\0\0");

/// A cycle's order, how far it has been dealt, and who waits.
#[derive(Clone, Debug)]
pub(crate) struct Deal {
    seed: u64,
    cycle: u64,
    /// All identities, shuffled: a function of seed and cycle.
    order: Vec<u32>,
    /// Identities of the order that have come into the window.
    entered: usize,
    /// Those that wait, the longest first.
    window: Vec<u32>,
    width: usize,
}

/// Where a [`Deal`] stands, without its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    cycle: u64,
    entered: usize,
    window: Vec<u32>,
}

impl Deal {
    /// - `most`: identities of a round at most
    pub(crate) fn new(sizes: &[u32], seed: u64, most: usize) -> Self {
        Self {
            seed,
            cycle: 0,
            order: order(sizes.len(), seed, 0),
            entered: 0,
            window: Vec::new(),
            width: WINDOW.max(most.saturating_mul(2)),
        }
    }

    /// Those that wait, the longest first.
    pub(crate) fn window(&self) -> &[u32] {
        &self.window
    }

    /// Lets identities that have images in while there is room, and none of another cycle.
    pub(crate) fn refill(&mut self, sizes: &[u32]) {
        while self.window.len() < self.width && self.entered < self.order.len() {
            let identity = self.order[self.entered];
            self.entered += 1;
            if sizes[identity as usize] > 0 {
                self.window.push(identity);
            }
        }
    }

    /// Takes the identity that has waited longest, of those that are not of `hand`; where all
    /// have been dealt, the next cycle begins.
    pub(crate) fn oldest(&mut self, sizes: &[u32], hand: &[u32]) -> u32 {
        loop {
            let mut waiting = self.window.iter();
            if let Some(at) = waiting.position(|identity| !hand.contains(identity)) {
                return self.remove(at);
            }
            // Within a cycle nobody who waits has been dealt: the window is empty, or it is the
            // next cycle's and as wide as the hand is long at least twice, or holds all.
            self.cycle += 1;
            self.order = order(sizes.len(), self.seed, self.cycle);
            self.entered = 0;
            self.refill(sizes);
        }
    }

    /// Takes the identity at a place of the window.
    pub(crate) fn remove(&mut self, at: usize) -> u32 {
        self.window.remove(at)
    }

    /// What [`Deal::go_back`] needs: who waits, and of which cycle.
    pub(crate) fn place(&self) -> Place {
        Place {
            cycle: self.cycle,
            entered: self.entered,
            window: self.window.clone(),
        }
    }

    /// Undoes what was dealt since. The order is drawn again where a cycle has begun.
    pub(crate) fn go_back(&mut self, place: Place) {
        if place.cycle != self.cycle {
            self.order = order(self.order.len(), self.seed, place.cycle);
        }
        self.cycle = place.cycle;
        self.entered = place.entered;
        self.window = place.window;
    }

    /// Appends what [`Deal::read`] needs: cycle, how far, how many wait, who.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        for number in [self.cycle, self.entered as u64, self.window.len() as u64] {
            bytes.extend(number.to_le_bytes());
        }
        for identity in &self.window {
            bytes.extend(identity.to_le_bytes());
        }
    }

    /// What [`Deal::write`] wrote, and the bytes behind; `None` where it was of another one.
    pub(crate) fn read<'a>(&self, sizes: &[u32], bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (numbers, rest) = bytes.split_at_checked(24)?;
        let number = |at: usize| {
            numbers[8 * at..]
                .first_chunk()
                .map(|x| u64::from_le_bytes(*x))
        };
        let (cycle, entered, waiting) = (number(0)?, number(1)?, number(2)?);
        let (entered, waiting) = (entered as usize, waiting as usize);
        let (window, rest) = rest.split_at_checked(waiting.checked_mul(4)?)?;
        let window: Vec<_> = window
            .as_chunks()
            .0
            .iter()
            .map(|x| u32::from_le_bytes(*x))
            .collect();
        let is_filled = |&identity: &u32| sizes.get(identity as usize).is_some_and(|&n| n > 0);
        if entered > sizes.len() || waiting > entered || !window.iter().all(is_filled) {
            return None;
        }
        let order = order(sizes.len(), self.seed, cycle);
        let deal = Self {
            seed: self.seed,
            cycle,
            order,
            entered,
            window,
            width: self.width,
        };
        Some((deal, rest))
    }
}

fn order(n: usize, seed: u64, cycle: u64) -> Vec<u32> {
    let mut order: Vec<_> = (0..n as u32).collect();
    ChaChaDraw::of_purpose(seed, ORDER, cycle, 0).shuffle(&mut order);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_has_everyone_once_and_the_next_another_order() {
        let sizes = [1, 1, 0, 1, 1, 1];
        let mut deal = Deal::new(&sizes, 5, 2);
        let mut cycle = || -> Vec<u32> {
            (0..5)
                .map(|_| {
                    deal.refill(&sizes);
                    deal.oldest(&sizes, &[])
                })
                .collect()
        };
        let (first, second) = (cycle(), cycle());
        assert_ne!(first, second);
        for mut dealt in [first, second] {
            dealt.sort_unstable();
            assert_eq!(dealt, [0, 1, 3, 4, 5]);
        }
    }

    #[test]
    fn one_of_the_hand_waits() {
        let sizes = [1; 3];
        let mut deal = Deal::new(&sizes, 1, 2);
        deal.refill(&sizes);
        let first = deal.window()[0];
        assert_ne!(deal.oldest(&sizes, &[first]), first);
        assert_eq!(deal.oldest(&sizes, &[]), first);
    }

    #[test]
    fn what_was_written_is_read_and_what_does_not_fit_is_not() {
        let sizes = [1; 6];
        let mut deal = Deal::new(&sizes, 1, 2);
        deal.refill(&sizes);
        deal.oldest(&sizes, &[]);
        let mut bytes = Vec::new();
        deal.write(&mut bytes);
        bytes.extend([7, 7]);
        let (mut again, rest) = Deal::new(&sizes, 1, 2)
            .read(&sizes, &bytes)
            .expect("as written");
        assert_eq!(rest, [7, 7]);
        for _ in 0..9 {
            assert_eq!(again.oldest(&sizes, &[]), deal.oldest(&sizes, &[]));
        }
        assert!(deal.read(&sizes[..4], &bytes).is_none());
        bytes[16] = 200;
        assert!(deal.read(&sizes, &bytes).is_none());
    }
}
