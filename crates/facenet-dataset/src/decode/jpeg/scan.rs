//! Entropy-coded data to samples (T.81, annexes A.2 and F.2).

use std::ops::Range;

use pulp::bytemuck::cast;

use super::bits::{Bits, unstuff};
use super::header::{Coded, Frame, Scan};
use super::huffman::{Huffman, Next};
use super::idct::{Transform, flat};
use super::planes::Plane;
use crate::wide::wide;

/// Where coefficients in zigzag order are by vertical and horizontal frequency, `8 v + u`.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, //
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28, //
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, //
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Coefficients that a code may lead to: those of a block, and what a run goes beyond it.
const REACH: usize = 128;

/// A coefficient's quant, and where it is in the first block of a [`Pair`](super::idct::Pair).
type Step = (i16, u16);

/// Steps in zigzag order; beyond the block they stay at its last.
fn steps(quants: &[i16; 64]) -> [Step; REACH] {
    std::array::from_fn(|k| {
        let k = k.min(63);
        let place = u16::from(ZIGZAG[k]);
        (quants[k], place / 8 * 16 + place % 8)
    })
}

/// Decodes all blocks of a scan, and computes the samples of those that the planes keep.
///
/// Returns where the data end, at a marker. `None` when the codes do not fill them exactly: then
/// they are damaged, and what the planes hold is no picture.
///
/// - `planes`: one for each component of the frame
#[inline(always)]
pub(super) fn decode(
    transform: impl Transform,
    scan: &Scan,
    frame: &Frame,
    bytes: &[u8],
    planes: &mut [Plane],
) -> Option<usize> {
    let layout = Layout::new(scan, frame, planes);
    let n_mcus = layout.across * layout.down;
    let interval = if scan.interval == 0 {
        n_mcus
    } else {
        scan.interval
    };
    let mut sink = Sink {
        transform,
        planes,
        pair: [0; 128],
        places: [(0, 0, 0); 2],
        n: 0,
    };
    let mut data = Vec::new();
    let mut at = scan.start;
    for (number, first) in (0..n_mcus).step_by(interval).enumerate() {
        if number > 0 {
            let restart = 0xd0 + (number - 1) as u8 % 8;
            (bytes.get(at..at + 2)? == [0xff, restart]).then_some(())?;
            at += 2;
        }
        at = unstuff(bytes, at, &mut data)?;
        let mut bits = Bits::new(&data);
        let mut firsts = [0; 3];
        let (mut mcu, end) = (first, n_mcus.min(first + interval));
        while mcu < end {
            let n = layout.n_skipped(mcu..end, sink.planes);
            if n == 0 {
                let place = (mcu / layout.across, mcu % layout.across);
                decode_mcu(&mut bits, &layout, place, &mut firsts, &mut sink)?;
                mcu += 1;
            } else {
                // A function of its own, again in vectors: the two loops need all registers.
                let (data, components) = (bits, &layout.components);
                bits = wide(
                    #[inline(always)]
                    || skip_mcus(data, components, n, &mut firsts),
                )?;
                mcu += n;
            }
        }
        bits.is_spent().then_some(())?;
    }
    sink.flush();
    Some(at)
}

/// How the blocks of a scan follow each other.
struct Layout<'a> {
    components: Vec<Part<'a>>,
    /// MCUs.
    across: usize,
    down: usize,
}

/// A component of a scan.
struct Part<'a> {
    coded: &'a Coded,
    steps: [Step; REACH],
    /// Blocks of an MCU, across and down.
    blocks: (usize, usize),
}

impl<'a> Layout<'a> {
    fn new(scan: &'a Scan, frame: &Frame, planes: &[Plane]) -> Self {
        let is_alone = scan.components.len() == 1;
        let part = |coded: &'a Coded| {
            let component = &frame.components[coded.index];
            Part {
                coded,
                steps: steps(&coded.quants),
                blocks: if is_alone {
                    (1, 1)
                } else {
                    (component.h, component.v)
                },
            }
        };
        let (h, v) = frame.most();
        let (across, down) = match &scan.components[..] {
            [only] => planes[only.index].blocks(),
            _ => (frame.width.div_ceil(8 * h), frame.height.div_ceil(8 * v)),
        };
        let components = scan.components.iter().map(part).collect();
        Self {
            components,
            across,
            down,
        }
    }
}

