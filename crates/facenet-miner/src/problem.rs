//! A checked batch: finite rows only, grouped by label.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use crate::device::Session;
use crate::lanes::sq_l2_to_each;
use crate::nearest::Rows;
use crate::slack::Slack;
use crate::{Embeddings, MineError, sq_l2};

/// Rows whose norms one task sums.
const NORMS: usize = 256;

/// Finite rows in their order, numbered anew from 0, with what every rule needs to know of them.
/// The values stay where the caller has them.
#[derive(Debug)]
pub(crate) struct Problem<'a> {
    embeddings: Embeddings<'a>,
    /// Index of each row in the caller's numbering; ascending, so ties keep their order.
    original: Vec<u32>,
    n_masked: usize,
    /// Rows, group after group, ascending within each.
    members: Vec<u32>,
    /// Group of each row: its range in `members`.
    groups: Vec<Range<u32>>,
    /// Position of each row in `members`.
    places: Vec<u32>,
    /// Squared norm of each row, summed in f64, rounded once.
    sq_norms: Vec<f32>,
    slack: Slack,
    /// The device that gives distances and runs the rules that it can; `None` for the CPU.
    session: Option<&'a dyn Session>,
}

impl<'a> Problem<'a> {
    /// Masks the rows that hold a NaN or an infinity besides those that the caller has masked, and
    /// groups the others.
    ///
    /// # Errors
    /// [`MineError::Shape`] unless there is one label a row.
    pub(crate) fn new(embeddings: Embeddings<'a>, labels: &[u32]) -> Result<Self, MineError> {
        let n = embeddings.len();
        if labels.len() != n {
            return Err(MineError::Shape {
                what: "labels",
                found: labels.len(),
                expected: n,
            });
        }
        // The square of a finite f32 is far from f64's end: a norm is finite where its row is.
        let norms = sq_norms(embeddings);
        let is_kept = |&i: &u32| norms[i as usize].is_finite() && !embeddings.is_masked(i as usize);
        let original: Vec<u32> = (0..n as u32).filter(is_kept).collect();
        let kept_labels: Vec<u32> = original.iter().map(|&i| labels[i as usize]).collect();
        let (members, groups, places) = grouped(&kept_labels);
        let kept_norms = || original.iter().map(|&i| norms[i as usize]);
        let slack = Slack::new(embeddings.dim(), kept_norms().fold(0.0, f64::max));
        Ok(Self {
            embeddings,
            n_masked: n - original.len(),
            members,
            groups,
            places,
            sq_norms: kept_norms().map(|norm| norm as f32).collect(),
            slack,
            original,
            session: None,
        })
    }

    /// The same problem, on a device that has been given it.
    pub(crate) fn on<'b>(self, session: &'b dyn Session) -> Problem<'b>
    where
        'a: 'b,
    {
        Problem {
            session: Some(session),
            ..self
        }
    }

    /// The device, unless it is the CPU.
    pub(crate) fn session(&self) -> Option<&dyn Session> {
        self.session
    }

    /// Number of finite rows.
    pub(crate) fn len(&self) -> usize {
        self.original.len()
    }

    pub(crate) fn dim(&self) -> usize {
        self.embeddings.dim()
    }

    pub(crate) fn n_masked(&self) -> usize {
        self.n_masked
    }

    /// Values of a row, `[dim]`.
    pub(crate) fn row(&self, row: usize) -> &'a [f32] {
        self.embeddings.row(self.original[row] as usize)
    }

    /// Values of all rows, `[len, dim]`; a copy only where a row is masked.
    pub(crate) fn rows(&self) -> Cow<'a, [f32]> {
        if self.n_masked == 0 {
            return Cow::Borrowed(self.embeddings.rows());
        }
        let rows = (0..self.len()).flat_map(|row| self.row(row));
        Cow::Owned(rows.copied().collect())
    }

    pub(crate) fn sq_norms(&self) -> &[f32] {
        &self.sq_norms
    }

    pub(crate) fn slack(&self) -> Slack {
        self.slack
    }

    /// The caller's number of a row.
    pub(crate) fn original(&self, row: usize) -> u32 {
        self.original[row]
    }

    /// The f64 distance that defines the triplets.
    pub(crate) fn exact(&self, x: usize, y: usize) -> f64 {
        sq_l2(self.row(x), self.row(y))
    }

    /// Rows in the order of groups, ascending within each: a row's *place* is its position here.
    pub(crate) fn members(&self) -> &[u32] {
        &self.members
    }

    /// Places of the rows of a row's label.
    pub(crate) fn places_of_group(&self, row: usize) -> Range<usize> {
        let Range { start, end } = self.groups[row];
        start as usize..end as usize
    }

    /// Rows of the same label, the row itself among them, ascending.
    pub(crate) fn group(&self, row: usize) -> &[u32] {
        let Range { start, end } = self.groups[row];
        &self.members[start as usize..end as usize]
    }

    /// Rows of the same label after this one: the positives of its pairs, ascending.
    pub(crate) fn later(&self, row: usize) -> &[u32] {
        &self.members[self.places[row] as usize + 1..self.groups[row].end as usize]
    }

    /// Number of rows of other labels.
    pub(crate) fn n_negatives(&self, row: usize) -> usize {
        self.len() - self.group(row).len()
    }

    /// Row of another label, by its rank among them in ascending order.
    pub(crate) fn nth_negative(&self, row: usize, rank: usize) -> u32 {
        let after = |negative: u32, &member: &u32| negative + u32::from(member <= negative);
        self.group(row).iter().fold(rank as u32, after)
    }

    /// Row of another label, by its rank in the order of groups.
    pub(crate) fn negative_by_rank(&self, row: usize, rank: usize) -> usize {
        let Range { start, end } = self.groups[row];
        let place = if rank < start as usize {
            rank
        } else {
            rank + (end - start) as usize
        };
        self.members[place] as usize
    }
}

