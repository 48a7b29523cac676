//! Huffman tables that give a coefficient in one look.

use std::sync::{Arc, LazyLock};

use super::bits::{Bits, extend};
use super::skip::Skips;

/// Codes up to this length are found by one look.
const LOOK: u32 = 10;
/// Largest size of a coefficient other than the first, in bits.
const AC_SIZE: u32 = 10;
/// Largest size of a difference of first coefficients, in bits.
const DC_SIZE: u32 = 11;

/// Which coefficients a table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The first of each block.
    Dc,
    /// All others.
    Ac,
}

/// What follows in a block.
pub(super) enum Next {
    /// Nothing.
    End,
    /// Sixteen zeros.
    Zeros,
    /// Zeros, then a value.
    Value { run: usize, value: i16 },
}

/// A Huffman table: codes to symbols, and to values where both fit in one look.
pub(super) struct Huffman {
    /// By the next [`LOOK`] bits: `value << 16 | run << 8 | length` where a value other than 0
    /// is complete, `symbol << 8 | length` of the code alone otherwise, 0 for longer codes.
    fast: [u32; 1 << LOOK],
    /// By length less one: the first code, how many there are, and the first one's symbol.
    by_length: [(u32, u32, usize); 16],
    symbols: [u8; 256],
    /// For blocks that are not needed: of the tables that most files have.
    pub(super) skips: Option<Box<Skips>>,
}

impl Huffman {
    /// The table of these codes; `None` when they are none.
    ///
    /// - `counts`: codes of each length 1 to 16
    /// - `symbols`: one for each code, by length
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8], class: Class) -> Option<Self> {
        let mut table = Self {
            fast: [0; 1 << LOOK],
            by_length: [(0, 0, 0); 16],
            symbols: [0; 256],
            skips: None,
        };
        table
            .symbols
            .get_mut(..symbols.len())?
            .copy_from_slice(symbols);
        let (mut code, mut index) = (0u32, 0);
        for length in 1..=16u32 {
            let count = u32::from(counts[length as usize - 1]);
            // No code is all ones (T.81, C.2).
            if count > 0 && code + count >= 1 << length {
                return None;
            }
            table.by_length[length as usize - 1] = (code, count, index);
            for &symbol in symbols.get(index..index + count as usize)? {
                table.note(code, length, symbol, class);
                code += 1;
            }
            index += count as usize;
            code <<= 1;
        }
        (index == symbols.len()).then_some(table)
    }

    /// Enters a code into the table of looks.
    fn note(&mut self, code: u32, length: u32, symbol: u8, class: Class) {
        let Some(spare) = LOOK.checked_sub(length) else {
            return;
        };
        let looks = &mut self.fast[(code << spare) as usize..][..1 << spare];
        looks.fill(u32::from(symbol) << 8 | length);
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        if class == Class::Ac && (1..=spare.min(AC_SIZE)).contains(&size) {
            let same = 1 << (spare - size);
            for (bits, looks) in looks.chunks_exact_mut(same).enumerate() {
                let value = extend(bits as i32, size) as u32;
                looks.fill(value << 16 | run << 8 | (length + size));
            }
        }
    }

    /// Takes a symbol's code; `None` where there is none.
    #[inline(always)]
    fn symbol(&self, bits: &mut Bits<'_>) -> Option<u8> {
        let entry = self.fast[bits.peek(LOOK) as usize];
        if entry != 0 {
            bits.skip(entry & 0xff);
            return Some((entry >> 8) as u8);
        }
        let (length, symbol) = self.long_symbol(bits.peek(16))?;
        bits.skip(length);
        Some(symbol)
    }

    /// Length and symbol of a long code at the head of 16 bits.
    #[cold]
    fn long_symbol(&self, bits: u32) -> Option<(u32, u8)> {
        for length in LOOK + 1..=16 {
            let (first, count, index) = self.by_length[length as usize - 1];
            let offset = (bits >> (16 - length)).wrapping_sub(first);
            if offset < count {
                let symbol = self.symbols.get(index + offset as usize)?;
                return Some((length, *symbol));
            }
        }
        None
    }

    /// Takes the difference of a first coefficient from the one before.
    #[inline(always)]
    pub(super) fn difference(&self, bits: &mut Bits<'_>) -> Option<i32> {
        let size = u32::from(self.symbol(bits)?);
        (size <= DC_SIZE).then(|| bits.value(size))
    }

    /// Takes a value of few bits: zeros before it and the value, or 0 where there is none such.
    #[inline(always)]
    pub(super) fn short_value(&self, bits: &mut Bits<'_>) -> (usize, i16) {
        let entry = self.fast[bits.peek(LOOK) as usize];
        let value = (entry >> 16) as i16;
        if value != 0 {
            bits.skip(entry & 0xff);
        }
        ((entry >> 8 & 15) as usize, value)
    }

    /// Takes whatever follows; `None` where the code is none.
    #[inline(always)]
    pub(super) fn next(&self, bits: &mut Bits<'_>) -> Option<Next> {
        let symbol = self.symbol(bits)?;
        match (symbol >> 4, u32::from(symbol & 15)) {
            (0, 0) => Some(Next::End),
            (15, 0) => Some(Next::Zeros),
            (run, size @ 1..=AC_SIZE) => Some(Next::Value {
                run: usize::from(run),
                value: bits.value(size) as i16,
            }),
            _ => None,
        }
    }
}

/// The table of these codes; made once where they are those that most files have.
pub(super) fn shared(counts: &[u8; 16], symbols: &[u8], class: Class) -> Option<Arc<Huffman>> {
    for (usual, table) in USUAL.iter().zip(&*USUAL_TABLES) {
        if (usual.class, &usual.counts, usual.symbols) == (class, counts, symbols) {
            return table.clone();
        }
    }
    Huffman::new(counts, symbols, class).map(Arc::new)
}

