//! The head of a safetensors file, and the bytes of one tensor: the rest is never read.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use facenet_train::TrainError;
use facenet_train::files::open_regular;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

/// The format's own limit of a header, in bytes.
const MAX_HEADER: u64 = 100_000_000;

/// What to give instead.
const REMEDY: &str = "give a safetensors file with `embeddings` [n, dim] in f32, and `labels` \
                      [n] or `counts` in whole numbers";

/// An open file whose header has been read.
#[derive(Debug)]
pub(crate) struct Tensors<'a> {
    path: &'a Path,
    file: File,
    /// Where the tensors' bytes begin.
    start: u64,
    /// Bytes of the file.
    len: u64,
    header: Metadata,
}

impl<'a> Tensors<'a> {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// [`TrainError::Data`] for what is no safetensors file.
    pub(crate) fn open(path: &'a Path) -> Result<Self, TrainError> {
        let unreadable = |error| wrong(path, &format!("cannot be read ({error})"));
        let mut file = open_regular(path).map_err(unreadable)?;
        let len = file.metadata().map_err(unreadable)?.len();
        let mut size = [0; 8];
        file.read_exact(&mut size).map_err(unreadable)?;
        let size = u64::from_le_bytes(size);
        if size > MAX_HEADER || size > len - 8 {
            let what = format!("found a header of {size} bytes in a file of {len}");
            return Err(wrong(path, &what));
        }
        let mut header = vec![0; size as usize];
        file.read_exact(&mut header).map_err(unreadable)?;
        let header = serde_json::from_slice(&header)
            .map_err(|error| wrong(path, &format!("found no header of tensors ({error})")))?;
        Ok(Self {
            path,
            file,
            start: 8 + size,
            len,
            header,
        })
    }

    /// Type and shape of a tensor, where the file has it.
    pub(crate) fn shape(&self, name: &str) -> Option<(Dtype, &[usize])> {
        let info = self.header.info(name)?;
        Some((info.dtype, &info.shape))
    }

    /// The values of a tensor of `N` bytes each, by `parse`.
    ///
    /// # Errors
    /// [`TrainError::Data`] where the tensor does not lie in the file with the size that its
    /// shape has: then nothing is allocated.
    pub(crate) fn values<const N: usize, T>(
        &mut self,
        name: &str,
        parse: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>, TrainError> {
        let (begin, n) = self.place(name, N)?;
        let unreadable = |error| wrong(self.path, &format!("`{name}` cannot be read ({error})"));
        self.file.seek(SeekFrom::Start(begin)).map_err(unreadable)?;
        let mut values = Vec::with_capacity(n);
        let mut buffer = vec![0; (N * n).min(1 << 16)];
        while values.len() < n {
            let bytes = &mut buffer[..(N * (n - values.len())).min(1 << 16)];
            self.file.read_exact(bytes).map_err(unreadable)?;
            let (words, _) = bytes.as_chunks::<N>();
            values.extend(words.iter().map(|&word| parse(word)));
        }
        Ok(values)
    }

    /// Where a tensor begins in the file, and the number of its values.
    fn place(&self, name: &str, size: usize) -> Result<(u64, usize), TrainError> {
        let info = self.header.info(name);
        let placed = info.and_then(|info| place(info, size, self.len - self.start));
        placed
            .map(|(begin, n)| (self.start + begin, n))
            .ok_or_else(|| {
                let what = format!("found no `{name}` of the size that its shape has");
                wrong(self.path, &what)
            })
    }

    pub(crate) fn wrong(&self, what: &str) -> TrainError {
        wrong(self.path, what)
    }
}

fn place(info: &TensorInfo, size: usize, room: u64) -> Option<(u64, usize)> {
    let (begin, end) = info.data_offsets;
    let n = info
        .shape
        .iter()
        .try_fold(1usize, |n, &k| n.checked_mul(k))?;
    let is_whole = end.checked_sub(begin) == n.checked_mul(size) && end as u64 <= room;
    is_whole.then_some((begin as u64, n))
}

fn wrong(path: &Path, what: &str) -> TrainError {
    TrainError::Data {
        path: path.to_owned(),
        what: what.to_owned(),
        remedy: REMEDY.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(shape: &[usize], data_offsets: (usize, usize)) -> TensorInfo {
        TensorInfo {
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            data_offsets,
        }
    }

    #[test]
    fn a_tensor_lies_within_the_file_and_has_the_size_of_its_shape() {
        assert_eq!(place(&info(&[2, 3], (8, 32)), 4, 32), Some((8, 6)));
        assert_eq!(place(&info(&[2, 3], (8, 32)), 4, 31), None);
        assert_eq!(place(&info(&[2, 4], (8, 32)), 4, 32), None);
        assert_eq!(place(&info(&[usize::MAX, 2], (0, 8)), 4, 32), None);
        assert_eq!(place(&info(&[1], (8, 4)), 4, 32), None);
    }
}
