//! Tiny runs in scratch folders: what the tests of the engine train.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use facenet_train::dataset::Synthetic;
use facenet_train::lfw::{PairsConfig, Report};
use facenet_train::{
    Event, ExitClass, Leftover, Outcome, ResumeOverrides, ResumeRequest, Silent, Strategy,
    TrainConfig, TrainError, TrainRequest, checkpoint_path, resume, train, write_synthetic,
};
use tempfile::TempDir;

/// A folder that goes with the test, holding `logs/` and `models/`.
pub(crate) struct Scratch {
    root: TempDir,
}

/// What a run said while it ran.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Number of each round.
    pub(crate) rounds: Vec<u64>,
    /// Triplets of each round.
    pub(crate) mined: Vec<usize>,
    /// Epoch and number of steps in it so far, of each step.
    pub(crate) steps: Vec<(u64, u64)>,
    /// Images of each step.
    pub(crate) images: Vec<usize>,
    /// Loss of each step.
    pub(crate) losses: Vec<f64>,
    /// Warnings.
    pub(crate) warnings: Vec<String>,
    /// Notes.
    pub(crate) notes: Vec<String>,
    /// Whether of the average, and the figures, of each score.
    pub(crate) scores: Vec<(bool, Report)>,
    /// Step of the run at which each round was mined.
    pub(crate) mined_after: Vec<usize>,
}

impl Told {
    fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Mined {
                round, triplets, ..
            } => {
                self.rounds.push(*round);
                self.mined.push(*triplets);
                self.mined_after.push(self.steps.len());
            }
            Event::Stepped {
                epoch,
                step_in_epoch,
                images,
                loss,
                ..
            } => {
                self.images.push(*images);
                self.steps.push((*epoch, *step_in_epoch));
                self.losses.push(*loss);
            }
            Event::Scored { is_ema, report, .. } => {
                self.scores.push((*is_ema, (*report).clone()));
            }
            Event::Warning(text) => self.warnings.push((*text).to_owned()),
            Event::Note(text) => self.notes.push((*text).to_owned()),
            _ => {}
        }
    }
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self {
            root: tempfile::tempdir().expect("a scratch folder"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Two epochs of four steps on twelve drawn people: everything that has a state is on.
    pub(crate) fn config(&self) -> TrainConfig {
        TrainConfig {
            synthetic_identities: 12,
            synthetic_images: 4,
            synthetic_test_identities: 0,
            image_size: 16,
            random_rotate: true,
            embedding_size: 16,
            keep_probability: 0.8,
            people_per_batch: 4,
            images_per_person: 3,
            max_triplets: 1000,
            strategy: Strategy::Reference,
            // Rounds of some dozens of triplets and steps of 21: rounds end within epochs.
            margin: 0.1,
            batch_size: 63,
            leftover: Leftover::Carry,
            epoch_size: 4,
            max_nrof_epochs: 2,
            learning_rate: 1e-3,
            moving_average_decay: 0.9,
            weight_decay: 1e-4,
            loader_threads: 1,
            checkpoint_every: Some(3),
            logs_base_dir: self.path("logs"),
            models_base_dir: self.path("models"),
            ..TrainConfig::demo()
        }
    }

    /// [`Self::config`], scored on drawn people.
    pub(crate) fn scored_config(&self) -> TrainConfig {
        TrainConfig {
            synthetic_test_identities: 8,
            lfw_nrof_folds: Some(2),
            ..self.config()
        }
    }

    /// Writes a folder of drawn people, with a pairs file of two folds; gives the latter.
    pub(crate) fn people(&self, name: &str, identities: u32, images: u32) -> PathBuf {
        let people = Synthetic {
            identities,
            images_per_identity: images,
            first_identity: 0,
            side: 16,
            seed: 5,
        };
        let pairs = PairsConfig {
            folds: 2,
            pairs_per_kind: 10,
            seed: 5,
        };
        write_synthetic(&people, &pairs, &self.path(name)).expect("writable")
    }

    /// Everything below the scratch folder that has the name of unfinished work.
    pub(crate) fn unfinished(&self) -> Vec<PathBuf> {
        let is_unfinished = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with('.') || name.ends_with(".part") || name.ends_with(".tmp")
        };
        let mut found = below(self.root.path());
        found.retain(is_unfinished);
        found
    }

    /// What lies in the scratch folder, the names directly in it.
    pub(crate) fn names(&self) -> Vec<String> {
        names(self.root.path())
    }
}

/// Runs to the end.
#[track_caller]
pub(crate) fn run(config: TrainConfig) -> Outcome {
    let request = TrainRequest {
        config,
        command_line: vec!["facenet".to_owned(), "train".to_owned()],
    };
    train(&request, &mut Silent).expect("a good configuration")
}

/// Runs and collects what was told.
pub(crate) fn listen(config: TrainConfig) -> (Result<Outcome, TrainError>, Told) {
    let request = TrainRequest {
        config,
        command_line: Vec::new(),
    };
    let mut told = Told::default();
    let outcome = train(&request, &mut |event: &Event<'_>| told.note(event));
    (outcome, told)
}

/// Goes on from `dir`.
pub(crate) fn go_on(dir: &Path, overrides: ResumeOverrides) -> Result<Outcome, TrainError> {
    let request = ResumeRequest {
        dir: dir.to_owned(),
        overrides,
        command_line: Vec::new(),
    };
    resume(&request, &mut Silent)
}

/// The run's folder in `models/`.
pub(crate) fn run_dir(outcome: &Outcome) -> PathBuf {
    let dir = outcome.model_dir.parent();
    dir.expect("`model` lies in the run's folder").to_owned()
}

/// The run's checkpoint after `step` steps.
pub(crate) fn checkpoint_of(outcome: &Outcome, step: u64) -> PathBuf {
    checkpoint_path(&run_dir(outcome), step)
}

/// Names and contents of the files in a folder.
pub(crate) fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |name: String| {
        let bytes = fs::read(dir.join(&name)).expect("a readable file");
        (name, bytes)
    };
    names(dir).into_iter().map(read).collect()
}

/// Copies a folder of files.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("writable");
    for (name, bytes) in contents(from) {
        fs::write(to.join(name), bytes).expect("writable");
    }
}

/// Sorted names in a folder.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a folder");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let name = entry.expect("readable").file_name();
        name.to_string_lossy().into_owned()
    };
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    names
}

fn below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in names(dir) {
        let path = dir.join(name);
        if path.is_dir() {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found
}

/// The error is of `class`, a line, and says `expected`.
#[track_caller]
pub(crate) fn check_error(error: &TrainError, class: ExitClass, expected: &str) {
    let message = error.to_string();
    assert_eq!(error.exit_class(), class, "{message}");
    assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    assert!(!message.contains('\n'), "{message:?} has lines");
}
