//! Files of embeddings: safetensors with the images' paths, NumPy arrays, CSV.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use facenet_files::{Disk, FileSystem, read_regular, replace, replace_together};
use facenet_lfw::{DEFAULT_FOLDS, Folds, ImageName, Pairs};
use facenet_model::ModelError;
use safetensors::tensor::{SafeTensors, TensorView};

use crate::error::TrainError;
use crate::evaluate::{Embedded, Evaluation};
use crate::observer::Observer;
use crate::scoring::{PairsSource, Protocol, n_folds, selected_pairs, warn_of_one_kind};
use crate::storage::StoredScore;

/// Name of the metadata that lists the images' paths, as a JSON array.
const PATHS: &str = "paths";

/// A file format, by the ending of the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `embeddings` `[n, dim]` and metadata `paths`.
    Safetensors,
    /// An array `[n, dim]`, with the paths in `<file>.paths.txt`, a line each.
    Npy,
    /// A header `path,e0,e1,...` and a line an image.
    Csv,
}

impl Format {
    /// The format that the ending of `path` names.
    ///
    /// # Errors
    /// [`TrainError::Config`] for another ending.
    pub fn of(path: &Path) -> Result<Self, TrainError> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("safetensors") => Ok(Self::Safetensors),
            Some("npy") => Ok(Self::Npy),
            Some("csv") => Ok(Self::Csv),
            _ => Err(TrainError::config(
                "--output",
                format!(
                    "found {}, expected a name that ends in .safetensors, .npy or .csv",
                    path.display()
                ),
            )),
        }
    }
}

/// Writes embeddings: each file complete under its name, or not at all. The rows of NumPy's form
/// come after the list of their paths: where there are rows, they are those of the list.
///
/// # Errors
/// [`TrainError::File`] where a file cannot be written; [`TrainError::Data`] for a path that the
/// format cannot hold.
pub fn write(path: &Path, format: Format, embedded: &Embedded) -> Result<(), TrainError> {
    write_on(&Disk, path, format, embedded)
}

/// As [`write()`], on a file system of the caller's.
///
/// # Errors
/// As [`write()`].
pub fn write_on(
    files: &dyn FileSystem,
    path: &Path,
    format: Format,
    embedded: &Embedded,
) -> Result<(), TrainError> {
    let bytes = match format {
        Format::Safetensors => safetensors_bytes(path, embedded)?,
        Format::Npy => {
            let mut list = path.as_os_str().to_owned();
            list.push(".paths.txt");
            let lines = lines(path, &embedded.paths)?;
            let list = (Path::new(&list), lines.as_bytes());
            return Ok(replace_together(
                files,
                &[list, (path, &npy_bytes(embedded))],
            )?);
        }
        Format::Csv => csv_bytes(path, embedded)?,
    };
    Ok(replace(files, path, &bytes)?)
}

fn little_endian(rows: &[f32]) -> Vec<u8> {
    rows.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn safetensors_bytes(path: &Path, embedded: &Embedded) -> Result<Vec<u8>, TrainError> {
    let bytes = little_endian(&embedded.rows);
    let shape = vec![embedded.paths.len(), embedded.dim];
    let paths = serde_json::to_string(&embedded.paths).expect("strings are JSON");
    let metadata = HashMap::from([(PATHS.to_owned(), paths)]);
    TensorView::new(safetensors::Dtype::F32, shape, &bytes)
        .and_then(|view| safetensors::serialize([("embeddings", view)], Some(metadata)))
        .map_err(|error| unfit(path, format!("embeddings cannot be stored ({error})")))
}

/// NumPy's format, version 1.0: magic, a header padded to 64 bytes, then the values.
fn npy_bytes(embedded: &Embedded) -> Vec<u8> {
    let (n, dim) = (embedded.paths.len(), embedded.dim);
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, {dim}), }}");
    let unpadded = 10 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(little_endian(&embedded.rows));
    bytes
}

