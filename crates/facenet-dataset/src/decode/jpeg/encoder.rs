//! A JPEG encoder for tests: every layout of components, scans and restarts, in the plainest way.

use std::f64::consts::PI;

use crate::picture::Rgb8;

/// How to encode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoding {
    /// Sampling factors of the luma, across and down: 1 or 2; `None` for grey.
    pub(crate) sampling: Option<(usize, usize)>,
    /// What coefficients are multiples of, 1 to 255.
    pub(crate) quant: u8,
    /// MCUs between restart markers; 0 for none.
    pub(crate) interval: u16,
    /// Whether all components are in one scan.
    pub(crate) is_interleaved: bool,
}

/// A component: its blocks in zigzag order, and the samples that a decoder should find.
pub(crate) struct Component {
    factors: (usize, usize),
    /// Samples that belong to the picture.
    size: (usize, usize),
    /// Blocks, as MCUs make them.
    blocks: (usize, usize),
    levels: Vec<[i32; 64]>,
    /// Of the blocks' quantised coefficients, rows of `8 * blocks.0`, not rounded.
    samples: Vec<f64>,
}

impl Component {
    /// The exact sample at a place, within the picture's part of the component.
    pub(crate) fn sample(&self, x: i64, y: i64) -> f64 {
        let x = x.clamp(0, self.size.0 as i64 - 1) as usize;
        let y = y.clamp(0, self.size.1 as i64 - 1) as usize;
        self.samples[y * 8 * self.blocks.0 + x].clamp(0.0, 255.0)
    }
}

/// Encodes a picture.
///
/// The components are what the file holds, before a decoder rounds.
pub(crate) fn encode(picture: &Rgb8, encoding: Encoding) -> (Vec<u8>, Vec<Component>) {
    let (h, v) = encoding.sampling.unwrap_or((1, 1));
    let n = if encoding.sampling.is_some() { 3 } else { 1 };
    let components: Vec<_> = (0..n)
        .map(|index| {
            let factors = if index == 0 { (h, v) } else { (1, 1) };
            component(picture, index, factors, (h, v), f64::from(encoding.quant))
        })
        .collect();
    let mut file = vec![0xff, 0xd8];
    segment(&mut file, 0xdb, &[&[0][..], &[encoding.quant; 64]].concat());
    let mut frame = vec![8];
    frame.extend((picture.height as u16).to_be_bytes());
    frame.extend((picture.width as u16).to_be_bytes());
    frame.push(n as u8);
    for (index, component) in (1..).zip(&components) {
        let (h, v) = component.factors;
        frame.extend([index, (h << 4 | v) as u8, 0]);
    }
    segment(&mut file, 0xc0, &frame);
    segment(
        &mut file,
        0xc4,
        &[&[0x00][..], &counts(&DC_LENGTHS), &dc_symbols()].concat(),
    );
    segment(
        &mut file,
        0xc4,
        &[&[0x10][..], &counts(&AC_LENGTHS), &ac_symbols()].concat(),
    );
    segment(&mut file, 0xdd, &encoding.interval.to_be_bytes());
    if encoding.is_interleaved {
        scan(&mut file, &components, 0..n, picture, encoding.interval);
    } else {
        (0..n).for_each(|i| scan(&mut file, &components, i..i + 1, picture, encoding.interval));
    }
    file.extend([0xff, 0xd9]);
    (file, components)
}

fn segment(file: &mut Vec<u8>, marker: u8, content: &[u8]) {
    file.extend([0xff, marker]);
    file.extend((content.len() as u16 + 2).to_be_bytes());
    file.extend(content);
}

/// Luma, blue or red difference of a pixel (JFIF 1.02).
fn colour(pixel: &[u8], index: usize) -> f64 {
    let [r, g, b] = [0, 1, 2].map(|i| f64::from(pixel[i]));
    match index {
        0 => 0.299 * r + 0.587 * g + 0.114 * b,
        1 => 128.0 - 0.168_736 * r - 0.331_264 * g + 0.5 * b,
        _ => 128.0 + 0.5 * r - 0.418_688 * g - 0.081_312 * b,
    }
}

