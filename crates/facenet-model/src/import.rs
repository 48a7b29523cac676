//! Published models of other frameworks as models of ours.

mod graph;
mod layers;
mod state_dict;
#[cfg(test)]
pub(crate) mod written;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use facenet_formats::{NOTE, StateDict};
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::model::{LoadReport, Model};
use crate::tensors::length_of;

/// Largest foreign file that is read, in bytes: with a classifier of 100 thousand people, the
/// larger network has 300 million.
const MAX_FILE: u64 = 1 << 29;
/// Share of the new batch in running statistics: 1 less the reference's decay of 0.995.
const REFERENCE_MOMENTUM: f64 = 0.005;

/// A kind of foreign file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// TensorFlow's frozen graph, `.pb`.
    FrozenGraph,
    /// `PyTorch`'s state dictionary, `.pt` or `.pth`.
    StateDict,
    /// A safetensors file with `PyTorch`'s names.
    SafeTensors,
}

impl Form {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::FrozenGraph => "TensorFlow frozen graph",
            Self::StateDict => "PyTorch state dictionary",
            Self::SafeTensors => "safetensors file",
        }
    }
}

/// What a foreign file turned out to be.
#[derive(Debug)]
pub struct Imported {
    /// The network with its tensors.
    pub model: Model,
    /// What was passed over.
    pub report: LoadReport,
    /// The kind of file.
    pub form: Form,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// A network of ours as another framework's file has it.
struct Foreign {
    config: ModelConfig,
    tensors: BTreeMap<String, Tensor>,
    tolerated: Vec<String>,
}

/// A file of somebody else's, read whole and not understood yet.
#[derive(Clone, Debug)]
pub struct PublishedFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl PublishedFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ModelError::Io`] and [`ModelError::File`] for what cannot be read or is larger than 512 MiB.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let length = length_of(path)?;
        if length > MAX_FILE {
            let problem = format!("found {length} bytes, expected at most {MAX_FILE}");
            return Err(ModelError::file(path, problem, PUBLISHED));
        }
        let bytes = fs::read(path).map_err(|e| ModelError::io(path, "read the file", e))?;
        Ok(Self {
            path: path.to_owned(),
            bytes,
        })
    }

    /// The note of [`tensors_with_note`](crate::tensors_with_note) or
    /// [`torch_with_note`](crate::torch_with_note): any bytes, as many as the file's at most, of a file
    /// of somebody else's. `None` where there is none.
    pub fn note(&self) -> Option<Cow<'_, [u8]>> {
        if let Some(note) = StateDict::note(&self.bytes) {
            return Some(note.into());
        }
        let (_, header) = SafeTensors::read_metadata(&self.bytes).ok()?;
        let note = header.metadata().as_ref()?.get(NOTE)?;
        Some(note.clone().into_bytes().into())
    }

    /// The model in it: davidsandberg's frozen TensorFlow graph of Inception-ResNet-v1, batch norms
    /// folded into convolutions or not; facenet-pytorch's state dictionary, as `torch.save` writes
    /// it or as safetensors; either network of ours in the latter two forms.
    ///
    /// - `image_size`: side of Inception-ResNet-v1's input, which no file says; `MobileFaceNet`'s is
    ///   known by its last kernel
    ///
    /// # Errors
    /// [`ModelError::File`] for what is of no such kind, or is another network; it lists what is
    /// missing, misshapen and left over.
    pub fn import(&self, image_size: usize) -> Result<Imported, ModelError> {
        let (form, read) = form_of(&self.bytes);
        let foreign = read(&self.bytes, image_size)
            .map_err(|problem| ModelError::file(&self.path, problem, PUBLISHED))?;
        let (model, mut report) =
            Model::from_tensors(foreign.config, foreign.tensors, DType::F32, &Device::Cpu)?;
        report.tolerated.extend(foreign.tolerated);
        Ok(Imported {
            model,
            report,
            form,
            sha256: hexadecimal(&Sha256::digest(&self.bytes)),
        })
    }
}

/// [`PublishedFile::open`] and [`PublishedFile::import`] in one.
///
/// # Errors
/// As either.
pub fn import_file(path: &Path, image_size: usize) -> Result<Imported, ModelError> {
    PublishedFile::open(path)?.import(image_size)
}

/// What a file is by its content, and how it is read.
fn form_of(bytes: &[u8]) -> (Form, Reader) {
    if StateDict::is_one(bytes) {
        (Form::StateDict, state_dict::read_torch)
    } else if state_dict::is_safetensors(bytes) {
        (Form::SafeTensors, state_dict::read_safetensors)
    } else {
        (Form::FrozenGraph, graph::read)
    }
}

/// Bytes and the side of the input to a network, or what is wrong.
type Reader = fn(&[u8], usize) -> Result<Foreign, String>;

/// What to do about a file that is no such model.
const PUBLISHED: &str = "give the frozen graph (.pb) of an Inception-ResNet-v1, or a state \
                         dictionary (.pt, .safetensors) with facenet-pytorch's names";

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Nothing can fail to be written into a string.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::{tensors_to_bytes, tensors_to_torch, tensors_with_note, torch_with_note};

    /// Names, shapes and bytes of the tensors of a file of either form.
    fn read(bytes: &[u8]) -> Vec<(String, Vec<usize>, Vec<u8>)> {
        if let Ok(state) = StateDict::parse(bytes) {
            let tensors = state.tensors().iter().map(|(name, array)| {
                let values = array.to_f32(name).expect("f32");
                let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
                let shape = array.shape.iter().map(|&axis| axis as usize).collect();
                ((*name).to_owned(), shape, bytes)
            });
            return tensors.collect();
        }
        let tensors = SafeTensors::deserialize(bytes).expect("of one form or the other");
        let tensors = tensors.tensors().into_iter();
        let whole = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
            (name, view.shape().to_vec(), view.data().to_vec())
        };
        tensors.map(whole).collect()
    }

    #[test]
    fn a_note_comes_back_from_either_form_beside_the_same_tensors() {
        let tensor = Tensor::new(&[1f32, -2.0], &Device::Cpu).expect("small");
        let tensors = BTreeMap::from([("a.b".to_owned(), tensor)]);
        let text = "32 \u{e9}\n";
        let file = |bytes: Result<Vec<u8>, ModelError>| PublishedFile {
            path: PathBuf::new(),
            bytes: bytes.expect("encodable"),
        };
        let noted = [tensors_with_note, torch_with_note].map(|write| file(write(&tensors, text)));
        let silent = [tensors_to_bytes, tensors_to_torch].map(|write| file(write(&tensors)));
        for (noted, silent) in noted.into_iter().zip(silent) {
            assert_eq!(noted.note().as_deref(), Some(text.as_bytes()));
            assert_eq!(silent.note(), None);
            assert_eq!(read(&noted.bytes), read(&silent.bytes));
            for cut in [0, 4, 20, noted.bytes.len() / 2] {
                assert_eq!(file(Ok(noted.bytes[..cut].to_vec())).note(), None, "{cut}");
            }
        }
    }
}