fn csv_bytes(path: &Path, embedded: &Embedded) -> Result<Vec<u8>, TrainError> {
    let failed = |error: csv::Error| unfit(path, format!("a row cannot be written ({error})"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = (0..embedded.dim).map(|k| format!("e{k}"));
    writer
        .write_record(std::iter::once("path".to_owned()).chain(names))
        .map_err(failed)?;
    for (image, row) in embedded
        .paths
        .iter()
        .zip(embedded.rows.chunks(embedded.dim.max(1)))
    {
        let values = row.iter().map(f32::to_string);
        writer
            .write_record(std::iter::once(image.clone()).chain(values))
            .map_err(failed)?;
    }
    writer
        .into_inner()
        .map_err(|error| unfit(path, format!("cannot be finished ({error})")))
}

/// One path a line; a path with a line break would shift all that follow.
fn lines(path: &Path, paths: &[String]) -> Result<String, TrainError> {
    match paths.iter().find(|image| image.contains('\n')) {
        Some(image) => Err(unfit(path, format!("the path {image:?} has a line break"))),
        None => Ok(paths
            .iter()
            .flat_map(|image| [image.as_str(), "\n"])
            .collect()),
    }
}

fn unfit(path: &Path, what: String) -> TrainError {
    let remedy = "give another --output format".to_owned();
    TrainError::Data {
        path: path.to_owned(),
        what,
        remedy,
    }
}

/// Embeddings as they were stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// `[n, dim]`, row-major.
    pub rows: Vec<f32>,
    /// Numbers of an embedding.
    pub dim: usize,
    /// The image of each row, where the file says.
    pub paths: Option<Vec<String>>,
    /// Whether rows `2i` and `2i + 1` are of one person, where the file says.
    pub is_same: Option<Vec<bool>>,
    path: PathBuf,
}

impl Stored {
    /// Reads a safetensors file with `embeddings` `[n, dim]`, and `issame` or metadata `paths`.
    ///
    /// # Errors
    /// [`TrainError::Data`] for a file that is missing, cut off or of another kind.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let tensors =
            facenet_model::load_tensors(path).map_err(|error| Self::unreadable(path, error))?;
        let embeddings = tensors
            .get("embeddings")
            .filter(|tensor| tensor.rank() == 2)
            .ok_or_else(|| Self::wrong(path, "found no tensor `embeddings` of two dimensions"))?;
        let (n, dim) = embeddings.dims2()?;
        if dim == 0 {
            return Err(Self::wrong(path, "found embeddings without a number"));
        }
        let paths = stored_paths(path)?;
        if let Some(paths) = paths.as_ref().filter(|paths| paths.len() != n) {
            let what = format!(
                "found {} paths, expected one for each of {n} embeddings",
                paths.len()
            );
            return Err(Self::wrong(path, &what));
        }
        let as_f32 = embeddings.to_dtype(candle_core::DType::F32)?;
        let is_same = match tensors.get("issame") {
            Some(flags) => {
                let flags = flags.flatten_all()?.to_dtype(candle_core::DType::U8)?;
                Some(
                    flags
                        .to_vec1::<u8>()?
                        .into_iter()
                        .map(|flag| flag != 0)
                        .collect(),
                )
            }
            None => None,
        };
        Ok(Self {
            rows: as_f32.flatten_all()?.to_vec1()?,
            dim,
            paths,
            is_same,
            path: path.to_owned(),
        })
    }

    /// Scores the rows: by `pairs` where given, else as pairs in order.
    pub(crate) fn evaluate(
        &self,
        pairs: Option<&PairsSource>,
        protocol: &Protocol,
        observer: &mut dyn Observer,
    ) -> Result<Evaluation, TrainError> {
        match (pairs, &self.is_same, &self.paths) {
            (Some(source), _, Some(paths)) => self.by_name(source, paths, protocol, observer),
            (None, Some(is_same), _) => {
                let n_folds = protocol.nrof_folds.unwrap_or(DEFAULT_FOLDS);
                let folds = Folds::Contiguous(n_folds);
                warn_of_one_kind(&self.path, &folds, is_same, observer)?;
                let stored = self.in_each_form(&self.rows, is_same, protocol, folds)?;
                Evaluation::new(stored, false, 0)
            }
            (Some(_), _, None) => Err(Self::wrong(&self.path, "found no metadata `paths`")),
            (None, None, _) => Err(Self::wrong(&self.path, "found no `issame`, and no --pairs")),
        }
    }

    fn by_name(
        &self,
        source: &PairsSource,
        paths: &[String],
        protocol: &Protocol,
        observer: &mut dyn Observer,
    ) -> Result<Evaluation, TrainError> {
        let pairs = selected_pairs(&source.pairs, source.folds.as_deref())?;
        let rows: HashMap<String, usize> = paths
            .iter()
            .enumerate()
            .map(|(row, path)| (key_of_path(path), row))
            .collect();
        let find = |image: &ImageName| rows.get(&image.stem()).copied();
        let found: Vec<_> = pairs
            .pairs()
            .iter()
            .map(|pair| Some([find(&pair.a)?, find(&pair.b)?]))
            .collect();
        let missing = found.iter().filter(|pair| pair.is_none()).count();
        if missing > 0 && !source.allow_missing {
            return Err(self.lacking(&pairs, missing, &rows));
        }
        let ids = pairs.fold_ids(n_folds(&pairs, source, protocol)?)?;
        let kept: Vec<_> = (0..found.len()).filter(|&i| found[i].is_some()).collect();
        let embeddings: Vec<f32> = kept
            .iter()
            .flat_map(|&i| found[i].expect("only these are kept"))
            .flat_map(|row| self.rows[row * self.dim..][..self.dim].iter().copied())
            .collect();
        let is_same: Vec<_> = kept.iter().map(|&i| pairs.pairs()[i].is_same).collect();
        let folds = Folds::Given(kept.iter().map(|&i| ids[i]).collect());
        warn_of_one_kind(&source.pairs, &folds, &is_same, observer)?;
        let stored = self.in_each_form(&embeddings, &is_same, protocol, folds)?;
        Evaluation::new(stored, false, missing)
    }

    /// Scores rows `2i` and `2i + 1` in each form.
    fn in_each_form(
        &self,
        rows: &[f32],
        is_same: &[bool],
        protocol: &Protocol,
        folds: Folds,
    ) -> Result<Vec<StoredScore>, TrainError> {
        let config = protocol.with_folds(folds);
        StoredScore::of_each(&protocol.stored_as, (rows, self.dim, false), |rows| {
            Ok(facenet_lfw::evaluate(rows, self.dim, is_same, &config)?)
        })
    }

    fn lacking(&self, pairs: &Pairs, missing: usize, rows: &HashMap<String, usize>) -> TrainError {
        let images = pairs.pairs().iter().flat_map(|pair| [&pair.a, &pair.b]);
        let first = images
            .map(ImageName::stem)
            .find(|name| !rows.contains_key(name));
        TrainError::Data {
            path: self.path.clone(),
            what: format!(
                "{missing} of {} pairs name an image without a row, the first {}",
                pairs.pairs().len(),
                first.unwrap_or_default()
            ),
            remedy: "embed all images of the pairs file, or give --allow-missing".to_owned(),
        }
    }

    /// What is wrong with a file of tensors, told of data: this one is no model.
    fn unreadable(path: &Path, error: ModelError) -> TrainError {
        match error {
            ModelError::Io { source, .. } => {
                Self::wrong(path, &format!("cannot be read ({source})"))
            }
            ModelError::File { problem, .. } => Self::wrong(path, &problem),
            other => other.into(),
        }
    }

    fn wrong(path: &Path, what: &str) -> TrainError {
        TrainError::Data {
            path: path.to_owned(),
            what: format!(
                "{what}, expected `embeddings` with `issame`, or with `paths` and --pairs"
            ),
            remedy: "give a file that `facenet embed` wrote".to_owned(),
        }
    }
}

