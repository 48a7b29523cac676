//! The hardest rows of every row by half the distances: each tile serves its rows and its columns.
//!
//! Rows are taken in the order of their groups, so that positives lie near the diagonal. A thread
//! keeps for every row the least distance it has seen, its place, and the least of the others:
//! where these two are farther apart than twice the slack, no f32 error can have changed the order,
//! and otherwise the row's distances are computed again and f64 decides.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::admission::above;
use crate::extremes::{LANES, Lanes, Least, PARTS};
use crate::lanes::sq_l2_of_pairs;
use crate::marks::{Span, positions};
use crate::problem::Problem;
use crate::simd::{Level, fill_tile, mark_within, see_tile};
use crate::tile::{Anchors, BLOCK, Columns, PANEL, distances};
use crate::{Hardest, Neighbour};

/// Blocks of anchors of one strip, which is as wide as a panel: the diagonal falls in whole panels.
const BLOCKS: usize = PANEL.div_ceil(BLOCK);

/// Places whose candidates are ranked together: eight pairs on either side.
const SETTLED: usize = 8;

/// What one thread has seen.
struct Seen<'a> {
    problem: &'a Problem<'a>,
    columns: &'a Columns,
    /// `[panels]`: nearest negatives.
    near: Vec<[Lanes; PARTS]>,
    /// `[panels]`: farthest positives, by negated distances.
    far: Vec<[Lanes; PARTS]>,
    anchors: Anchors,
}

/// The hardest rows of every finite row, which f32 must be of use for.
pub(crate) fn hardest(problem: &Problem<'_>) -> Vec<Hardest> {
    let mut columns = Columns::default();
    let n = problem.len();
    columns.pack_by(problem, 0..n, |place| problem.members()[place] as usize);
    let strips: Vec<usize> = (0..columns.n_panels()).collect();
    let next = AtomicUsize::new(0);
    let seen = (0..rayon::current_num_threads()).into_par_iter().map(|_| {
        let mut seen = Seen::new(problem, &columns);
        // The counter alone is shared: no other memory is ordered by it.
        while let Some(strip) = strips.get(next.fetch_add(1, Ordering::Relaxed)) {
            seen.strip(*strip);
        }
        seen
    });
    let seen: Vec<Seen<'_>> = seen.collect();
    let places: Vec<usize> = (0..n).collect();
    let settled = places
        .par_chunks(SETTLED)
        .with_min_len(BLOCKS)
        .map(|places| settle(&seen, places));
    let mut all = vec![Hardest::default(); n];
    for (place, hardest) in settled
        .collect::<Vec<_>>()
        .into_iter()
        .flatten()
        .enumerate()
    {
        all[problem.members()[place] as usize] = hardest;
    }
    all
}

impl<'a> Seen<'a> {
    fn new(problem: &'a Problem<'a>, columns: &'a Columns) -> Self {
        let nothing = || vec![[Lanes::default(); PARTS]; columns.n_panels()];
        Self {
            problem,
            columns,
            near: nothing(),
            far: nothing(),
            anchors: Anchors::default(),
        }
    }

    /// Sees the distances of one strip to itself and to all after it.
    fn strip(&mut self, strip: usize) {
        let places = strip * PANEL..self.problem.len().min((strip + 1) * PANEL);
        let row_of = |place| self.problem.members()[place] as usize;
        self.anchors.pack_by(self.problem, places.clone(), row_of);
        let mut near = [[Lanes::default(); BLOCK]; BLOCKS];
        let mut far = near;
        for panel in strip..self.columns.n_panels() {
            let blocks = places
                .clone()
                .step_by(BLOCK)
                .zip(near.iter_mut().zip(&mut far));
            for (block, (first, rows)) in blocks.enumerate() {
                let block_places = first..places.end.min(first + BLOCK);
                self.tile(block, block_places, (strip, panel), rows);
            }
        }
        let found = near.as_flattened().iter().zip(far.as_flattened());
        for (place, (near, far)) in places.zip(found) {
            let (panel, part, lane) = lane_of(place);
            self.near[panel][part].add(lane, near.across());
            self.far[panel][part].add(lane, far.across());
        }
    }

