//! Sums of squares over whole parameters.

use candle_core::{DType, Storage, Tensor};
use rayon::prelude::*;

use crate::dense::dense;
use crate::error::TrainError;

/// Numbers whose squares are added at a time; the parts' sums are then added in order.
const CHUNK: usize = 1 << 16;
/// Sums that run beside each other in a part, for the processor's vectors.
const LANES: usize = 16;

/// The sum of the squares of a tensor's elements, in `f64`. It does not depend on the number of
/// threads.
///
/// # Errors
/// candle's own.
pub(crate) fn sum_of_squares(tensor: &Tensor) -> Result<f64, TrainError> {
    let tensor = tensor.contiguous()?;
    if tensor.dtype() == DType::F32 && tensor.device().is_cpu() {
        let (storage, layout) = tensor.storage_and_layout();
        if let Storage::Cpu(storage) = &*storage {
            return Ok(in_parts(dense(storage.as_slice::<f32>()?, layout)?));
        }
    }
    let squares = tensor.to_dtype(DType::F64)?.sqr()?;
    Ok(squares.sum_all()?.to_scalar::<f64>()?)
}

fn in_parts(values: &[f32]) -> f64 {
    if values.len() <= CHUNK {
        return of_part(values);
    }
    let parts: Vec<f64> = values.par_chunks(CHUNK).map(of_part).collect();
    parts.into_iter().sum()
}

fn of_part(values: &[f32]) -> f64 {
    let (whole, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in whole {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(value) * f64::from(value);
        }
    }
    let rest = rest.iter().map(|&value| f64::from(value).powi(2));
    sums.into_iter().chain(rest).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Whole numbers, whose squares add without rounding.
    fn numbers(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i % 97) as f32 - 48.0).collect()
    }

    #[test]
    fn squares_of_any_number_of_values_are_added() {
        for n in [0, 1, 15, 16, 17, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5] {
            let values = numbers(n);
            let expected: f64 = values.iter().map(|&x| f64::from(x).powi(2)).sum();
            for dtype in [DType::F32, DType::F64] {
                let tensor = Tensor::new(values.as_slice(), &Device::Cpu).expect("a vector");
                let tensor = tensor.to_dtype(dtype).expect("a cast");
                let found = sum_of_squares(&tensor).expect("on the CPU");
                assert_eq!(found, expected, "{n} of {dtype:?}");
            }
        }
    }

    #[test]
    fn a_view_has_the_squares_of_its_own_elements_and_a_nan_shows() {
        let tensor = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu).expect("a matrix");
        let column = tensor.narrow(1, 1, 1).expect("the second column");
        assert_eq!(sum_of_squares(&column).expect("on the CPU"), 20.0);
        let with_nan = Tensor::new(&[1f32, f32::NAN], &Device::Cpu).expect("a vector");
        assert!(sum_of_squares(&with_nan).expect("on the CPU").is_nan());
    }
}
