//! Rows of channels in parallel, and sums over them in fixed parts.

use std::ops::Range;

use rayon::prelude::*;

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

/// `a += b`, in parallel.
pub(crate) fn add(a: &mut [f32], b: &[f32]) {
    let items = a.par_chunks_mut(ITEM).zip(b.par_chunks(ITEM));
    items.for_each(|(a, b)| a.iter_mut().zip(b).for_each(|(a, b)| *a += b));
}

/// Clears each `grad` whose `y` is not positive, in parallel.
pub(crate) fn mask(grad: &mut [f32], y: &[f32]) {
    let items = grad.par_chunks_mut(ITEM).zip(y.par_chunks(ITEM));
    items.for_each(|(grad, y)| {
        let pairs = grad.iter_mut().zip(y);
        pairs.for_each(|(grad, &y)| *grad = if y > 0.0 { *grad } else { 0.0 });
    });
}

/// `factor values`, in parallel.
pub(crate) fn scaled(values: &[f32], factor: f32) -> Vec<f32> {
    let mut scaled = vec![0.0; values.len()];
    let items = scaled.par_chunks_mut(ITEM).zip(values.par_chunks(ITEM));
    items.for_each(|(to, from)| to.iter_mut().zip(from).for_each(|(to, v)| *to = factor * v));
    scaled
}

/// Rows side by side: `parts[k]` has rows of `widths[k]`.
pub(crate) fn joined(parts: &[&[f32]], widths: &[usize]) -> Vec<f32> {
    let width = widths.iter().sum::<usize>().max(1);
    let mut joined = vec![0.0; parts.iter().map(|part| part.len()).sum()];
    joined
        .par_chunks_mut(width)
        .enumerate()
        .for_each(|(row, mut to)| {
            for (part, &width) in parts.iter().zip(widths) {
                let (own, rest) = to.split_at_mut(width);
                own.copy_from_slice(&part[row * width..][..width]);
                to = rest;
            }
        });
    joined
}

/// [`joined`] taken apart.
pub(crate) fn parted(joined: &[f32], widths: &[usize]) -> Vec<Vec<f32>> {
    let width = widths.iter().sum::<usize>().max(1);
    let firsts = widths.iter().scan(0, |next, &width| {
        *next += width;
        Some(*next - width)
    });
    let part = |(first, &own): (usize, &usize)| {
        let rows = joined.chunks_exact(width);
        rows.flat_map(|row| row[first..first + own].iter().copied())
            .collect()
    };
    firsts.zip(widths).map(part).collect()
}

/// The sum of each of `c` columns.
pub(crate) fn column_sums(values: &[f32], c: usize) -> Vec<f32> {
    let sums = sum_in_parts(values.len() / c.max(1), |rows| {
        let mut sums = vec![0.0; c];
        for row in values[rows.start * c..rows.end * c].chunks_exact(c) {
            sums.iter_mut()
                .zip(row)
                .for_each(|(sum, &value)| *sum += f64::from(value));
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
        let both = joined(&[&a, &b], &[2, 1]);
        assert_eq!(both, [1.0, 2.0, 5.0, 3.0, 4.0, 6.0]);
        assert_eq!(parted(&both, &[2, 1]), [a.to_vec(), b.to_vec()]);
    }

    #[test]
    fn a_mask_clears_what_is_not_positive() {
        let mut grad = [1.0, 2.0, 3.0, 4.0];
        mask(&mut grad, &[1.0, 0.0, -1.0, f32::NAN]);
        assert_eq!(grad, [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(scaled(&[1.0, 2.0], 0.5), [0.5, 1.0]);
    }

    #[test]
    fn columns_are_summed_apart() {
        assert_eq!(column_sums(&[1.0, 2.0, 3.0, 4.0], 2), [4.0, 6.0]);
    }
}
