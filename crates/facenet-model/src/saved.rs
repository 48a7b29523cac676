//! The folder of a saved model: `model.safetensors`, `config.json`, `README.md`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use facenet_files::{Disk, FileError, FileSystem, SCRATCH_PREFIX, replace_folder, write_new};
use serde::{Deserialize, Serialize};

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::model::{LoadReport, Model};
use crate::tensors::{length_of, load_tensors, tensors_to_bytes};

/// File of the tensors.
pub const TENSORS_FILE: &str = "model.safetensors";
/// File of the configuration.
pub const CONFIG_FILE: &str = "config.json";
/// File of the model card.
pub const CARD_FILE: &str = "README.md";
/// File that calibrating leaves beside them; it goes with the weights that it was measured on.
pub const CALIBRATION_FILE: &str = "calibration.json";
/// Version of the folder's layout that this code writes and reads.
pub const FORMAT: u32 = 1;
/// Largest configuration that is read, in bytes.
const MAX_CONFIG: u64 = 1 << 24;

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

/// Writes a model folder: complete under its name, or not at all.
///
/// A model folder of that name is replaced; where the system cannot exchange names there is none
/// between two renames, and a crash then leaves the old one beside it, for
/// [`facenet_files::sweep`].
///
/// # Errors
/// [`ModelError::File`] where the name is taken by something else, [`ModelError::Write`] where the
/// file system refuses; what was there has then stayed.
pub fn save_model(
    dir: &Path,
    tensors: &BTreeMap<String, Tensor>,
    config: &SavedConfig,
    card: &str,
) -> Result<(), ModelError> {
    put_model(&Disk, dir, &model_files(tensors, config, card)?)
}

/// As [`save_model`], on a file system of the caller's.
///
/// - `members`: as [`model_files`] gives them
///
/// # Errors
/// As [`save_model`].
pub fn put_model(
    files: &dyn FileSystem,
    dir: &Path,
    members: &[(&str, Vec<u8>)],
) -> Result<(), ModelError> {
    check_replaceable(dir)?;
    let put = replace_folder(files, dir, |scratch| {
        let mut members = members.iter();
        members.try_for_each(|(name, bytes)| write_new(files, &scratch.join(name), bytes))
    });
    let needed = members.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    put.map_err(|error: FileError| error.within(files, dir, needed).into())
}

/// The files of a model folder by name.
///
/// # Errors
/// As [`tensors_to_bytes`], and [`ModelError::Encode`] for a configuration that is no JSON.
pub fn model_files(
    tensors: &BTreeMap<String, Tensor>,
    config: &SavedConfig,
    card: &str,
) -> Result<Vec<(&'static str, Vec<u8>)>, ModelError> {
    let json = serde_json::to_string_pretty(config);
    let mut json = json.map_err(|error| ModelError::encode(CONFIG_FILE, &error))?;
    json.push('\n');
    Ok(vec![
        (TENSORS_FILE, tensors_to_bytes(tensors)?),
        (CONFIG_FILE, json.into_bytes()),
        (CARD_FILE, card.as_bytes().to_vec()),
    ])
}

/// Nothing is there, or a folder that holds no more than a model's files.
fn check_replaceable(dir: &Path) -> Result<(), ModelError> {
    let Ok(meta) = fs::symlink_metadata(dir) else {
        return Ok(());
    };
    let taken = |problem: String| {
        Err(ModelError::file(
            dir,
            problem,
            "choose another name, or move it away",
        ))
    };
    if !meta.is_dir() {
        return taken("found something that is no folder, expected a model or nothing".to_owned());
    }
    let entries = fs::read_dir(dir).map_err(|e| ModelError::io(dir, "list the folder", e))?;
    for entry in entries {
        let name = entry
            .map_err(|e| ModelError::io(dir, "list the folder", e))?
            .file_name();
        // What an interrupted write left beside them goes too.
        if name.to_string_lossy().starts_with(SCRATCH_PREFIX) {
            continue;
        }
        if ![TENSORS_FILE, CONFIG_FILE, CARD_FILE, CALIBRATION_FILE]
            .map(OsStr::new)
            .contains(&name.as_os_str())
        {
            return taken(format!(
                "found {} in it, expected a model's files or nothing",
                name.display()
            ));
        }
    }
    Ok(())
}

