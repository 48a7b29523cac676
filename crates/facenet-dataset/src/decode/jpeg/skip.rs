//! Blocks of which no sample is needed: several codes a look.

use super::bits::Bits;
use super::huffman::{Huffman, Next};

/// Bits of a look: two codes with their values, as a rule.
const LOOK: u32 = 12;

/// What coefficients after the first there are, by the next [`LOOK`] bits.
pub(super) struct Skips([Look; 1 << LOOK]);

/// The codes that are complete in a look, values included: how many coefficients they stand for
/// `<< 8`, whether the last one ends the block `<< 4`, and how many bits they have, 0 where not
/// even the first one is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look(u16);

const IS_END: u16 = 1 << 4;

impl Skips {
    /// - `ac`: a table of coefficients other than the first
    pub(super) fn new(ac: &Huffman) -> Box<Self> {
        let mut skips = Box::new(Self([Look::default(); 1 << LOOK]));
        for (bits, look) in (0u16..).zip(&mut skips.0) {
            *look = Look::new(ac, (bits << (16 - LOOK)).to_be_bytes());
        }
        skips
    }

    /// What comes next; it is not taken.
    #[inline(always)]
    pub(super) fn look(&self, bits: &Bits<'_>) -> Look {
        self.0[bits.peek(LOOK) as usize & (self.0.len() - 1)]
    }
}

impl Look {
    /// - `data`: the look's bits, and zeros
    fn new(ac: &Huffman, data: [u8; 2]) -> Self {
        let mut bits = Bits::new(&data);
        let (mut look, mut n) = (Self::default(), 0);
        while !look.is_end() {
            bits.refill();
            let (coefficients, end) = match ac.short_value(&mut bits) {
                (_, 0) => match ac.next(&mut bits) {
                    Some(Next::End) => (0, IS_END),
                    Some(Next::Zeros) => (16, 0),
                    Some(Next::Value { run, .. }) => (run + 1, 0),
                    None => break,
                },
                (run, _) => (run + 1, 0),
            };
            if bits.taken() > LOOK as usize {
                break;
            }
            n += coefficients;
            look = Self((n as u16) << 8 | end | bits.taken() as u16);
        }
        look
    }

    /// Zeros and other values.
    #[inline(always)]
    pub(super) fn coefficients(self) -> usize {
        usize::from(self.0 >> 8)
    }

    #[inline(always)]
    pub(super) fn is_end(self) -> bool {
        self.0 & IS_END != 0
    }

    /// Passes over the codes.
    #[inline(always)]
    pub(super) fn take(self, bits: &mut Bits<'_>) {
        bits.skip(u32::from(self.0 & 15));
    }

    /// Whether there is a code, and all of them belong to a block that has `n` coefficients left.
    #[inline(always)]
    pub(super) fn is_within(self, n: usize) -> bool {
        self.0 != 0 && self.coefficients() < n
    }
}

#[cfg(test)]
mod tests {
    use super::super::huffman::Class;
    use super::*;

    /// Codes 0: end; 10 and two bits: a run of 3 and a value; 1100000: sixteen zeros.
    #[track_caller]
    fn check(bits: u16, expected: (u16, usize, bool)) {
        let counts = [1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let table = Huffman::new(&counts, &[0x00, 0x32, 0xf0], Class::Ac).expect("codes");
        let data = (bits << 4).to_be_bytes();
        let look = Skips::new(&table).look(&{
            let mut bits = Bits::new(&data);
            bits.refill();
            bits
        });
        let found = (look.0 & 15, look.coefficients(), look.is_end());
        assert_eq!(found, expected);
    }

    #[test]
    fn a_look_holds_all_codes_that_are_complete() {
        check(0b1011_1011_1011, (12, 12, false));
        check(0b1011_1011_1000, (12, 12, false));
        check(0b1011_1100_0000, (12, 20, true));
        check(0b1011_0101_1000, (5, 4, true));
        check(0b1100_0001_0110, (12, 20, true));
        check(0b1100_0001_1000, (7, 16, false));
        check(0b1111_1111_1111, (0, 0, false));
    }

    #[test]
    fn what_fills_a_block_is_not_within() {
        let look = |bits: u16, coefficients: u16| Look(coefficients << 8 | bits);
        assert!(look(5, 3).is_within(4));
        assert!(!look(5, 4).is_within(4));
        assert!(!look(0, 0).is_within(4));
    }
}
