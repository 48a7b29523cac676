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