fn component(
    picture: &Rgb8,
    index: usize,
    factors: (usize, usize),
    (h, v): (usize, usize),
    quant: f64,
) -> Component {
    let (across, down) = (h / factors.0, v / factors.1);
    let mcus = (
        picture.width.div_ceil(8 * h),
        picture.height.div_ceil(8 * v),
    );
    let blocks = (mcus.0 * factors.0, mcus.1 * factors.1);
    let pixel = |x: usize, y: usize| {
        let (x, y) = (x.min(picture.width - 1), y.min(picture.height - 1));
        colour(&picture.pixels[3 * (y * picture.width + x)..], index)
    };
    let sample = |x: usize, y: usize| {
        let places = (0..across * down).map(|i| (across * x + i % across, down * y + i / across));
        places.map(|(x, y)| pixel(x, y)).sum::<f64>() / (across * down) as f64
    };
    let stride = 8 * blocks.0;
    let mut samples = vec![0.0; 64 * blocks.0 * blocks.1];
    let mut levels = Vec::new();
    for (by, bx) in (0..blocks.1).flat_map(|by| (0..blocks.0).map(move |bx| (by, bx))) {
        let block: [f64; 64] =
            std::array::from_fn(|i| sample(8 * bx + i % 8, 8 * by + i / 8) - 128.0);
        let coefficients = transform(&block, |i, j| (i, j)).map(|x| (x / quant).round());
        let found = transform(&coefficients.map(|x| x * quant), |i, j| (j, i));
        for (i, x) in found.iter().enumerate() {
            samples[(8 * by + i / 8) * stride + 8 * bx + i % 8] = x + 128.0;
        }
        levels.push(zigzag().map(|place| coefficients[place] as i32));
    }
    let size = (
        picture.width.div_ceil(across),
        picture.height.div_ceil(down),
    );
    Component {
        factors,
        size,
        blocks,
        levels,
        samples,
    }
}

/// The DCT (T.81, A.3.3); its inverse where `order` swaps frequency and place.
fn transform(block: &[f64; 64], order: fn(usize, usize) -> (usize, usize)) -> [f64; 64] {
    let basis = |i: usize, j: usize| {
        let (frequency, place) = order(i, j);
        let scale = if frequency == 0 { 0.125f64.sqrt() } else { 0.5 };
        scale * ((2 * place + 1) as f64 * frequency as f64 * PI / 16.0).cos()
    };
    let table: [[f64; 8]; 8] = std::array::from_fn(|i| std::array::from_fn(|j| basis(i, j)));
    let rows: [f64; 64] =
        std::array::from_fn(|i| (0..8).map(|j| table[i % 8][j] * block[i / 8 * 8 + j]).sum());
    std::array::from_fn(|i| (0..8).map(|j| table[i / 8][j] * rows[8 * j + i % 8]).sum())
}

/// Places in the order of T.81, figure A.6: along the diagonals, up and down by turns.
fn zigzag() -> [usize; 64] {
    let mut places: [usize; 64] = std::array::from_fn(|place| place);
    places.sort_by_key(|place| {
        let (y, x) = (place / 8, place % 8);
        (y + x, if (y + x) % 2 == 0 { x } else { y })
    });
    places
}

/// Codes of each length, by length and number: few short ones, many long ones.
const DC_LENGTHS: [(usize, u8); 2] = [(3, 5), (6, 7)];
const AC_LENGTHS: [(usize, u8); 4] = [(4, 8), (7, 16), (10, 32), (14, 106)];

fn counts(lengths: &[(usize, u8)]) -> [u8; 16] {
    let mut counts = [0; 16];
    for (length, n) in lengths {
        counts[length - 1] = *n;
    }
    counts
}

fn dc_symbols() -> Vec<u8> {
    (0..12).collect()
}

