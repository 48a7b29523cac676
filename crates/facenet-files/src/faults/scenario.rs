//! Every fault in every place of some writing.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::fs;
use std::ops::AddAssign;
use std::path::Path;

use super::faulty::{Fault, Faulty};

/// What is wrong, in words of whoever says so.
pub type Problem = Box<dyn Error + Send + Sync>;

/// Some writing, and what must be true after it, whatever fails.
pub struct Scenario<'a> {
    /// Makes the old state in an empty folder.
    pub prepare: &'a dyn Fn(&Path) -> Result<(), Problem>,
    /// Makes the new state.
    pub act: &'a dyn Fn(&Faulty, &Path) -> Result<(), Problem>,
    /// Looks at the folder afterwards, and may change it.
    pub check: &'a dyn Fn(&Path, &Told) -> Result<(), Problem>,
}

/// What has happened before a look.
#[derive(Debug)]
pub struct Told {
    /// What failed; `None` where nothing did.
    pub fault: Option<Fault>,
    /// What the writing said of it, with the chain of its reasons; `None` where it succeeded.
    pub error: Option<String>,
    /// Whether the machine has crashed since.
    pub has_crashed: bool,
}

impl Told {
    /// Whether the writing has succeeded: the state is the new one, even after a crash.
    pub fn is_done(&self) -> bool {
        self.error.is_none()
    }
}

/// What was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Operations of the writing where nothing fails.
    pub operations: usize,
    /// Faults, each in one of its places.
    pub faults: usize,
    /// States of the folder that were looked at, those after crashes included.
    pub states: usize,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.operations += other.operations;
        self.faults += other.faults;
        self.states += other.states;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            operations,
            faults,
            states,
        } = self;
        write!(
            f,
            "{operations} operations, {faults} faults, {states} states"
        )
    }
}

impl Scenario<'_> {
    /// Lets nothing fail, and then each [`Fault`] befall each operation in turn; looks after each,
    /// and, where the process ended or had done its work, at everything that a crash may leave.
    ///
    /// - `folder`: made, and emptied before each trial; left empty
    ///
    /// # Errors
    /// The first problem, with the fault and the operation that it befell; and whatever keeps a
    /// trial from beginning.
    pub fn run(&self, folder: &Path) -> Result<Count, Problem> {
        self.run_on(folder, |files| files)
    }

    /// As [`run`](Self::run), on a file system with `change` made to it.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_on(
        &self,
        folder: &Path,
        change: impl Fn(Faulty) -> Faulty,
    ) -> Result<Count, Problem> {
        let mut count = Count::default();
        let files = change(self.begin(folder)?);
        count.states += self.trial(&files, folder, None)?;
        count.operations = files.operations().len();
        for fault in Fault::ALL {
            for at in 0..count.operations {
                let files = change(self.begin(folder)?);
                files.arm(fault, at);
                count.states += self.trial(&files, folder, Some(fault)).map_err(|problem| {
                    let operations = files.operations();
                    let befell = operations.get(at).map_or("nothing", String::as_str);
                    format!("{fault:?} at operation {at} ({befell}): {problem}")
                })?;
                count.faults += 1;
            }
        }
        empty(folder)?;
        Ok(count)
    }

    fn begin(&self, folder: &Path) -> Result<Faulty, Problem> {
        empty(folder)?;
        (self.prepare)(folder)?;
        Ok(Faulty::new(folder)?)
    }

    /// One trial; gives the states that were looked at.
    fn trial(&self, files: &Faulty, folder: &Path, fault: Option<Fault>) -> Result<usize, Problem> {
        let error = (self.act)(files, folder).err().map(|error| chain(&*error));
        let mut told = Told {
            fault,
            error,
            has_crashed: false,
        };
        if fault != Some(Fault::Lost) {
            (self.check)(folder, &told)?;
        }
        if fault.is_some() && fault != Some(Fault::Lost) {
            return Ok(1);
        }
        told.has_crashed = true;
        let mut states = BTreeSet::new();
        for survival in files.survivals() {
            let state = files.after(survival);
            if states.contains(&state) {
                continue;
            }
            files.crash(&state)?;
            let looked = (self.check)(folder, &told);
            looked.map_err(|problem| format!("after a crash with {survival:?}: {problem}"))?;
            states.insert(state);
        }
        Ok(states.len() + usize::from(fault.is_none()))
    }
}

