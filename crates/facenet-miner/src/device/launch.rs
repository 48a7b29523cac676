//! Launches whose arguments have been checked: the one way to run a kernel.

use super::{Element, Kernel, Memory};

/// One argument, in the order of the kernel's parameters.
#[derive(Debug)]
pub enum Arg<'a, B> {
    /// An `unsigned int`.
    U32(u32),
    /// A `double`.
    F64(f64),
    /// A pointer to what the kernel only reads.
    In(&'a B),
    /// A pointer to what the kernel writes, and may read.
    Out(&'a mut B),
}

/// A kernel, its grid and its arguments.
///
/// Only the functions below make one. They panic unless every buffer has the type and the length
/// that the kernel's header gives, so that no thread reads or writes beyond.
#[derive(Debug)]
pub struct Launch<'a, B> {
    kernel: Kernel,
    grid: [u32; 2],
    args: Vec<Arg<'a, B>>,
}

/// The embeddings and what is known of each, on a device.
#[derive(Debug)]
pub(crate) struct Batch<B> {
    /// `[n, dim]`, f32.
    pub(crate) values: B,
    /// `[n]`, f32.
    pub(crate) sq_norms: B,
    /// `[n]`, f64.
    pub(crate) slacks: B,
    /// `[n]`, u32: one number a label.
    pub(crate) groups: B,
    pub(crate) n: u32,
    pub(crate) dim: u32,
    /// Whether f32 distances are of use.
    pub(crate) is_bounded: bool,
}

/// Some anchors, rows of a batch.
#[derive(Debug)]
pub(crate) struct Anchors<B> {
    /// `[n]`, u32, each less than the batch's `n`.
    pub(crate) rows: B,
    pub(crate) n: u32,
    /// Anchors a block.
    pub(crate) tile: u32,
}

/// Pairs of some anchors, by anchor.
#[derive(Debug)]
pub(crate) struct Pairs<B> {
    /// `[n_anchors + 1]`, u32, ascending from 0 to `n`.
    pub(crate) starts: B,
    /// `[n]`, u32: place of the anchor among the anchors.
    pub(crate) places: B,
    /// `[n]`, u32: row of the positive.
    pub(crate) positives: B,
    pub(crate) n: u32,
}

/// The rule of `admission.cuh`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PairRule {
    pub(crate) margin: f64,
    pub(crate) allowance: f64,
    pub(crate) semi_hard: bool,
}

/// The rows, cut into slices: blocks that share the work on an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slices {
    /// Number of slices.
    pub(crate) n: u32,
    /// Rows of a slice: a multiple of the rows of a tile.
    pub(crate) len: u32,
}

/// What the hardest-rows kernel fills, `[n_anchors, slices]` each.
#[derive(Debug)]
pub(crate) struct HardestRows<B> {
    pub(crate) near_rows: B,
    pub(crate) near_sq_l2: B,
    pub(crate) far_rows: B,
    pub(crate) far_sq_l2: B,
}

/// What the closest-admissible kernel fills, `[n_pairs, slices]` each.
#[derive(Debug)]
pub(crate) struct NearestRows<B> {
    pub(crate) rows: B,
    pub(crate) approx: B,
}

impl Slices {
    /// Cuts `n` rows for tiles of `tile` anchors so that there are at least `blocks` blocks where
    /// the rows allow it, and no more than `most` slices.
    pub(crate) fn new(n: u32, n_anchors: u32, tile: u32, blocks: u32, most: u32) -> Self {
        let cols = 2 * tile;
        let n_tiles = n.div_ceil(cols).max(1);
        let wanted = blocks.div_ceil(n_anchors.div_ceil(tile).max(1));
        let wanted = wanted.clamp(1, n_tiles.min(most.max(1)));
        let tiles = n_tiles.div_ceil(wanted);
        Self {
            n: n_tiles.div_ceil(tiles),
            len: tiles * cols,
        }
    }
}

impl<'a, B: Memory> Launch<'a, B> {
    /// Which kernel.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Blocks, x and y.
    pub fn grid(&self) -> [u32; 2] {
        self.grid
    }

    /// Threads a block, x and y, of kernels compiled for `tile` anchors a block.
    pub fn block(tile: u32) -> [u32; 2] {
        [tile / 4, tile / 4]
    }

    /// The arguments.
    pub fn args(&self) -> &[Arg<'a, B>] {
        &self.args
    }

    /// The arguments, to write to.
    pub fn args_mut(&mut self) -> &mut [Arg<'a, B>] {
        &mut self.args
    }

    /// `distances [n_anchors, n]`, f32.
    pub(crate) fn pairwise_sq_l2(
        batch: &'a Batch<B>,
        anchors: &'a Anchors<B>,
        distances: &'a mut B,
    ) -> Self {
        let grid = [batch.n.div_ceil(2 * anchors.tile), anchors.blocks()];
        let mut launch = Self::new(Kernel::PairwiseSqL2, grid);
        launch.batch(batch);
        launch.anchors(batch, anchors);
        launch.output(distances, Element::F32, size(anchors.n, batch.n));
        launch
    }

