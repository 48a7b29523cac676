//! The products of Winograd's algorithm: one matrix product for each of its 36 points.
#![expect(unsafe_code, reason = "kernels take pointers")]

pub(crate) mod gather;
pub(crate) mod square;
mod transform;
pub(crate) mod turn;

use super::kernels::{AHEAD, Epilogue, Kernels, MOST_PIXELS, Segment, Tile, WeightTile};

/// Points of F(4 x 4, 3 x 3): a transformed tile is 6 x 6.
pub(crate) const POINTS: usize = 36;

/// Floats between the matrices of two points: a power of two between them would put all 36 into
/// few sets of the cache.
const GAP: usize = 16;

/// A matrix `[rows][width]` for each point, one behind the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Points {
    pub(crate) rows: usize,
    pub(crate) width: usize,
}

impl Points {
    /// Floats from one point's matrix to the next one's.
    pub(crate) fn stride(&self) -> usize {
        self.rows * self.width + GAP
    }

    /// Floats of all.
    pub(crate) fn len(&self) -> usize {
        POINTS * self.stride()
    }

    /// First float of a row of a point.
    pub(crate) fn place(&self, point: usize, row: usize) -> usize {
        point * self.stride() + row * self.width
    }
}

/// Matrices of a number of channels as the kernels take them: for each point `[rows][channels]`
/// in blocks, each of which has its 36 points together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocks {
    pub(crate) rows: usize,
    pub(crate) channels: usize,
}

/// One of [`Blocks`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// First float.
    pub(crate) start: usize,
    /// Its first channel.
    pub(crate) channel: usize,
    pub(crate) points: Points,
}

impl Blocks {
    pub(crate) fn count(&self, kernels: &Kernels<f32>) -> usize {
        self.channels.div_ceil(kernels.width())
    }

    /// Floats from block to block.
    pub(crate) fn stride(&self, kernels: &Kernels<f32>) -> usize {
        self.points(kernels.width()).len()
    }

    pub(crate) fn block(&self, kernels: &Kernels<f32>, block: usize) -> Block {
        Block {
            start: block * self.stride(kernels),
            channel: block * kernels.width(),
            points: self.points(kernels.packed(block, self.channels)),
        }
    }

    fn points(&self, width: usize) -> Points {
        Points {
            rows: self.rows,
            width,
        }
    }

    pub(crate) fn all<'a>(
        &self,
        kernels: &'a Kernels<f32>,
    ) -> impl Iterator<Item = Block> + use<'a> {
        let blocks = *self;
        (0..self.count(kernels)).map(move |block| blocks.block(kernels, block))
    }

    /// Floats of all.
    pub(crate) fn len(&self, kernels: &Kernels<f32>) -> usize {
        let last = self.all(kernels).last();
        last.map_or(0, |block| block.start + block.points.len())
    }

    /// Channels as packed.
    pub(crate) fn width(&self, kernels: &Kernels<f32>) -> usize {
        let last = self.all(kernels).last();
        last.map_or(0, |block| block.channel + block.points.width)
    }
}

/// `to[point][tile] = from[point][tile] * weights[point]` for all points.
///
/// - `from`: of `tiles`, rows of which the first `weights.rows` values count
/// - `to`: of `tiles` and the weights' channels as packed
///
/// # Panics
/// Where a slice is too short.
pub(crate) fn multiply(
    kernels: &Kernels<f32>,
    (from, source): (Points, &[f32]),
    (weights, panels): (Blocks, &[f32]),
    target: &mut [f32],
) {
    let (width, epilogue) = (weights.width(kernels), Epilogue::default());
    let to = Points { width, ..from };
    assert!(from.width >= weights.rows && source.len() >= from.len());
    assert!(target.len() >= to.len() && panels.len() >= weights.len(kernels));
    let mut tiles = tiles(kernels, (from, source), to, &epilogue);
    for point in 0..POINTS {
        let first = from.place(point, 0);
        let segment = [Segment {
            step: 0,
            source: first,
            end: first + weights.rows,
        }];
        for block in weights.all(kernels) {
            let panel = &panels[block.start + block.points.place(point, 0)..];
            let kernel = kernels.tiles[block.points.width / kernels.lanes - 1];
            for (pixels, tile) in &mut tiles {
                tile.panel = panel.as_ptr();
                tile.segments = segment.as_ptr_range().start;
                tile.segments_end = segment.as_ptr_range().end;
                tile.output = target[to.place(point, 0)..].as_mut_ptr();
                (tile.channel, tile.channels) = (block.channel, block.points.width);
                // SAFETY: the segment's rows are those of the point in the block's panel; its
                // elements, from each tile's row of the first point, lie in that of the point;
                // the target holds a row of all packed channels for each tile, as was seen above.
                unsafe { kernel[*pixels - 1](tile) };
            }
        }
    }
}

