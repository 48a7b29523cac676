//! Embeddings with labels from a safetensors file of any program.

use std::collections::HashMap;
use std::path::Path;

use facenet_train::TrainError;
use facenet_train::miner::EmbeddingFile;
use safetensors::Dtype;

use super::Batch;
use super::header::Tensors;

/// Reads `embeddings` `[n, dim]` in f32 with `labels` `[n]` or `counts` `[identities]`, which are
/// whole numbers of any type. With `counts` the rows are those of the first identity, then those
/// of the second, and so on.
///
/// # Errors
/// [`TrainError::Data`] for a file of another form, and for labels and counts that do not fit.
pub(crate) fn read(path: &Path) -> Result<Batch, TrainError> {
    let mut tensors = Tensors::open(path)?;
    let (dim, labels) = dim_and_labels(&mut tensors)?;
    let rows = tensors.values("embeddings", f32::from_le_bytes)?;
    Ok(Batch { rows, dim, labels })
}

/// Maps such a file's embeddings, which may be larger than memory, and reads their labels.
///
/// # Errors
/// Those of [`read`], and [`TrainError::Mine`] where the values cannot be mapped.
pub(crate) fn map(path: &Path) -> Result<(EmbeddingFile, Vec<u32>), TrainError> {
    let (_, labels) = dim_and_labels(&mut Tensors::open(path)?)?;
    let file = EmbeddingFile::open_safetensors(path, "embeddings")?;
    Ok((file, labels))
}

/// Numbers of a row, and the label of each.
fn dim_and_labels(tensors: &mut Tensors<'_>) -> Result<(usize, Vec<u32>), TrainError> {
    let (n, dim) = match tensors.shape("embeddings") {
        Some((Dtype::F32, &[n, dim])) if dim > 0 && n < u32::MAX as usize => (n, dim),
        found => return Err(tensors.wrong(&lacks("embeddings", found))),
    };
    Ok((dim, labels(tensors, n)?))
}

/// The label of each row, dense.
fn labels(tensors: &mut Tensors<'_>, n: usize) -> Result<Vec<u32>, TrainError> {
    let is_there = |name| tensors.shape(name).is_some();
    match (is_there("labels"), is_there("counts")) {
        (true, true) => Err(tensors.wrong("found both `labels` and `counts`, expected one")),
        (false, false) => Err(tensors.wrong("found neither `labels` nor `counts`")),
        (true, false) => {
            let labels = whole_numbers(tensors, "labels")?;
            if labels.len() == n {
                return Ok(dense(&labels));
            }
            let what = format!("found {} `labels`, expected {n}, one a row", labels.len());
            Err(tensors.wrong(&what))
        }
        (false, true) => {
            let counts = whole_numbers(tensors, "counts")?;
            repeated(&counts, n).ok_or_else(|| {
                let what = format!("found `counts` of another sum, expected {n}, one a row");
                tensors.wrong(&what)
            })
        }
    }
}

/// Numbers identities from 0 as they first appear.
fn dense(labels: &[u64]) -> Vec<u32> {
    let mut known = HashMap::new();
    let labels = labels.iter().map(|label| {
        let next = known.len() as u32;
        *known.entry(label).or_insert(next)
    });
    labels.collect()
}

/// Each identity's number as often as it has rows, where that makes `n`.
fn repeated(counts: &[u64], n: usize) -> Option<Vec<u32>> {
    let sum = counts
        .iter()
        .try_fold(0u64, |sum, &count| sum.checked_add(count))?;
    (sum == n as u64).then(|| {
        let rows = (0u32..).zip(counts);
        rows.flat_map(|(label, &count)| std::iter::repeat_n(label, count as usize))
            .collect()
    })
}

/// A vector of whole numbers, none negative.
fn whole_numbers(tensors: &mut Tensors<'_>, name: &str) -> Result<Vec<u64>, TrainError> {
    let found = tensors.shape(name);
    let Some((dtype, [_])) = found else {
        return Err(tensors.wrong(&lacks(name, found)));
    };
    let numbers: Vec<i128> = match dtype {
        Dtype::U8 => tensors.values(name, |b| u8::from_le_bytes(b).into()),
        Dtype::I8 => tensors.values(name, |b| i8::from_le_bytes(b).into()),
        Dtype::U16 => tensors.values(name, |b| u16::from_le_bytes(b).into()),
        Dtype::I16 => tensors.values(name, |b| i16::from_le_bytes(b).into()),
        Dtype::U32 => tensors.values(name, |b| u32::from_le_bytes(b).into()),
        Dtype::I32 => tensors.values(name, |b| i32::from_le_bytes(b).into()),
        Dtype::U64 => tensors.values(name, |b| u64::from_le_bytes(b).into()),
        Dtype::I64 => tensors.values(name, |b| i64::from_le_bytes(b).into()),
        _ => return Err(tensors.wrong(&lacks(name, found))),
    }?;
    numbers
        .into_iter()
        .map(u64::try_from)
        .collect::<Result<_, _>>()
        .map_err(|_| tensors.wrong(&format!("found a negative number in `{name}`")))
}

fn lacks(name: &str, found: Option<(Dtype, &[usize])>) -> String {
    match found {
        Some((dtype, shape)) => format!("found `{name}` {shape:?} in {dtype:?}"),
        None => format!("found no tensor `{name}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_dense_in_order_of_appearance() {
        assert_eq!(dense(&[u64::MAX, 3, u64::MAX, 0]), [0, 1, 0, 2]);
        assert_eq!(dense(&[]), [0u32; 0]);
    }

    #[test]
    fn counts_repeat_their_identities_and_must_add_up() {
        assert_eq!(repeated(&[2, 0, 1], 3), Some(vec![0, 0, 2]));
        assert_eq!(repeated(&[], 0), Some(vec![]));
        for wrong in [&[1, 1][..], &[u64::MAX, 4], &[4], &[u64::MAX]] {
            assert_eq!(repeated(wrong, 3), None, "{wrong:?}");
        }
    }
}
