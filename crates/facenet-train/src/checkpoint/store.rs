//! The checkpoints of a run folder: which is the latest, which may go.

use std::fs;
use std::path::{Path, PathBuf};

use facenet_files::{FileSystem, SCRATCH_PREFIX, delete, folder_of, prefixed, rename, sync_folder};

use super::manifest::Manifest;
use crate::error::TrainError;

/// What the name of a checkpoint's folder begins with.
const PREFIX: &str = "checkpoint-";
/// What is put before the name of a folder that a run has gone back behind.
const SUPERSEDED_PREFIX: &str = "superseded-";

/// Step and folder.
type Found = (u64, PathBuf);

/// The folder of the checkpoint after `step` steps.
pub fn checkpoint_path(run_dir: &Path, step: u64) -> PathBuf {
    run_dir.join(format!("{PREFIX}{step:08}"))
}

/// Step and folder of each complete checkpoint in `run_dir`, by rising step.
///
/// Complete: the manifest is there and every member has its length; hashes are for
/// [`Checkpoint::load`](super::Checkpoint::load). Others are passed over with a warning.
///
/// # Errors
/// [`TrainError::Io`] when `run_dir` cannot be listed.
pub fn checkpoints(run_dir: &Path) -> Result<Vec<(u64, PathBuf)>, TrainError> {
    let (complete, broken) = complete_and_broken(run_dir)?;
    for error in broken {
        tracing::warn!("incomplete checkpoint passed over: {error}");
    }
    Ok(complete)
}

/// The checkpoint with the most steps, if there is any.
///
/// # Errors
/// [`TrainError::Checkpoint`] when there are checkpoints and none is complete;
/// [`TrainError::Io`] when `run_dir` cannot be listed.
pub fn latest(run_dir: &Path) -> Result<Option<PathBuf>, TrainError> {
    let (mut complete, mut broken) = complete_and_broken(run_dir)?;
    match (complete.pop(), broken.pop()) {
        (Some((_, path)), _) => Ok(Some(path)),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(None),
    }
}

/// Deletes all complete checkpoints but the `keep` latest and those after the steps `spared`;
/// returns what it deleted.
///
/// # Errors
/// [`TrainError::Io`] when a folder cannot be listed, [`TrainError::File`] when one cannot be deleted.
pub fn prune(
    files: &dyn FileSystem,
    run_dir: &Path,
    keep: usize,
    spared: impl IntoIterator<Item = u64>,
) -> Result<Vec<PathBuf>, TrainError> {
    let mut old = checkpoints(run_dir)?;
    old.truncate(old.len().saturating_sub(keep));
    let spared: Vec<u64> = spared.into_iter().collect();
    old.retain(|(step, _)| !spared.contains(step));
    for (_, path) in &old {
        discard(files, path)?;
    }
    Ok(old.into_iter().map(|(_, path)| path).collect())
}

/// Moves whatever has the name of a checkpoint of more than `step` steps aside, where it is no
/// checkpoint any more: `superseded-checkpoint-<step>`, in place of an earlier one of that name.
/// A run that goes on from `step` makes other ones. Returns what it moved, under its new names.
///
/// # Errors
/// [`TrainError::Io`] when a folder cannot be listed, [`TrainError::File`] when one cannot be moved
/// or deleted.
pub fn supersede(
    files: &dyn FileSystem,
    run_dir: &Path,
    step: u64,
) -> Result<Vec<PathBuf>, TrainError> {
    let mut later = found(run_dir)?;
    later.retain(|(found, _)| *found > step);
    // From the last, so that what a crash leaves is the run as it was at some step.
    let moved = later.iter().rev().map(|(_, path)| set_aside(files, path));
    let mut moved = moved.collect::<Result<Vec<_>, _>>()?;
    moved.reverse();
    Ok(moved)
}

/// Gives a folder of an abandoned part of a run a name that says so, and returns it.
pub(crate) fn set_aside(files: &dyn FileSystem, path: &Path) -> Result<PathBuf, TrainError> {
    let aside = prefixed(path, SUPERSEDED_PREFIX);
    delete(files, &aside)?;
    rename(files, path, &aside)?;
    sync_folder(files, folder_of(path))?;
    Ok(aside)
}

/// The name that `path` has while it is not complete.
pub(super) fn scratch_path(path: &Path) -> PathBuf {
    prefixed(path, SCRATCH_PREFIX)
}

/// Deletes a checkpoint so that no half of it ever has its name.
fn discard(files: &dyn FileSystem, path: &Path) -> Result<(), TrainError> {
    let scratch = scratch_path(path);
    delete(files, &scratch)?;
    rename(files, path, &scratch)?;
    // Were its files to go before its name, a crash would leave a half.
    sync_folder(files, folder_of(path))?;
    Ok(delete(files, &scratch)?)
}