/// Two DC tables, then two AC tables.
pub(super) static USUAL_TABLES: LazyLock<[Option<Arc<Huffman>>; 4]> = LazyLock::new(|| {
    USUAL.map(|usual| {
        let mut table = Huffman::new(&usual.counts, usual.symbols, usual.class)?;
        if usual.class == Class::Ac {
            table.skips = Some(Skips::new(&table));
        }
        Some(Arc::new(table))
    })
});

struct Codes {
    class: Class,
    counts: [u8; 16],
    symbols: &'static [u8],
}

/// T.81, tables K.3 to K.6.
const USUAL: [Codes; 4] = [
    Codes {
        class: Class::Dc,
        counts: [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
        symbols: b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b",
    },
    Codes {
        class: Class::Dc,
        counts: [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        symbols: b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b",
    },
    Codes {
        class: Class::Ac,
        counts: [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125],
        symbols: LUMA,
    },
    Codes {
        class: Class::Ac,
        counts: [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119],
        symbols: CHROMA,
    },
];

const LUMA: &[u8] = b"\
    \x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07\x22\x71\x14\x32\x81\x91\xa1\
    \x08\x23\x42\xb1\xc1\x15\x52\xd1\xf0\x24\x33\x62\x72\x82\x09\x0a\x16\x17\x18\x19\x1a\x25\x26\
    \x27\x28\x29\x2a\x34\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49\x4a\x53\x54\x55\x56\
    \x57\x58\x59\x5a\x63\x64\x65\x66\x67\x68\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x83\x84\x85\
    \x86\x87\x88\x89\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\
    \xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\
    \xd7\xd8\xd9\xda\xe1\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\
    \xfa";

const CHROMA: &[u8] = b"\
    \x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71\x13\x22\x32\x81\x08\x14\x42\
    \x91\xa1\xb1\xc1\x09\x23\x33\x52\xf0\x15\x62\x72\xd1\x0a\x16\x24\x34\xe1\x25\xf1\x17\x18\x19\
    \x1a\x26\x27\x28\x29\x2a\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49\x4a\x53\x54\x55\
    \x56\x57\x58\x59\x5a\x63\x64\x65\x66\x67\x68\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x82\x83\
    \x84\x85\x86\x87\x88\x89\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7\xa8\
    \xa9\xaa\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\
    \xd5\xd6\xd7\xd8\xd9\xda\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\
    \xfa";

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes 0, 10 and 1111110 (seven bits).
    fn small(symbols: [u8; 3], class: Class) -> Huffman {
        let counts = [1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        Huffman::new(&counts, &symbols, class).expect("codes")
    }

    fn all(table: &Huffman, data: &[u8], n: usize) -> Vec<(usize, i16)> {
        let mut bits = Bits::new(data);
        let values = (0..n).map(|_| {
            bits.refill();
            match table.short_value(&mut bits) {
                (_, 0) => match table.next(&mut bits).expect("a code") {
                    Next::End => (0, 0),
                    Next::Zeros => (16, 0),
                    Next::Value { run, value } => (run, value),
                },
                found => found,
            }
        });
        values.collect()
    }

    #[test]
    fn values_long_and_short_are_the_same() {
        // 0: end; 10 and two bits: a run of 3 and a value; 1100000 and ten bits: a value.
        let table = small([0x00, 0x32, 0x0a], Class::Ac);
        let data = [0b1000_1011, 0b0110_0000, 0b1000_0000, 0b0100_0000];
        assert_eq!(all(&table, &data, 4), [(3, -3), (3, 3), (0, 0), (0, 513)]);
    }

    #[test]
    fn zeros_and_no_codes_are_told_apart() {
        let table = small([0xf0, 0x0b, 0x10], Class::Ac);
        assert_eq!(all(&table, &[0], 2), [(16, 0), (16, 0)]);
        for data in [0b1000_0000, 0b1100_0000, 0b1111_1111] {
            // A value of 11 bits, a run without a value, and no code.
            let mut bits = Bits::new(std::slice::from_ref(&data));
            bits.refill();
            assert!(table.next(&mut bits).is_none(), "{data:b}");
        }
    }

    #[test]
    fn differences_have_up_to_eleven_bits() {
        let table = small([0, 11, 12], Class::Dc);
        let mut bits = Bits::new(&[0b0100_0000, 0b0000_0011, 0]);
        bits.refill();
        let found = [(); 3].map(|()| table.difference(&mut bits));
        assert_eq!(found, [Some(0), Some(-2047), None]);
    }

    #[test]
    fn what_is_no_set_of_codes_is_refused() {
        let new = |counts, symbols| Huffman::new(&counts, symbols, Class::Ac).is_some();
        let mut counts = [0; 16];
        counts[0] = 1;
        assert!(new(counts, &[1]));
        assert!(!new(counts, &[1, 2]), "a symbol without a code");
        assert!(!new(counts, &[]), "a code without a symbol");
        counts[0] = 2;
        assert!(!new(counts, &[1, 2]), "a code of ones");
        (counts[0], counts[7]) = (0, 255);
        assert!(new(counts, &[7; 255]));
        counts[9] = 9;
        assert!(!new(counts, &[7; 264]), "more than there are");
    }

    #[test]
    fn the_usual_tables_are_shared() {
        for usual in &USUAL {
            let get = || shared(&usual.counts, usual.symbols, usual.class).expect("codes");
            assert!(Arc::ptr_eq(&get(), &get()));
        }
    }
}
