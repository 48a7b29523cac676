//! What a picture looks like, in 64 bits and in 256 levels.

use crate::picture::Rgb8;

/// Grey cells across, of which the hash compares neighbours.
const HASH_COLUMNS: usize = 9;
/// Grey cells down: 8 rows of 8 comparisons are 64 bits.
const HASH_ROWS: usize = 8;
/// A cell counts as brighter than its left neighbour from so many levels of 255 on. Without it
/// each bit of a plain background is a toss-up, which re-encoding decides anew.
const DEAD_ZONE: u64 = 2;
/// Grey cells a side that decide between pictures of near hashes.
const SIDE: usize = 16;
/// Mean distance of two pictures' cells, in levels of 255 and with each picture's mean taken off,
/// up to which one is the other re-encoded, resized, or made a little brighter. Other pictures of
/// the same face, as LFW has them, are at 10 and more.
const NEAR_LEVELS: u32 = 3;
/// A picture whose cells span no more levels than this is nearly one colour.
const BLANK_LEVELS: u8 = 7;
/// Rec. 601's weights of red, green and blue, in thousandths.
const LUMA: [u32; 3] = [299, 587, 114];
const LUMA_UNIT: u64 = 1000;

/// What a picture looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Print {
    /// A difference hash (dHash): row by row, whether a grey cell is brighter than its left
    /// neighbour.
    pub(super) hash: u64,
    /// `[SIDE, SIDE]` row-major: mean luma of each cell.
    levels: Vec<u8>,
}

impl Print {
    /// Takes the print; cells are exact means, whatever the picture's size.
    ///
    /// - `picture`: well-formed
    pub(super) fn of(picture: &Rgb8) -> Self {
        let mut coarse = Cells::new(picture, HASH_COLUMNS, HASH_ROWS);
        let mut fine = Cells::new(picture, SIDE, SIDE);
        for (y, row) in picture.pixels.chunks_exact(3 * picture.width).enumerate() {
            let luma: Vec<u64> = row.chunks_exact(3).map(luma).collect();
            coarse.add(y, &luma);
            fine.add(y, &luma);
        }
        let levels = fine.means(LUMA_UNIT);
        Self {
            hash: difference_hash(&coarse.means(1)),
            levels: levels.into_iter().map(|level| level as u8).collect(),
        }
    }

    /// Whether the picture is nearly one colour; such pictures are alike without being copies.
    pub(super) fn is_blank(&self) -> bool {
        let (least, most) = (self.levels.iter().min(), self.levels.iter().max());
        match (least, most) {
            (Some(least), Some(most)) => most - least <= BLANK_LEVELS,
            _ => true,
        }
    }

    /// Whether the cells of both are as near as those of one picture stored twice.
    pub(super) fn is_near(&self, other: &Self) -> bool {
        let mean = |print: &Self| {
            print
                .levels
                .iter()
                .map(|&level| i32::from(level))
                .sum::<i32>()
        };
        let n = self.levels.len() as i32;
        let shift = mean(self) - mean(other);
        let distance =
            |(&x, &y): (&u8, &u8)| (n * (i32::from(x) - i32::from(y)) - shift).unsigned_abs();
        let sum: u64 = self
            .levels
            .iter()
            .zip(&other.levels)
            .map(|pair| u64::from(distance(pair)))
            .sum();
        sum <= u64::from(NEAR_LEVELS) * (n as u64).pow(2)
    }
}

/// Luma of a pixel, in thousandths of a level.
fn luma(pixel: &[u8]) -> u64 {
    let parts = pixel.iter().zip(LUMA);
    parts
        .map(|(&value, weight)| u64::from(u32::from(value) * weight))
        .sum()
}

/// - `cells`: `[HASH_ROWS, HASH_COLUMNS]`, in thousandths of a level
fn difference_hash(cells: &[u64]) -> u64 {
    let rows = cells.chunks_exact(HASH_COLUMNS);
    let is_brighter = |pair: &[u64]| pair[1] >= pair[0] + DEAD_ZONE * LUMA_UNIT;
    let bits = rows.flat_map(|row| row.windows(2).map(is_brighter));
    bits.fold(0, |hash, bit| hash << 1 | u64::from(bit))
}

/// Sums of luma over the cells of a grid, weighted by how much of a pixel lies in a cell.
struct Cells {
    columns: Vec<Share>,
    rows: Vec<Vec<Share>>,
    n_columns: usize,
    sums: Vec<u64>,
    /// Weight of a cell.
    weight: u64,
}

/// How much of a pixel's row or column lies in a cell.
#[derive(Clone, Copy)]
struct Share {
    pixel: usize,
    cell: usize,
    weight: u64,
}

impl Cells {
    fn new(picture: &Rgb8, n_columns: usize, n_rows: usize) -> Self {
        let mut rows = vec![Vec::new(); picture.height];
        for share in shares(picture.height, n_rows) {
            rows[share.pixel].push(share);
        }
        Self {
            columns: shares(picture.width, n_columns),
            rows,
            n_columns,
            sums: vec![0; n_columns * n_rows],
            weight: (picture.width * picture.height) as u64,
        }
    }

