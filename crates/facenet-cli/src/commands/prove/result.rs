//! What a run has come to, to the bit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use facenet_train::model::TENSORS_FILE;
use facenet_train::{latest, verify_checkpoint};

use super::run::Run;
use crate::failure::Failure;

/// Folders of the saved models.
const MODELS: [&str; 3] = ["model", "model-ema", "best"];

/// The end of a run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Final {
    /// SHA-256 of each member of the last checkpoint, which have been checked.
    pub(super) sha256: BTreeMap<String, String>,
    /// The tensors of the saved models.
    models: Vec<Vec<u8>>,
}

impl Final {
    /// Reads the end of a run that is done.
    ///
    /// # Errors
    /// A failure where its last checkpoint or a model is not whole, or unfinished work of a process
    /// that was disturbed has not been swept.
    pub(super) fn of(run: &Run) -> Result<Self, Failure> {
        if !run.unfinished().is_empty() {
            return Err(run.gone_wrong("it is done, and unfinished work still lies there"));
        }
        let Some((dir, _)) = run.newest()? else {
            return Err(run.gone_wrong("it is done and has no checkpoint"));
        };
        let last = latest(&dir)?.expect("it was just found");
        let sha256 = verify_checkpoint(&last)?;
        let read = |folder: &str| read(run, &dir.join(folder).join(TENSORS_FILE));
        let models = MODELS.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { sha256, models })
    }

    /// What differs from the undisturbed run's, a line each.
    pub(super) fn differences(&self, expected: &Self, run: &Run) -> Vec<String> {
        let root = run.root.display();
        let none = String::from("none");
        // All members: with relative folders, runs differ in no word of configuration or card.
        let names: BTreeSet<_> = self.sha256.keys().chain(expected.sha256.keys()).collect();
        let members = names.into_iter().filter_map(|name| {
            let [found, expected] =
                [self, expected].map(|end| end.sha256.get(name).unwrap_or(&none));
            (found != expected)
                .then(|| format!("{root}: {name}: found SHA-256 {found}, expected {expected}"))
        });
        let models = MODELS
            .into_iter()
            .zip(self.models.iter().zip(&expected.models));
        let models = models.filter(|(_, (found, expected))| found != expected);
        let models = models.map(|(name, _)| format!("{root}: the saved {name} is another"));
        members.chain(models).collect()
    }
}

fn read(run: &Run, path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = fs::read(path);
    bytes.map_err(|error| run.gone_wrong(&format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::prove::trained::Trained;
    use crate::signals::Signals;
    use facenet_train::{EMA_FILE, HEAD_FILE, MODEL_FILE, OPTIMIZER_FILE};

    #[test]
    fn what_differs_is_named() -> Result<(), Failure> {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let run = Run::new(folder.path(), Trained::OnePass, Signals::default())?;
        let hashes =
            [MODEL_FILE, EMA_FILE, OPTIMIZER_FILE].map(|name| (name.to_owned(), "a".to_owned()));
        let whole = Final {
            sha256: hashes.into(),
            models: vec![vec![1], vec![2], vec![3]],
        };
        assert_eq!(
            whole.clone().differences(&whole, &run),
            Vec::<String>::new()
        );
        let mut other = whole.clone();
        other.sha256.insert(EMA_FILE.to_owned(), "b".to_owned());
        other.sha256.remove(OPTIMIZER_FILE);
        other.sha256.insert(HEAD_FILE.to_owned(), "c".to_owned());
        other.models[1] = vec![4];
        let found = other.differences(&whole, &run);
        let parts = [
            "ema.safetensors: found SHA-256 b, expected a",
            "head.safetensors: found SHA-256 c, expected none",
            "optimizer.safetensors: found SHA-256 none, expected a",
            "the saved model-ema is another",
        ];
        assert_eq!(found.len(), parts.len(), "{found:?}");
        assert!(
            found
                .iter()
                .zip(parts)
                .all(|(found, part)| found.ends_with(part)),
            "{found:?}"
        );
        Ok(())
    }
}
