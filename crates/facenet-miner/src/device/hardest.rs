//! The hardest rows of every row on a device.

use super::launch::{HardestRows, Launch, Slices};
use super::session::{On, f64s, u32s};
use super::{Device, Element};
use crate::problem::Problem;
use crate::{Hardest, MineError, Neighbour};

/// Anchors of one launch, times its slices, that are aimed at: 100 MB of results.
const WAVE_RESULTS: usize = 1 << 22;

/// Shows the hardest rows of every row, in order.
pub(super) fn each<D: Device>(
    on: &On<'_, D>,
    problem: &Problem<'_>,
    consume: &mut dyn FnMut(usize, Hardest),
) -> Result<(), MineError> {
    let rows: Vec<u32> = (0..problem.len() as u32).collect();
    for anchors in rows.chunks(on.max_anchors().min(WAVE_RESULTS)) {
        let found = on_device(on, problem, anchors)?;
        for (&anchor, hardest) in anchors.iter().zip(found) {
            consume(anchor as usize, hardest);
        }
    }
    Ok(())
}

fn on_device<D: Device>(
    on: &On<'_, D>,
    problem: &Problem<'_>,
    anchors: &[u32],
) -> Result<Vec<Hardest>, MineError> {
    let (device, batch) = (on.device, on.batch());
    let anchors = on.anchors(anchors)?;
    let most = WAVE_RESULTS as u32 / anchors.n;
    let slices = Slices::new(batch.n, anchors.n, anchors.tile, device.blocks(), most);
    let len = anchors.n as usize * slices.n as usize;
    let mut found = HardestRows {
        near_rows: device.zeros(Element::U32, len)?,
        near_sq_l2: device.zeros(Element::F64, len)?,
        far_rows: device.zeros(Element::U32, len)?,
        far_sq_l2: device.zeros(Element::F64, len)?,
    };
    device.launch(Launch::hardest(batch, &anchors, slices, &mut found))?;
    let nearest = best(
        &u32s(device, &found.near_rows)?,
        &f64s(device, &found.near_sq_l2)?,
        slices.n as usize,
        |found, held| found < held,
    );
    let farthest = best(
        &u32s(device, &found.far_rows)?,
        &f64s(device, &found.far_sq_l2)?,
        slices.n as usize,
        |found, held| found > held,
    );
    if [&nearest, &farthest]
        .into_iter()
        .flatten()
        .flatten()
        .any(|row| row.index >= batch.n)
    {
        return Err(MineError::device("a hardest row is not in the batch"));
    }
    let original = |row: &Neighbour| Neighbour {
        index: problem.original(row.index as usize),
        sq_l2: row.sq_l2,
    };
    let hardest = farthest
        .iter()
        .zip(&nearest)
        .map(|(positive, negative)| Hardest {
            positive: positive.as_ref().map(original),
            negative: negative.as_ref().map(original),
        });
    Ok(hardest.collect())
}

/// The best over the slices of each anchor; slices come by row, so the first of equals is that
/// of the smallest index.
///
/// - `rows`, `sq_l2`: `[anchors, n_slices]`; `u32::MAX` where there is no row
fn best(
    rows: &[u32],
    sq_l2: &[f64],
    n_slices: usize,
    is_better: fn(f64, f64) -> bool,
) -> Vec<Option<Neighbour>> {
    let per_anchor = rows
        .chunks_exact(n_slices)
        .zip(sq_l2.chunks_exact(n_slices));
    let best_of = |(rows, sq_l2): (&[u32], &[f64])| {
        let mut best: Option<Neighbour> = None;
        for (&index, &sq_l2) in rows.iter().zip(sq_l2) {
            let is_row = index != u32::MAX;
            if is_row && best.is_none_or(|held| is_better(sq_l2, held.sq_l2)) {
                best = Some(Neighbour { index, sq_l2 });
            }
        }
        best
    };
    per_anchor.map(best_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slice_of_equals_counts_and_empty_ones_do_not() {
        const NONE: u32 = u32::MAX;
        let rows = [4, 9, NONE, NONE, 7, 8];
        let sq_l2 = [2.0, 2.0, 0.0, 0.0, 3.0, 1.0];
        let index = |found: Vec<Option<Neighbour>>| -> Vec<Option<u32>> {
            found.iter().map(|best| best.map(|row| row.index)).collect()
        };
        let nearest = best(&rows, &sq_l2, 2, |x, y| x < y);
        assert_eq!(index(nearest), [Some(4), None, Some(8)]);
        let farthest = best(&rows, &sq_l2, 2, |x, y| x > y);
        assert_eq!(index(farthest), [Some(4), None, Some(7)]);
    }
}