/// The end of a block, short runs of small values, ..., and sixteen zeros.
fn ac_symbols() -> Vec<u8> {
    let mut symbols: Vec<u8> = (0..160).map(|i| (i / 10) << 4 | (i % 10 + 1)).collect();
    symbols.sort_by_key(|symbol| (symbol >> 4) + (symbol & 15));
    [&[0x00][..], &symbols, &[0xf0]].concat()
}

/// Bits, most significant first.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    word: u32,
    n: u32,
}

impl Writer {
    fn put(&mut self, bits: u32, n: u32) {
        for i in (0..n).rev() {
            self.word = self.word << 1 | (bits >> i & 1);
            self.n += 1;
            if self.n == 8 {
                self.bytes.push(self.word as u8);
                if self.word == 0xff {
                    self.bytes.push(0);
                }
                (self.word, self.n) = (0, 0);
            }
        }
    }

    /// Fills the last byte with ones.
    fn align(&mut self) {
        self.put(0xff, (8 - self.n) % 8);
    }

    fn symbol(&mut self, symbol: u8, symbols: &[u8], lengths: &[(usize, u8)]) {
        let index = symbols
            .iter()
            .position(|&one| one == symbol)
            .expect("a symbol");
        let (mut code, mut first, mut shift) = (0, 0, 0);
        for &(length, n) in lengths {
            code <<= length - shift;
            shift = length;
            if index < first + usize::from(n) {
                return self.put((code + index - first) as u32, length as u32);
            }
            (code, first) = (code + usize::from(n), first + usize::from(n));
        }
    }

    fn value(&mut self, value: i32, size: u32) {
        let bits = if value < 0 { value - 1 } else { value };
        self.put(bits as u32, size);
    }

    fn block(&mut self, levels: &[i32; 64], before: i32) {
        let size = |value: i32| 32 - value.unsigned_abs().leading_zeros();
        let difference = levels[0] - before;
        self.symbol(size(difference) as u8, &dc_symbols(), &DC_LENGTHS);
        self.value(difference, size(difference));
        let ac = ac_symbols();
        let mut run = 0;
        for &level in &levels[1..] {
            if level == 0 {
                run += 1;
                continue;
            }
            for _ in 0..run / 16 {
                self.symbol(0xf0, &ac, &AC_LENGTHS);
            }
            self.symbol((run % 16) << 4 | size(level) as u8, &ac, &AC_LENGTHS);
            self.value(level, size(level));
            run = 0;
        }
        if run > 0 {
            self.symbol(0, &ac, &AC_LENGTHS);
        }
    }
}

/// Writes a scan of some components.
fn scan(
    file: &mut Vec<u8>,
    all: &[Component],
    which: std::ops::Range<usize>,
    picture: &Rgb8,
    interval: u16,
) {
    let fields = which.clone().flat_map(|index| [index as u8 + 1, 0x00]);
    let header = [
        &[which.len() as u8][..],
        &fields.collect::<Vec<_>>(),
        &[0, 63, 0],
    ]
    .concat();
    segment(file, 0xda, &header);
    let components = &all[which];
    let (h, v) = all[0].factors;
    let (across, down) = match components {
        [only] => (only.size.0.div_ceil(8), only.size.1.div_ceil(8)),
        _ => (
            picture.width.div_ceil(8 * h),
            picture.height.div_ceil(8 * v),
        ),
    };
    let mut writer = Writer::default();
    let mut firsts = [0; 3];
    for mcu in 0..across * down {
        if interval > 0 && mcu > 0 && mcu % usize::from(interval) == 0 {
            writer.align();
            let number = (mcu / usize::from(interval) - 1) % 8;
            writer.bytes.extend([0xff, 0xd0 + number as u8]);
            firsts = [0; 3];
        }
        for (component, first) in components.iter().zip(&mut firsts) {
            let (h, v) = if components.len() == 1 {
                (1, 1)
            } else {
                component.factors
            };
            for i in 0..h * v {
                let (y, x) = (mcu / across * v + i / h, mcu % across * h + i % h);
                let levels = &component.levels[y * component.blocks.0 + x];
                writer.block(levels, *first);
                *first = levels[0];
            }
        }
    }
    writer.align();
    file.extend(writer.bytes);
}