fn empty(folder: &Path) -> Result<(), Problem> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(fs::create_dir_all(folder)?)
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let reasons = std::iter::successors(Some(error), |&error| error.source());
    reasons
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Access, FileSystem, Output, append_line, new_folder, put_folder, replace, sweep, write_new,
    };
    use std::io::{self, Write};

    const OLD: &[u8] = b"the old text";
    const NEW: &[u8] = b"the new text";

    /// Replaces a file by `act`, and wants the old or the new one whatever fails.
    fn replacing(act: &dyn Fn(&Faulty, &Path) -> Result<(), Problem>) -> Result<Count, Problem> {
        let folder = tempfile::tempdir()?;
        let scenario = Scenario {
            prepare: &|root| Ok(fs::write(root.join("a"), OLD)?),
            act: &|files, root| act(files, &root.join("a")),
            check: &|root, told| match fs::read(root.join("a")).as_deref() {
                Ok(NEW) => Ok(()),
                Ok(OLD) if !told.is_done() => Ok(()),
                other => Err(format!("found {other:?}").into()),
            },
        };
        scenario.run(&folder.path().join("trials"))
    }

    #[track_caller]
    fn check_caught(act: impl Fn(&Faulty, &Path) -> io::Result<()>, expected: &str) {
        let caught = replacing(&|files, path| Ok(act(files, path)?)).expect_err("a wrong writer");
        assert!(caught.to_string().contains(expected), "{caught}");
    }

    fn write(files: &Faulty, path: &Path) -> io::Result<Box<dyn Output>> {
        let mut file = files.create(path, Access::Usual)?;
        file.write_all(NEW)?;
        Ok(file)
    }

    #[test]
    fn a_right_writer_passes() {
        let count = replacing(&|files, path| Ok(replace(files, path, NEW)?)).expect("right");
        // create, write, sync, rename, sync folder
        assert_eq!((count.operations, count.faults), (5, 5 * 4));
        assert!(count.states > count.faults, "{count}");
    }

    #[test]
    fn a_writer_without_a_sync_is_caught() {
        let act = |files: &Faulty, path: &Path| {
            let scratch = path.with_file_name("b");
            drop(write(files, &scratch)?);
            files.rename(&scratch, path)?;
            files.sync_folder(crate::folder_of(path))
        };
        check_caught(act, "contents: Lost }: found Ok([])");
    }

    #[test]
    fn a_writer_that_leaves_the_folder_unsynchronised_is_caught() {
        let act = |files: &Faulty, path: &Path| {
            let scratch = path.with_file_name("b");
            write(files, &scratch)?.sync()?;
            files.rename(&scratch, path)
        };
        check_caught(act, "names: First(0)");
    }

    #[test]
    fn a_writer_that_overwrites_in_place_is_caught() {
        let act = |files: &Faulty, path: &Path| {
            files.remove_file(path)?;
            write(files, path)?.sync()?;
            files.sync_folder(crate::folder_of(path))
        };
        check_caught(act, "Refused at operation 1 (create a): found Err");
    }

    #[test]
    fn a_folder_that_deletes_before_its_name_has_gone_is_caught() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let caught = Scenario {
            prepare: &|root| {
                fs::create_dir(root.join("a"))?;
                Ok(fs::write(root.join("a/x"), OLD)?)
            },
            act: &|files, root| {
                files.rename(&root.join("a"), &root.join("b"))?;
                files.remove_file(&root.join("b/x"))?;
                Ok(files.remove_folder(&root.join("b"))?)
            },
            check: &|root, _| {
                if root.join("a").exists() && !root.join("a/x").exists() {
                    return Err("half a folder".into());
                }
                Ok(())
            },
        }
        .run(&folder.path().join("trials"))
        .expect_err("wrong");
        assert!(caught.to_string().contains("half a folder"), "{caught}");
    }

    /// A folder of two files that belong together.
    fn fill(files: &dyn FileSystem, folder: &Path, text: &[u8]) -> Result<(), crate::FileError> {
        ["x", "y"]
            .iter()
            .try_for_each(|name| write_new(files, &folder.join(name), text))
    }

    fn read(folder: &Path) -> Option<Vec<u8>> {
        let [x, y] = ["x", "y"].map(|name| fs::read(folder.join(name)).ok());
        x.filter(|x| Some(x) == y.as_ref())
    }

    fn putting(change: impl Fn(Faulty) -> Faulty) -> Count {
        let root = tempfile::tempdir().expect("a scratch folder");
        let scenario = Scenario {
            prepare: &|root| {
                fs::create_dir(root.join("a"))?;
                Ok(fill(&crate::Disk, &root.join("a"), OLD)?)
            },
            act: &|files, root| {
                let scratch = root.join(".scratch-a");
                crate::make_folder(files, &scratch)?;
                fill(files, &scratch, NEW)?;
                Ok(put_folder(files, &scratch, &root.join("a"))?)
            },
            check: &|root, told| {
                sweep(&crate::Disk, root)?;
                let names = fs::read_dir(root)?.count();
                match read(&root.join("a")).as_deref() {
                    _ if names != 1 => Err(format!("found {names} names").into()),
                    Some(NEW) => Ok(()),
                    Some(OLD) if !told.is_done() => Ok(()),
                    other => Err(format!("found {other:?}").into()),
                }
            },
        };
        let counted = scenario.run_on(&root.path().join("trials"), change);
        counted.expect("right, with names exchanged or not")
    }

    #[test]
    fn a_folder_is_the_old_or_the_new_one() {
        let [one, other] = [putting(|files| files), putting(Faulty::without_exchange)];
        assert!(one.operations < other.operations, "{one}, {other}");
    }

    #[test]
    fn a_new_folder_is_filled_or_not_there() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let scenario = Scenario {
            prepare: &|_| Ok(()),
            act: &|files, root| {
                Ok(new_folder(files, &root.join("b/a"), |scratch| {
                    fill(files, scratch, NEW)
                })?)
            },
            check: &|root, told| {
                let found = read(&root.join("b/a"));
                let is_there = root.join("b/a").exists();
                match (found.as_deref(), is_there) {
                    (Some(NEW), _) => Ok(()),
                    (None, false) if !told.is_done() => Ok(()),
                    (found, _) => Err(format!("found {found:?}").into()),
                }
            },
        };
        scenario.run(&root.path().join("trials")).expect("right");
    }

    #[test]
    fn lines_are_whole_or_torn_alone() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let scenario = Scenario {
            prepare: &|_| Ok(()),
            act: &|files, root| {
                let mut appended = ["one\n", "two\n", "three\n"]
                    .iter()
                    .map(|line| append_line(files, &root.join("a"), line.as_bytes()));
                Ok(appended.try_for_each(|line| line)?)
            },
            check: &|root, _| {
                append_line(&crate::Disk, &root.join("a"), b"last\n")?;
                let text = fs::read_to_string(root.join("a"))?;
                let mut lines: Vec<_> = text.lines().collect();
                let last = lines.pop();
                let torn = lines.last().copied().unwrap_or_default();
                let whole = ["one", "two", "three"];
                let is_whole = |(found, whole): (&&str, &str)| *found == whole;
                let before = &lines[..lines.len().saturating_sub(1)];
                let is_good = last == Some("last")
                    && before.iter().zip(whole).all(is_whole)
                    && (lines.is_empty() || whole[lines.len() - 1].starts_with(torn));
                if is_good {
                    Ok(())
                } else {
                    Err(format!("found {text:?}").into())
                }
            },
        };
        scenario.run(&root.path().join("trials")).expect("right");
    }
}
