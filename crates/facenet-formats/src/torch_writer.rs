//! A state dictionary as a file for `torch.load(..., weights_only=True)`.

use crate::error::FormatError;
use crate::torch::NOTE;
use crate::zip::ZipWriter;

/// A tensor to write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// Length of each axis.
    pub shape: &'a [usize],
    /// As many values as the shape has, row-major.
    pub values: &'a [f32],
}

/// The bytes of a `.pt` file: a dictionary of tensors in their order, each with a storage of its
/// own.
///
/// - `note`: a text beside the tensors, which PyTorch passes over and
///   [`StateDict::note`](crate::StateDict::note) finds
///
/// # Errors
/// [`FormatError::TooMany`] beyond 4 GiB or 65,531 tensors.
pub fn write_state_dict(
    tensors: &[Tensor<'_>],
    note: Option<&str>,
) -> Result<Vec<u8>, FormatError> {
    let mut archive = ZipWriter::default();
    archive.file("archive/data.pkl", &pickle(tensors))?;
    archive.file("archive/byteorder", b"little")?;
    for (key, tensor) in tensors.iter().enumerate() {
        let bytes: Vec<u8> = tensor.values.iter().flat_map(|x| x.to_le_bytes()).collect();
        archive.file(&format!("archive/data/{key}"), &bytes)?;
    }
    if let Some(note) = note {
        archive.file(&format!("archive/{NOTE}"), note.as_bytes())?;
    }
    // The number that PyTorch writes since 1.6.
    archive.file("archive/version", b"3\n")?;
    archive.finish()
}

/// The dictionary's pickle, of protocol 2.
fn pickle(tensors: &[Tensor<'_>]) -> Vec<u8> {
    let mut bytes = b"\x80\x02}(".to_vec();
    for (key, tensor) in tensors.iter().enumerate() {
        put_text(&mut bytes, tensor.name);
        bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        put_text(&mut bytes, "storage");
        bytes.extend(b"ctorch\nFloatStorage\n");
        put_text(&mut bytes, &key.to_string());
        put_text(&mut bytes, "cpu");
        put_number(&mut bytes, tensor.values.len());
        // The description's end, the storage itself, and its values from the first on.
        bytes.extend(b"tQK\0");
        put_tuple(&mut bytes, tensor.shape);
        put_tuple(&mut bytes, &strides(tensor.shape));
        // No gradient, no hooks; the tuple of arguments, and the call.
        bytes.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    bytes.extend(b"u.");
    bytes
}

/// Strides of a row-major tensor.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(b'X');
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// A whole number of 8 bytes in two's complement, whatever its size.
fn put_number(bytes: &mut Vec<u8>, number: usize) {
    bytes.extend([0x8a, 8]);
    bytes.extend((number as i64).to_le_bytes());
}

fn put_tuple(bytes: &mut Vec<u8>, numbers: &[usize]) {
    bytes.push(b'(');
    for &number in numbers {
        put_number(bytes, number);
    }
    bytes.push(b't');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_are_row_major() {
        assert_eq!(strides(&[2, 3, 4]), [12, 4, 1]);
        assert_eq!(strides(&[5]), [1]);
        assert_eq!(strides(&[]), [0usize; 0]);
    }
}