    /// Sees one tile. On the diagonal its transpose is seen too, by other blocks or by itself.
    fn tile(
        &mut self,
        block: usize,
        places: Range<usize>,
        (strip, panel): (usize, usize),
        (near, far): (&mut [Lanes; BLOCK], &mut [Lanes; BLOCK]),
    ) {
        let level = Level::best();
        let mut tile = [[0.0; PANEL]; BLOCK];
        fill_tile(
            level,
            &self.anchors.against(block, self.columns, panel),
            &mut tile,
        );
        let at = [places.start, panel * PANEL].map(|place| place as u32);
        let off_diagonal = strip != panel;
        let last = self.problem.members()[places.end - 1];
        if self.problem.places_of_group(last as usize).end > panel * PANEL {
            let positives = take_positives(self.problem, places, panel, &mut tile);
            let columns = off_diagonal.then_some(&mut self.far[panel]);
            see_tile(level, &positives, at, far, columns);
        }
        let columns = off_diagonal.then_some(&mut self.near[panel]);
        see_tile(level, &tile, at, near, columns);
    }
}

/// Panel of a place, its part, and the lane.
fn lane_of(place: usize) -> (usize, usize, usize) {
    (place / PANEL, place % PANEL / LANES, place % LANES)
}

/// Takes the distances within groups out of a tile: infinity is left there. They come back
/// negated, and infinite elsewhere and from a row to itself.
fn take_positives(
    problem: &Problem<'_>,
    places: Range<usize>,
    panel: usize,
    tile: &mut [[f32; PANEL]; BLOCK],
) -> [[f32; PANEL]; BLOCK] {
    let mut positives = [[f32::INFINITY; PANEL]; BLOCK];
    let first = panel * PANEL;
    for (place, (xs, positives)) in places.zip(tile.iter_mut().zip(&mut positives)) {
        let group = problem.places_of_group(problem.members()[place] as usize);
        for other in group.start.max(first)..group.end.min(first + PANEL) {
            let x = std::mem::replace(&mut xs[other - first], f32::INFINITY);
            if other != place {
                positives[other - first] = -x;
            }
        }
    }
    positives
}

