//! The one call into the `gemm` crate.
#![expect(unsafe_code, reason = "gemm takes raw pointers")]

use crate::own::element::Element;

/// A row-major matrix, or its transpose.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    strides: (isize, isize),
}

impl<'a, T> Matrix<'a, T> {
    /// `rows` x `columns`, row-major.
    pub(crate) fn new(values: &'a [T], rows: usize, columns: usize) -> Self {
        assert_eq!(
            values.len(),
            rows * columns,
            "a matrix has rows x columns values"
        );
        Self {
            values,
            rows,
            columns,
            strides: (columns as isize, 1),
        }
    }

    /// The transpose, without a copy.
    pub(crate) fn transposed(self) -> Self {
        let (rows, columns) = (self.columns, self.rows);
        Self {
            rows,
            columns,
            strides: (self.strides.1, self.strides.0),
            ..self
        }
    }
}

/// `out = left right`, or `out += left right`, on the calling thread; `out` is row-major.
pub(crate) fn multiply<T: Element>(
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
    out: &mut [T],
    add: bool,
) {
    assert_eq!(left.columns, right.rows, "inner dimensions agree");
    assert_eq!(
        out.len(),
        left.rows * right.columns,
        "the product has its size"
    );
    let (one, zero) = (T::from_f64(1.0), T::default());
    // SAFETY: each pointer is to a slice whose length was checked, here or in `Matrix::new`,
    // to be rows x columns; the strides address just those elements; `out` is borrowed mutably,
    // so nothing else reads or writes it.
    unsafe {
        gemm::gemm(
            left.rows,
            right.columns,
            left.columns,
            out.as_mut_ptr(),
            1,
            right.columns as isize,
            add,
            left.values.as_ptr(),
            left.strides.1,
            left.strides.0,
            right.values.as_ptr(),
            right.strides.1,
            right.strides.0,
            if add { one } else { zero },
            one,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
