//! Killing a run at a drawn moment.

use super::draws::Draws;
use super::run::{Run, end};
use super::tally::Tally;
use crate::failure::Failure;

/// Starts the run and kills it; true where it was done before.
///
/// # Errors
/// A failure where the run failed by itself.
pub(super) fn disturb(run: &Run, draws: &mut Draws, tally: &mut Tally) -> Result<bool, Failure> {
    let before = run.unfinished();
    let mut child = run.start()?;
    let ended = run.wait_for(&mut child, draws.next().moment, &before)?;
    if let Some(status) = ended {
        return if status.success() {
            Ok(true)
        } else {
            Err(run.gone_wrong(&format!("it ended by itself with {status}")))
        };
    }
    end(&mut child);
    tally.landed += 1;
    if run.has_begun_to_save(&before) {
        tally.during_save += 1;
    } else if run.newest()?.is_none() {
        tally.before_first_checkpoint += 1;
    } else {
        tally.between_saves += 1;
    }
    Ok(false)
}
