//! Entropy-coded data to samples (T.81, annexes A.2 and F.2).

use super::bits::{Bits, unstuff};
use super::header::{Coded, Frame, Scan};
use super::huffman::Next;
use super::idct::{Pair, Transform, flat};
use super::planes::Plane;

/// Where coefficients in zigzag order are by vertical and horizontal frequency, `8 v + u`; the
/// rest is for runs beyond the block.
const ZIGZAG: [u8; 80] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, //
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28, //
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, //
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63, //
    63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63,
];

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
        pair: Pair::default(),
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
        for mcu in first..n_mcus.min(first + interval) {
            let place = (mcu / layout.across, mcu % layout.across);
            decode_mcu(&mut bits, &layout, place, &mut firsts, &mut sink)?;
        }
        bits.is_spent().then_some(())?;
    }
    sink.flush();
    Some(at)
}

/// How the blocks of a scan follow each other.
struct Layout<'a> {
    components: &'a [Coded],
    /// Blocks of an MCU, across and down, by component of the scan.
    blocks: Vec<(usize, usize)>,
    /// MCUs.
    across: usize,
    down: usize,
}

impl<'a> Layout<'a> {
    fn new(scan: &'a Scan, frame: &Frame, planes: &[Plane]) -> Self {
        let components = &scan.components[..];
        if let [only] = components {
            let (across, down) = planes[only.index].blocks();
            let blocks = vec![(1, 1)];
            return Self {
                components,
                blocks,
                across,
                down,
            };
        }
        let (h, v) = frame.most();
        let factors = |coded: &Coded| {
            let component = &frame.components[coded.index];
            (component.h, component.v)
        };
        Self {
            components,
            blocks: components.iter().map(factors).collect(),
            across: frame.width.div_ceil(8 * h),
            down: frame.height.div_ceil(8 * v),
        }
    }
}

/// Takes coefficients, transforms two blocks at once, and puts their samples.
struct Sink<'a, T> {
    transform: T,
    planes: &'a mut [Plane],
    /// Coefficients of up to two blocks; those of the next block are 0 as yet.
    pair: Pair,
    /// Component, row and column of each block.
    places: [(usize, usize, usize); 2],
    n: usize,
}

impl<T: Transform> Sink<'_, T> {
    /// Notes a coefficient of the next block.
    #[inline(always)]
    fn note(&mut self, place: usize, value: i16) {
        self.pair[place / 8][self.n & 1][place % 8] = value;
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
        let samples = self.transform.samples(&self.pair);
        for (i, &(index, row, column)) in self.places.iter().enumerate().take(self.n) {
            self.planes[index].put(row, column, |y| samples[y / 2][i][y % 2]);
        }
        self.pair = Pair::default();
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
    for ((coded, &(h, v)), first) in layout.components.iter().zip(&layout.blocks).zip(firsts) {
        for y in row * v..(row + 1) * v {
            for x in column * h..(column + 1) * h {
                decode_block(bits, coded, first, (coded.index, y, x), sink)?;
            }
        }
    }
    bits.is_within().then_some(())
}

#[inline(always)]
fn decode_block(
    bits: &mut Bits<'_>,
    coded: &Coded,
    first: &mut i16,
    place: (usize, usize, usize),
    sink: &mut Sink<'_, impl Transform>,
) -> Option<()> {
    if !sink.planes[place.0].keeps(place.1, place.2) {
        return read_block(bits, coded, first, |_, _| {}).map(drop);
    }
    let n = read_block(bits, coded, first, |k, value| {
        let level = value.wrapping_mul(coded.quants[k & 63]);
        sink.note(usize::from(ZIGZAG[k & 127] & 63), level);
    })?;
    let level = first.wrapping_mul(coded.quants[0]);
    if n == 0 {
        sink.end_flat(place, flat(level));
    } else {
        sink.note(0, level);
        sink.end(place);
    }
    Some(())
}

/// Reads a block's coefficients, and counts those after the first that are not 0.
///
/// - `note`: takes the place in zigzag order, less than 80, and the value of each of these
#[inline(always)]
fn read_block(
    bits: &mut Bits<'_>,
    coded: &Coded,
    first: &mut i16,
    mut note: impl FnMut(usize, i16),
) -> Option<usize> {
    bits.refill();
    *first = first.wrapping_add(coded.dc.difference(bits)? as i16);
    let (mut k, mut n) = (1, 0);
    while k < 64 {
        bits.refill();
        let (mut run, mut value) = coded.ac.short_value(bits);
        if value == 0 {
            match coded.ac.next(bits)? {
                Next::End => return Some(n),
                Next::Zeros => {
                    k += 16;
                    continue;
                }
                Next::Value {
                    run: zeros,
                    value: long,
                } => (run, value) = (zeros, long),
            }
        }
        k += run;
        note(k, value);
        k += 1;
        n += 1;
    }
    (k == 64).then_some(n)
}
