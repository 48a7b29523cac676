//! The elements of a contiguous CPU tensor as a slice.

use candle_core::{Layout, Result, bail};

/// The elements that `layout` covers.
pub(crate) fn dense<'a, T>(values: &'a [T], layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((begin, end)) => Ok(&values[begin..end]),
        None => bail!("expected a contiguous tensor"),
    }
}

/// The elements that `layout` covers, to write to.
pub(crate) fn dense_mut<'a, T>(values: &'a mut [T], layout: &Layout) -> Result<&'a mut [T]> {
    match layout.contiguous_offsets() {
        Some((begin, end)) => Ok(&mut values[begin..end]),
        None => bail!("expected a contiguous tensor"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Shape;

    #[test]
    fn a_view_covers_its_own_elements_only() {
        let layout = Layout::contiguous_with_offset(Shape::from(2), 1);
        let mut values = [1, 2, 3, 4];
        assert_eq!(dense(&values, &layout).expect("contiguous"), [2, 3]);
        dense_mut(&mut values, &layout).expect("contiguous").fill(0);
        assert_eq!(values, [1, 0, 0, 4]);
    }

    #[test]
    fn strides_are_refused() {
        let transposed = Layout::contiguous(Shape::from((2, 3)))
            .transpose(0, 1)
            .expect("2-d");
        assert!(dense(&[0; 6], &transposed).is_err());
    }
}
