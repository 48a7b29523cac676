//! Rows in strips: some anchors against all rows at a time, never all against all.

use std::ops::Range;

use rayon::prelude::*;

use crate::problem::Problem;
use crate::row::{Row, Scratch};
use crate::tile::{Anchors, BLOCK, Columns, distances};
use crate::{HardNegatives, Neighbour};

/// Values of a strip that are aimed at: 1 MiB, the share of a core in its second-level cache.
const STRIP_VALUES: usize = 1 << 18;

/// Fewest and most blocks of anchors in a strip. The least keeps the product efficient when one
/// row of distances is long: memory is then `12 n` values a strip.
const STRIP_BLOCKS: (usize, usize) = (2, 10);

/// Strips a thread works on between two hand-overs of results.
const STRIPS_PER_THREAD: usize = 16;

/// Number of hardest negatives to keep for each row, and the lists kept.
#[derive(Debug, Default)]
pub(crate) struct Keep {
    k: usize,
    lists: HardNegatives,
}

/// Hardest negatives of one row, by the caller's numbers.
type List = (u32, Vec<Neighbour>);

impl Keep {
    pub(crate) fn new(k: usize) -> Self {
        Self {
            k,
            lists: HardNegatives::default(),
        }
    }

    /// Whether no list is wanted.
    pub(crate) fn is_empty(&self) -> bool {
        self.k == 0
    }

    fn list_of(&self, row: &mut Row<'_>) -> Option<List> {
        let original = row.problem().original(row.anchor());
        (self.k > 0).then(|| (original, row.nearest_negatives(self.k)))
    }

    fn push(&mut self, (row, list): &List) {
        self.lists.push(*row, list);
    }

    /// The lists of all rows of the problem; none if none were to be kept.
    pub(crate) fn finish(mut self, problem: &Problem<'_>) -> HardNegatives {
        if self.k > 0 {
            self.lists.fill(problem.len() + problem.n_masked());
        }
        self.lists
    }
}

/// Room for one strip at a time; reused from strip to strip.
struct Workspace {
    strip: Vec<f32>,
    anchors: Anchors,
    scratch: Scratch,
}

/// Shows every row to `per_row` on all threads of the current pool, and hands the results of
/// each strip to `consume` on this one, in the order of the rows.
///
/// Strips are cut by the number of rows alone, so the thread count changes nothing but time.
///
/// - `keep`: how many hardest negatives of each row to keep, and where
pub(crate) fn scan<T: Default + Send>(
    problem: &Problem<'_>,
    keep: &mut Keep,
    per_row: impl Fn(&mut Row<'_>, &mut T) + Sync,
    mut consume: impl FnMut(T),
) {
    let mut columns = Columns::default();
    columns.pack(problem, 0..problem.len());
    let strips = strips(problem.len());
    let wave = STRIPS_PER_THREAD * rayon::current_num_threads();
    let workspace = || Workspace {
        strip: vec![],
        anchors: Anchors::default(),
        scratch: Scratch::new(problem.len()),
    };
    for wave in strips.chunks(wave) {
        let results = wave.par_iter().map_init(workspace, |workspace, rows| {
            let Workspace {
                strip,
                anchors,
                scratch,
            } = workspace;
            let (mut result, mut lists) = (T::default(), Vec::new());
            strip.resize(rows.len() * columns.stride(), 0.0);
            fill(problem, rows.clone(), anchors, &columns, strip);
            each_row(problem, rows.clone(), strip, scratch, |row| {
                per_row(row, &mut result);
                lists.extend(keep.list_of(row));
            });
            (result, lists)
        });
        for (result, lists) in results.collect::<Vec<(T, Vec<List>)>>() {
            consume(result);
            for list in &lists {
                keep.push(list);
            }
        }
    }
}

/// Shows every row to `visit` in order on this thread; the distances come from all threads.
///
/// - `keep`: how many hardest negatives of each row to keep, and where
pub(crate) fn scan_in_order(
    problem: &Problem<'_>,
    keep: &mut Keep,
    mut visit: impl FnMut(&mut Row<'_>),
) {
    let (mut columns, strips) = (Columns::default(), strips(problem.len()));
    columns.pack(problem, 0..problem.len());
    let stride = columns.stride();
    let mut scratch = Scratch::new(problem.len());
    let mut buffer = Vec::new();
    for wave in strips.chunks(rayon::current_num_threads()) {
        let rows = wave[0].start..wave[wave.len() - 1].end;
        buffer.resize(rows.len() * stride, 0.0);
        let shares = buffer.par_chunks_mut(wave[0].len() * stride).zip(wave);
        shares.for_each_init(Anchors::default, |anchors, (strip, rows)| {
            fill(problem, rows.clone(), anchors, &columns, strip);
        });
        each_row(problem, rows, &mut buffer, &mut scratch, |row| {
            visit(row);
            if let Some(list) = keep.list_of(row) {
                keep.push(&list);
            }
        });
    }
}

/// Ranges of rows, all of one length but the last.
fn strips(n: usize) -> Vec<Range<usize>> {
    let (least, most) = STRIP_BLOCKS;
    let n_rows = BLOCK * (STRIP_VALUES / (BLOCK * n.max(1))).clamp(least, most);
    (0..n)
        .step_by(n_rows)
        .map(|start| start..n.min(start + n_rows))
        .collect()
}

/// Distances of `rows` to all rows, `[rows.len(), columns.stride()]`, each within the problem's
/// slack, and infinity beyond the last row.
fn fill(
    problem: &Problem<'_>,
    rows: Range<usize>,
    anchors: &mut Anchors,
    columns: &Columns,
    strip: &mut [f32],
) {
    if let Some(device) = problem.session() {
        return device.fill(rows, strip);
    }
    anchors.pack(problem, rows);
    distances(problem, anchors, columns, strip);
}

fn each_row(
    problem: &Problem<'_>,
    rows: Range<usize>,
    strip: &mut [f32],
    scratch: &mut Scratch,
    mut visit: impl FnMut(&mut Row<'_>),
) {
    let stride = strip.len() / rows.len();
    for (anchor, approx) in rows.zip(strip.chunks_exact_mut(stride)) {
        visit(&mut Row::new(problem, anchor, approx, scratch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Embeddings;

    #[test]
    fn strips_cover_all_rows_in_order() {
        for n in [0, 1, 59, 60, 61, 1800, 100_000] {
            let strips = strips(n);
            assert_eq!(strips.iter().flat_map(Clone::clone).count(), n);
            assert!(strips.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(strips.iter().all(|strip| strip.len() <= 60));
        }
    }

    #[test]
    fn both_scans_show_every_row_in_order() {
        let (n, dim) = (300, 3);
        let values: Vec<f32> = (0..n * dim).map(|i| (i * i % 17) as f32).collect();
        let embeddings = Embeddings::new(&values, dim).expect("whole rows");
        let labels: Vec<u32> = (0..n as u32).collect();
        let problem = Problem::new(embeddings, &labels).expect("a label a row");
        let (mut scanned, mut in_order) = (Vec::new(), Vec::new());
        let look = |row: &mut Row<'_>| (row.anchor(), row.nearest_negative());
        scan(
            &problem,
            &mut Keep::default(),
            |row, found: &mut Vec<_>| found.push(look(row)),
            |found| scanned.extend(found),
        );
        scan_in_order(&problem, &mut Keep::default(), |row| {
            in_order.push(look(row));
        });
        assert_eq!(scanned, in_order);
        assert!(scanned.iter().map(|found| found.0).eq(0..n));
    }
}
