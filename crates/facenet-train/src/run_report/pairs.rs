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
