//! The k nearest rows of other labels: f32 keeps those that may be among them, f64 ranks them.

use crate::admission::above;
use crate::lanes::sq_l2_to_each;
use crate::marks::{Span, positions};
use crate::problem::Problem;
use crate::simd::{Level, mark_within};
use crate::tile::PANEL;
use crate::{HardNegatives, Neighbour};

/// Candidates that are collected before the worst are dropped: so many times `k`, and at least
/// the second number.
const FULL: (usize, usize) = (4, 256);

/// Panels that are compared with one limit.
const PART: usize = 2;

/// Rows by number: where f64 distances come from.
pub(crate) trait Rows {
    /// Values of a row, `[dim]`.
    fn row(&self, row: usize) -> &[f32];
}

/// What one anchor has seen so far.
#[derive(Debug)]
pub(crate) struct Nearest<'a, R> {
    rows: &'a R,
    anchor: &'a [f32],
    k: usize,
    slack: f64,
    /// No row whose approximate distance is here or above is among the `k` nearest.
    limit: f32,
    /// Rows that may be among them, by approximate distance.
    pending: Vec<Candidate>,
    /// Rows whose f64 distance is known, the nearest first; ties by row. At most `k`.
    settled: Vec<(f64, u32)>,
}

/// An approximate distance, as an integer of the same order, above a row.
type Candidate = u64;

impl<'a, R: Rows> Nearest<'a, R> {
    /// - `anchor`: `[dim]`
    /// - `slack`: how far an approximate distance may be from the f64 one
    pub(crate) fn new(rows: &'a R, anchor: &'a [f32], k: usize, slack: f64) -> Self {
        let nothing_counts = k == 0;
        Self {
            rows,
            anchor,
            k,
            slack,
            limit: if nothing_counts {
                f32::NEG_INFINITY
            } else {
                f32::INFINITY
            },
            pending: vec![],
            settled: vec![],
        }
    }

    /// Takes approximate distances to rows `base..`, infinite at those that do not count.
    pub(crate) fn offer(&mut self, base: usize, approx: &[[f32; PANEL]]) {
        let full = FULL.1.max(FULL.0.saturating_mul(self.k));
        let mut words = [0; PART];
        for (part, base) in approx.chunks(PART).zip((base..).step_by(PART * PANEL)) {
            let words = &mut words[..part.len()];
            if mark_within(Level::best(), part, Span::below(self.limit), words) == 0 {
                continue;
            }
            for position in positions(words) {
                let x = part.as_flattened()[position as usize];
                self.pending.push(candidate(x, base as u32 + position));
            }
            if self.pending.len() >= full {
                self.shrink(full / 2);
            }
        }
    }

    /// Drops what cannot be among the nearest: any `k` rows are within the slack of their
    /// approximate distances, the greatest of which is `x`, so a row beyond twice the slack from
    /// `x` is behind them all. More than `most` that remain are settled.
    fn shrink(&mut self, most: usize) {
        if self.pending.len() > self.k {
            let (_, &mut greatest, _) = self.pending.select_nth_unstable(self.k - 1);
            self.lower(above(f64::from(distance(greatest)) + 2.0 * self.slack));
            let limit = self.limit;
            self.pending
                .retain(|&candidate| distance(candidate) < limit);
        }
        if self.pending.len() > most {
            self.settle();
        }
    }

    /// Ranks every candidate by its f64 distance.
    fn settle(&mut self) {
        let anchor: Vec<f64> = self.anchor.iter().copied().map(f64::from).collect();
        let rows = self
            .pending
            .iter()
            .map(|&candidate| self.rows.row(row(candidate) as usize));
        let mut exact = Vec::with_capacity(self.pending.len());
        sq_l2_to_each(&anchor, rows, &mut exact);
        let rows = self.pending.drain(..).map(row);
        self.settled.extend(exact.into_iter().zip(rows));
        self.rank();
    }

    /// Puts the settled rows in order and keeps `k`.
    fn rank(&mut self) {
        self.settled
            .sort_unstable_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
        self.settled.truncate(self.k);
        if self.k > 0 && self.settled.len() == self.k {
            let (greatest, _) = self.settled[self.k - 1];
            self.lower(above(greatest + self.slack));
        }
    }

    fn lower(&mut self, limit: f32) {
        self.limit = self.limit.min(limit);
    }

    /// Drops what cannot be among the nearest of the rows seen so far.
    pub(crate) fn tidy(&mut self) {
        if self.k > 0 {
            self.shrink(usize::MAX);
        }
    }

    /// Takes what the same anchor has seen of other rows.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.lower(other.limit);
        self.pending.extend(other.pending);
        self.settled.extend(other.settled);
        self.rank();
        self
    }

    /// The `k` nearest, or as many as there are, the nearest first; ties go to the smaller index.
    pub(crate) fn finish(mut self) -> Vec<Neighbour> {
        if self.k > 0 {
            self.shrink(0);
        }
        let neighbour = |(sq_l2, row): (f64, u32)| Neighbour { index: row, sq_l2 };
        self.settled.into_iter().map(neighbour).collect()
    }
}