/// The checkpoints that can be read, and what is wrong with the others; each by rising step.
fn complete_and_broken(run_dir: &Path) -> Result<(Vec<Found>, Vec<TrainError>), TrainError> {
    let (mut complete, mut broken) = (Vec::new(), Vec::new());
    for (step, path) in found(run_dir)? {
        match Manifest::read(&path).and_then(|manifest| manifest.check_presence(&path)) {
            Ok(()) => complete.push((step, path)),
            Err(error) => broken.push(error),
        }
    }
    Ok((complete, broken))
}

/// Everything in `run_dir` with a checkpoint's name, by rising step.
fn found(run_dir: &Path) -> Result<Vec<Found>, TrainError> {
    let step = |name: &str| {
        let digits = name.strip_prefix(PREFIX)?;
        let is_number = digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten()
    };
    let named = entries(run_dir)?.into_iter();
    let mut found: Vec<Found> = named
        .filter_map(|(name, path)| Some((step(&name)?, path)))
        .collect();
    found.sort();
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, TrainError> {
    let failed = |source| TrainError::io(folder, "list this folder", source);
    let entries = fs::read_dir(folder).map_err(failed)?.map(|entry| {
        let entry = entry.map_err(failed)?;
        Ok((
            entry.file_name().to_string_lossy().into_owned(),
            entry.path(),
        ))
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use facenet_files::Disk;
    use std::collections::BTreeMap;

    fn run_with(steps: &[u64]) -> tempfile::TempDir {
        let run = tempfile::tempdir().expect("a scratch folder");
        for &step in steps {
            empty(step).save(run.path(), step, &[]).expect("writable");
        }
        run
    }

    fn empty(progress: u64) -> Checkpoint<u64> {
        Checkpoint {
            model: BTreeMap::new(),
            ema: None,
            head: None,
            optimizer: BTreeMap::new(),
            progress,
        }
    }

    fn steps(run: &Path) -> Vec<u64> {
        checkpoints(run)
            .expect("a folder")
            .into_iter()
            .map(|(step, _)| step)
            .collect()
    }

    #[test]
    fn the_latest_has_the_most_steps_whatever_the_digits() {
        let run = run_with(&[99_999_999, 100_000_000, 7]);
        let path = latest(run.path())
            .expect("complete")
            .expect("three of them");
        assert_eq!(path, run.path().join("checkpoint-100000000"));
        assert_eq!(steps(run.path()), [7, 99_999_999, 100_000_000]);
    }

    #[test]
    fn other_names_are_no_checkpoints() {
        let run = run_with(&[]);
        for name in [
            "checkpoint-1",
            "checkpoint-0000000x",
            "checkpoint-",
            "other",
        ] {
            fs::create_dir(run.path().join(name)).expect("writable");
        }
        assert_eq!(latest(run.path()).expect("a folder"), None);
    }

    #[test]
    fn an_incomplete_one_is_passed_over() {
        let run = run_with(&[1, 2]);
        let newest = checkpoint_path(run.path(), 2);
        fs::remove_file(newest.join("progress.json")).expect("ours");
        assert_eq!(
            latest(run.path()).expect("one is good"),
            Some(checkpoint_path(run.path(), 1))
        );
        fs::remove_file(checkpoint_path(run.path(), 1).join("manifest.json")).expect("ours");
        let message = latest(run.path()).expect_err("none is good").to_string();
        assert!(
            message.contains("progress.json"),
            "the newest is named: {message}"
        );
    }

    #[test]
    fn one_with_a_member_cut_short_or_grown_is_incomplete() {
        for contents in ["2", "222"] {
            let run = run_with(&[22]);
            let member = checkpoint_path(run.path(), 22).join("progress.json");
            fs::write(member, contents).expect("ours");
            assert!(latest(run.path()).is_err(), "{contents} instead of 22");
        }
    }

    #[test]
    fn pruning_keeps_the_last_and_the_best() {
        let run = run_with(&[10, 20, 30, 40, 50]);
        let deleted = prune(&Disk, run.path(), 2, Some(20)).expect("ours");
        assert_eq!(
            deleted,
            [10, 30].map(|step| checkpoint_path(run.path(), step))
        );
        assert_eq!(steps(run.path()), [20, 40, 50]);
        assert!(prune(&Disk, run.path(), 9, None).expect("ours").is_empty());
    }

    #[test]
    fn what_is_later_than_the_step_gone_back_to_is_moved_aside_whole_or_not() {
        let run = run_with(&[4, 9, 10]);
        fs::remove_file(checkpoint_path(run.path(), 9).join("progress.json")).expect("ours");
        fs::create_dir(run.path().join("superseded-checkpoint-00000010"))
            .expect("of an earlier time");
        assert!(supersede(&Disk, run.path(), 10).expect("ours").is_empty());
        let moved = supersede(&Disk, run.path(), 4).expect("ours");
        let aside = [
            "superseded-checkpoint-00000009",
            "superseded-checkpoint-00000010",
        ];
        assert_eq!(moved, aside.map(|name| run.path().join(name)));
        assert!(moved[1].join("progress.json").is_file());
        assert_eq!(steps(run.path()), [4]);
    }
}
