//! Named tensors as the bytes of a safetensors file, and back.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, WithDType};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};

use super::RESTORE;
use crate::error::TrainError;

/// A tensor's bytes, little-endian, row-major.
struct Packed {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for Packed {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Packs tensors from any device; equal tensors give equal bytes. `path` is for messages.
pub(super) fn pack(tensors: &BTreeMap<String, Tensor>, path: &Path) -> Result<Vec<u8>, TrainError> {
    let packed = tensors
        .iter()
        .map(|(name, tensor)| Ok((name, pack_one(tensor, name, path)?)));
    let packed: Vec<_> = packed.collect::<Result<_, TrainError>>()?;
    safetensors::serialize(packed, None).map_err(|error| {
        let what = format!("cannot be packed ({error})");
        TrainError::checkpoint(path, what, "give the tensors shorter names")
    })
}

/// The tensors in `bytes`, on `device`. `path` is for messages.
pub(super) fn unpack(
    bytes: &[u8],
    path: &Path,
    device: &Device,
) -> Result<BTreeMap<String, Tensor>, TrainError> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| {
        let what = format!(
            "found {} bytes that are no safetensors file ({error})",
            bytes.len()
        );
        TrainError::checkpoint(path, what, RESTORE)
    })?;
    let tensors = file.iter().map(|(name, view)| {
        Ok((
            name.to_owned(),
            unpack_one(&view, name, path)?.to_device(device)?,
        ))
    });
    tensors.collect()
}

fn pack_one(tensor: &Tensor, name: &str, path: &Path) -> Result<Packed, TrainError> {
    let flat = tensor.detach().flatten_all()?.to_device(&Device::Cpu)?;
    let (dtype, bytes) = match tensor.dtype() {
        DType::F32 => (Dtype::F32, to_bytes(&flat, f32::to_le_bytes)?),
        DType::F64 => (Dtype::F64, to_bytes(&flat, f64::to_le_bytes)?),
        DType::I64 => (Dtype::I64, to_bytes(&flat, i64::to_le_bytes)?),
        DType::U32 => (Dtype::U32, to_bytes(&flat, u32::to_le_bytes)?),
        DType::U8 => (Dtype::U8, to_bytes(&flat, u8::to_le_bytes)?),
        other => {
            let found = other.as_str();
            return Err(unsupported(path, name, found));
        }
    };
    Ok(Packed {
        dtype,
        shape: tensor.dims().to_vec(),
        bytes,
    })
}

fn unpack_one(view: &TensorView<'_>, name: &str, path: &Path) -> Result<Tensor, TrainError> {
    let (bytes, shape) = (view.data(), view.shape());
    match view.dtype() {
        Dtype::F32 => from_bytes(bytes, shape, f32::from_le_bytes),
        Dtype::F64 => from_bytes(bytes, shape, f64::from_le_bytes),
        Dtype::I64 => from_bytes(bytes, shape, i64::from_le_bytes),
        Dtype::U32 => from_bytes(bytes, shape, u32::from_le_bytes),
        Dtype::U8 => from_bytes(bytes, shape, u8::from_le_bytes),
        other => Err(unsupported(path, name, &format!("{other:?}"))),
    }
}

fn to_bytes<T: WithDType, const N: usize>(
    flat: &Tensor,
    convert: impl Fn(T) -> [u8; N],
) -> Result<Vec<u8>, TrainError> {
    Ok(flat.to_vec1::<T>()?.into_iter().flat_map(convert).collect())
}

fn from_bytes<T: WithDType, const N: usize>(
    bytes: &[u8],
    shape: &[usize],
    convert: impl Fn([u8; N]) -> T,
) -> Result<Tensor, TrainError> {
    let (chunks, _) = bytes.as_chunks::<N>();
    let values: Vec<T> = chunks.iter().map(|chunk| convert(*chunk)).collect();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}

fn unsupported(path: &Path, name: &str, found: &str) -> TrainError {
    let what = format!("{name} is of type {found}, expected f32, f64, i64, u32 or u8");
    TrainError::checkpoint(path, what, "convert it first")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_round_trip(tensor: candle_core::Result<Tensor>) {
        let tensor = tensor.expect("small numbers on the CPU");
        let tensors = BTreeMap::from([("a".to_owned(), tensor.clone())]);
        let bytes = pack(&tensors, Path::new("x")).expect("a type we keep");
        let back = unpack(&bytes, Path::new("x"), &Device::Cpu).expect("as written")["a"].clone();
        assert_eq!((back.dims(), back.dtype()), (tensor.dims(), tensor.dtype()));
        assert_eq!(
            pack(&BTreeMap::from([("a".to_owned(), back)]), Path::new("x")).ok(),
            Some(bytes)
        );
    }

    #[test]
    fn every_type_we_keep_survives_bit_for_bit() {
        let cpu = &Device::Cpu;
        check_round_trip(Tensor::new(
            &[[f32::NAN, -0.0], [f32::MIN_POSITIVE, 1e-45]],
            cpu,
        ));
        check_round_trip(Tensor::new(&[f64::NEG_INFINITY, 0.1], cpu));
        check_round_trip(Tensor::new(i64::MIN, cpu));
        check_round_trip(Tensor::new(&[u32::MAX], cpu));
        check_round_trip(Tensor::new(&[0u8, 255], cpu));
        check_round_trip(Tensor::zeros((0, 3), DType::F32, cpu));
    }

    #[test]
    fn a_view_is_kept_as_it_reads() {
        let matrix = Tensor::new(&[[1.0f32, 2.0], [3.0, 4.0]], &Device::Cpu).expect("numbers");
        let tensors = BTreeMap::from([("a".to_owned(), matrix.t().expect("2-d"))]);
        let bytes = pack(&tensors, Path::new("x")).expect("a type we keep");
        let back = unpack(&bytes, Path::new("x"), &Device::Cpu).expect("as written");
        assert_eq!(
            back["a"].to_vec2::<f32>().expect("2-d"),
            [[1.0, 3.0], [2.0, 4.0]]
        );
    }

    #[test]
    fn a_type_we_do_not_keep_is_named() {
        let half = Tensor::zeros(2, DType::F16, &Device::Cpu).expect("two zeros");
        let tensors = BTreeMap::from([("layer".to_owned(), half)]);
        let message = pack(&tensors, Path::new("x"))
            .expect_err("half")
            .to_string();
        assert!(message.contains("layer is of type f16"), "{message}");
    }
}
