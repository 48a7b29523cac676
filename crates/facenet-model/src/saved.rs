//! The folder of a saved model: `model.safetensors`, `config.json`, `README.md`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::model::{LoadReport, Model};

/// File of the tensors.
pub const TENSORS_FILE: &str = "model.safetensors";
/// File of the configuration.
pub const CONFIG_FILE: &str = "config.json";
/// File of the model card.
pub const CARD_FILE: &str = "README.md";
/// Version of the folder's layout that this code writes and reads.
pub const FORMAT: u32 = 1;
/// Largest configuration that is read, in bytes.
const MAX_CONFIG: u64 = 1 << 24;
/// Largest tensor file that is read, in bytes: some forty times the largest network here.
const MAX_TENSORS: u64 = 4 << 30;

/// What `config.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedConfig {
    /// [`FORMAT`].
    pub format: u32,
    /// The network.
    pub model: ModelConfig,
    /// The preprocessing recipe, as facenet-dataset writes it.
    pub recipe: serde_json::Value,
    /// How it was trained.
    pub training: serde_json::Value,
}

/// The bytes of a tensor file: names in order, so equal tensors give equal bytes.
///
/// # Errors
/// [`ModelError::Candle`] where tensors cannot be read back.
pub fn tensors_to_bytes(tensors: &BTreeMap<String, Tensor>) -> Result<Vec<u8>, ModelError> {
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
        let view = TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
        (*name, view.expect("bytes were made for this shape"))
    });
    safetensors::serialize(views, None)
        .map_err(|error| candle_core::Error::Msg(error.to_string()).into())
}

/// Writes a model folder: complete under its name, or not at all. A folder of that name is
/// replaced.
///
/// # Errors
/// [`ModelError::Io`] where the file system refuses.
pub fn save_model(
    dir: &Path,
    tensors: &BTreeMap<String, Tensor>,
    config: &SavedConfig,
    card: &str,
) -> Result<(), ModelError> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|e| ModelError::io(parent, "create the folder", e))?;
    let scratch = tempfile::Builder::new()
        .prefix(".saving-")
        .tempdir_in(parent)
        .map_err(|e| ModelError::io(parent, "create a scratch folder in it", e))?;
    for (name, bytes) in model_files(tensors, config, card)? {
        write_synced(&scratch.path().join(name), &bytes)?;
    }
    replace_folder(&scratch.keep(), dir, parent)
}

/// The files of a model folder by name.
///
/// # Errors
/// As [`tensors_to_bytes`].
pub fn model_files(
    tensors: &BTreeMap<String, Tensor>,
    config: &SavedConfig,
    card: &str,
) -> Result<Vec<(&'static str, Vec<u8>)>, ModelError> {
    let mut json = serde_json::to_string_pretty(config).expect("plain fields are JSON");
    json.push('\n');
    Ok(vec![
        (TENSORS_FILE, tensors_to_bytes(tensors)?),
        (CONFIG_FILE, json.into_bytes()),
        (CARD_FILE, card.as_bytes().to_vec()),
    ])
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|e| ModelError::io(path, "write the file", e))
}

/// Puts `scratch` in the place of `dir`; what was there is removed last.
fn replace_folder(scratch: &Path, dir: &Path, parent: &Path) -> Result<(), ModelError> {
    let old = scratch.with_extension("old");
    if dir.exists() {
        fs::rename(dir, &old).map_err(|e| ModelError::io(dir, "move the old folder away", e))?;
    }
    if let Err(error) = fs::rename(scratch, dir) {
        let _ = fs::rename(&old, dir);
        let _ = fs::remove_dir_all(scratch);
        return Err(ModelError::io(dir, "give the folder its name", error));
    }
    if old.exists() {
        fs::remove_dir_all(&old).map_err(|e| ModelError::io(&old, "remove the old folder", e))?;
    }
    let synced = File::open(parent).and_then(|folder| folder.sync_all());
    synced.map_err(|e| ModelError::io(parent, "sync the folder", e))
}

/// Reads a model folder's `config.json`.
///
/// # Errors
/// [`ModelError::Io`] where there is none, [`ModelError::File`] where it is not one of ours.
pub fn load_config(dir: &Path) -> Result<SavedConfig, ModelError> {
    let path = dir.join(CONFIG_FILE);
    let bytes = read_bounded(&path, MAX_CONFIG)?;
    let config: SavedConfig = serde_json::from_slice(&bytes).map_err(|error| {
        ModelError::file(
            &path,
            format!("not a model's configuration ({error})"),
            "give a folder that `facenet train` saved",
        )
    })?;
    if config.format != FORMAT {
        let problem = format!("found format {}, expected {FORMAT}", config.format);
        return Err(ModelError::file(
            &path,
            problem,
            "use the version that wrote it",
        ));
    }
    config.model.validate()?;
    Ok(config)
}

/// Loads a model folder.
///
/// # Errors
/// As [`load_config`]; [`ModelError::File`] for a tensor file that is empty, truncated or of
/// another kind, [`ModelError::Tensors`] for tensors of another network.
pub fn load_model(
    dir: &Path,
    device: &Device,
) -> Result<(Model, SavedConfig, LoadReport), ModelError> {
    let config = load_config(dir)?;
    let tensors = load_tensors(&dir.join(TENSORS_FILE))?;
    let (model, report) = Model::from_tensors(config.model.clone(), tensors, DType::F32, device)?;
    Ok((model, config, report))
}

/// Reads all tensors of a safetensors file, on the CPU.
///
/// # Errors
/// [`ModelError::Io`], or [`ModelError::File`] for what is no such file.
pub fn load_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let bytes = read_bounded(path, MAX_TENSORS)?;
    let broken = |error: &dyn std::fmt::Display| {
        ModelError::file(
            path,
            format!(
                "found {} bytes that are no complete safetensors file ({error})",
                bytes.len()
            ),
            "copy the file again, or give an earlier checkpoint",
        )
    };
    let file = SafeTensors::deserialize(&bytes).map_err(|error| broken(&error))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        tensors.insert(name, to_tensor(&view).map_err(|error| broken(&error))?);
    }
    Ok(tensors)
}

fn to_tensor(view: &TensorView<'_>) -> candle_core::Result<Tensor> {
    let dtype = DType::try_from(view.dtype())?;
    Tensor::from_raw_buffer(view.data(), dtype, view.shape(), &Device::Cpu)
}

/// The file's bytes, if it is no larger than any of its kind.
fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>, ModelError> {
    let meta = fs::metadata(path).map_err(|e| ModelError::io(path, "read the file", e))?;
    if meta.len() > most {
        let problem = format!("found {} bytes, expected at most {most}", meta.len());
        return Err(ModelError::file(
            path,
            problem,
            "give a file of this project",
        ));
    }
    if meta.len() == 0 {
        return Err(ModelError::file(
            path,
            "the file is empty",
            "copy it again, or give an earlier checkpoint",
        ));
    }
    fs::read(path).map_err(|e| ModelError::io(path, "read the file", e))
}
