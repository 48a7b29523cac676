//! Going back to an earlier checkpoint of a run: what was made after it makes way.

use std::fs;
use std::path::Path;

use facenet_files::FileSystem;
use facenet_model::{CARD_FILE, TENSORS_FILE, load_config, load_tensors, model_files, put_model};

use crate::checkpoint::{checkpoint_path, set_aside, supersede};
use crate::error::TrainError;
use crate::observer::{Event, Observer};
use crate::progress::Progress;
use crate::run::BEST_DIR;

/// Moves aside what `run_dir` holds of steps after `progress`: a later start would take the
/// abandoned checkpoints for the run's last, and pruning would keep them instead of the new ones.
///
/// # Errors
/// [`TrainError::File`] when a folder cannot be moved.
pub(crate) fn rewind(
    files: &dyn FileSystem,
    run_dir: &Path,
    progress: &Progress,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    let aside = supersede(files, run_dir, progress.step)?;
    rewind_best(files, run_dir, progress)?;
    if let Some(last) = aside.last() {
        observer.event(&Event::Warning(&format!(
            "going back to step {}: later checkpoints moved aside: {}, the last to {}",
            progress.step,
            aside.len(),
            last.display()
        )));
    }
    Ok(())
}

/// The best model is the one that `progress` notes, where its checkpoint is still there: one of the
/// abandoned steps gives way, and one that a killed process did not come to write is written.
fn rewind_best(
    files: &dyn FileSystem,
    run_dir: &Path,
    progress: &Progress,
) -> Result<(), TrainError> {
    let best = run_dir.join(BEST_DIR);
    let made_after = load_config(&best)
        .ok()
        .and_then(|config| config.training["steps"].as_u64());
    let noted = progress.best.map(|best| best.step);
    if made_after == noted {
        return Ok(());
    }
    if made_after.is_some_and(|steps| steps > progress.step) {
        set_aside(files, &best)?;
    }
    let Some(step) = noted else {
        return Ok(());
    };
    let checkpoint = checkpoint_path(run_dir, step);
    if !checkpoint.is_dir() {
        return Ok(());
    }
    let card = checkpoint.join(CARD_FILE);
    let text = fs::read_to_string(&card)
        .map_err(|source| TrainError::io(&card, "read this file", source))?;
    let tensors = load_tensors(&checkpoint.join(TENSORS_FILE))?;
    let members = model_files(&tensors, &load_config(&checkpoint)?, &text)?;
    Ok(put_model(files, &best, &members)?)
}
