//! Rows in strips: some anchors against all rows at a time, never all against all.

use std::ops::Range;

use rayon::prelude::*;

use crate::problem::Problem;
use crate::row::{Row, Scratch};
use crate::simd::{distances_from_dots, dot_rows};

/// Values of a strip that are aimed at: 1 MiB, the share of a core in its second-level cache.
const STRIP_VALUES: usize = 1 << 18;

/// Fewest and most anchors of a strip. The least keeps the product efficient when one row of
/// distances is long: memory is then `8 n` values a strip.
const STRIP_ROWS: (usize, usize) = (8, 64);

/// Strips a thread works on between two hand-overs of results.
const STRIPS_PER_THREAD: usize = 4;

/// Shows every row to `per_row` on all threads of the current pool, and hands the results of
/// each strip to `consume` on this one, in the order of the rows.
///
/// Strips are cut by the number of rows alone, so the thread count changes nothing but time.
pub(crate) fn scan<T: Default + Send>(
    problem: &Problem<'_>,
    per_row: impl Fn(&mut Row<'_>, &mut T) + Sync,
    mut consume: impl FnMut(T),
) {
    let strips = strips(problem.len());
    let wave = STRIPS_PER_THREAD * rayon::current_num_threads();
    for wave in strips.chunks(wave) {
        let workspace = || (Vec::new(), Scratch::new(problem.len()));
        let results = wave
            .par_iter()
            .map_init(workspace, |(strip, scratch), rows| {
                strip.resize(rows.len() * problem.len(), 0.0);
                let mut result = T::default();
                fill(problem, rows.clone(), strip);
                each_row(problem, rows.clone(), strip, scratch, |row| {
                    per_row(row, &mut result);
                });
                result
            });
        results
            .collect::<Vec<T>>()
            .into_iter()
            .for_each(&mut consume);
    }
}

/// Shows every row to `visit` in order on this thread; the distances come from all threads.
pub(crate) fn scan_in_order(problem: &Problem<'_>, mut visit: impl FnMut(&mut Row<'_>)) {
    let (n, strips) = (problem.len(), strips(problem.len()));
    let mut scratch = Scratch::new(n);
    let mut buffer = Vec::new();
    for wave in strips.chunks(rayon::current_num_threads()) {
        let rows = wave[0].start..wave[wave.len() - 1].end;
        buffer.resize(rows.len() * n, 0.0);
        let shares = buffer.par_chunks_mut(wave[0].len() * n).zip(wave);
        shares.for_each(|(strip, rows)| fill(problem, rows.clone(), strip));
        each_row(problem, rows, &mut buffer, &mut scratch, &mut visit);
    }
}

/// Ranges of rows, all of one length but the last.
fn strips(n: usize) -> Vec<Range<usize>> {
    let (least, most) = STRIP_ROWS;
    let n_rows = (STRIP_VALUES / n.max(1)).clamp(least, most);
    (0..n)
        .step_by(n_rows)
        .map(|start| start..n.min(start + n_rows))
        .collect()
}

/// Distances of `rows` to all rows, `[rows.len(), n]`, each within the problem's slack.
fn fill(problem: &Problem<'_>, rows: Range<usize>, strip: &mut [f32]) {
    if let Some(device) = problem.session() {
        return device.fill(rows, strip);
    }
    let n = problem.len();
    if !problem.slack().is_finite() {
        strip.fill(0.0); // any value is within an infinite slack, but no NaN
        return;
    }
    dot_rows(
        problem.rows(rows.clone()),
        problem.rows(0..n),
        problem.dim(),
        strip,
    );
    for (distances, &sq_norm) in strip.chunks_exact_mut(n).zip(&problem.sq_norms()[rows]) {
        distances_from_dots(distances, sq_norm, problem.sq_norms());
    }
}

fn each_row(
    problem: &Problem<'_>,
    rows: Range<usize>,
    strip: &mut [f32],
    scratch: &mut Scratch,
    mut visit: impl FnMut(&mut Row<'_>),
) {
    for (anchor, approx) in rows.zip(strip.chunks_exact_mut(problem.len())) {
        visit(&mut Row::new(problem, anchor, approx, scratch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Embeddings;

    #[test]
    fn strips_cover_all_rows_in_order() {
        for n in [0, 1, 63, 64, 65, 1800, 100_000] {
            let strips = strips(n);
            assert_eq!(strips.iter().flat_map(Clone::clone).count(), n);
            assert!(strips.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(strips.iter().all(|strip| strip.len() <= 64));
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
            |row, found: &mut Vec<_>| found.push(look(row)),
            |found| scanned.extend(found),
        );
        scan_in_order(&problem, |row| in_order.push(look(row)));
        assert_eq!(scanned, in_order);
        assert!(scanned.iter().map(|found| found.0).eq(0..n));
    }
}