/// Reads a model folder's `config.json`.
///
/// # Errors
/// [`ModelError::Io`] where there is none, [`ModelError::File`] where it is not one of ours.
pub fn load_config(dir: &Path) -> Result<SavedConfig, ModelError> {
    let path = dir.join(CONFIG_FILE);
    let length = length_of(&path)?;
    if length > MAX_CONFIG {
        let problem = format!("found {length} bytes, expected at most {MAX_CONFIG}");
        return Err(ModelError::file(&path, problem, TRAINED));
    }
    let bytes = fs::read(&path).map_err(|e| ModelError::io(&path, "read the file", e))?;
    parse_config(&bytes).map_err(|problem| ModelError::file(&path, problem, TRAINED))
}

/// What to do about a configuration that is none.
const TRAINED: &str = "give a folder that `facenet train` of this version saved";

fn parse_config(bytes: &[u8]) -> Result<SavedConfig, String> {
    let foreign = |error| format!("not a model's configuration ({error})");
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(foreign)?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(found) if found != u64::from(FORMAT) => {
            return Err(format!("found format {found}, expected {FORMAT}"));
        }
        _ => {}
    }
    let config: SavedConfig = serde_json::from_value(value).map_err(foreign)?;
    config.model.validate().map_err(|error| error.to_string())?;
    Ok(config)
}

/// Loads a model folder.
///
/// # Errors
/// As [`load_config`]; [`ModelError::File`] for a tensor file that is empty, truncated, of
/// another kind, or of another network than `config.json` describes.
pub fn load_model(
    dir: &Path,
    device: &Device,
) -> Result<(Model, SavedConfig, LoadReport), ModelError> {
    let config = load_config(dir)?;
    let path = dir.join(TENSORS_FILE);
    let tensors = load_tensors(&path)?;
    let loaded = Model::from_tensors(config.model.clone(), tensors, DType::F32, device);
    let (model, report) = loaded.map_err(|error| match error {
        ModelError::Tensors {
            architecture,
            embedding_size,
            problem,
        } => {
            let problem = format!(
                "expected the {architecture} with {embedding_size} numbers of {CONFIG_FILE}, but \
                 {problem}"
            );
            ModelError::file(&path, problem, "give the two files of one model")
        }
        other => other,
    })?;
    Ok((model, config, report))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(json: &str, expected: &str) {
        let problem = parse_config(json.as_bytes()).expect_err("not a configuration");
        assert!(problem.contains(expected), "{problem:?} lacks {expected:?}");
        assert!(!problem.contains('\n'), "{problem}");
    }

    #[test]
    fn a_configuration_is_read_strictly() {
        let model = r#"{"architecture": "mobilefacenet", "image_size": 112, "embedding_size": 128,
            "bn_momentum": 0.1, "bn_eps": 0.001, "keep_probability": 1.0}"#;
        let whole = format!(
            r#"{{"format": 1, "model": {model}, "recipe": {{"resize": 112}}, "training": null}}"#
        );
        let config = parse_config(whole.as_bytes()).expect("whole");
        assert_eq!(config.model.image_size, 112);
        assert_eq!(config.recipe["resize"], 112);
        check_refused(
            &whole.replace("\"format\": 1", "\"format\": 2"),
            "format 2, expected 1",
        );
        check_refused(
            &whole.replace("112,", "113,"),
            "found 113, expected a multiple of 16",
        );
        check_refused(&whole.replace("bn_eps", "eps"), "unknown field `eps`");
        check_refused(
            &whole.replace("mobilefacenet", "vgg"),
            "unknown variant `vgg`",
        );
        check_refused(&whole[..whole.len() - 1], "not a model's configuration");
        check_refused("\u{0}", "not a model's configuration");
    }
}