impl Rows for Problem<'_> {
    fn row(&self, row: usize) -> &[f32] {
        Problem::row(self, row)
    }
}

/// Squared norm of each row, NaN or infinite where the row is not finite.
pub(crate) fn sq_norms(embeddings: Embeddings<'_>) -> Vec<f64> {
    let (dim, zeros) = (embeddings.dim(), vec![0.0; embeddings.dim()]);
    let parts = embeddings.rows().par_chunks(NORMS * dim).map(|rows| {
        let mut norms = Vec::with_capacity(NORMS);
        sq_l2_to_each(&zeros, rows.chunks_exact(dim), &mut norms);
        norms
    });
    parts.collect::<Vec<_>>().concat()
}

/// Members by group, and each row's group and place in it.
fn grouped(labels: &[u32]) -> (Vec<u32>, Vec<Range<u32>>, Vec<u32>) {
    let n = labels.len();
    let mut members: Vec<u32> = (0..n as u32).collect();
    members.sort_by_key(|&row| labels[row as usize]);
    let (mut groups, mut places) = (vec![0..0; n], vec![0; n]);
    let mut start = 0;
    for group in members.chunk_by(|&x, &y| labels[x as usize] == labels[y as usize]) {
        let end = start + group.len() as u32;
        for (place, &row) in (start..).zip(group) {
            groups[row as usize] = start..end;
            places[row as usize] = place;
        }
        start = end;
    }
    (members, groups, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_ascending_and_masked_rows_are_gone() {
        let rows = [0.0, 1.0, f32::NAN, 3.0, 4.0, f32::INFINITY, 6.0];
        let embeddings = Embeddings::new(&rows, 1).expect("rows of one");
        let problem = Problem::new(embeddings, &[9, 2, 9, 9, 2, 2, 7]).expect("a label a row");
        assert_eq!((problem.len(), problem.n_masked()), (5, 2));
        assert_eq!(problem.group(0), [0, 2]); // originals 0 and 3
        assert_eq!((problem.later(0), problem.later(2)), (&[2][..], &[][..]));
        assert_eq!(problem.original(2), 3);
        assert_eq!(problem.exact(0, 2).to_bits(), 9.0f64.to_bits());
        let negatives = |row| -> Vec<usize> {
            (0..problem.n_negatives(row))
                .map(|rank| problem.negative_by_rank(row, rank))
                .collect()
        };
        let ascending = |row| [0, 1, 2].map(|rank| problem.nth_negative(row, rank));
        assert_eq!(ascending(0), [1, 3, 4]);
        assert_eq!(ascending(4), [0, 1, 2]);
        assert_eq!(negatives(4), [1, 3, 0, 2]); // label 2, then label 9
        assert_eq!(negatives(0), [1, 3, 4]);
    }

    #[test]
    fn labels_are_one_a_row() {
        let embeddings = Embeddings::new(&[0.0; 6], 2).expect("three rows");
        let error = Problem::new(embeddings, &[1, 2]).expect_err("two labels");
        let message = "miner: labels has length 2, expected 3; pass one per embedding row";
        assert_eq!(error.to_string(), message);
    }
}