impl<'b, 'a: 'b> Nearest<'b, Problem<'a>> {
    /// A row of the problem as the anchor.
    pub(crate) fn of_row(problem: &'b Problem<'a>, anchor: usize, k: usize) -> Self {
        let slack = problem.slack().of_row(problem.sq_norms()[anchor]);
        Self::new(problem, problem.row(anchor), k, slack)
    }

    /// As `finish`, with the caller's numbers of the rows.
    pub(crate) fn finish_row(self) -> Vec<Neighbour> {
        let problem = self.rows;
        let mut list = self.finish();
        for neighbour in &mut list {
            neighbour.index = problem.original(neighbour.index as usize);
        }
        list
    }
}

fn candidate(x: f32, row: u32) -> Candidate {
    let bits = x.to_bits() as i32;
    // Negative floats descend as their magnitude's bits ascend: flip those.
    let ordered = (bits ^ (((bits >> 31) as u32) >> 1) as i32) as u32 ^ (1 << 31);
    u64::from(ordered) << 32 | u64::from(row)
}

fn distance(candidate: Candidate) -> f32 {
    let bits = ((candidate >> 32) as u32 ^ (1 << 31)) as i32;
    f32::from_bits((bits ^ (((bits >> 31) as u32) >> 1) as i32) as u32)
}

fn row(candidate: Candidate) -> u32 {
    candidate as u32
}

/// Collects the lists of rows in ascending order; rows left out get an empty one.
impl HardNegatives {
    pub(crate) fn push(&mut self, row: u32, neighbours: &[Neighbour]) {
        self.fill(row as usize);
        self.neighbours.extend_from_slice(neighbours);
        self.ends.push(self.neighbours.len() as u64);
    }

    /// Gives every row before `n` that has no list an empty one.
    pub(crate) fn fill(&mut self, n: usize) {
        self.ends
            .resize(n.max(self.ends.len()), self.neighbours.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Embeddings;

    #[test]
    fn candidates_are_ordered_as_their_distances() {
        let distances = [
            f32::NEG_INFINITY,
            -2.5,
            -1e-40,
            0.0,
            1e-40,
            2.0,
            3.5,
            f32::MAX,
        ];
        let candidates = distances.map(|x| candidate(x, 7));
        assert!(candidates.is_sorted());
        assert_eq!(
            candidates.map(|x| distance(x).to_bits()),
            distances.map(f32::to_bits)
        );
        assert!(candidates.iter().all(|&x| row(x) == 7));
    }

    /// Row 0 is the anchor, at 0 of a line. All are offered in parts, with distances that are
    /// wrong by nearly the slack.
    #[track_caller]
    fn check(points: &[f32], k: usize) {
        let n = points.len();
        let labels: Vec<u32> = (0..n as u32).collect();
        let embeddings = Embeddings::new(points, 1).expect("points on a line");
        let problem = Problem::new(embeddings, &labels).expect("a label a row");
        let slack = problem.slack().of_row(0.0);
        let approx = |i: usize| {
            let error = if i.is_multiple_of(3) { 0.9 } else { -0.9 };
            (problem.exact(0, i) + error * slack) as f32
        };
        let mut nearest = Nearest::new(&problem, problem.row(0), k, slack);
        for base in (0..n).step_by(3 * PANEL) {
            let value = |i: usize| {
                if (1..n).contains(&i) {
                    approx(i)
                } else {
                    f32::INFINITY
                }
            };
            let panel = |panel: usize| std::array::from_fn(|at| value(base + panel * PANEL + at));
            nearest.offer(base, &[panel(0), panel(1), panel(2)]);
        }
        let found = nearest
            .finish()
            .into_iter()
            .map(|row| (row.sq_l2.to_bits(), row.index));
        let all = (1..n).map(|i| (problem.exact(0, i).to_bits(), i as u32));
        let mut expected: Vec<(u64, u32)> = all.collect();
        expected.sort_unstable();
        expected.truncate(k);
        assert_eq!(found.collect::<Vec<_>>(), expected, "{k}");
    }

    #[test]
    fn the_nearest_are_found_through_wrong_distances_and_ties() {
        let points: Vec<f32> = (0..1000).map(|i| (i * 7 % 10) as f32).collect();
        for k in [0, 1, 64, 150, 999, 2000] {
            check(&points, k);
        }
    }

    /// More within the slack than are held: they are ranked in f64 on the way, and the last are
    /// nearer by less than the slack.
    #[test]
    fn nearly_equal_distances_are_settled_on_the_way() {
        let far = |i: usize| if i < 700 { 1.0 } else { 1.0f32.next_down() };
        let points: Vec<f32> = (0..1000)
            .map(|i| if i == 0 { 0.0 } else { far(i) })
            .collect();
        for k in [1, 64, 400] {
            check(&points, k);
        }
    }
}
