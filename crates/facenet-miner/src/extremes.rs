//! The least value of every row and every column of tiles of distances, and where it is.

use crate::tile::{BLOCK, PANEL};

/// Places kept side by side.
pub(crate) const LANES: usize = 16;

/// Lanes of a panel.
pub(crate) const PARTS: usize = PANEL / LANES;

/// The least of the values seen, its place, and the least of the others: a value each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Least {
    pub(crate) value: f32,
    pub(crate) place: u32,
    pub(crate) second: f32,
}

/// The same in each of sixteen lanes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lanes {
    values: [f32; LANES],
    places: [u32; LANES],
    seconds: [f32; LANES],
}

impl Default for Lanes {
    /// Nothing seen: infinities.
    fn default() -> Self {
        Self {
            values: [f32::INFINITY; LANES],
            places: [0; LANES],
            seconds: [f32::INFINITY; LANES],
        }
    }
}

impl Least {
    /// Of what either has seen; both have seen different places.
    pub(crate) fn or(self, other: Self) -> Self {
        let (first, last) = if other.value < self.value {
            (other, self)
        } else {
            (self, other)
        };
        Self {
            second: first.second.min(last.value),
            ..first
        }
    }
}

impl Lanes {
    /// What one lane has seen.
    pub(crate) fn get(&self, lane: usize) -> Least {
        Least {
            value: self.values[lane],
            place: self.places[lane],
            second: self.seconds[lane],
        }
    }

    /// Takes what was seen elsewhere to what a lane has seen.
    pub(crate) fn add(&mut self, lane: usize, least: Least) {
        let least = self.get(lane).or(least);
        self.values[lane] = least.value;
        self.places[lane] = least.place;
        self.seconds[lane] = least.second;
    }

    /// What all lanes have seen of one row: a lane's number is added to its place.
    pub(crate) fn across(&self) -> Least {
        let lane = |lane: usize| {
            let least = self.get(lane);
            Least {
                place: least.place + lane as u32,
                ..least
            }
        };
        (1..LANES).map(lane).fold(lane(0), Least::or)
    }

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "compiled for a level only where it is inlined"
    )]
    fn see(&mut self, xs: &[f32; LANES], at: u32) {
        for (lane, &x) in xs.iter().enumerate() {
            let least = self.values[lane];
            let is_less = x < least;
            let greater = if is_less { least } else { x };
            let second = self.seconds[lane];
            self.seconds[lane] = if greater < second { greater } else { second };
            self.places[lane] = if is_less { at } else { self.places[lane] };
            self.values[lane] = if is_less { x } else { least };
        }
    }
}

/// Body of [`crate::simd::see_tile`].
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled for a level only where it is inlined"
)]
pub(crate) fn see_tile_loop(
    tile: &[[f32; PANEL]; BLOCK],
    [first_row, first_column]: [u32; 2],
    rows: &mut [Lanes; BLOCK],
    columns: Option<&mut [Lanes; PARTS]>,
) {
    for (xs, row) in tile.iter().zip(rows) {
        let mut seen = *row;
        for (xs, at) in xs.as_chunks().0.iter().zip((first_column..).step_by(LANES)) {
            seen.see(xs, at);
        }
        *row = seen;
    }
    for (part, column) in columns.into_iter().flatten().enumerate() {
        let mut seen = *column;
        for (xs, at) in tile.iter().zip(first_row..) {
            seen.see(&xs.as_chunks().0[part], at);
        }
        *column = seen;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Level, see_tile};

    /// Whole numbers with ties in rows and in columns, and infinities, of a block and two panels.
    fn value(row: usize, column: usize) -> f32 {
        match (row * 131 + column * 37 + row * column) % 89 {
            0..9 => f32::INFINITY,
            x => x as f32,
        }
    }

    fn least(values: impl Iterator<Item = f32>) -> (f32, f32, Vec<u32>) {
        let values: Vec<f32> = values.collect();
        let mut sorted = values.clone();
        sorted.sort_by(f32::total_cmp);
        let places = values.iter().zip(0u32..).filter(|(x, _)| **x == sorted[0]);
        (sorted[0], sorted[1], places.map(|(_, at)| at).collect())
    }

    #[track_caller]
    fn check(found: Least, (value, second, places): (f32, f32, Vec<u32>)) {
        assert_eq!((found.value, found.second), (value, second));
        assert!(places.contains(&found.place), "{found:?}");
    }

    #[test]
    fn rows_and_columns_have_their_least_two() {
        for level in Level::available() {
            let mut rows = [Lanes::default(); BLOCK];
            for panel in 0..2 {
                let tile = std::array::from_fn(|row| {
                    std::array::from_fn(|column| value(row, panel * PANEL + column))
                });
                let mut columns = [Lanes::default(); PARTS];
                let at = [0, (panel * PANEL) as u32];
                see_tile(level, &tile, at, &mut rows, Some(&mut columns));
                for (column, values) in (0..PANEL).zip((panel * PANEL)..) {
                    let found = columns[column / LANES].get(column % LANES);
                    check(found, least((0..BLOCK).map(|row| value(row, values))));
                }
            }
            for (row, lanes) in rows.iter().enumerate() {
                let values = (0..2 * PANEL).map(|column| value(row, column));
                check(lanes.across(), least(values));
            }
        }
    }
}
