//! The pairs that a run is shown on, and who is on their images.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::ReportRequest;
use super::files::RunFiles;
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::observer::Observer;
use crate::scoring::{PairsSource, Protocol, ScoringSet};

/// The pairs of a report, and the people on them.
pub(super) struct Shown {
    pub(super) set: ScoringSet,
    /// Of each image, as the pairs name it.
    pub(super) names: Vec<String>,
    /// Of the people, by name.
    pub(super) people: Vec<String>,
    /// Whose image each is, an index of `people`.
    pub(super) owners: Vec<u32>,
}

impl Shown {
    /// Those that the request names, or that the run was scored on; `None` where there are none.
    ///
    /// # Errors
    /// Whatever is wrong with the pairs file, and all images that it names in vain.
    pub(super) fn of(
        request: &ReportRequest,
        files: &RunFiles,
        observer: &mut dyn Observer,
    ) -> Result<Option<Self>, TrainError> {
        let config = files.config.as_ref();
        let own_dir = config.and_then(|config| config.lfw_dir.clone());
        let Some(dir) = request.lfw_dir.clone().or(own_dir) else {
            if request.lfw_pairs.is_some() {
                let problem = "found no folder of images; give --lfw-dir too";
                return Err(TrainError::config("--lfw-pairs", problem));
            }
            let set = config.map(|config| ScoringSet::of(config, observer));
            return Ok(set
                .transpose()?
                .flatten()
                .map(|set| Self::new(set, Path::new(""))));
        };
        let source = source(request, config, dir);
        let protocol = Protocol {
            nrof_folds: config.and_then(|config| config.lfw_nrof_folds),
            ..Protocol::default()
        };
        let limits = config.map(TrainConfig::decode_limits).unwrap_or_default();
        let set = ScoringSet::of_files(&source, protocol, limits, observer)?;
        Ok(Some(Self::new(set, &source.dir)))
    }

    /// - `root`: what paths of images begin with
    fn new(set: ScoringSet, root: &Path) -> Self {
        let paths = set.paths().iter();
        let paths: Vec<_> = paths
            .map(|path| path.strip_prefix(root).unwrap_or(path))
            .collect();
        let person = |path: &Path| -> String {
            let folder = path.parent().unwrap_or(Path::new(""));
            folder.display().to_string()
        };
        let mut numbers: BTreeMap<String, u32> =
            paths.iter().map(|path| (person(path), 0)).collect();
        for (number, entry) in (0..).zip(numbers.values_mut()) {
            *entry = number;
        }
        Self {
            names: paths
                .iter()
                .map(|path| path.display().to_string())
                .collect(),
            owners: paths.iter().map(|path| numbers[&person(path)]).collect(),
            people: numbers.into_keys().collect(),
            set,
        }
    }
}

/// Pairs on disk: the request's folder and file, the run's folds.
fn source(request: &ReportRequest, config: Option<&TrainConfig>, dir: PathBuf) -> PairsSource {
    let own = config.filter(|config| config.lfw_dir.is_some());
    // A folder that has moved has taken its pairs file along.
    let beside = dir.join("pairs.txt");
    let moved = request.lfw_dir.is_some() && beside.is_file();
    let pairs = match (&request.lfw_pairs, own) {
        (Some(file), _) => file.clone(),
        (None, Some(config)) if !moved => config.lfw_pairs.clone(),
        _ => beside,
    };
    PairsSource {
        dir,
        pairs,
        folds: config.and_then(|config| config.lfw_folds.clone()),
        allow_missing: config.is_some_and(|config| config.allow_missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pairs file of a request, for a run that has `data/pairs.txt` or no configuration.
    #[track_caller]
    fn check(request: &ReportRequest, is_known: bool, expected: &Path) {
        let config = TrainConfig {
            lfw_dir: Some(PathBuf::from("lfw")),
            lfw_pairs: PathBuf::from("data/pairs.txt"),
            ..TrainConfig::demo()
        };
        let dir = request.lfw_dir.clone().unwrap_or_else(|| "lfw".into());
        let found = source(request, is_known.then_some(&config), dir);
        assert_eq!(found.pairs, expected);
    }

    #[test]
    fn a_folder_that_has_moved_has_taken_its_pairs_along() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let mut request = ReportRequest {
            run: "run".into(),
            model: None,
            lfw_dir: None,
            lfw_pairs: None,
            thumbnail_side: None,
            device: "cpu".to_owned(),
            threads: None,
            arithmetic: facenet_model::Arithmetic::default(),
            loader_threads: 1,
            batch_size: 1,
        };
        check(&request, true, Path::new("data/pairs.txt"));
        check(&request, false, Path::new("lfw/pairs.txt"));
        request.lfw_dir = Some(folder.path().to_owned());
        check(&request, true, Path::new("data/pairs.txt"));
        let beside = folder.path().join("pairs.txt");
        std::fs::write(&beside, "").expect("writable");
        check(&request, true, &beside);
        request.lfw_pairs = Some("other.txt".into());
        check(&request, true, Path::new("other.txt"));
    }
}