impl Layout<'_> {
    /// How many MCUs at the head of some have no block that the planes keep.
    fn n_skipped(&self, mut mcus: Range<usize>, planes: &[Plane]) -> usize {
        let n = mcus.len();
        let first = mcus.find(|mcu| {
            let (row, column) = (mcu / self.across, mcu % self.across);
            self.components.iter().any(|part| {
                let (h, v) = part.blocks;
                let rows = row * v..(row + 1) * v;
                planes[part.coded.index].keeps_any(rows, column * h..(column + 1) * h)
            })
        });
        first.map_or(n, |_| n - mcus.len() - 1)
    }
}

/// Takes coefficients, transforms two blocks at once, and puts their samples.
struct Sink<'a, T> {
    transform: T,
    planes: &'a mut [Plane],
    /// A [`Pair`](super::idct::Pair): coefficients of up to two blocks; those of the next block are 0 as yet.
    pair: [i16; 128],
    /// Component, row and column of each block.
    places: [(usize, usize, usize); 2],
    n: usize,
}

impl<T: Transform> Sink<'_, T> {
    /// Notes a coefficient of the next block.
    #[inline(always)]
    fn note(&mut self, (quant, place): Step, value: i16) {
        let place = usize::from(place) + 8 * (self.n & 1);
        self.pair[place & 127] = value.wrapping_mul(quant);
    }

    /// Ends a block of which coefficients were noted.
    #[inline(always)]
    fn end(&mut self, place: (usize, usize, usize)) {
        self.places[self.n & 1] = place;
        self.n += 1;
        if self.n == 2 {
            self.flush();
        }
    }

    /// Ends a block of one sample all over.
    #[inline(always)]
    fn end_flat(&mut self, (index, row, column): (usize, usize, usize), sample: u8) {
        self.planes[index].put(row, column, |_| [sample; 8]);
    }

    #[inline(always)]
    fn flush(&mut self) {
        let samples = self.transform.samples(&cast(self.pair));
        for (i, &(index, row, column)) in self.places.iter().enumerate().take(self.n) {
            self.planes[index].put(row, column, |y| samples[y / 2][i][y % 2]);
        }
        self.pair = [0; 128];
        self.n = 0;
    }
}

/// - `firsts`: the last first coefficient of each component of the scan
#[inline(always)]
fn decode_mcu(
    bits: &mut Bits<'_>,
    layout: &Layout<'_>,
    (row, column): (usize, usize),
    firsts: &mut [i16; 3],
    sink: &mut Sink<'_, impl Transform>,
) -> Option<()> {
    for (part, first) in layout.components.iter().zip(firsts) {
        let (h, v) = part.blocks;
        for y in row * v..(row + 1) * v {
            for x in column * h..(column + 1) * h {
                decode_block(bits, part, first, (part.coded.index, y, x), sink)?;
            }
        }
    }
    bits.is_within().then_some(())
}

/// Passes over MCUs of which no block is kept.
#[inline(always)]
fn skip_mcus<'a>(
    mut bits: Bits<'a>,
    components: &[Part<'_>],
    n: usize,
    firsts: &mut [i16; 3],
) -> Option<Bits<'a>> {
    for _ in 0..n {
        for (part, first) in components.iter().zip(&mut *firsts) {
            for _ in 0..part.blocks.0 * part.blocks.1 {
                skip_block(&mut bits, part.coded, first)?;
            }
        }
        bits.is_within().then_some(())?;
    }
    Some(bits)
}

#[inline(always)]
fn decode_block(
    bits: &mut Bits<'_>,
    Part { coded, steps, .. }: &Part<'_>,
    first: &mut i16,
    place: (usize, usize, usize),
    sink: &mut Sink<'_, impl Transform>,
) -> Option<()> {
    if !sink.planes[place.0].keeps(place.1, place.2) {
        return read_block(bits, coded, first, |_, _| {}).map(drop);
    }
    let is_flat = read_block(bits, coded, first, |k, value| {
        sink.note(steps[k & (REACH - 1)], value);
    })?;
    let level = first.wrapping_mul(steps[0].0);
    if is_flat {
        sink.end_flat(place, flat(level));
    } else {
        sink.note(steps[0], *first);
        sink.end(place);
    }
    Some(())
}

