//! The tiles of a pass.

use crate::nhwc::plan::ConvShape;

/// Pixels of a tile of the target along each axis.
pub(super) const TILE: usize = 4;
/// Pixels of the source that it reads along each axis.
pub(super) const WINDOW: usize = TILE + 2;

/// A target cut into tiles of 4 x 4 pixels, and the source that they read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) n: usize,
    pub(super) source: (usize, usize),
    pub(super) target: (usize, usize),
    pub(super) padding: (usize, usize),
}

impl Grid {
    /// From input to output.
    pub(super) fn forward(shape: &ConvShape) -> Self {
        Self {
            n: shape.n,
            source: shape.size,
            target: shape.out,
            padding: shape.config.padding,
        }
    }

    /// From the output's gradient to the input's: a convolution with what is left of a padding
    /// of 2.
    pub(super) fn gradient(shape: &ConvShape) -> Self {
        let padding = shape.config.padding;
        Self {
            n: shape.n,
            source: shape.out,
            target: shape.size,
            padding: (2 - padding.0, 2 - padding.1),
        }
    }

    /// Rows of tiles of an image.
    pub(super) fn rows(&self) -> usize {
        self.target.0.div_ceil(TILE)
    }

    /// Tiles of a row.
    pub(super) fn columns(&self) -> usize {
        self.target.1.div_ceil(TILE)
    }

    /// Tiles of all images.
    pub(super) fn tiles(&self) -> usize {
        self.n * self.rows() * self.columns()
    }

    /// Image, and first target row and column, of a tile.
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let row = tile / self.columns();
        let (image, row) = (row / self.rows(), row % self.rows());
        (image, TILE * row, TILE * (tile % self.columns()))
    }

    /// Target pixels before row `row` of tiles, counted through the images: those of a stretch
    /// of rows lie together.
    pub(super) fn pixels_before(&self, row: usize) -> usize {
        let (image, row) = (row / self.rows(), row % self.rows());
        (image * self.target.0 + TILE * row) * self.target.1
    }

    /// Source pixels that a tile reads.
    pub(super) fn window(&self, tile: usize) -> Pixels<WINDOW> {
        let (image, row, column) = self.place(tile);
        let (height, width) = self.source;
        let inside = |first: usize, at: usize, padding: usize, size: usize| {
            let at = (first + at).checked_sub(padding)?;
            (at < size).then_some(at)
        };
        let rows = std::array::from_fn(|y| inside(row, y, self.padding.0, height));
        Pixels {
            rows: rows.map(|row| Some((image * height + row?) * width)),
            columns: std::array::from_fn(|x| inside(column, x, self.padding.1, width)),
        }
    }

    /// Target pixels of a tile.
    pub(super) fn targets(&self, tile: usize) -> Pixels<TILE> {
        let (image, row, column) = self.place(tile);
        let (height, width) = self.target;
        let first = |y: usize| (y < height).then(|| (image * height + y) * width);
        Pixels {
            rows: std::array::from_fn(|y| first(row + y)),
            columns: std::array::from_fn(|x| (column + x < width).then_some(column + x)),
        }
    }
}

/// Pixels of a square.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pixels<const N: usize> {
    /// Each row's first pixel, counted through the images, where the row is inside.
    pub(crate) rows: [Option<usize>; N],
    /// Each column, where it is inside.
    pub(crate) columns: [Option<usize>; N],
}

impl<const N: usize> Pixels<N> {
    /// The first pixel that is inside; 0 where none is.
    pub(crate) fn first(&self) -> usize {
        let row = self.rows.iter().find_map(|&row| row);
        let column = self.columns.iter().find_map(|&column| column);
        row.zip(column).map_or(0, |(row, column)| row + column)
    }

    /// One past the last pixel that is inside; 0 where none is.
    pub(crate) fn end(&self) -> usize {
        let row = self.rows.iter().rev().find_map(|&row| row);
        let column = self.columns.iter().rev().find_map(|&column| column);
        row.zip(column).map_or(0, |(row, column)| row + column + 1)
    }

    /// A pixel, counted through the images, where it is inside.
    #[inline]
    pub(crate) fn get(&self, y: usize, x: usize) -> Option<usize> {
        Some(self.rows[y]? + self.columns[x]?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid {
        n: 2,
        source: (5, 3),
        target: (5, 3),
        padding: (1, 1),
    };

    #[test]
    fn each_target_is_in_one_tile_and_rows_of_tiles_lie_together() {
        assert_eq!((GRID.tiles(), GRID.columns()), (4, 1));
        let mut seen = [0; 30];
        for tile in 0..GRID.tiles() {
            let (first, end) = (GRID.pixels_before(tile), GRID.pixels_before(tile + 1));
            for place in 0..16 {
                if let Some(pixel) = GRID.targets(tile).get(place / 4, place % 4) {
                    seen[pixel] += 1;
                    assert!((first..end).contains(&pixel));
                }
            }
        }
        assert_eq!(seen, [1; 30]);
    }

    #[test]
    fn a_window_begins_a_padding_before_its_tile() {
        let window = GRID.window(3);
        let row = |y| [0, 1, 2, 3, 4, 5].map(|x| window.get(y, x));
        // The second image begins at pixel 15, its second tile at row 4, the window at row 3.
        assert_eq!(row(0), [None, Some(24), Some(25), Some(26), None, None]);
        assert_eq!(row(1)[1], Some(27));
        assert_eq!(row(2), [None; 6]);
        assert_eq!((window.first(), window.end()), (24, 30));
    }
}
