//! Embeddings in a file, mapped into memory and never copied: the file may be larger than memory.
#![expect(
    unsafe_code,
    reason = "a map of a file, and its bytes looked at as floats"
)]

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use crate::{Embeddings, MineError};

/// Where the rows of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowLayout {
    /// Byte at which the first row begins, a multiple of 4.
    pub offset: u64,
    /// Number of rows.
    pub rows: usize,
    /// Values a row.
    pub dim: usize,
}

/// Embeddings in a file: little-endian f32, row-major, mapped and not read.
///
/// The file must not be changed or cut while it is mapped: values would change under the miner,
/// and reading what was cut off ends the process.
#[derive(Debug)]
pub struct EmbeddingFile {
    map: Mmap,
    path: PathBuf,
    layout: RowLayout,
}

impl EmbeddingFile {
    /// Maps rows that lie at `layout` in a file of any kind.
    ///
    /// # Errors
    /// [`MineError::OpenFile`] when it cannot be opened or mapped; [`MineError::FileLength`] when
    /// it ends before its last row; [`MineError::Misaligned`] when rows do not begin at a multiple
    /// of 4; and those of [`Embeddings::new`].
    pub fn open(path: &Path, layout: RowLayout) -> Result<Self, MineError> {
        Self::checked(map(path)?, path, layout)
    }

    /// Maps a tensor of a safetensors file, f32 of shape `[n, dim]`, by its name.
    ///
    /// # Errors
    /// [`MineError::Header`] when it is no complete safetensors file; [`MineError::Tensor`] when
    /// it has no such tensor of that type and shape; and those of [`EmbeddingFile::open`].
    pub fn open_safetensors(path: &Path, name: &str) -> Result<Self, MineError> {
        let map = map(path)?;
        let layout = layout_of(&map, path, name)?;
        Self::checked(map, path, layout)
    }

    fn checked(map: Mmap, path: &Path, layout: RowLayout) -> Result<Self, MineError> {
        let RowLayout { offset, dim, .. } = layout;
        let expected = length(layout);
        if (map.len() as u128) < expected {
            return Err(MineError::FileLength {
                path: path.to_owned(),
                found: map.len() as u64,
                expected,
            });
        }
        if !offset.is_multiple_of(4) || cfg!(target_endian = "big") {
            return Err(MineError::Misaligned {
                path: path.to_owned(),
                offset,
            });
        }
        let file = Self {
            map,
            path: path.to_owned(),
            layout,
        };
        Embeddings::new(file.values(), dim)?;
        Ok(file)
    }

    /// The rows, `[n, dim]`.
    #[expect(
        clippy::missing_panics_doc,
        reason = "the same call has succeeded when the file was opened"
    )]
    pub fn embeddings(&self) -> Embeddings<'_> {
        Embeddings::new(self.values(), self.layout.dim).expect("checked when it was opened")
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn values(&self) -> &[f32] {
        let RowLayout { offset, rows, dim } = self.layout;
        let bytes = &self.map[offset as usize..][..rows * dim * 4];
        // SAFETY: any four bytes are an f32; `align_to` gives what is aligned as the middle, which
        // is all of it: a map begins at a page, and the offset is a multiple of 4.
        let (before, values, after) = unsafe { bytes.align_to::<f32>() };
        debug_assert!(before.is_empty() && after.is_empty());
        values
    }
}

/// Bytes of a file that holds the rows, at the least; the greatest number where that is larger.
fn length(RowLayout { offset, rows, dim }: RowLayout) -> u128 {
    let values = (rows as u128).saturating_mul(dim as u128);
    values.saturating_mul(4).saturating_add(u128::from(offset))
}

fn map(path: &Path) -> Result<Mmap, MineError> {
    let failed = |error: std::io::Error| MineError::OpenFile {
        path: path.to_owned(),
        kind: error.kind(),
    };
    // Opening a pipe would wait for whoever writes to it.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(std::io::ErrorKind::InvalidInput.into()));
    }
    let file = File::open(path).map_err(failed)?;
    // SAFETY: the map is only read, and the type's documentation asks that the file is left alone
    // while it is mapped.
    unsafe { Mmap::map(&file) }.map_err(failed)
}

