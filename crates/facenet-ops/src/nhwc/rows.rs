//! Rows of channels in parallel, and sums over them in fixed parts.

use std::ops::Range;

use rayon::prelude::*;

use crate::isa::Isa;
use crate::microkernels::elementwise;
use crate::number::Number;
use crate::own::element::wide;

/// Rows that are worth a part of their own.
const PART: usize = 64;
/// Most parts of a sum: fixed, so that no bit depends on the threads.
const PARTS: usize = 16;
/// Elements of a work item.
const ITEM: usize = 1 << 14;

/// The sums that `f` makes of ranges of `0..rows`, added in order.
pub(crate) fn sum_in_parts(rows: usize, f: impl Fn(Range<usize>) -> Vec<f64> + Sync) -> Vec<f64> {
    let parts = (rows / PART).clamp(1, PARTS);
    let sums: Vec<_> = (0..parts)
        .into_par_iter()
        .map(|part| f(rows * part / parts..rows * (part + 1) / parts))
        .collect();
    let mut sums = sums.into_iter();
    let first = sums.next().unwrap_or_default();
    sums.fold(first, |mut total, part| {
        total
            .iter_mut()
            .zip(part)
            .for_each(|(total, part)| *total += part);
        total
    })
}

/// Elements of a work item of whole rows of `c`.
pub(crate) fn item(c: usize) -> usize {
    (ITEM / c.max(1)).max(1) * c.max(1)
}

/// `a += b`, each sum rounded once, in parallel.
pub(crate) fn add<T: Number>(a: &mut [T], b: &[T]) {
    let isa = Isa::current();
    let items = a.par_chunks_mut(ITEM).zip(b.par_chunks(ITEM));
    items.for_each(|(a, b)| elementwise::add(isa, a, b));
}

/// Writes `a + b`, in parallel.
pub(crate) fn sum<T: Number>(a: &[T], b: &[T], sum: &mut [T]) {
    let isa = Isa::current();
    let summands = a.par_chunks(ITEM).zip(b.par_chunks(ITEM));
    let items = sum.par_chunks_mut(ITEM).zip(summands);
    items.for_each(|(sum, (a, b))| elementwise::sum(isa, a, b, sum));
}

/// Clears each `grad` whose `y` is not positive, in parallel.
pub(crate) fn mask<T: Number>(grad: &mut [T], y: &[T]) {
    let isa = Isa::current();
    let items = grad.par_chunks_mut(ITEM).zip(y.par_chunks(ITEM));
    items.for_each(|(grad, y)| elementwise::mask(isa, grad, y));
}

/// `values *= factor`, in parallel.
pub(crate) fn scale(values: &mut [f32], factor: f32) {
    let items = values.par_chunks_mut(ITEM);
    items.for_each(|values| wide(|| values.iter_mut().for_each(|v| *v *= factor)));
}

/// Writes rows side by side: `parts[k]` has rows of `widths[k]`.
pub(crate) fn join<T: Number>(parts: &[&[T]], widths: &[usize], joined: &mut [T]) {
    let width = widths.iter().sum::<usize>().max(1);
    let items = joined.par_chunks_mut(item(width)).enumerate();
    items.for_each(|(number, joined)| {
        let first = number * item(width) / width;
        for (row, mut to) in joined.chunks_exact_mut(width).enumerate() {
            for (part, &width) in parts.iter().zip(widths) {
                let (own, rest) = to.split_at_mut(width);
                own.copy_from_slice(&part[(first + row) * width..][..width]);
                to = rest;
            }
        }
    });
}

/// Writes columns from `first` on, `width` of them, of rows of `whole`.
pub(crate) fn part<T: Number>(
    joined: &[T],
    whole: usize,
    first: usize,
    width: usize,
    part: &mut [T],
) {
    let rows = item(whole) / whole.max(1);
    let items = joined
        .par_chunks(rows * whole.max(1))
        .zip(part.par_chunks_mut(rows * width.max(1)));
    items.for_each(|(joined, part)| {
        let rows = joined
            .chunks_exact(whole.max(1))
            .zip(part.chunks_exact_mut(width.max(1)));
        rows.for_each(|(row, part)| part.copy_from_slice(&row[first..first + width]));
    });
}

/// The sum of each of `c` columns.
pub(crate) fn column_sums<T: Number>(values: &[T], c: usize) -> Vec<f32> {
    let sums = sum_in_parts(values.len() / c.max(1), |rows| {
        let mut sums = vec![0.0; c];
        for row in values[rows.start * c..rows.end * c].chunks_exact(c) {
            sums.iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += f64::from(value.widened()));
        }
        sums
    });
    sums.into_iter().map(|sum| sum as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_each_row_once() {
        for rows in [0_usize, 1, 63, 64, 200, 5000] {
            let sums = sum_in_parts(rows, |range| {
                vec![
                    range.clone().count() as f64,
                    range.map(|row| row as f64).sum(),
                ]
            });
            assert_eq!(
                sums,
                [rows as f64, (rows * rows.saturating_sub(1)) as f64 / 2.0]
            );
        }
    }

    #[test]
    fn rows_are_joined_and_come_apart_again() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0]);
        let (mut both, mut own) = ([0.0; 6], ([0.0; 4], [0.0; 2]));
        join(&[&a, &b], &[2, 1], &mut both);
        assert_eq!(both, [1.0, 2.0, 5.0, 3.0, 4.0, 6.0]);
        part(&both, 3, 0, 2, &mut own.0);
        part(&both, 3, 2, 1, &mut own.1);
        assert_eq!(own, (a, b));
    }

    #[test]
    fn a_mask_clears_what_is_not_positive() {
        let mut grad = [1.0, 2.0, 3.0, 4.0];
        mask(&mut grad, &[1.0, 0.0, -1.0, f32::NAN]);
        assert_eq!(grad, [1.0, 0.0, 0.0, 0.0]);
        scale(&mut grad, 0.5);
        assert_eq!(grad, [0.5, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn columns_are_summed_apart() {
        assert_eq!(column_sums(&[1.0, 2.0, 3.0, 4.0], 2), [4.0, 6.0]);
    }
}
