//! Huffman-coded JPEG data, walked without computing a pixel.
//!
//! A decoder makes a picture of almost any bits. Damage shows when the codes of a scan are
//! counted: an undefined code, a coefficient beyond its block, or data left over or missing at
//! the end (ITU-T T.81, annex F.2).

/// Codes up to this length are found by one look.
const FAST_BITS: u32 = 9;
/// Coefficients of a block.
const BLOCK: u32 = 64;

/// What is wrong with the data.
pub(super) type Damage = &'static str;

/// A Huffman table: codes to symbols.
#[derive(Clone)]
pub(super) struct Huffman {
    /// By the next [`FAST_BITS`] bits: `length << 8 | symbol`, or 0.
    fast: Vec<u16>,
    /// By length less one: the first code, and the index of its symbol.
    first: [(u32, usize); 16],
    counts: [u8; 16],
    symbols: Vec<u8>,
}

impl Huffman {
    /// - `counts`: codes of each length 1 to 16
    /// - `symbols`: one for each code, by length
    pub(super) fn new(counts: [u8; 16], symbols: &[u8]) -> Self {
        let mut table = Self {
            fast: vec![0; 1 << FAST_BITS],
            first: [(0, 0); 16],
            counts,
            symbols: symbols.to_vec(),
        };
        let (mut code, mut index) = (0u32, 0);
        for length in 1..=16u32 {
            let count = u32::from(counts[length as usize - 1]);
            table.first[length as usize - 1] = (code, index);
            for i in 0..count {
                table.note(code + i, length, index + i as usize);
            }
            index += count as usize;
            code = (code + count) << 1;
        }
        table
    }

    fn note(&mut self, code: u32, length: u32, index: usize) {
        let Some(&symbol) = self.symbols.get(index) else {
            return;
        };
        if length <= FAST_BITS {
            let spare = FAST_BITS - length;
            let start = (code << spare) as usize;
            let end = (start + (1 << spare)).min(self.fast.len());
            self.fast[start.min(end)..end].fill((length << 8) as u16 | u16::from(symbol));
        }
    }

    /// Length and symbol of the code at the head of 16 bits.
    fn look_up(&self, bits: u32) -> Option<(u32, u8)> {
        let entry = self.fast[(bits >> (16 - FAST_BITS)) as usize];
        if entry != 0 {
            return Some((u32::from(entry >> 8), entry as u8));
        }
        for length in FAST_BITS + 1..=16 {
            let (first, index) = self.first[length as usize - 1];
            let offset = (bits >> (16 - length)).wrapping_sub(first);
            if offset < u32::from(self.counts[length as usize - 1]) {
                let symbol = self.symbols.get(index + offset as usize)?;
                return Some((length, *symbol));
            }
        }
        None
    }
}

/// Blocks of one component in an MCU, and its tables.
pub(super) struct Blocks<'a> {
    pub(super) n: usize,
    pub(super) dc: &'a Huffman,
    pub(super) ac: &'a Huffman,
}

/// Walks a sequential scan; `Ok` when its codes fill the data exactly.
///
/// - `data`: entropy-coded, byte stuffing and restart markers included
/// - `interval`: MCUs between restart markers; 0 for none
pub(super) fn check_scan(
    data: &[u8],
    components: &[Blocks<'_>],
    n_mcus: usize,
    interval: usize,
) -> Result<(), Damage> {
    let mut bits = Bits::new(data);
    let interval = if interval == 0 { n_mcus } else { interval };
    let mut n_done = 0;
    let mut n_restarts = 0u8;
    while n_done < n_mcus {
        let n = interval.min(n_mcus - n_done);
        for _ in 0..n {
            for component in components {
                for _ in 0..component.n {
                    bits.skip_block(component)?;
                }
            }
        }
        n_done += n;
        bits.finish()?;
        if n_done < n_mcus {
            bits.restart(n_restarts)?;
            n_restarts = (n_restarts + 1) % 8;
        }
    }
    bits.end()
}

/// Bits of entropy-coded data, most significant first.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// The next `n` bits, at the top.
    ahead: u64,
    n: u32,
}