/// The file's metadata `paths`, where it has one.
fn stored_paths(path: &Path) -> Result<Option<Vec<String>>, TrainError> {
    let bytes = read_regular(path)
        .map_err(|error| Stored::wrong(path, &format!("cannot be read ({error})")))?;
    let wrong = |error: &dyn std::fmt::Display| {
        Stored::wrong(path, &format!("found metadata of another form ({error})"))
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| wrong(&error))?;
    let Some(paths) = header
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(PATHS))
    else {
        return Ok(None);
    };
    serde_json::from_str(paths)
        .map(Some)
        .map_err(|error| wrong(&error))
}

/// The last two parts of an image's path, as pairs files name it: `name/file`, without the
/// ending where the file is LFW's `name_0001`.
fn key_of_path(path: &str) -> String {
    let mut parts = path.rsplit(['/', '\\']);
    let file = parts.next().unwrap_or_default();
    let name = parts.next().unwrap_or_default();
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let number = stem
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('_'));
    let is_numbered = number
        .is_some_and(|number| number.len() >= 4 && number.bytes().all(|b| b.is_ascii_digit()));
    format!("{name}/{}", if is_numbered { stem } else { file })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded() -> Embedded {
        Embedded {
            rows: vec![0.5, -1.0, 0.25, 1e-8],
            dim: 2,
            paths: vec!["a/a_0001.jpg".to_owned(), "b, \"c\"/1.pgm".to_owned()],
            skipped: Vec::new(),
        }
    }

    #[test]
    fn endings_choose_the_format() {
        assert_eq!(Format::of(Path::new("x.npy")).expect("known"), Format::Npy);
        assert_eq!(Format::of(Path::new("x.csv")).expect("known"), Format::Csv);
        assert!(Format::of(Path::new("x.txt")).is_err());
    }

    #[test]
    fn a_npy_header_is_padded_to_64_bytes() {
        let bytes = npy_bytes(&embedded());
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        let header = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
        assert!((10 + header).is_multiple_of(64));
        assert!(
            bytes[10..].starts_with(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)")
        );
        assert_eq!(bytes.len(), 10 + header + 16);
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let bytes = csv_bytes(Path::new("x.csv"), &embedded()).expect("writable");
        let text = String::from_utf8(bytes).expect("text");
        assert_eq!(
            text,
            "path,e0,e1\na/a_0001.jpg,0.5,-1\n\"b, \"\"c\"\"/1.pgm\",0.25,0.00000001\n"
        );
    }

    #[test]
    fn safetensors_come_back_with_their_paths() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("x.safetensors");
        write(&path, Format::Safetensors, &embedded()).expect("writable");
        let stored = Stored::read(&path).expect("as written");
        assert_eq!((stored.rows, stored.dim), (embedded().rows, 2));
        assert_eq!(stored.paths, Some(embedded().paths));
    }

    #[test]
    fn rows_without_numbers_and_paths_of_other_rows_are_refused() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("x.safetensors");
        let check = |shape: [usize; 2], expected: &str| {
            let bytes = vec![0; 4 * shape[0] * shape[1]];
            let view = TensorView::new(safetensors::Dtype::F32, shape.to_vec(), &bytes);
            let paths = HashMap::from([(PATHS.to_owned(), r#"["a", "b", "c"]"#.to_owned())]);
            let view = [("embeddings", view.expect("as long as its shape"))];
            let bytes = safetensors::serialize(view, Some(paths)).expect("a file");
            std::fs::write(&path, bytes).expect("writable");
            let error = Stored::read(&path).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(
            [2, 2],
            "found 3 paths, expected one for each of 2 embeddings",
        );
        check([3, 0], "found embeddings without a number");
    }

    #[test]
    fn keys_are_those_of_pairs_files() {
        assert_eq!(key_of_path("root/Ann/Ann_0007.jpg"), "Ann/Ann_0007");
        assert_eq!(key_of_path("orl/s1/1.pgm"), "s1/1.pgm");
        assert_eq!(key_of_path("x/Ann/Ann_7.jpg"), "Ann/Ann_7.jpg");
    }
}