/// Reads a block's coefficients; returns whether there is none but the first.
///
/// - `note`: takes the place in zigzag order and the value of each of the others
#[inline(always)]
fn read_block(
    bits: &mut Bits<'_>,
    coded: &Coded,
    first: &mut i16,
    mut note: impl FnMut(usize, i16),
) -> Option<bool> {
    bits.refill();
    *first = first.wrapping_add(coded.dc.difference(bits)? as i16);
    let mut k = 1;
    while k < 64 {
        if read_coefficient(bits, &coded.ac, &mut k, &mut note)? {
            return Some(k == 1);
        }
        // What is at hand is enough for two codes: these two are the next one and one more.
        bits.refill();
        if k < 64 && read_coefficient(bits, &coded.ac, &mut k, &mut note)? {
            return Some(false);
        }
    }
    (k == 64).then_some(false)
}

/// Reads a block of which only the first coefficient counts, for the blocks after it.
#[inline(always)]
fn skip_block(bits: &mut Bits<'_>, coded: &Coded, first: &mut i16) -> Option<()> {
    let Some(skips) = &coded.ac.skips else {
        return read_block(bits, coded, first, |_, _| {}).map(drop);
    };
    bits.refill();
    *first = first.wrapping_add(coded.dc.difference(bits)? as i16);
    let mut k = 1;
    while k < 64 {
        bits.refill();
        let mut look = skips.look(bits);
        if look.is_within(64 - k) {
            look.take(bits);
            k += look.coefficients();
            if look.is_end() {
                return Some(());
            }
            // What is at hand is enough for four.
            look = skips.look(bits);
            if look.is_within(64 - k) {
                look.take(bits);
                k += look.coefficients();
                if look.is_end() {
                    return Some(());
                }
            }
        } else if read_coefficient(bits, &coded.ac, &mut k, &mut |_, _| {})? {
            return Some(());
        }
    }
    (k == 64).then_some(())
}

/// Reads a coefficient after the first; returns whether the block ends instead.
#[inline(always)]
fn read_coefficient(
    bits: &mut Bits<'_>,
    ac: &Huffman,
    k: &mut usize,
    note: &mut impl FnMut(usize, i16),
) -> Option<bool> {
    let (mut run, mut value) = ac.short_value(bits);
    if value == 0 {
        match ac.next(bits)? {
            Next::End => return Some(true),
            Next::Zeros => {
                *k += 16;
                return Some(false);
            }
            Next::Value {
                run: zeros,
                value: long,
            } => (run, value) = (zeros, long),
        }
    }
    note(*k + run, value);
    *k += run + 1;
    Some(false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::huffman::USUAL_TABLES;
    use super::*;

    proptest! {
        /// Bits of any kind: whole blocks, blocks that are too long, and no codes.
        #[test]
        fn what_is_skipped_is_what_would_be_read(
            which in 0..2usize,
            // Ones are long codes; a block's end is 1010 or 00.
            data in prop::collection::vec(prop_oneof![any::<u8>(), Just(0xff), Just(0x55)], 0..120),
        ) {
            let table = |i: usize| USUAL_TABLES[i].clone().expect("a usual table");
            let coded = Coded { index: 0, dc: table(which), ac: table(2 + which), quants: [1; 64] };
            prop_assert!(coded.ac.skips.is_some());
            let (mut read, mut skipped) = (Bits::new(&data), Bits::new(&data));
            let (mut first, mut other) = (0, 0);
            while read.is_within() {
                let block = read_block(&mut read, &coded, &mut first, |_, _| {}).map(drop);
                prop_assert_eq!(block, skip_block(&mut skipped, &coded, &mut other));
                if block.is_none() {
                    break;
                }
                prop_assert_eq!((read.taken(), first), (skipped.taken(), other));
            }
        }
    }
}