    /// `d_aps [n_pairs]`, f64.
    pub(crate) fn pair_sq_l2(
        batch: &'a Batch<B>,
        anchors: &'a Anchors<B>,
        pairs: &'a Pairs<B>,
        d_aps: &'a mut B,
    ) -> Self {
        let [x, y] = Self::block(anchors.tile);
        let mut launch = Self::new(Kernel::PairSqL2, [pairs.n.div_ceil(x * y), 1]);
        launch.input(&batch.values, Element::F32, size(batch.n, batch.dim));
        launch.args.extend([Arg::U32(batch.n), Arg::U32(batch.dim)]);
        launch.input(&anchors.rows, Element::U32, size(anchors.n, 1));
        launch.input(&pairs.places, Element::U32, size(pairs.n, 1));
        launch.input(&pairs.positives, Element::U32, size(pairs.n, 1));
        launch.args.push(Arg::U32(pairs.n));
        launch.output(d_aps, Element::F64, size(pairs.n, 1));
        launch
    }

    /// `counts [n_pairs, slices]`, u32.
    pub(crate) fn count_admissible(
        scope: &'a PairScope<'a, B>,
        slices: Slices,
        counts: &'a mut B,
    ) -> Self {
        let mut launch = Self::new(Kernel::CountAdmissible, [slices.n, scope.anchors.blocks()]);
        launch.scope(scope, slices);
        launch.output(counts, Element::U32, size(scope.pairs.n, slices.n));
        launch
    }

    /// `choices` are slices and ranks, `picks` rows, `[n_pairs]` each, u32.
    pub(crate) fn pick_admissible(
        scope: &'a PairScope<'a, B>,
        slices: Slices,
        choices: (&'a B, &'a mut B),
        picks: &'a mut B,
    ) -> Self {
        let (n_pairs, (chosen, ranks)) = (size(scope.pairs.n, 1), choices);
        let mut launch = Self::new(Kernel::PickAdmissible, [slices.n, scope.anchors.blocks()]);
        launch.scope(scope, slices);
        launch.input(chosen, Element::U32, n_pairs);
        launch.output(ranks, Element::U32, n_pairs);
        launch.output(picks, Element::U32, n_pairs);
        launch
    }

    /// The nearest admissible negative of each pair in each slice.
    pub(crate) fn closest_admissible(
        scope: &'a PairScope<'a, B>,
        slices: Slices,
        nearest: &'a mut NearestRows<B>,
    ) -> Self {
        let grid = [slices.n, scope.anchors.blocks()];
        let mut launch = Self::new(Kernel::ClosestAdmissible, grid);
        launch.scope(scope, slices);
        let len = size(scope.pairs.n, slices.n);
        launch.output(&mut nearest.rows, Element::U32, len);
        launch.output(&mut nearest.approx, Element::F32, len);
        launch
    }

    /// The hardest rows of each anchor in each slice.
    pub(crate) fn hardest(
        batch: &'a Batch<B>,
        anchors: &'a Anchors<B>,
        slices: Slices,
        found: &'a mut HardestRows<B>,
    ) -> Self {
        let mut launch = Self::new(Kernel::Hardest, [slices.n, anchors.blocks()]);
        launch.grouped(batch, anchors);
        launch.slices(batch, anchors, slices);
        let len = size(anchors.n, slices.n);
        launch.output(&mut found.near_rows, Element::U32, len);
        launch.output(&mut found.near_sq_l2, Element::F64, len);
        launch.output(&mut found.far_rows, Element::U32, len);
        launch.output(&mut found.far_sq_l2, Element::F64, len);
        launch
    }

    fn new(kernel: Kernel, grid: [u32; 2]) -> Self {
        assert!(
            grid[0] > 0 && (1..=MAX_GRID_Y).contains(&grid[1]),
            "{kernel:?}: grid {grid:?}"
        );
        let args = Vec::new();
        Self { kernel, grid, args }
    }

    fn input(&mut self, buffer: &'a B, element: Element, len: usize) {
        check(self.kernel, self.args.len(), buffer, element, len);
        self.args.push(Arg::In(buffer));
    }

    fn output(&mut self, buffer: &'a mut B, element: Element, len: usize) {
        check(self.kernel, self.args.len(), buffer, element, len);
        self.args.push(Arg::Out(buffer));
    }

    fn batch(&mut self, batch: &'a Batch<B>) {
        self.input(&batch.values, Element::F32, size(batch.n, batch.dim));
        self.input(&batch.sq_norms, Element::F32, size(batch.n, 1));
        let is_bounded = Arg::U32(batch.is_bounded.into());
        let sizes = [Arg::U32(batch.n), Arg::U32(batch.dim), is_bounded];
        self.args.extend(sizes);
    }

