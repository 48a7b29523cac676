//! Rows in strips: some anchors against all rows at a time, never all against all.

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

    /// The anchors of a rule that looks at the rows that it wants: those, or every row where a list
    /// of each is to be kept.
    pub(crate) fn anchors(
        &self,
        problem: &Problem<'_>,
        is_wanted: impl Fn(usize) -> bool,
    ) -> Vec<u32> {
        let rows = 0..problem.len();
        let kept = rows.filter(|&row| self.k > 0 || is_wanted(row));
        kept.map(|row| row as u32).collect()
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

/// Shows some rows to `per_row` on all threads of the current pool, and hands the results of each
/// strip to `consume` on this one, in the order of the rows.
///
/// Strips are cut by the number of rows alone, so the thread count changes nothing but time.
///
/// - `rows`: the anchors, ascending
/// - `keep`: how many hardest negatives of each of them to keep, and where
pub(crate) fn scan<T: Default + Send>(
    (problem, rows): (&Problem<'_>, &[u32]),
    keep: &mut Keep,
    per_row: impl Fn(&mut Row<'_>, &mut T) + Sync,
    mut consume: impl FnMut(T),
) {
    let columns = columns(problem, rows);
    let strip_rows = strip_rows(problem.len());
    let workspace = || Workspace {
        strip: vec![0.0; strip_rows.min(rows.len()) * columns.stride()],
        anchors: Anchors::default(),
        scratch: Scratch::new(problem.len()),
    };
    for wave in rows.chunks(STRIPS_PER_THREAD * rayon::current_num_threads() * strip_rows) {
        let strips = wave.par_chunks(strip_rows);
        let results = strips.map_init(workspace, |workspace, rows| {
            let Workspace {
                strip,
                anchors,
                scratch,
            } = workspace;
            let (mut result, mut lists) = (T::default(), Vec::new());
            let strip = &mut strip[..rows.len() * columns.stride()];
            fill(problem, rows, anchors, &columns, strip);
            each_row(problem, rows, strip, scratch, |row| {
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

/// Shows some rows to `visit` in order on this thread; the distances come from all threads.
///
/// - `rows`: the anchors, ascending
/// - `keep`: how many hardest negatives of each of them to keep, and where
pub(crate) fn scan_in_order(
    (problem, rows): (&Problem<'_>, &[u32]),
    keep: &mut Keep,
    mut visit: impl FnMut(&mut Row<'_>),
) {
    let (columns, strip_rows) = (columns(problem, rows), strip_rows(problem.len()));
    let stride = columns.stride();
    let mut scratch = Scratch::new(problem.len());
    let mut buffer = Vec::new();
    for wave in rows.chunks(rayon::current_num_threads() * strip_rows) {
        buffer.resize(wave.len() * stride, 0.0);
        let shares = buffer.par_chunks_mut(strip_rows * stride);
        let shares = shares.zip(wave.par_chunks(strip_rows));
        shares.for_each_init(Anchors::default, |anchors, (strip, rows)| {
            fill(problem, rows, anchors, &columns, strip);
        });
        each_row(problem, wave, &mut buffer, &mut scratch, |row| {
            visit(row);
            if let Some(list) = keep.list_of(row) {
                keep.push(&list);
            }
        });
    }
}

/// All rows, if one is looked at.
fn columns(problem: &Problem<'_>, rows: &[u32]) -> Columns {
    let mut columns = Columns::default();
    if !rows.is_empty() {
        columns.pack(problem, 0..problem.len());
    }
    columns
}

/// Anchors of a strip against `n` rows.
fn strip_rows(n: usize) -> usize {
    let (least, most) = STRIP_BLOCKS;
    BLOCK * (STRIP_VALUES / (BLOCK * n.max(1))).clamp(least, most)
}

/// Distances of `rows` to all rows, `[rows.len(), columns.stride()]`, each within the problem's
/// slack, and infinity beyond the last row.
fn fill(
    problem: &Problem<'_>,
    rows: &[u32],
    anchors: &mut Anchors,
    columns: &Columns,
    strip: &mut [f32],
) {
    if let Some(device) = problem.session() {
        return device.fill(rows, strip);
    }
    anchors.pack_by(problem, 0..rows.len(), |place| rows[place] as usize);
    distances(problem, anchors, columns, strip);
}

fn each_row(
    problem: &Problem<'_>,
    rows: &[u32],
    strip: &mut [f32],
    scratch: &mut Scratch,
    mut visit: impl FnMut(&mut Row<'_>),
) {
    let stride = strip.len() / rows.len();
    for (&anchor, approx) in rows.iter().zip(strip.chunks_exact_mut(stride)) {
        visit(&mut Row::new(problem, anchor as usize, approx, scratch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Embeddings;

    #[test]
    fn strips_are_of_whole_blocks_and_bounded() {
        for n in [0, 1, 59, 60, 61, 1800, 100_000] {
            let rows = strip_rows(n);
            assert!(
                rows.is_multiple_of(BLOCK) && (12..=60).contains(&rows),
                "{n}"
            );
        }
    }

    #[test]
    fn both_scans_show_the_rows_in_order() {
        let (n, dim) = (300, 3);
        let values: Vec<f32> = (0..n * dim).map(|i| (i * i % 17) as f32).collect();
        let embeddings = Embeddings::new(&values, dim).expect("whole rows");
        let labels: Vec<u32> = (0..n as u32).collect();
        let problem = Problem::new(embeddings, &labels).expect("a label a row");
        let look = |row: &mut Row<'_>| (row.anchor(), row.nearest_negative());
        let mut keep = Keep::default();
        for step in [1, 7, 1000] {
            let rows = keep.anchors(&problem, |row| row % step == step - 1);
            let (mut scanned, mut in_order) = (Vec::new(), Vec::new());
            scan(
                (&problem, &rows),
                &mut keep,
                |row, found: &mut Vec<_>| found.push(look(row)),
                |found| scanned.extend(found),
            );
            scan_in_order((&problem, &rows), &mut keep, |row| in_order.push(look(row)));
            assert_eq!(scanned, in_order);
            assert!(
                scanned
                    .iter()
                    .map(|found| found.0)
                    .eq((step - 1..n).step_by(step))
            );
        }
        let all = Keep::new(1).anchors(&problem, |_| false);
        assert_eq!(all.len(), n, "each has a list");
    }
}
