//! Bits of entropy-coded data.

/// Bits that are at hand after [`Bits::refill`], at least: two codes with what belongs to them.
const AT_HAND: u32 = 56;

/// Copies data up to the next marker, the zeros taken out that follow each 0xff (T.81, B.1.1.5).
///
/// Returns where the marker is; `None` when the file ends before one.
pub(super) fn unstuff(bytes: &[u8], mut at: usize, data: &mut Vec<u8>) -> Option<usize> {
    data.clear();
    loop {
        let rest = bytes.get(at..)?;
        let n = find_ff(rest)?;
        data.extend_from_slice(&rest[..n]);
        if *rest.get(n + 1)? != 0 {
            return Some(at + n);
        }
        data.push(0xff);
        at += n + 2;
    }
}

/// Where the first 0xff is.
fn find_ff(bytes: &[u8]) -> Option<usize> {
    const CHUNK: usize = 32;
    let chunks = bytes.chunks_exact(CHUNK);
    // The largest of all, without a way out: a chunk is one comparison of vectors.
    let largest = |chunk: &[u8]| chunk.iter().fold(0, |max: u8, &byte| max.max(byte));
    let n = CHUNK * chunks.take_while(|chunk| largest(chunk) < 0xff).count();
    Some(n + bytes[n..].iter().position(|&byte| byte == 0xff)?)
}

/// Reads bits, most significant first; beyond the data there are zeros.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// Bytes that count as read ahead.
    at: usize,
    /// The next `n` bits, at the top; those below are bits of the data too, or zeros.
    ahead: u64,
    n: u32,
}

impl<'a> Bits<'a> {
    /// - `data`: without byte stuffing
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            at: 0,
            ahead: 0,
            n: 0,
        }
    }

    /// Reads ahead.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        let word = match self.data.get(self.at..).and_then(<[u8]>::first_chunk) {
            Some(&bytes) => u64::from_be_bytes(bytes),
            None => last_word(self.data, self.at),
        };
        // What a shift by `n` leaves of a byte is put in once more with the whole of it.
        self.ahead |= word >> self.n;
        self.at = self.at.wrapping_add(((63 - self.n) >> 3) as usize);
        self.n |= AT_HAND;
    }

    /// The next `count` bits, 1 to 32.
    #[inline(always)]
    pub(super) fn peek(&self, count: u32) -> u32 {
        (self.ahead >> (64 - count)) as u32
    }

    /// Passes over at most as many bits as are at hand; without a look for overflows, since there
    /// are none in that case.
    #[inline(always)]
    pub(super) fn skip(&mut self, count: u32) {
        self.ahead <<= count & 63;
        self.n = self.n.wrapping_sub(count) & 63;
    }

    /// Takes a value of `size` bits, 0 to 16 (T.81, F.2.2.1: RECEIVE and EXTEND).
    #[inline(always)]
    pub(super) fn value(&mut self, size: u32) -> i32 {
        // One bit more, since a shift by 64 would be none.
        let bits = (self.ahead >> 1 >> (63 - size)) as i32;
        self.skip(size);
        extend(bits, size)
    }

    /// Whether no more bits were taken than the data have.
    #[inline(always)]
    pub(super) fn is_within(&self) -> bool {
        self.taken() <= 8 * self.data.len()
    }

    /// Whether less than a byte is left, and nothing lacks.
    pub(super) fn is_spent(&self) -> bool {
        self.is_within() && 8 * self.data.len() - self.taken() < 8
    }

    /// How many bits were taken.
    pub(super) fn taken(&self) -> usize {
        8 * self.at - self.n as usize
    }
}

/// Bytes from `at` on, and zeros. A function of its own, and of no `Bits`, so that those can stay
/// in registers.
#[cold]
fn last_word(data: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    let rest = data.get(at..).unwrap_or_default();
    bytes[..rest.len()].copy_from_slice(rest);
    u64::from_be_bytes(bytes)
}

/// The value that `size` bits stand for: those that begin with 0 are negative.
#[inline(always)]
pub(super) fn extend(bits: i32, size: u32) -> i32 {
    let is_negative = i32::from(bits < (1 << size) >> 1);
    bits - is_negative * ((1 << size) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuffing_is_taken_out_up_to_a_marker() {
        let mut data = vec![9];
        let bytes = [1, 0xff, 0, 0xff, 0, 2, 0xff, 0xd9, 3];
        assert_eq!(unstuff(&bytes, 0, &mut data), Some(6));
        assert_eq!(data, [1, 0xff, 0xff, 2]);
        assert_eq!(unstuff(&bytes[..6], 0, &mut data), None);
        assert_eq!(unstuff(&bytes[..7], 0, &mut data), None);
        assert_eq!(unstuff(&bytes, 10, &mut data), None);
    }

    #[test]
    fn a_marker_is_found_wherever_it_is() {
        for n in 0..100 {
            let mut bytes = vec![0xfe; 100];
            bytes[n] = 0xff;
            assert_eq!(find_ff(&bytes), Some(n));
        }
        assert_eq!(find_ff(&[0; 64]), None);
    }

    #[test]
    fn bits_come_in_order_and_are_counted() {
        let data: Vec<u8> = (0..40).map(|i| (37 * i + 11) as u8).collect();
        let bit = |i: usize| u32::from(data[i / 8] >> (7 - i % 8) & 1);
        let mut bits = Bits::new(&data);
        let mut at = 0;
        for count in (1..=27).cycle().take(23) {
            bits.refill();
            let expected = (at..at + count).fold(0, |word, i| 2 * word + bit(i));
            assert_eq!(bits.peek(count as u32), expected, "{at}");
            bits.skip(count as u32);
            at += count;
            assert!(bits.is_within());
            assert_eq!(bits.is_spent(), at > 312);
        }
        bits.refill();
        bits.skip(44); // to 320 bits, which are all
        assert!(bits.is_spent());
        bits.skip(1);
        assert!(!bits.is_within() && !bits.is_spent());
    }

    #[test]
    fn values_are_extended() {
        // T.81, table F.1: size 2 is -3, -2, 2, 3.
        assert_eq!([0, 1, 2, 3].map(|bits| extend(bits, 2)), [-3, -2, 2, 3]);
        assert_eq!(extend(0, 0), 0);
        assert_eq!([0, 2047].map(|bits| extend(bits, 11)), [-2047, 2047]);
        let mut bits = Bits::new(&[0b0110_0000]);
        bits.refill();
        assert_eq!([bits.value(0), bits.value(1), bits.value(2)], [0, -1, 3]);
    }
}
