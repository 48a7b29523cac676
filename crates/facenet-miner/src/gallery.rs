//! The hardest negatives at any size: anchors in waves, all rows past them in tiles.

use std::ops::Range;

use rayon::prelude::*;

use crate::Neighbour;
use crate::nearest::Nearest;
use crate::problem::Problem;
use crate::tile::{Anchors, BLOCK, Columns, PANEL, distances};

/// Anchors that share a pass over the rows. More of them read the rows less often; each holds
/// some four times `k` candidates of 8 bytes.
const WAVE: usize = 16_384;

/// Rows of a tile: 786 kB at 128 values, the larger part of a core's second-level cache.
const TILE: usize = 24 * PANEL;

/// Anchors that a task takes against a tile: 370 kB of distances.
const SHARE: usize = 10 * BLOCK;

/// Some anchors of a wave.
struct Share<'a> {
    anchors: Anchors,
    nearest: Vec<Nearest<'a, Problem<'a>>>,
    first: usize,
}

/// Gives every finite row's `k` nearest rows of other labels, in the order of the rows.
///
/// - `progress`: called with rows done and their number; a wave counts by what it has seen
/// - `consume`: gets the caller's number of each row, and its list
pub(crate) fn search<'a>(
    problem: &'a Problem<'a>,
    k: usize,
    progress: &mut dyn FnMut(u64, u64),
    consume: &mut dyn FnMut(u32, &[Neighbour]),
) {
    let n = problem.len();
    let mut columns = Columns::default();
    for wave in ranges(0..n, WAVE) {
        let shares: Vec<Range<usize>> = ranges(wave.clone(), SHARE).collect();
        let mut shares: Vec<Share<'a>> = shares
            .into_par_iter()
            .map(|rows| Share::new(problem, rows, k))
            .collect();
        for tile in ranges(0..n, TILE) {
            columns.pack(problem, tile.clone());
            shares
                .par_iter_mut()
                .for_each_init(Vec::new, |strip, share| {
                    share.see(problem, tile.clone(), &columns, strip);
                });
            let done = wave.start as u64 + wave.len() as u64 * tile.end as u64 / n as u64;
            progress(done, n as u64);
        }
        let lists = shares.into_par_iter().map(Share::finish);
        for (row, list) in lists.collect::<Vec<_>>().into_iter().flatten() {
            consume(problem.original(row), &list);
        }
    }
}

impl<'a> Share<'a> {
    fn new(problem: &'a Problem<'a>, rows: Range<usize>, k: usize) -> Self {
        let mut anchors = Anchors::default();
        anchors.pack(problem, rows.clone());
        let first = rows.start;
        let nearest = rows
            .map(|anchor| Nearest::of_row(problem, anchor, k))
            .collect();
        Self {
            anchors,
            nearest,
            first,
        }
    }

    /// - `strip`: room for distances
    fn see(
        &mut self,
        problem: &Problem<'_>,
        tile: Range<usize>,
        columns: &Columns,
        strip: &mut Vec<f32>,
    ) {
        strip.resize(self.nearest.len() * columns.stride(), 0.0);
        distances(problem, &self.anchors, columns, strip);
        let rows = strip.chunks_exact_mut(columns.stride());
        for ((anchor, nearest), approx) in (self.first..).zip(&mut self.nearest).zip(rows) {
            for &member in within(problem.group(anchor), &tile) {
                approx[member as usize - tile.start] = f32::INFINITY;
            }
            nearest.offer(tile.start, approx.as_chunks().0);
        }
    }

    fn finish(self) -> Vec<(usize, Vec<Neighbour>)> {
        (self.first..)
            .zip(self.nearest.into_iter().map(Nearest::finish_row))
            .collect()
    }
}

/// The part of ascending `rows` that lies in `range`.
fn within<'a>(rows: &'a [u32], range: &Range<usize>) -> &'a [u32] {
    let before = |end: usize| rows.partition_point(|&row| (row as usize) < end);
    &rows[before(range.start)..before(range.end)]
}

fn ranges(all: Range<usize>, len: usize) -> impl Iterator<Item = Range<usize>> {
    all.clone()
        .step_by(len)
        .map(move |start| start..all.end.min(start + len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Embeddings;

    #[test]
    fn a_slice_of_a_group_is_what_lies_in_the_tile() {
        let found = |range: Range<usize>| within(&[2, 5, 9, 11], &range).to_vec();
        assert!(found(0..2).is_empty());
        assert_eq!(found(2..9), [2, 5]);
        assert_eq!(found(9..20), [9, 11]);
    }

    /// More rows than one tile holds: row `i` is at `i`, and labels alternate, so the nearest
    /// negatives of a row are its neighbours, then those two further.
    #[test]
    fn rows_beyond_one_tile_are_seen_and_progress_ends_at_all() {
        let n = 2 * TILE + 70;
        let points: Vec<f32> = (0..n).map(|i| i as f32).collect();
        let labels: Vec<u32> = (0..n).map(|i| i as u32 % 2).collect();
        let embeddings = Embeddings::new(&points, 1).expect("points on a line");
        let problem = Problem::new(embeddings, &labels).expect("a label a row");
        let (mut progress, mut rows) = (Vec::new(), 0);
        search(
            &problem,
            3,
            &mut |done, total| progress.push((done, total)),
            &mut |row, list| {
                assert_eq!(row, rows);
                rows += 1;
                let found: Vec<_> = list.iter().map(|other| other.index).collect();
                if row > 2 && row + 4 < n as u32 {
                    assert_eq!(found, [row - 1, row + 1, row - 3]);
                }
            },
        );
        assert_eq!(rows as usize, n);
        assert!(progress.is_sorted() && progress.len() == 3);
        assert_eq!(progress.last(), Some(&(n as u64, n as u64)));
    }
}