    /// - `luma`: of row `y`, in thousandths of a level
    fn add(&mut self, y: usize, luma: &[u64]) {
        let mut line = vec![0; self.n_columns];
        for share in &self.columns {
            line[share.cell] += share.weight * luma[share.pixel];
        }
        for share in &self.rows[y] {
            let cells = &mut self.sums[share.cell * self.n_columns..][..self.n_columns];
            for (sum, value) in cells.iter_mut().zip(&line) {
                *sum += share.weight * value;
            }
        }
    }

    /// Means in units of `unit` thousandths of a level, rounded down.
    fn means(&self, unit: u64) -> Vec<u64> {
        let mean = |sum: &u64| sum / (self.weight * unit);
        self.sums.iter().map(mean).collect()
    }
}

/// How `n` pixels in a row share out among `cells` equal cells; a cell's weights sum to `n`.
fn shares(n: usize, cells: usize) -> Vec<Share> {
    let of_pixel = |pixel: usize| {
        let (from, to) = (pixel * cells, (pixel + 1) * cells);
        (from / n..to.div_ceil(n)).map(move |cell| Share {
            pixel,
            cell,
            weight: (to.min((cell + 1) * n) - from.max(cell * n)) as u64,
        })
    };
    (0..n).flat_map(of_pixel).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A picture whose levels are a function of the place, from 0 to 1 across and down.
    pub(in crate::checkup) fn drawn(
        width: usize,
        height: usize,
        level: impl Fn(f64, f64) -> f64,
    ) -> Rgb8 {
        let at = |i: usize, n: usize| (i as f64 + 0.5) / n as f64;
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let levels = places.map(|(x, y)| level(at(x, width), at(y, height)) as u8);
        Rgb8 {
            width,
            height,
            pixels: levels.flat_map(|level| [level; 3]).collect(),
        }
    }

    /// Waves that no two seeds share.
    pub(in crate::checkup) fn waves(seed: u32) -> impl Fn(f64, f64) -> f64 {
        let (a, b) = (f64::from(seed % 7 + 2), f64::from(seed / 7 % 5 + 1));
        move |x, y| 128.0 + 50.0 * (a * x + b * y).sin() + 50.0 * (b * x * 3.0 - a * y).cos()
    }

    #[test]
    fn shares_of_a_cell_sum_to_the_number_of_pixels() {
        for n in [1, 2, 8, 9, 10, 250] {
            for cells in [1, 8, 9, 16] {
                let shares = shares(n, cells);
                for cell in 0..cells {
                    let of_cell = shares.iter().filter(|share| share.cell == cell);
                    assert_eq!(of_cell.map(|share| share.weight).sum::<u64>(), n as u64);
                }
            }
        }
    }

    /// Brighter from left to right: every bit. The other way: none.
    #[test]
    fn a_hash_is_made_of_what_is_brighter_than_its_left_neighbour() {
        let hash = |level: fn(f64, f64) -> f64| Print::of(&drawn(36, 20, level)).hash;
        assert_eq!(hash(|x, _| 250.0 * x), u64::MAX);
        assert_eq!(hash(|x, _| 250.0 * (1.0 - x)), 0);
        assert_eq!(hash(|_, y| 250.0 * y), 0);
        // The first of 8 rows alone.
        let first = |x: f64, y: f64| if y < 0.125 { 250.0 * x } else { 9.0 };
        assert_eq!(Print::of(&drawn(90, 80, first)).hash, 0xff << 56);
    }

    #[test]
    fn colours_count_by_their_luma() {
        let pixel = |pixel: [u8; 3]| luma(&pixel);
        assert_eq!(pixel([255, 0, 0]), 255 * 299);
        assert_eq!(pixel([0, 255, 0]), 255 * 587);
        assert_eq!(pixel([10, 10, 10]), 10_000);
    }

    #[test]
    fn another_size_or_brightness_is_near_and_another_picture_is_not() {
        let print = |side: usize, seed: u32, shift: f64| {
            let level = waves(seed);
            Print::of(&drawn(side, side + 11, |x, y| level(x, y) + shift))
        };
        let first = print(250, 3, 0.0);
        for (side, shift) in [(250, 0.0), (112, 0.0), (64, 4.0), (250, 15.0)] {
            let other = print(side, 3, shift);
            assert!(first.is_near(&other), "{side} {shift}");
            assert!(
                (first.hash ^ other.hash).count_ones() <= 3,
                "{side} {shift}"
            );
        }
        assert!(!first.is_near(&print(250, 4, 0.0)));
        assert!(!first.is_blank());
    }

    #[test]
    fn one_colour_is_blank_and_pictures_of_a_pixel_have_a_print() {
        assert!(Print::of(&drawn(20, 30, |_, _| 80.0)).is_blank());
        let pixel = Print::of(&drawn(1, 1, |_, _| 200.0));
        assert_eq!((pixel.hash, pixel.levels[255]), (0, 200));
        assert!(pixel.is_blank());
    }
}
