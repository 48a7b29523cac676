//! Tensors as files: safetensors, and PyTorch's.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use facenet_files::open_regular;
use facenet_formats::NOTE;
use safetensors::tensor::{Metadata, TensorInfo, TensorView};

use crate::error::ModelError;

/// Bytes of the number that says how long the header is.
const LENGTH_BYTES: u64 = 8;
/// Longest header that is read, in bytes: the larger network's has 70 thousand.
const MAX_HEADER: u64 = 1 << 24;
/// What to do about a broken file.
const COPY_AGAIN: &str = "copy the file again, or give an earlier checkpoint";

/// The bytes of a tensor file: values as `F32`, names in order, so equal tensors give equal
/// bytes.
///
/// # Errors
/// [`ModelError::Candle`] where tensors cannot be read back from their device.
pub fn tensors_to_bytes(tensors: &BTreeMap<String, Tensor>) -> Result<Vec<u8>, ModelError> {
    encoded(tensors, None)
}

/// As [`tensors_to_bytes`], with a note: a text beside the tensors, which
/// [`PublishedFile::note`](crate::PublishedFile::note) reads.
///
/// # Errors
/// As [`tensors_to_bytes`].
pub fn tensors_with_note(
    tensors: &BTreeMap<String, Tensor>,
    note: &str,
) -> Result<Vec<u8>, ModelError> {
    // One key: the format's crate gives several no order.
    let note = HashMap::from([(NOTE.to_owned(), note.to_owned())]);
    encoded(tensors, Some(note))
}

fn encoded(
    tensors: &BTreeMap<String, Tensor>,
    metadata: Option<HashMap<String, String>>,
) -> Result<Vec<u8>, ModelError> {
    let mut data = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let values = tensor
            .to_dtype(DType::F32)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        data.push((name.as_str(), tensor.dims().to_vec(), bytes));
    }
    let views = data.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes)?;
        Ok((*name, view))
    });
    let views: Result<Vec<_>, safetensors::SafeTensorError> = views.collect();
    let bytes = views.and_then(|views| safetensors::serialize(views, metadata));
    bytes.map_err(|error| ModelError::encode("tensors", &error))
}

/// The bytes of a `.pt` file for `torch.load(..., weights_only=True)`: values as `F32`, names in
/// order, so equal tensors give equal bytes.
///
/// # Errors
/// [`ModelError::Candle`] where tensors cannot be read back from their device, and
/// [`ModelError::Encode`] beyond 4 GiB.
pub fn tensors_to_torch(tensors: &BTreeMap<String, Tensor>) -> Result<Vec<u8>, ModelError> {
    encoded_for_torch(tensors, None)
}

/// As [`tensors_to_torch`], with a note, which PyTorch passes over, as [`tensors_with_note`].
///
/// # Errors
/// As [`tensors_to_torch`].
pub fn torch_with_note(
    tensors: &BTreeMap<String, Tensor>,
    note: &str,
) -> Result<Vec<u8>, ModelError> {
    encoded_for_torch(tensors, Some(note))
}

fn encoded_for_torch(
    tensors: &BTreeMap<String, Tensor>,
    note: Option<&str>,
) -> Result<Vec<u8>, ModelError> {
    let mut data = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let values = tensor.to_dtype(DType::F32)?.flatten_all()?;
        data.push((name.as_str(), tensor.dims(), values.to_vec1::<f32>()?));
    }
    let views: Vec<_> = data
        .iter()
        .map(|(name, shape, values)| facenet_formats::Tensor {
            name,
            shape,
            values,
        })
        .collect();
    let bytes = facenet_formats::write_state_dict(&views, note);
    bytes.map_err(|error| ModelError::encode("tensors", &error))
}

/// Reads all tensors of a safetensors file, on the CPU.
///
/// Nothing is allocated before the header agrees with the length of the file.
///
/// # Errors
/// [`ModelError::Io`], or [`ModelError::File`] for what is no such file.
pub fn load_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let length = length_of(path)?;
    let mut file = open_regular(path).map_err(|e| ModelError::io(path, "read the file", e))?;
    let (start, header) = read_header(path, &mut file, length)?;
    let mut tensors = BTreeMap::new();
    for (name, info) in header.tensors() {
        tensors.insert(
            name.clone(),
            read_tensor(path, &mut file, start, (&name, info))?,
        );
    }
    Ok(tensors)
}

/// Bytes of a plain file that is not empty.
pub(crate) fn length_of(path: &Path) -> Result<u64, ModelError> {
    let meta = fs::metadata(path).map_err(|e| ModelError::io(path, "read the file", e))?;
    if !meta.is_file() {
        let problem = "found a folder or a device, expected a file";
        return Err(ModelError::file(
            path,
            problem,
            "give a file that this project saved",
        ));
    }
    if meta.len() == 0 {
        return Err(ModelError::file(
            path,
            "found 0 bytes, the file is empty",
            COPY_AGAIN,
        ));
    }
    Ok(meta.len())
}

