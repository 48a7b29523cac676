//! One image file looked at, and many of them on threads.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use sha2::{Digest, Sha256};

use super::print::Print;
use crate::decode::{decode_bytes, read};
use crate::error::{DatasetError, in_line};
use crate::format::{Format, sniff};
use crate::limits::DecodeLimits;

/// What was seen of a readable image file.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// SHA-256 of the file.
    pub(super) digest: [u8; 32],
    /// Columns of the upright picture.
    pub(super) width: usize,
    /// Rows.
    pub(super) height: usize,
    /// The format of its content.
    pub(super) format: Format,
    /// What it looks like.
    pub(super) print: Print,
}

/// A look, or why there is none, on one line.
pub(super) type Looked = Result<Look, String>;

fn look(path: &Path, limits: &DecodeLimits) -> Result<Look, DatasetError> {
    let bytes = read(path, limits)?;
    let picture = decode_bytes(&bytes, path, limits)?;
    picture.check()?;
    let format = sniff(&bytes).map_err(|found| DatasetError::Format {
        path: path.to_owned(),
        found: found.to_owned(),
    })?;
    Ok(Look {
        digest: Sha256::digest(&bytes).into(),
        width: picture.width,
        height: picture.height,
        format,
        print: Print::of(&picture),
    })
}

/// Looks at every path, in order; the threads do not matter.
///
/// - `progress`: called here with files done and their number
///
/// # Errors
/// [`DatasetError::Thread`] where one cannot be started.
pub(super) fn look_at(
    paths: &[&Path],
    limits: &DecodeLimits,
    threads: usize,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Looked>, DatasetError> {
    let next = AtomicUsize::new(0);
    let (sender, looks) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, paths.len().max(1)) {
            let (sender, next) = (sender.clone(), &next);
            let work = move || {
                while let Some((i, path)) = take(next, paths) {
                    let looked = look(path, limits).map_err(|error| in_line(&error));
                    if sender.send((i, looked)).is_err() {
                        return;
                    }
                }
            };
            let thread = std::thread::Builder::new().spawn_scoped(scope, work);
            thread.map_err(|source| DatasetError::Thread { source })?;
        }
        drop(sender);
        let mut in_order: Vec<Option<Looked>> = vec![None; paths.len()];
        for (done, (i, looked)) in looks.into_iter().enumerate() {
            in_order[i] = Some(looked);
            progress(done + 1, paths.len());
        }
        Ok(in_order.into_iter().flatten().collect())
    })
}

/// The next path that nobody has taken, and its index.
fn take<'a>(next: &AtomicUsize, paths: &[&'a Path]) -> Option<(usize, &'a Path)> {
    let i = next.fetch_add(1, Ordering::Relaxed);
    paths.get(i).map(|path| (i, *path))
}