    fn anchors(&mut self, batch: &Batch<B>, anchors: &'a Anchors<B>) {
        assert!(
            anchors.n <= batch.n,
            "{:?}: more anchors than rows",
            self.kernel
        );
        self.input(&anchors.rows, Element::U32, size(anchors.n, 1));
        self.args.push(Arg::U32(anchors.n));
    }

    fn grouped(&mut self, batch: &'a Batch<B>, anchors: &'a Anchors<B>) {
        self.batch(batch);
        self.input(&batch.slacks, Element::F64, size(batch.n, 1));
        self.input(&batch.groups, Element::U32, size(batch.n, 1));
        self.anchors(batch, anchors);
    }

    fn slices(&mut self, batch: &Batch<B>, anchors: &Anchors<B>, slices: Slices) {
        let Slices { n, len } = slices;
        let is_cut = len > 0 && len.is_multiple_of(2 * anchors.tile) && batch.n.div_ceil(len) == n;
        assert!(is_cut, "{:?}: {} rows in {slices:?}", self.kernel, batch.n);
        self.args.push(Arg::U32(len));
    }

    fn scope(&mut self, scope: &'a PairScope<'a, B>, slices: Slices) {
        let PairScope {
            batch,
            anchors,
            pairs,
            d_aps,
            rule,
        } = *scope;
        self.grouped(batch, anchors);
        self.input(&pairs.starts, Element::U32, size(anchors.n, 1) + 1);
        self.input(&pairs.places, Element::U32, size(pairs.n, 1));
        self.input(d_aps, Element::F64, size(pairs.n, 1));
        self.args
            .extend([Arg::F64(rule.margin), Arg::F64(rule.allowance)]);
        self.args.push(Arg::U32(rule.semi_hard.into()));
        self.slices(batch, anchors, slices);
    }
}

/// What the kernels of the pair rules work on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PairScope<'a, B> {
    pub(crate) batch: &'a Batch<B>,
    pub(crate) anchors: &'a Anchors<B>,
    pub(crate) pairs: &'a Pairs<B>,
    pub(crate) d_aps: &'a B,
    pub(crate) rule: PairRule,
}

/// Most blocks in the second direction of a grid, on every device.
pub(crate) const MAX_GRID_Y: u32 = 65_535;

impl<B> Anchors<B> {
    fn blocks(&self) -> u32 {
        self.n.div_ceil(self.tile)
    }
}

fn size(rows: u32, columns: u32) -> usize {
    rows as usize * columns as usize
}

#[track_caller]
fn check<B: Memory>(kernel: Kernel, place: usize, buffer: &B, element: Element, len: usize) {
    let found = (buffer.element(), buffer.len());
    assert_eq!(found, (element, len), "{}: argument {place}", kernel.name());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Values;

    #[track_caller]
    fn check_slices(n: u32, n_anchors: u32, blocks: u32, most: u32, expected: [u32; 2]) {
        let slices = Slices::new(n, n_anchors, 64, blocks, most);
        assert_eq!([slices.n, slices.len], expected);
        assert!(slices.n * slices.len >= n && (slices.n - 1) * slices.len < n.max(1));
    }

    #[test]
    fn slices_cover_the_rows_and_fill_the_device() {
        check_slices(1800, 1755, 264, 99, [8, 256]); // 28 tiles of anchors, 15 of rows
        check_slices(1800, 64, 264, 99, [15, 128]);
        check_slices(131_072, 131_072, 264, 99, [1, 131_072]);
        check_slices(1, 1, 264, 99, [1, 128]);
        check_slices(129, 1, 264, 99, [2, 128]);
        check_slices(1800, 64, 264, 4, [4, 512]);
    }

    fn batch(n: u32, dim: u32, n_values: usize) -> Batch<Values> {
        let of = |element: Element| element.zeros(n as usize);
        Batch {
            values: Element::F32.zeros(n_values),
            sq_norms: of(Element::F32),
            slacks: of(Element::F64),
            groups: of(Element::U32),
            n,
            dim,
            is_bounded: true,
        }
    }

    fn is_refused(n_values: usize, mut out: Values, n_anchors: u32) -> bool {
        let batch = batch(10, 3, n_values);
        let rows = Element::U32.zeros(n_anchors as usize);
        let anchors = Anchors {
            rows,
            n: n_anchors,
            tile: 64,
        };
        let launch = || {
            let launch = Launch::pairwise_sq_l2(&batch, &anchors, &mut out);
            (launch.grid(), launch.args().len())
        };
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(launch));
        made.map(|made| assert_eq!(made, ([1, 1], 8))).is_err()
    }

    #[test]
    fn a_buffer_of_another_length_or_type_is_refused() {
        assert!(!is_refused(30, Element::F32.zeros(40), 4));
        assert!(is_refused(29, Element::F32.zeros(40), 4));
        assert!(is_refused(30, Element::F32.zeros(39), 4));
        assert!(is_refused(30, Element::U32.zeros(40), 4));
        assert!(is_refused(30, Element::F32.zeros(110), 11));
        assert!(is_refused(30, Element::F32.zeros(0), 0));
    }
}
