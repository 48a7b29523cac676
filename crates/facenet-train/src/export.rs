//! A model folder as a file for other frameworks.

use std::path::{Path, PathBuf};

use candle_core::Device;
use facenet_files::{Disk, replace};
use facenet_model::{load_model, tensors_with_note, torch_with_note};
use serde::Serialize;

use crate::error::TrainError;
use crate::import::InputNote;
use crate::saved::saved_model;

/// A model to export.
#[derive(Clone, Debug)]
pub struct ExportRequest {
    /// The model folder.
    pub model: PathBuf,
    /// The ONNX file to write.
    pub onnx: Option<PathBuf>,
    /// The PyTorch file to write: a state dictionary with facenet-pytorch's names.
    pub pytorch: Option<PathBuf>,
    /// The safetensors file to write, with the same names.
    pub safetensors: Option<PathBuf>,
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExportReport {
    /// The network.
    pub architecture: &'static str,
    /// Side of the input, in pixels.
    pub image_size: usize,
    /// Numbers of an embedding.
    pub embedding_size: usize,
    /// The files.
    pub files: Vec<ExportedFile>,
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExportedFile {
    /// Where.
    pub path: PathBuf,
    /// What it is.
    pub form: &'static str,
    /// Its length.
    pub bytes: usize,
}

/// Writes a model folder's network into files of other frameworks: each whole under its name, or
/// not at all, in place of any before it.
///
/// ONNX says the network, its sizes and its recipe, the others the recipe and the side of the input
/// (PyTorch passes over it); none says anything of its training, its folder or the people it has
/// seen.
///
/// # Errors
/// [`TrainError::Model`] for a folder that is no model, [`TrainError::File`] where a file cannot be
/// written.
pub fn export(request: &ExportRequest) -> Result<ExportReport, TrainError> {
    let saved = saved_model(&request.model)?;
    let (model, _, _) = load_model(&request.model, &Device::Cpu)?;
    // The recipe as this version understands it: whatever else stood there is not passed on.
    let recipe = json(&request.model, &saved.recipe)?;
    let note = InputNote {
        image_size: saved.model.image_size,
        recipe: saved.recipe.clone(),
    };
    let note = json(&request.model, &note)?;
    let mut files = Vec::new();
    if let Some(path) = &request.onnx {
        let bytes = model.to_onnx(&[("recipe", &recipe)])?;
        files.push(written(path, "ONNX", &bytes)?);
    }
    if let Some(path) = &request.pytorch {
        let bytes = torch_with_note(&model.state(), &note)?;
        files.push(written(path, "PyTorch state dictionary", &bytes)?);
    }
    if let Some(path) = &request.safetensors {
        let bytes = tensors_with_note(&model.state(), &note)?;
        files.push(written(path, "safetensors", &bytes)?);
    }
    Ok(ExportReport {
        architecture: saved.model.architecture.name(),
        image_size: saved.model.image_size,
        embedding_size: saved.model.embedding_size,
        files,
    })
}

fn json(model: &Path, what: &impl Serialize) -> Result<String, TrainError> {
    serde_json::to_string(what).map_err(|error| {
        let what = format!("the recipe cannot be written ({error})");
        TrainError::checkpoint(model, what, "give another model")
    })
}

fn written(path: &Path, form: &'static str, bytes: &[u8]) -> Result<ExportedFile, TrainError> {
    replace(&Disk, path, bytes)?;
    Ok(ExportedFile {
        path: path.to_owned(),
        form,
        bytes: bytes.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;
    use facenet_model::{
        Architecture, FORMAT, Model, ModelConfig, PublishedFile, SavedConfig, save_model,
    };
    use serde_json::json;

    fn contains(bytes: &[u8], text: &str) -> bool {
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    }

    /// A model whose configuration tells what no file for others may.
    fn save_telling(dir: &Path) {
        let config = ModelConfig::new(Architecture::MobileFaceNet, 16, 8);
        let model = Model::new(config.clone(), 1, DType::F32, &Device::Cpu).expect("small");
        let saved = SavedConfig {
            format: FORMAT,
            model: config,
            recipe: json!({"centre_crop": null, "resize": 16, "standardisation": "fixed"}),
            training: json!({"data_dir": "/srv/vera/faces", "host": "vera-pc", "people": ["Ada_Example"]}),
        };
        save_model(dir, &model.state(), &saved, "# of /srv/vera\n").expect("writable");
    }

    #[test]
    fn a_file_holds_the_recipe_and_no_path_host_user_or_identity() {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let dir = scratch.path().join("model");
        save_telling(&dir);
        let paths = ["net.onnx", "net.pt", "net.safetensors"].map(|name| scratch.path().join(name));
        let report = export(&ExportRequest {
            model: dir,
            onnx: Some(paths[0].clone()),
            pytorch: Some(paths[1].clone()),
            safetensors: Some(paths[2].clone()),
        });
        let report = report.expect("a model");
        assert!(report.files.iter().map(|file| &file.path).eq(&paths));
        let folder = scratch.path().to_string_lossy().into_owned();
        for (file, path) in report.files.iter().zip(&paths) {
            let bytes = std::fs::read(path).expect("written");
            assert_eq!(file.bytes, bytes.len());
            for told in ["vera", "/srv/", "Ada_Example", "data_dir", &folder] {
                assert!(!contains(&bytes, told), "{path:?}: {told}");
            }
        }
        let onnx = std::fs::read(&paths[0]).expect("written");
        assert!(contains(&onnx, r#""resize":16"#));
        let note = r#"{"image_size":16,"recipe":{"centre_crop":null,"resize":16,"standardisation":"fixed"}}"#;
        for path in &paths[1..] {
            let file = PublishedFile::open(path).expect("written");
            assert_eq!(file.note().as_deref(), Some(note.as_bytes()), "{path:?}");
        }
    }
}
