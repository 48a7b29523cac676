//! A tiny run as a process of its own, in a folder of its own.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use facenet_train::files::{Disk, SCRATCH_PREFIX, delete, make_folders};
use facenet_train::{TrainError, checkpoints};

use super::draws::Moment;
use super::trained::Trained;
use crate::failure::Failure;
use crate::signals::Signals;

/// What has a state is on, but for what [`Trained`] adds, and a step takes milliseconds. Folders are
/// relative, so that all runs have the same configuration.
const FLAGS: &str = "--model-def tiny --image-size 16 --embedding-size 8 --keep-probability 0.8 \
    --synthetic-identities 12 --synthetic-images 4 --synthetic-test-identities 6 \
    --lfw-nrof-folds 2 --people-per-batch 4 --images-per-person 3 \
    --learning-rate 0.001 --moving-average-decay 0.9 --weight-decay 1e-4 \
    --epoch-size 10 --max-nrof-epochs 3 --checkpoint-every 3 --loader-threads 1 --threads 1 \
    --models-base-dir models --logs-base-dir logs";
/// No tiny run takes so long, on any disk.
const TOO_LONG: Duration = Duration::from_mins(2);
/// Between two looks at a process.
const PAUSE: Duration = Duration::from_micros(300);

/// Unfinished work, and when it was begun, where the system says so.
pub(super) type Unfinished = (PathBuf, Option<SystemTime>);

/// A run in a folder.
pub(super) struct Run {
    pub(super) root: PathBuf,
    program: PathBuf,
    trained: Trained,
    /// To this process, which then ends the run's.
    signals: Signals,
    /// What its last process has said on stderr.
    said: File,
}

impl Run {
    /// Makes the folder.
    pub(super) fn new(root: &Path, trained: Trained, signals: Signals) -> Result<Self, Failure> {
        make_folders(&Disk, root).map_err(TrainError::from)?;
        let program = std::env::current_exe();
        let program = program.map_err(|error| failed(root, "find this program", &error))?;
        let said = tempfile::tempfile();
        let said = said.map_err(|error| failed(root, "make a file for its errors", &error))?;
        Ok(Self {
            root: root.to_owned(),
            program,
            trained,
            signals,
            said,
        })
    }

    /// Deletes the folder.
    pub(super) fn remove(&self) -> Result<(), Failure> {
        Ok(delete(&Disk, &self.root).map_err(TrainError::from)?)
    }

    /// Deletes what a process left that came to no checkpoint.
    fn clear(&self) -> Result<(), Failure> {
        let folders = ["models", "logs"].map(|name| self.root.join(name));
        let mut there = folders.iter().filter(|folder| folder.exists());
        let deleted = there.try_for_each(|folder| delete(&Disk, folder));
        Ok(deleted.map_err(TrainError::from)?)
    }

    /// The run's folder that has a checkpoint, and the step of the newest.
    pub(super) fn newest(&self) -> Result<Option<(PathBuf, u64)>, Failure> {
        let Ok(entries) = fs::read_dir(self.root.join("models")) else {
            return Ok(None);
        };
        for entry in entries.flatten() {
            if let Some((step, _)) = checkpoints(&entry.path())?.pop() {
                return Ok(Some((entry.path(), step)));
            }
        }
        Ok(None)
    }