/// Where a tensor's values are, from the file's header.
fn layout_of(map: &Mmap, path: &Path, name: &str) -> Result<RowLayout, MineError> {
    let tensors = SafeTensors::deserialize(map).map_err(|error| MineError::Header {
        path: path.to_owned(),
        found: error.to_string(),
    })?;
    let wrong = |found: String| MineError::Tensor {
        path: path.to_owned(),
        name: name.to_owned(),
        found,
    };
    let tensor = tensors.tensor(name);
    let tensor = tensor.map_err(|_| wrong(format!("{:?}", tensors.names())))?;
    let &[rows, dim] = tensor.shape() else {
        return Err(wrong(format!("shape {:?}", tensor.shape())));
    };
    if tensor.dtype() != Dtype::F32 {
        return Err(wrong(format!("{:?}", tensor.dtype())));
    }
    let offset = tensor.data().as_ptr().addr() - map.as_ptr().addr();
    Ok(RowLayout {
        offset: offset as u64,
        rows,
        dim,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of the process's own, removed at the end of the test.
    struct TestFile(PathBuf);

    impl TestFile {
        fn new(name: &str, bytes: &[u8]) -> Self {
            let name = format!("facenet-miner-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, bytes).expect("a temporary file");
            Self(path)
        }

        fn open(&self, offset: u64, rows: usize, dim: usize) -> Result<EmbeddingFile, MineError> {
            EmbeddingFile::open(&self.0, RowLayout { offset, rows, dim })
        }
    }

    impl Drop for TestFile {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    fn safetensors(header: &str, values: &[f32]) -> Vec<u8> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        file.extend(bytes(values));
        file
    }

    #[test]
    fn rows_are_found_at_their_offset() {
        let file = TestFile::new("raw", &bytes(&[9.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
        let mapped = file.open(4, 2, 2).expect("two rows of two");
        assert_eq!(mapped.embeddings().rows(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(mapped.path(), file.0);
        assert!(
            file.open(24, 0, 3)
                .expect("no row is fine")
                .embeddings()
                .is_empty()
        );
    }

    #[test]
    fn what_the_file_cannot_hold_is_refused() {
        let file = TestFile::new("short", &bytes(&[0.0; 6]));
        let path = file.0.clone();
        assert_eq!(
            length(RowLayout {
                offset: 4,
                rows: 3,
                dim: 2
            }),
            28
        );
        for (offset, rows, dim) in [(4, 3, 2), (0, usize::MAX, usize::MAX), (u64::MAX, 1, 1)] {
            let error = file.open(offset, rows, dim).expect_err("too many rows");
            let expected = length(RowLayout { offset, rows, dim });
            let path = path.clone();
            assert_eq!(
                error,
                MineError::FileLength {
                    path,
                    found: 24,
                    expected
                }
            );
        }
        let misaligned = MineError::Misaligned { path, offset: 2 };
        assert_eq!(file.open(2, 2, 2).expect_err("offset of 2"), misaligned);
        assert!(matches!(file.open(0, 1, 0), Err(MineError::Ragged { .. })));
        let missing = EmbeddingFile::open_safetensors(&file.0.join("none"), "embeddings");
        assert!(matches!(missing, Err(MineError::OpenFile { .. })));
    }

    #[test]
    fn a_tensor_is_found_by_its_name() {
        let header = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"embeddings":{"dtype":"F32","shape":[2,2],"data_offsets":[4,20]}}"#;
        let padded = format!("{header:<0$}", header.len().next_multiple_of(8));
        let values = [7.0, 1.0, 2.0, 3.0, 4.0];
        let file = TestFile::new("named", &safetensors(&padded, &values));
        let mapped = EmbeddingFile::open_safetensors(&file.0, "embeddings").expect("is there");
        assert_eq!(mapped.embeddings().rows(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(mapped.embeddings().dim(), 2);
        let wrong = |name| EmbeddingFile::open_safetensors(&file.0, name);
        assert!(matches!(wrong("a"), Err(MineError::Tensor { .. })));
        let message = wrong("rows").expect_err("no such tensor").to_string();
        assert!(
            message.starts_with(&file.0.display().to_string()),
            "{message}"
        );
        assert!(message.contains("\"embeddings\""), "{message}");
    }

    #[test]
    fn a_broken_safetensors_file_is_refused() {
        let header = r#"{"embeddings":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#;
        let whole = safetensors(header, &[0.0; 4]);
        for (name, bytes) in [
            ("cut", &whole[..whole.len() - 1]),
            ("empty", &[][..]),
            ("long header", &[0xff; 40][..]),
            ("header alone", &whole[..20]),
        ] {
            let file = TestFile::new(name, bytes);
            let error = EmbeddingFile::open_safetensors(&file.0, "embeddings");
            let error = error.expect_err("is refused");
            assert!(
                matches!(error, MineError::Header { .. } | MineError::OpenFile { .. }),
                "{error}"
            );
        }
        let header = r#"{"embeddings":{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]}}"#;
        let file = TestFile::new("half", &safetensors(header, &[0.0; 2]));
        let error = EmbeddingFile::open_safetensors(&file.0, "embeddings");
        assert!(matches!(error, Err(MineError::Tensor { .. })));
    }

    /// The header's length is no multiple of 4, so its values are not at one either.
    #[test]
    fn misaligned_values_are_refused() {
        let header = r#"{"embeddings":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#;
        let padded = format!("{header:<0$}", header.len().next_multiple_of(4) + 1);
        let file = TestFile::new("misaligned", &safetensors(&padded, &[0.0; 4]));
        let error = EmbeddingFile::open_safetensors(&file.0, "embeddings");
        assert!(matches!(
            error,
            Err(MineError::Misaligned { .. } | MineError::Header { .. })
        ));
    }
}