impl<'a> Bits<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            at: 0,
            ahead: 0,
            n: 0,
        }
    }

    /// Reads ahead, up to a marker.
    fn fill(&mut self) {
        while self.n <= 56 {
            let byte = match self.data.get(self.at) {
                None => return,
                Some(0xff) if self.data.get(self.at + 1) != Some(&0) => return,
                Some(&byte) => byte,
            };
            self.at += if byte == 0xff { 2 } else { 1 };
            self.ahead |= u64::from(byte) << (56 - self.n);
            self.n += 8;
        }
    }

    fn skip(&mut self, n: u32) -> Result<(), Damage> {
        if n > self.n {
            return Err("the compressed data end too early");
        }
        self.ahead <<= n;
        self.n -= n;
        Ok(())
    }

    fn symbol(&mut self, table: &Huffman) -> Result<u32, Damage> {
        if self.n < 32 {
            self.fill();
        }
        let found = table.look_up((self.ahead >> 48) as u32);
        let (length, symbol) = found.ok_or("an undefined code in the compressed data")?;
        self.skip(length)?;
        Ok(u32::from(symbol))
    }

    fn skip_block(&mut self, tables: &Blocks<'_>) -> Result<(), Damage> {
        let size = self.symbol(tables.dc)?;
        if size > 11 {
            return Err("a brightness out of range in the compressed data");
        }
        self.skip(size)?;
        let mut k = 1;
        while k < BLOCK {
            let symbol = self.symbol(tables.ac)?;
            let (run, size) = (symbol >> 4, symbol & 15);
            k += run + 1;
            match (run, size) {
                (0, 0) => return Ok(()),
                (15, 0) => {}
                (_, 0 | 11..) => return Err("an impossible code in the compressed data"),
                _ => self.skip(size)?,
            }
            if k > BLOCK {
                return Err("a coefficient beyond its block in the compressed data");
            }
        }
        Ok(())
    }

    /// At most a byte's rest may be left before a marker.
    fn finish(&mut self) -> Result<(), Damage> {
        self.fill();
        if self.n >= 8 {
            return Err("compressed data left over");
        }
        (self.ahead, self.n) = (0, 0);
        Ok(())
    }

    fn restart(&mut self, number: u8) -> Result<(), Damage> {
        if self.data.get(self.at..self.at + 2) != Some(&[0xff, 0xd0 + number]) {
            return Err("a restart marker is missing");
        }
        self.at += 2;
        Ok(())
    }

    fn end(&self) -> Result<(), Damage> {
        if self.at == self.data.len() {
            return Ok(());
        }
        Err("compressed data left over")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes 0, 10, 11: nothing, one bit of value, eight bits.
    fn dc() -> Huffman {
        Huffman::new([1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[0, 1, 8])
    }

    /// Codes 0 and 10: end of block, and a run of 15 with one bit; 16-bit code: a run of 16.
    fn ac() -> Huffman {
        Huffman::new(
            [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0, 0xf1, 0xf0],
        )
    }

    #[track_caller]
    fn check(data: &[u8], n_mcus: usize, interval: usize, expected: Result<(), &str>) {
        let component = Blocks {
            n: 1,
            dc: &dc(),
            ac: &ac(),
        };
        let found = check_scan(data, &[component], n_mcus, interval);
        match (found, expected) {
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, expected) => assert_eq!(found, expected, "{data:x?}"),
        }
    }

    #[test]
    fn codes_that_fill_the_data_are_good() {
        check(&[0b0011_1111], 1, 0, Ok(())); // DC 0, end of block, padding
        check(&[0b0000_0000], 4, 0, Ok(()));
        check(&[0b1010_1010], 2, 0, Ok(())); // DC 10 and a bit, end of block; twice
    }

    #[test]
    fn too_little_and_too_much_is_found() {
        check(&[0b0011_1111], 3, 0, Err("too early"));
        check(&[0b0000_0000, 0xfe], 4, 0, Err("left over"));
        check(&[0b0000_0000], 5, 0, Err("too early"));
        check(&[], 1, 0, Err("too early"));
    }

    #[test]
    fn a_stuffed_zero_is_no_data() {
        // DC 11 and eight ones, end of block, padding: 1111_1111 1101_1111
        check(&[0xff, 0, 0xdf], 1, 0, Ok(()));
        check(&[0xff, 0, 0xdf, 0x00], 1, 0, Err("left over"));
    }

    #[test]
    fn a_coefficient_beyond_the_block_is_found() {
        // Runs of 15 end at 17, 33, 49 and 65: the fourth is one too many.
        check(&[0b0101_1011, 0b0110_1111], 1, 0, Err("beyond"));
        check(&[0b0101_1011, 0b0101_1111], 1, 0, Ok(())); // three and an end
    }

    #[test]
    fn undefined_codes_are_found() {
        check(&[0b0111_1111, 0xfe, 0xfe], 1, 0, Err("undefined"));
    }

    #[test]
    fn long_codes_are_found_too() {
        // 0, then the 16-bit code 1100_0000_0000_0000 three times, then an end.
        check(&[0x60, 0x00, 0x60, 0x00, 0x60, 0x00, 0x3f], 1, 0, Ok(()));
    }

    #[test]
    fn restart_markers_come_in_order() {
        check(&[0x3f, 0xff, 0xd0, 0x3f, 0xff, 0xd1, 0x3f], 3, 1, Ok(()));
        check(&[0x3f, 0xff, 0xd1, 0x3f], 2, 1, Err("restart"));
        check(&[0x3f, 0x3f], 2, 1, Err("left over"));
        check(&[0x3f, 0xff, 0xd0], 1, 1, Err("left over"));
    }
}