    /// Begins the run, anew where there is no checkpoint, or goes on with it.
    pub(super) fn start(&self) -> Result<Child, Failure> {
        let mut command = Command::new(&self.program);
        command.args(["train", "--quiet", "--json"]);
        if let Some((dir, _)) = self.newest()? {
            let dir = dir.strip_prefix(&self.root).expect("it was found there");
            command.arg("--resume").arg(dir);
        } else {
            self.clear()?;
            command.args(FLAGS.split_whitespace());
            command.args(self.trained.flags().split_whitespace());
        }
        command
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.errors()?);
        let child = command.spawn();
        child.map_err(|error| failed(&self.program, "start this program", &error))
    }

    /// The file for errors, empty.
    fn errors(&self) -> Result<File, Failure> {
        let mut said = &self.said;
        let empty = said.set_len(0).and_then(|()| said.rewind());
        let file = empty.and_then(|()| said.try_clone());
        file.map_err(|error| failed(&self.root, "empty the file for its errors", &error))
    }

    /// Begins or goes on, to the end; gives the time that it took.
    pub(super) fn to_the_end(&self) -> Result<Duration, Failure> {
        let (began, mut child) = (Instant::now(), self.start()?);
        let status = self.wait(&mut child, TOO_LONG)?;
        let took = began.elapsed();
        match status {
            Some(status) if status.success() => Ok(took),
            Some(status) => Err(self.gone_wrong(&format!("it ended with {status}"))),
            None => {
                end(&mut child);
                let seconds = TOO_LONG.as_secs();
                Err(self.gone_wrong(&format!("it was not done after {seconds} s")))
            }
        }
    }

    /// Waits for the moment; the status where the process has ended before.
    ///
    /// - `before`: unfinished work that lay there when it was started
    pub(super) fn wait_for(
        &self,
        child: &mut Child,
        moment: Moment,
        before: &[Unfinished],
    ) -> Result<Option<ExitStatus>, Failure> {
        let (first, further) = match moment {
            Moment::After(first) => return self.wait(child, first),
            Moment::InASave(first, further) => (first, further),
        };
        if let Some(status) = self.wait(child, first)? {
            return Ok(Some(status));
        }
        let began = Instant::now();
        while !self.has_begun_to_save(before) {
            if let Some(status) = self.wait(child, PAUSE)? {
                return Ok(Some(status));
            }
            if began.elapsed() > TOO_LONG {
                end(child);
                let seconds = TOO_LONG.as_secs();
                return Err(self.gone_wrong(&format!("it saved nothing in {seconds} s")));
            }
        }
        self.wait(child, further)
    }

    /// Waits so long at most; `None` where the process goes on.
    pub(super) fn wait(
        &self,
        child: &mut Child,
        most: Duration,
    ) -> Result<Option<ExitStatus>, Failure> {
        let until = Instant::now() + most;
        loop {
            let status = child.try_wait();
            let status = status.map_err(|error| failed(&self.program, "wait for it", &error))?;
            // A terminal's Ctrl-C ends the child too, which is then no finding.
            if let Some(signal) = self.signals.come() {
                end(child);
                let what = format!("{}: nothing was proven", signal.name());
                return Err(Failure::stopped(what, signal.0));
            }
            let left = until.saturating_duration_since(Instant::now());
            if status.is_some() || left.is_zero() {
                return Ok(status);
            }
            sleep(left.min(PAUSE));
        }
    }

    /// Unfinished work in the run's folder.
    pub(super) fn unfinished(&self) -> Vec<Unfinished> {
        let entries = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten();
        let within = entries(self.root.join("models")).flat_map(|run| entries(run.path()));
        let is_unfinished = |entry: &fs::DirEntry| {
            let name = entry.file_name();
            name.to_string_lossy().starts_with(SCRATCH_PREFIX)
        };
        let of = |entry: fs::DirEntry| {
            // It may be gone already, which no other work will be like.
            let made = entry
                .metadata()
                .and_then(|data| data.created().or_else(|_| data.modified()));
            (entry.path(), made.ok())
        };
        within.filter(is_unfinished).map(of).collect()
    }

    /// Whether there is unfinished work that was not there `before`.
    pub(super) fn has_begun_to_save(&self, before: &[Unfinished]) -> bool {
        let now = self.unfinished();
        now.iter().any(|one| !before.contains(one))
    }

    /// What is wrong with this run, and what it said.
    pub(super) fn gone_wrong(&self, what: &str) -> Failure {
        let (mut file, mut said) = (&self.said, String::new());
        if file
            .rewind()
            .and_then(|()| file.read_to_string(&mut said))
            .is_err()
        {
            said.push_str("nothing that can be read");
        }
        let said = said.trim().replace('\n', " ");
        let message = format!("{}: {what}; it said: {said}", self.root.display());
        Failure::unproven(message)
    }
}

/// Kills a process at once and waits until it is gone.
pub(super) fn end(child: &mut Child) {
    // It may have ended by itself a moment ago.
    let _ = child.kill();
    let _ = child.wait();
}

fn failed(path: &Path, action: &str, error: &std::io::Error) -> Failure {
    Failure::resources(format!("{}: cannot {action} ({error})", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_work_is_new_where_it_was_not_there_before() -> Result<(), Failure> {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let run = Run::new(folder.path(), Trained::Reference, Signals::default())?;
        let make = |name: &str| {
            fs::create_dir_all(folder.path().join("models/run").join(name)).expect("writable");
        };
        make("checkpoint-00000001");
        assert!(run.unfinished().is_empty());
        make(".scratch-checkpoint-00000002");
        let before = run.unfinished();
        assert!(before.len() == 1 && !run.has_begun_to_save(&before));
        make(".scratch-model");
        assert!(run.has_begun_to_save(&before));
        run.clear()?;
        assert!(run.unfinished().is_empty() && run.newest()?.is_none());
        Ok(())
    }
}