/// Where the data begin, and what they are.
fn read_header(path: &Path, file: &mut File, length: u64) -> Result<(u64, Metadata), ModelError> {
    let io = |e| ModelError::io(path, "read the file's header", e);
    let foreign = |problem: String| ModelError::file(path, problem, COPY_AGAIN);
    if length < LENGTH_BYTES {
        let problem = format!("found {length} bytes, expected a safetensors file");
        return Err(foreign(problem));
    }
    let mut size = [0; LENGTH_BYTES as usize];
    file.read_exact(&mut size).map_err(io)?;
    let size = u64::from_le_bytes(size);
    let room = MAX_HEADER.min(length - LENGTH_BYTES);
    if size > room {
        return Err(foreign(format!(
            "found a header of {size} bytes in a file of {length}, expected a safetensors file \
             with one of {room} at most"
        )));
    }
    let mut header = vec![0; size as usize];
    file.read_exact(&mut header).map_err(io)?;
    let header: Metadata =
        serde_json::from_slice(&header).map_err(|e| foreign(not_a_header(&e.to_string())))?;
    let start = LENGTH_BYTES + size;
    match start.checked_add(header.data_len() as u64) {
        Some(expected) if expected == length => Ok((start, header)),
        expected => Err(foreign(format!(
            "found {length} bytes, expected {} as the header says",
            expected.map_or("more than can be".to_owned(), |expected| expected
                .to_string())
        ))),
    }
}

fn read_tensor(
    path: &Path,
    file: &mut File,
    start: u64,
    (name, info): (&str, &TensorInfo),
) -> Result<Tensor, ModelError> {
    let io = |e| ModelError::io(path, "read the file's tensors", e);
    let (begin, end) = info.data_offsets;
    file.seek(SeekFrom::Start(start + begin as u64))
        .map_err(io)?;
    let mut bytes = vec![0; end - begin];
    file.read_exact(&mut bytes).map_err(io)?;
    let dtype = DType::try_from(info.dtype);
    let tensor =
        dtype.and_then(|dtype| Tensor::from_raw_buffer(&bytes, dtype, &info.shape, &Device::Cpu));
    tensor.map_err(|_| {
        let problem = format!(
            "found {} of type {:?}, expected F32",
            name.escape_debug(),
            info.dtype
        );
        ModelError::file(path, problem, "save it with values of float32")
    })
}

/// The parser's words may hold a piece of the file: its control characters are escaped.
fn not_a_header(reason: &str) -> String {
    format!(
        "found a header that is not safetensors' ({})",
        reason.escape_debug()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_tensors() -> BTreeMap<String, Tensor> {
        let device = Device::Cpu;
        let matrix = Tensor::new(&[[1f32, 2.0], [3.0, 4.0], [5.0, 6.0]], &device);
        let vector = Tensor::new(&[-0.5f32], &device);
        let named = [("z", matrix), ("a.b", vector)];
        named
            .into_iter()
            .map(|(name, t)| (name.to_owned(), t.expect("small")))
            .collect()
    }

    #[track_caller]
    fn check_refused(bytes: &[u8], expected: &str) {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("model.safetensors");
        fs::write(&path, bytes).expect("writable");
        let message = load_tensors(&path).expect_err("broken").to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
        assert!(message.contains("model.safetensors: "), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }

    #[test]
    fn a_header_is_refused_in_printable_words() {
        let said = not_a_header("unknown variant `F\x7f\n`");
        assert!(said.ends_with("(unknown variant `F\\u{7f}\\n`)"), "{said}");
    }

    #[test]
    fn tensors_come_back_and_bytes_are_in_order() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("t.safetensors");
        let bytes = tensors_to_bytes(&two_tensors()).expect("encodable");
        let header = String::from_utf8_lossy(&bytes[8..60]).into_owned();
        assert!(header.starts_with("{\"a.b\":"), "{header}");
        fs::write(&path, &bytes).expect("writable");
        let read = load_tensors(&path).expect("whole");
        assert_eq!(tensors_to_bytes(&read).expect("encodable"), bytes);
        let matrix = read["z"].to_vec2::<f32>().expect("a matrix");
        assert_eq!(matrix, [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let bytes = tensors_to_bytes(&two_tensors()).expect("encodable");
        for length in 0..bytes.len() {
            check_refused(&bytes[..length], "; copy the file again");
        }
        check_refused(&[bytes.as_slice(), &[0]].concat(), "as the header says");
    }

    #[test]
    fn a_foreign_file_is_refused_before_anything_is_allocated() {
        check_refused(b"", "the file is empty");
        check_refused(b"PK\x03\x04", "found 4 bytes");
        check_refused(
            &[0xff; 64],
            "header of 18446744073709551615 bytes in a file of 64",
        );
        check_refused(
            &[&2u64.to_le_bytes()[..], b"[]"].concat(),
            "not safetensors'",
        );
        let header =
            br#"{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}"#;
        let length = (header.len() as u64).to_le_bytes();
        check_refused(
            &[&length[..], header, &[0; 16]].concat(),
            "expected 4398046511190",
        );
        let folder = tempfile::tempdir().expect("a scratch folder");
        let message = load_tensors(folder.path())
            .expect_err("a folder")
            .to_string();
        assert!(message.contains("expected a file"), "{message}");
    }
}
