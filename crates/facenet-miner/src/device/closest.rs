//! The closest admissible negatives of pairs on a device.

use rayon::prelude::*;

use super::launch::{Launch, NearestRows, PairScope};
use super::pairs::{NONE, Wave, slices};
use super::session::{typed, u32s};
use super::{Device, Element, Values};
use crate::MineError;
use crate::admission::above;
use crate::problem::Problem;

/// Nearest rows of a wave, over all slices: 32 MB of them and of their distances.
const WAVE_ROWS: u32 = 1 << 22;

/// The negative of every pair of a wave, [`NONE`] where there is none.
pub(super) fn closest<D: Device>(
    device: &D,
    scope: &PairScope<'_, D::Buffer>,
    (problem, wave): (&Problem<'_>, &Wave),
) -> Result<Vec<u32>, MineError> {
    let slices = slices(device, scope, WAVE_ROWS);
    let len = scope.pairs.n as usize * slices.n as usize;
    let mut nearest = NearestRows {
        rows: device.zeros(Element::U32, len)?,
        approx: device.zeros(Element::F32, len)?,
    };
    device.launch(Launch::closest_admissible(scope, slices, &mut nearest))?;
    let rows = u32s(device, &nearest.rows)?;
    let approx = typed(device.download(&nearest.approx).map(Values::into_f32)?)?;
    if rows.iter().any(|&row| row != NONE && row >= scope.batch.n) {
        return Err(MineError::device("a nearest row is not in the batch"));
    }
    let n_slices = slices.n as usize;
    let found = rows
        .par_chunks_exact(n_slices)
        .zip(approx.par_chunks_exact(n_slices));
    let nearest = found.enumerate().map(|(pair, found)| {
        let anchor = wave.anchor(pair);
        let slack = problem.slack().of_row(problem.sq_norms()[anchor]);
        nearest_of(found, slack, |row| problem.exact(anchor, row as usize))
    });
    Ok(nearest.collect())
}

/// The nearest of the slices' rows; f64 decides among those within twice the slack of the least
/// f32 distance. Slices come by row, so the first of equals is that of the smallest index.
///
/// - `rows`, `approx`: of each slice; [`NONE`], at infinity, where there is no row
fn nearest_of((rows, approx): (&[u32], &[f32]), slack: f64, exact: impl Fn(u32) -> f64) -> u32 {
    let least = approx.iter().copied().fold(f32::INFINITY, f32::min);
    let limit = above(f64::from(least) + 2.0 * slack);
    let is_row = |&(&row, &approx): &(&u32, &f32)| row != NONE && approx <= limit;
    let mut candidates = rows.iter().zip(approx).filter(is_row).map(|(&row, _)| row);
    let Some(first) = candidates.next() else {
        return NONE;
    };
    let mut nearest = (first, f64::NAN);
    for row in candidates {
        if nearest.1.is_nan() {
            nearest.1 = exact(first);
        }
        let sq_l2 = exact(row);
        if sq_l2 < nearest.1 {
            nearest = (row, sq_l2);
        }
    }
    nearest.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows at exactly half their numbers; f32 is off by up to a quarter.
    #[track_caller]
    fn check(rows: &[u32], approx: &[f32], expected: u32, n_exact: usize) {
        let asked = std::cell::Cell::new(0);
        let exact = |row: u32| {
            asked.set(asked.get() + 1);
            f64::from(row / 2)
        };
        assert_eq!(nearest_of((rows, approx), 0.25, exact), expected);
        assert_eq!(asked.get(), n_exact);
    }

    #[test]
    fn f64_decides_between_slices_where_f32_does_not() {
        let none = f32::INFINITY;
        check(&[NONE, NONE], &[none, none], NONE, 0);
        check(&[NONE, 8], &[none, 4.0], 8, 0);
        check(&[2, 8, 12], &[1.1, 4.0, 6.0], 2, 0);
        check(&[10, 8, 12], &[4.75, 4.25, 6.0], 8, 2); // 5 and 4, both within the slack
        check(&[8, 9, 12], &[4.25, 3.75, 6.0], 8, 2); // 4 twice: the smaller index
    }
}
