//! Between NCHW in `f32` and NHWC in a tape's numbers.

use rayon::prelude::*;

use crate::number::Number;

/// Rows and columns of a block: a few cache lines on either side.
const BLOCK: usize = 16;

/// Pixels of a work item.
const STRETCH: usize = 64;

/// Writes `[n, c, pixels]` as `[n, pixels, c]`.
pub(crate) fn write_nhwc<T: Number>(values: &[f32], c: usize, pixels: usize, turned: &mut [T]) {
    swap(values, (c, pixels), turned);
}

/// `[n, c, pixels]` as `[n, pixels, c]`.
pub(crate) fn to_nhwc(values: &[f32], c: usize, pixels: usize) -> Vec<f32> {
    let mut turned = vec![0.0; values.len()];
    write_nhwc(values, c, pixels, &mut turned);
    turned
}

/// `[n, pixels, c]` as `[n, c, pixels]`.
pub(crate) fn to_nchw<T: Number>(values: &[T], c: usize, pixels: usize) -> Vec<f32> {
    let mut turned = vec![0.0; values.len()];
    swap(values, (pixels, c), &mut turned);
    turned
}

/// Each matrix `[rows, columns]` transposed, stretches of the result's rows in parallel.
fn swap<A: Number, B: Number>(values: &[A], (rows, columns): (usize, usize), turned: &mut [B]) {
    if rows == 1 || columns == 1 {
        let pairs = turned.iter_mut().zip(values);
        pairs.for_each(|(to, value)| *to = B::of(value.widened()));
        return;
    }
    let matrix = rows * columns;
    let images = values
        .par_chunks_exact(matrix)
        .zip(turned.par_chunks_exact_mut(matrix));
    images.for_each(|(values, turned)| {
        let stretches = turned.par_chunks_mut(STRETCH * rows).enumerate();
        stretches.for_each(|(stretch, turned)| {
            block_rows(values, (rows, columns), stretch * STRETCH, turned);
        });
    });
}

/// Rows of the transpose from `first` on, as many as `turned` has.
fn block_rows<A: Number, B: Number>(
    values: &[A],
    (rows, columns): (usize, usize),
    first: usize,
    turned: &mut [B],
) {
    let n = turned.len() / rows;
    for from in (0..rows).step_by(BLOCK) {
        let end = rows.min(from + BLOCK);
        for row in 0..n {
            let to = &mut turned[row * rows + from..row * rows + end];
            let column = values[from * columns + first + row..]
                .iter()
                .step_by(columns);
            to.iter_mut()
                .zip(column)
                .for_each(|(to, value)| *to = B::of(value.widened()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_turn_there_and_back() {
        for (n, c, pixels) in [(1, 1, 5), (2, 3, 1), (2, 3, 4), (2, 37, 130)] {
            let values: Vec<f32> = (0..n * c * pixels).map(|i| i as f32).collect();
            let turned = to_nhwc(&values, c, pixels);
            assert_eq!(turned[1 % c], values[(1 % c) * pixels]);
            assert_eq!(to_nchw(&turned, c, pixels), values);
        }
        assert_eq!(
            to_nhwc(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3),
            [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]
        );
    }
}
