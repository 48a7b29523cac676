//! The two element types of the own operations, and raw access to candle's storage.

use std::iter::Sum;
use std::ops::AddAssign;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, WithDType, bail};

/// `f32` or `f64`.
pub(crate) trait Element:
    WithDType + Default + Send + Sync + Sum + AddAssign + PartialOrd + std::ops::Neg<Output = Self>
{
}

impl Element for f32 {}
impl Element for f64 {}

/// Runs `$body` with `$t` as the tensor's element type.
macro_rules! by_dtype {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $t = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $t = f64;
                $body
            }
            other => candle_core::bail!("own operations take f32 or f64, found {other:?}"),
        }
    };
}
pub(crate) use by_dtype;

/// The elements of a contiguous storage.
pub(crate) fn elements<'a, T: Element>(
    storage: &'a CpuStorage,
    layout: &Layout,
) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((first, end)) => Ok(&storage.as_slice::<T>()?[first..end]),
        None => bail!("own operations take contiguous tensors, found {layout:?}"),
    }
}

/// Calls `f` with the elements of a tensor on the CPU.
pub(crate) fn with_elements<T: Element, R>(
    tensor: &Tensor,
    f: impl FnOnce(&[T]) -> Result<R>,
) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(elements(storage, layout)?),
        _ => bail!("own operations run on the CPU; use the native route elsewhere"),
    }
}

/// Runs `f` compiled for AVX2 where the machine has it.
///
/// The same operations in the same order, so the same bits: nothing is fused or reassociated.
#[inline]
pub(crate) fn wide<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return simd.vectorize(f);
    }
    f()
}

/// Accumulators of [`lane_sum`].
const LANES: usize = 8;

/// The sum in f64, in eight interleaved accumulators that are added in order: as exact as one,
/// and not bound by the latency of an addition.
#[inline]
pub(crate) fn lane_sum(mut values: impl ExactSizeIterator<Item = f64>) -> f64 {
    wide(|| {
        let mut lanes = [0.0; LANES];
        for _ in 0..values.len() / LANES {
            for lane in &mut lanes {
                *lane += values.next().unwrap_or_default();
            }
        }
        let rest: f64 = values.sum();
        lanes.iter().sum::<f64>() + rest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_sum_every_value_once() {
        for n in [0_u32, 1, 7, 8, 9, 63, 64, 100] {
            let sum = lane_sum((0..n as usize).map(|i| i as f64));
            assert_eq!(sum, f64::from(n) * (f64::from(n) - 1.0) / 2.0, "{n}");
        }
    }
}
