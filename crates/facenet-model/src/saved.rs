//! The folder of a saved model: `model.safetensors`, `config.json`, `README.md`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
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
/// What the names of files begin with that are written beside them, until they are whole.
const SCRATCH_PREFIX: &str = ".scratch-";
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
/// A model folder of that name is replaced; between two renames there is then none, and a
/// crash leaves the old one beside it as `.saving-*.old`.
///
/// # Errors
/// [`ModelError::File`] where the name is taken by something else, [`ModelError::Io`] where the
/// file system refuses; what was there has then stayed.
pub fn save_model(
    dir: &Path,
    tensors: &BTreeMap<String, Tensor>,
    config: &SavedConfig,
    card: &str,
) -> Result<(), ModelError> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    check_replaceable(dir)?;
    fs::create_dir_all(parent).map_err(|e| ModelError::io(parent, "create the folder", e))?;
    let scratch = tempfile::Builder::new();
    let scratch = scratch_in(parent, scratch)
        .map_err(|e| ModelError::io(parent, "create a scratch folder in it", e))?;
    for (name, bytes) in model_files(tensors, config, card)? {
        write_synced(&scratch.path().join(name), &bytes)?;
    }
    sync_folder(scratch.path())?;
    replace_folder(scratch, dir)?;
    sync_folder(parent)
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

/// A folder that disappears with its handle, with the permissions of any new folder.
fn scratch_in(
    parent: &Path,
    mut builder: tempfile::Builder<'_, '_>,
) -> std::io::Result<tempfile::TempDir> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The process's mask takes its part away.
        builder.permissions(fs::Permissions::from_mode(0o777));
    }
    builder.prefix(".saving-").tempdir_in(parent)
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

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|e| ModelError::io(path, "write the file", e))
}

/// Waits until the disk has the folder's entries; only Unix can open a folder for that.
fn sync_folder(folder: &Path) -> Result<(), ModelError> {
    if cfg!(unix) {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|e| ModelError::io(folder, "synchronise the folder", e))?;
    }
    Ok(())
}

/// Puts `scratch` in the place of `dir`; what was there is removed last. On failure `scratch`
/// disappears with its handle.
fn replace_folder(scratch: tempfile::TempDir, dir: &Path) -> Result<(), ModelError> {
    let old = scratch.path().with_extension("old");
    if dir.exists() {
        fs::rename(dir, &old).map_err(|e| ModelError::io(dir, "move the old folder away", e))?;
    }
    if let Err(error) = fs::rename(scratch.path(), dir) {
        // The first error is the one to tell.
        let _ = fs::rename(&old, dir);
        return Err(ModelError::io(dir, "give the folder its name", error));
    }
    let _ = scratch.keep();
    if old.exists() {
        fs::remove_dir_all(&old).map_err(|e| ModelError::io(&old, "remove the old folder", e))?;
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

    #[test]
    fn a_folder_that_cannot_be_moved_stays_and_scratch_goes() {
        let parent = tempfile::tempdir().expect("a scratch folder");
        let scratch = scratch_in(parent.path(), tempfile::Builder::new()).expect("writable");
        // No folder can be moved into itself.
        let message = replace_folder(scratch, parent.path())
            .expect_err("its own parent")
            .to_string();
        assert!(message.contains("move the old folder away"), "{message}");
        let left = fs::read_dir(parent.path()).expect("still there").count();
        assert_eq!(left, 0);
    }
}