/// The hardest rows of some places: f64 ranks those that may be.
fn settle(seen: &[Seen<'_>], places: &[usize]) -> Vec<Hardest> {
    let problem = seen[0].problem;
    let (mut pairs, mut ends) = (vec![], vec![]);
    for &place in places {
        let (panel, part, lane) = lane_of(place);
        let of_all = |of: fn(&Seen<'_>, [usize; 2]) -> Lanes| {
            let each = seen.iter().map(|seen| of(seen, [panel, part]).get(lane));
            each.reduce(Least::or)
        };
        let anchor = problem.members()[place];
        for others in [
            farthest(
                problem,
                place,
                of_all(|seen, [panel, part]| seen.far[panel][part]),
            ),
            nearest(
                problem,
                seen[0].columns,
                place,
                of_all(|seen, [panel, part]| seen.near[panel][part]),
            ),
        ] {
            pairs.extend(others.into_iter().map(|other| (anchor, other)));
            ends.push(pairs.len());
        }
    }
    let rows = |&(x, y): &(u32, u32)| (problem.row(x as usize), problem.row(y as usize));
    let sq_l2 = sq_l2_of_pairs(pairs.iter().map(rows));
    let mut start = 0;
    let mut best = |end: usize, sign: f64| {
        let range = std::mem::replace(&mut start, end)..end;
        let others = pairs[range.clone()].iter().map(|pair| pair.1);
        let candidates = others.zip(&sq_l2[range]);
        let first =
            candidates.min_by(|x, y| (sign * x.1).total_cmp(&(sign * y.1)).then(x.0.cmp(&y.0)));
        first.map(|(other, &sq_l2)| Neighbour {
            index: problem.original(other as usize),
            sq_l2,
        })
    };
    let sides = ends.chunks_exact(2);
    sides
        .map(|ends| Hardest {
            positive: best(ends[0], -1.0),
            negative: best(ends[1], 1.0),
        })
        .collect()
}

/// A value that the approximate distance of the least exact one lies below: each of the two is off
/// by the slack at most. `None` where nothing was seen.
fn limit(problem: &Problem<'_>, place: usize, least: Option<Least>) -> Option<(f32, Least)> {
    let least = least.filter(|least| least.value < f32::INFINITY)?;
    let sq_norm = problem.sq_norms()[problem.members()[place] as usize];
    let width = 2.0 * problem.slack().of_row(sq_norm);
    Some((above(f64::from(least.value) + width), least))
}

/// Rows that may be the farthest positive.
fn farthest(problem: &Problem<'_>, place: usize, least: Option<Least>) -> Vec<u32> {
    let members = problem.members();
    match limit(problem, place, least) {
        None => vec![],
        Some((limit, least)) if least.second >= limit => vec![members[least.place as usize]],
        Some(_) => {
            let group = problem.group(members[place] as usize).iter();
            group
                .copied()
                .filter(|&row| row != members[place])
                .collect()
        }
    }
}

/// Rows that may be the nearest negative.
fn nearest(
    problem: &Problem<'_>,
    columns: &Columns,
    place: usize,
    least: Option<Least>,
) -> Vec<u32> {
    let members = problem.members();
    let Some((limit, least)) = limit(problem, place, least) else {
        return vec![];
    };
    if least.second >= limit {
        return vec![members[least.place as usize]];
    }
    let mut anchors = Anchors::default();
    anchors.pack_by(problem, place..place + 1, |place| members[place] as usize);
    let mut approx = vec![0.0; columns.stride()];
    distances(problem, &anchors, columns, &mut approx);
    approx[problem.places_of_group(members[place] as usize)].fill(f32::INFINITY);
    let mut words = vec![0; columns.n_panels()];
    let panels = approx.as_chunks().0;
    mark_within(Level::best(), panels, Span::below(limit), &mut words);
    let places = positions(&words).map(|place| place as usize);
    places.map(|place| members[place]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Embeddings;

    /// Labels in no order, with single rows and groups of more than a panel; few values, for ties.
    #[track_caller]
    fn check(n: usize, dim: usize, modulus: usize, n_labels: u32) {
        let values: Vec<f32> = (0..n * dim)
            .map(|i| (i * i * 31 % 1009 % modulus) as f32 / 8.0)
            .collect();
        let labels: Vec<u32> = (0..n as u32).map(|i| i * i % 97 % n_labels).collect();
        let embeddings = Embeddings::new(&values, dim).expect("whole rows");
        let problem = Problem::new(embeddings, &labels).expect("a label a row");
        for (anchor, found) in hardest(&problem).into_iter().enumerate() {
            let of = |is_same: bool| -> Vec<(f64, u32)> {
                let others = (0..n).filter(|&i| i != anchor);
                let others = others.filter(|&i| (labels[i] == labels[anchor]) == is_same);
                others
                    .map(|i| (problem.exact(anchor, i), i as u32))
                    .collect()
            };
            let order = |x: &(f64, u32), y: &(f64, u32)| x.0.total_cmp(&y.0);
            let farthest = of(true)
                .into_iter()
                .max_by(|x, y| order(x, y).then(y.1.cmp(&x.1)));
            let nearest = of(false).into_iter().min_by(order);
            let pair = |found: Option<Neighbour>| found.map(|found| (found.sq_l2, found.index));
            assert_eq!(pair(found.positive), farthest, "{n} {anchor}");
            assert_eq!(pair(found.negative), nearest, "{n} {anchor}");
        }
    }

    #[test]
    fn the_hardest_are_the_f64_ones_through_ties_and_any_order_of_labels() {
        for n in [0, 1, 2, 63, 64, 65, 66, 130, 300] {
            check(n, 3, 1009, 97);
            check(n, 3, 5, 10);
            check(n, 9, 1009, 2);
            check(n, 1, 2, 3);
            check(n, 2, 1009, 1);
        }
    }
}
