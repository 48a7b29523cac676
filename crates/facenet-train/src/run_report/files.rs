//! The folders of a run that is looked back on.

use std::fs;
use std::path::{Path, PathBuf};

use crate::checkpoint::{latest, read_progress};
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::progress::Progress;
use crate::record::STEPS_FILE;
use crate::run_folder::CONFIG_TOML;

/// Where a run's logs and models lie, and what it was asked to do.
#[derive(Debug)]
pub(super) struct RunFiles {
    pub(super) name: String,
    pub(super) log_dir: PathBuf,
    pub(super) model_dir: Option<PathBuf>,
    /// That of the last checkpoint; `None` without one.
    pub(super) config: Option<TrainConfig>,
}

impl RunFiles {
    /// Finds both folders of a run by either, or by a folder in its model folder.
    ///
    /// # Errors
    /// [`TrainError::Data`] for a folder that is no run's, [`TrainError::Checkpoint`] for
    /// checkpoints of which none is whole.
    pub(super) fn find(run: &Path) -> Result<Self, TrainError> {
        let found = fs::canonicalize(run).map_err(|_| no_run(run))?;
        if is_log_dir(&found) {
            return Self::of_log_dir(found);
        }
        let parent = found.parent().map(Path::to_owned);
        for folder in [Some(found), parent].into_iter().flatten() {
            if let Some(config) = config_of(&folder)? {
                return Self::of_model_dir(folder, config);
            }
        }
        Err(no_run(run))
    }

    fn of_log_dir(log_dir: PathBuf) -> Result<Self, TrainError> {
        let name = name_of(&log_dir);
        // Where the run has one folder for both, its models lie beside the logs.
        let beside = models_base(&log_dir).map(|base| base.join(&name));
        let model_dirs = [Some(log_dir.clone()), beside];
        let mut files = Self {
            name,
            log_dir,
            model_dir: None,
            config: None,
        };
        for folder in model_dirs.into_iter().flatten().filter(|dir| dir.is_dir()) {
            if let Some(config) = config_of(&folder)? {
                files.model_dir = Some(folder);
                files.config = Some(config);
                break;
            }
        }
        Ok(files)
    }

    fn of_model_dir(model_dir: PathBuf, config: TrainConfig) -> Result<Self, TrainError> {
        let name = name_of(&model_dir);
        let log_dir = config.logs_base_dir.join(&name);
        if !is_log_dir(&log_dir) {
            return Err(TrainError::Data {
                path: log_dir,
                what: format!("found no log folder of the run in {}", model_dir.display()),
                remedy: "give the log folder, or run this where the run was started".to_owned(),
            });
        }
        Ok(Self {
            name,
            log_dir,
            model_dir: Some(model_dir),
            config: Some(config),
        })
    }

    /// The configuration, each value under its flag's name; empty without a checkpoint.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        self.config
            .as_ref()
            .map(TrainConfig::arguments)
            .unwrap_or_default()
    }
}

fn no_run(run: &Path) -> TrainError {
    TrainError::Data {
        path: run.to_owned(),
        what: format!(
            "found no run here, expected a log folder with {STEPS_FILE} or a model folder with \
             checkpoints"
        ),
        remedy: "give the folder that train names as it ends".to_owned(),
    }
}

fn is_log_dir(folder: &Path) -> bool {
    folder.join(STEPS_FILE).is_file() || folder.join(CONFIG_TOML).is_file()
}

fn name_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The configuration of the last checkpoint in a folder; `None` where there is none.
fn config_of(model_dir: &Path) -> Result<Option<TrainConfig>, TrainError> {
    let Some(checkpoint) = model_dir
        .is_dir()
        .then(|| latest(model_dir))
        .transpose()?
        .flatten()
    else {
        return Ok(None);
    };
    let progress: Progress = read_progress(&checkpoint)?;
    Ok(Some(progress.config))
}

/// The parent of model folders that the configuration in a log folder names.
fn models_base(log_dir: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(log_dir.join(CONFIG_TOML)).ok()?;
    let table: toml::Table = text.parse().ok()?;
    table.get("models_base_dir")?.as_str().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_folder_without_models_is_a_run() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let logs = root.path().join("20240101-000000");
        fs::create_dir(&logs).expect("writable");
        assert!(RunFiles::find(&logs).is_err(), "an empty folder is no run");
        fs::write(logs.join(STEPS_FILE), "").expect("writable");
        let found = RunFiles::find(&logs).expect("a run");
        assert_eq!(found.name, "20240101-000000");
        assert!(found.model_dir.is_none() && found.settings().is_empty());
    }

    #[test]
    fn what_is_no_run_is_named_with_what_to_give() {
        let error = RunFiles::find(Path::new("no/such/run")).expect_err("not there");
        assert_eq!(error.exit_class(), crate::ExitClass::Data);
        let message = error.to_string();
        assert!(
            message.starts_with("no/such/run: found no run here"),
            "{message}"
        );
    }
}