/// Calls of a kernel for all rows, shared out evenly, but for panel, segment and output.
fn tiles<'a>(
    kernels: &Kernels<f32>,
    (from, source): (Points, &[f32]),
    to: Points,
    epilogue: &'a Epilogue<'a, f32>,
) -> Vec<(usize, Tile<'a, f32>)> {
    let n = from.rows.div_ceil(kernels.pixels);
    let tile = |tile: usize| {
        let rows = from.rows * tile / n..from.rows * (tile + 1) / n;
        let pixels = rows.len();
        let (mut sources, mut targets) = ([std::ptr::null(); MOST_PIXELS], [0; MOST_PIXELS]);
        for ((start, target), row) in sources.iter_mut().zip(&mut targets).zip(rows) {
            *start = source[from.place(0, row)..].as_ptr();
            *target = to.place(0, row);
        }
        let tile = Tile {
            panel: std::ptr::null(),
            segments: std::ptr::null(),
            segments_end: std::ptr::null(),
            sources,
            output: std::ptr::null_mut(),
            targets,
            channel: 0,
            channels: 0,
            epilogue,
        };
        (pixels, tile)
    };
    (0..n).map(tile).collect()
}

/// Groups of tiles of inputs and of the output's gradient, at all points.
pub(crate) struct Gradient<'a> {
    kernels: &'a Kernels<f32>,
    inputs: Points,
    input: &'a [f32],
    /// Input channels.
    channels: usize,
    grads: Blocks,
    grad: &'a [f32],
    /// By vectors of a panel less one: for each tile its row's element of the input and its row of
    /// the panel, from those of the first.
    tables: [Vec<[i32; 2]>; 2],
}

impl<'a> Gradient<'a> {
    /// Of `tiles` tiles, as many a group as there are rows.
    ///
    /// - `inputs`: of each group, one behind the other; of each row `channels` values count
    /// - `grads`: the same
    ///
    /// # Panics
    /// Where a slice is too short.
    pub(crate) fn new(
        kernels: &'a Kernels<f32>,
        tiles: usize,
        channels: usize,
        (inputs, input): (Points, &'a [f32]),
        (grads, grad): (Blocks, &'a [f32]),
    ) -> Self {
        let (groups, group) = (tiles.div_ceil(inputs.rows), grads.len(kernels));
        assert!(inputs.rows == grads.rows && channels <= inputs.width);
        assert!(input.len() >= groups * inputs.len() && grad.len() >= groups * group);
        let table = |width: usize| {
            assert!(
                group.is_multiple_of(width),
                "groups begin with a panel's row"
            );
            let small = |value| i32::try_from(value).expect("groups of tiles fit the cache");
            let entry = |tile| {
                let (number, row) = (tile / inputs.rows, tile % inputs.rows);
                let element = number * inputs.len() + row * inputs.width;
                [small(element), small(number * (group / width) + row)]
            };
            let mut table: Vec<_> = (0..tiles).map(entry).collect();
            table.extend([[0; 2]; AHEAD]);
            table
        };
        Self {
            kernels,
            inputs,
            input,
            channels,
            grads,
            grad,
            tables: [table(kernels.lanes), table(kernels.width())],
        }
    }

    /// The sums' place in the results of all points.
    pub(crate) fn sums(&self) -> Points {
        Points {
            rows: self.channels,
            width: self.grads.width(self.kernels),
        }
    }

    /// Sums the products of all tiles at one point, `[channel in][channel out]` as packed.
    ///
    /// # Panics
    /// Where `sums` is too short.
    pub(crate) fn sum(&self, point: usize, is_added: bool, sums: &mut [f32]) {
        let (n, width) = (
            self.channels.div_ceil(self.kernels.pixels),
            self.sums().width,
        );
        assert!(point < POINTS && sums.len() >= self.channels * width);
        let input = &self.input[self.inputs.place(point, 0)..];
        for part in 0..n {
            let rows = self.channels * part / n..self.channels * (part + 1) / n;
            for block in self.grads.all(self.kernels) {
                let vectors = block.points.width / self.kernels.lanes;
                let table = &self.tables[vectors - 1];
                let panel = &self.grad[block.start + block.points.place(point, 0)..];
                let tile = WeightTile {
                    panel: panel.as_ptr(),
                    input: input[rows.start..].as_ptr(),
                    table: table.as_ptr(),
                    table_end: table[table.len() - AHEAD..].as_ptr(),
                    output: sums[rows.start * width + block.channel..].as_mut_ptr(),
                    row: width,
                    is_added,
                };
                // SAFETY: each entry's element, from the first group's row of the point, is that
                // of a tile in its group, and so is its row of the panel; `new` has seen that all
                // groups are there, and entries to prefetch by follow. The sums hold the rows.
                unsafe { self.kernels.weight_tiles[vectors - 1][rows.len() - 1](&tile) };
            }
        }
    }
}
