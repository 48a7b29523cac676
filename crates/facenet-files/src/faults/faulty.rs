//! A file system that fails when it is told to.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::tree::{State, Survival, Tree};
use crate::system::{Access, Disk, FileSystem, Output};

/// What goes wrong with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does nothing and fails (EIO); later ones work.
    Refused,
    /// A write puts half of its bytes and fails (EIO); later ones work. Other operations are
    /// refused.
    Torn,
    /// From this one on there is no room: a write puts half of its bytes and fails (ENOSPC), and
    /// nothing can be made; renaming and removing work.
    Full,
    /// The process ends before it: it and all later ones do nothing, and [`Faulty::crash`] tells
    /// what is found afterwards.
    Lost,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Refused, Self::Torn, Self::Full, Self::Lost];
}

/// The system's number of an error of the device: EIO.
const EIO: i32 = 5;

/// A file system that works on a real folder, so that readers stay the real ones, and counts its
/// operations; one of them can be told to fail. A clone is the same file system.
#[derive(Clone, Debug)]
pub struct Faulty {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    tree: Tree,
    can_exchange: bool,
    operations: Vec<String>,
    plan: Option<(Fault, usize)>,
}

/// What becomes of an operation.
enum Verdict {
    Works,
    Fails(io::Error),
    /// Half of the bytes are written.
    Tears(io::Error),
}

/// What an operation needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Room,
    Nothing,
}

impl Faulty {
    /// Begins with what is in `root` now, all of it synchronised. Nothing beside it may be written.
    ///
    /// # Errors
    /// What the system says of reading it.
    pub fn new(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        let shared = Shared {
            tree: Tree::read(&root)?,
            root,
            can_exchange: true,
            operations: Vec::new(),
            plan: None,
        };
        Ok(Self {
            shared: Arc::new(Mutex::new(shared)),
        })
    }

    /// Cannot exchange names from now on, as other systems than Linux cannot.
    #[must_use]
    pub fn without_exchange(self) -> Self {
        self.lock().can_exchange = false;
        self
    }

    /// Lets the operation number `at`, from 0, fail.
    pub fn arm(&self, fault: Fault, at: usize) {
        self.lock().plan = Some((fault, at));
    }

    /// What was asked for so far, failed or not.
    pub fn operations(&self) -> Vec<String> {
        self.lock().operations.clone()
    }

    /// Every way in which a crash now may treat what is not synchronised.
    pub fn survivals(&self) -> Vec<Survival> {
        self.lock().tree.survivals()
    }

    /// What a crash now would leave, by path from the root; folders have no bytes.
    pub fn after(&self, survival: Survival) -> State {
        self.lock().tree.after(survival)
    }

    /// Puts the root into this state; more than once, and after anything that was done to it.
    ///
    /// # Errors
    /// What the system says of writing it.
    pub fn crash(&self, state: &State) -> io::Result<()> {
        let shared = self.lock();
        fs::remove_dir_all(&shared.root)?;
        fs::create_dir(&shared.root)?;
        for (path, bytes) in state {
            let path = shared.root.join(path);
            match bytes {
                None => fs::create_dir_all(path)?,
                Some(bytes) => {
                    fs::create_dir_all(path.parent().unwrap_or(&shared.root))?;
                    fs::write(path, bytes)?;
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A panic of a test's thread leaves the books as they are.
        let shared = self.shared.lock();
        shared.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn opened(&self, inner: Box<dyn Output>, node: usize, path: &Path) -> Box<dyn Output> {
        Box::new(Opened {
            inner,
            node,
            name: path.display().to_string(),
            files: self.clone(),
        })
    }

    /// One operation on paths: counted, and done on the disk and in the books unless it fails.
    fn act<const N: usize, T>(
        &self,
        (name, paths): (&str, [&Path; N]),
        needs: Needs,
        act: impl FnOnce(&mut Shared, [&Path; N]) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut shared = self.lock();
        let mut inside = [const { PathBuf::new() }; N];
        for (inside, path) in inside.iter_mut().zip(paths) {
            *inside = shared.inside(path)?;
        }
        let told: Vec<_> = inside
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        match shared.verdict(format!("{name} {}", told.join(", ")), needs) {
            Verdict::Works => act(&mut shared, std::array::from_fn(|i| inside[i].as_path())),
            Verdict::Fails(error) | Verdict::Tears(error) => Err(error),
        }
    }
}

impl Shared {
    /// The path from the root, whose folder must be below it.
    fn inside(&self, path: &Path) -> io::Result<PathBuf> {
        let Some(name) = path.file_name() else {
            let inside = path.canonicalize()?;
            return self.below(&inside);
        };
        let folder = real(crate::folder_of(path));
        self.below(&folder.join(name))
    }

    fn below(&self, path: &Path) -> io::Result<PathBuf> {
        let below = path.strip_prefix(&self.root);
        let outside = |_| io::Error::other(format!("{} is outside the trial", path.display()));
        below.map(Path::to_owned).map_err(outside)
    }

    fn verdict(&mut self, operation: String, needs: Needs) -> Verdict {
        let number = self.operations.len();
        self.operations.push(operation);
        let broken = || io::Error::from_raw_os_error(EIO);
        match self.plan {
            Some((Fault::Refused, at)) if at == number => Verdict::Fails(broken()),
            Some((Fault::Torn, at)) if at == number => Verdict::Tears(broken()),
            Some((Fault::Lost, at)) if at <= number => Verdict::Fails(broken()),
            Some((Fault::Full, at)) if at <= number && needs == Needs::Room => {
                Verdict::Tears(io::ErrorKind::StorageFull.into())
            }
            _ => Verdict::Works,
        }
    }
}

/// Where a folder really is; one that is not there is the operation's error to tell.
fn real(folder: &Path) -> PathBuf {
    match (folder.canonicalize(), folder.file_name()) {
        (Ok(real), _) => real,
        (Err(_), Some(name)) => real(crate::folder_of(folder)).join(name),
        (Err(_), None) => folder.to_owned(),
    }
}

/// Why the books know each path: the disk has just done the same.
const KNOWN: &str = "nothing but this file system writes below its root";

impl FileSystem for Faulty {
    fn create(&self, path: &Path, access: Access) -> io::Result<Box<dyn Output>> {
        self.act(("create", [path]), Needs::Room, |shared, [path]| {
            let inner = Disk.create(&shared.root.join(path), access)?;
            let node = shared.tree.make(path, false).expect(KNOWN);
            Ok(self.opened(inner, node, path))
        })
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        self.act(("append", [path]), Needs::Room, |shared, [path]| {
            let inner = Disk.append(&shared.root.join(path))?;
            let found = shared.tree.find(path);
            let node = found.or_else(|| shared.tree.make(path, false));
            Ok(self.opened(inner, node.expect(KNOWN), path))
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.act(
            ("rename", [from, to]),
            Needs::Nothing,
            |shared, [from, to]| {
                Disk.rename(&shared.root.join(from), &shared.root.join(to))?;
                shared.tree.rename(from, to).expect(KNOWN);
                Ok(())
            },
        )
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.act(
            ("exchange", [one, other]),
            Needs::Nothing,
            |shared, [one, other]| {
                if !shared.can_exchange {
                    return Err(io::ErrorKind::Unsupported.into());
                }
                Disk.exchange(&shared.root.join(one), &shared.root.join(other))?;
                shared.tree.exchange(one, other).expect(KNOWN);
                Ok(())
            },
        )
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.act(("link", [from, to]), Needs::Room, |shared, [from, to]| {
            Disk.link(&shared.root.join(from), &shared.root.join(to))?;
            shared.tree.link(from, to).expect(KNOWN);
            Ok(())
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.act(("remove", [path]), Needs::Nothing, |shared, [path]| {
            Disk.remove_file(&shared.root.join(path))?;
            shared.tree.remove(path).expect(KNOWN);
            Ok(())
        })
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.act(("make folder", [path]), Needs::Room, |shared, [path]| {
            Disk.create_folder(&shared.root.join(path))?;
            shared.tree.make(path, true).expect(KNOWN);
            Ok(())
        })
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.act(
            ("remove folder", [path]),
            Needs::Nothing,
            |shared, [path]| {
                Disk.remove_folder(&shared.root.join(path))?;
                shared.tree.remove(path).expect(KNOWN);
                Ok(())
            },
        )
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.act(("sync folder", [path]), Needs::Nothing, |shared, [path]| {
            let not_there = io::ErrorKind::NotFound;
            let folder = shared.tree.find(path).ok_or(not_there)?;
            shared.tree.sync_folder(folder);
            Ok(())
        })
    }

    fn room(&self, _: &Path) -> Option<u64> {
        Some(0)
    }
}

/// A file of a [`Faulty`].
#[derive(Debug)]
struct Opened {
    inner: Box<dyn Output>,
    node: usize,
    name: String,
    files: Faulty,
}

impl Write for Opened {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut shared = self.files.lock();
        let operation = format!("write {} bytes to {}", bytes.len(), self.name);
        let (bytes, result) = match shared.verdict(operation, Needs::Room) {
            Verdict::Works => (bytes, Ok(bytes.len())),
            Verdict::Fails(error) => return Err(error),
            Verdict::Tears(error) => (&bytes[..bytes.len() / 2], Err(error)),
        };
        self.inner.write_all(bytes)?;
        shared.tree.write(self.node, bytes);
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Output for Opened {
    fn sync(&mut self) -> io::Result<()> {
        let mut shared = self.files.lock();
        // A full disk may be noticed as late as here.
        match shared.verdict(format!("sync {}", self.name), Needs::Room) {
            Verdict::Works => shared.tree.sync(self.node),
            Verdict::Fails(error) | Verdict::Tears(error) => return Err(error),
        }
        Ok(())
    }

    fn handle(&self) -> io::Result<fs::File> {
        self.inner.handle()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faulty(fault: Fault, at: usize) -> (tempfile::TempDir, Faulty) {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let files = Faulty::new(folder.path()).expect("readable");
        files.arm(fault, at);
        (folder, files)
    }

    fn write(files: &Faulty, path: &Path) -> io::Result<()> {
        let mut file = files.create(path, Access::Usual)?;
        file.write_all(b"1234")?;
        file.sync()
    }

    #[track_caller]
    fn check(fault: Fault, at: usize, left: Option<&[u8]>, works_again: bool) {
        let (folder, files) = faulty(fault, at);
        let path = folder.path().join("a");
        write(&files, &path).expect_err("told to fail");
        assert_eq!(fs::read(&path).ok().as_deref(), left);
        let again = write(&files, &folder.path().join("b"));
        assert_eq!(again.is_ok(), works_again, "{again:?}");
    }

    #[test]
    fn each_fault_leaves_what_it_says() {
        check(Fault::Refused, 0, None, true);
        check(Fault::Refused, 1, Some(b""), true);
        check(Fault::Torn, 1, Some(b"12"), true);
        check(Fault::Full, 1, Some(b"12"), false);
        check(Fault::Full, 2, Some(b"1234"), false);
        check(Fault::Lost, 1, Some(b""), false);
    }

    #[test]
    fn operations_are_told_by_name() {
        let (folder, files) = faulty(Fault::Lost, 9);
        write(&files, &folder.path().join("a")).expect("nothing fails yet");
        files.sync_folder(folder.path()).expect("nothing fails yet");
        let told = ["create a", "write 4 bytes to a", "sync a", "sync folder "];
        assert_eq!(files.operations(), told);
    }

    #[test]
    fn nothing_is_written_outside() {
        let (folder, files) = faulty(Fault::Lost, 9);
        let outside = folder.path().parent().expect("below another").join("x");
        let message = write(&files, &outside).expect_err("outside").to_string();
        assert!(message.contains("outside the trial"), "{message}");
    }

    #[test]
    fn a_crash_can_be_had_again_and_again() {
        let (folder, files) = faulty(Fault::Lost, 9);
        write(&files, &folder.path().join("a")).expect("nothing fails yet");
        for survival in files.survivals() {
            let state = files.after(survival);
            files.crash(&state).expect("ours");
            let found = fs::read(folder.path().join("a")).ok();
            assert_eq!(found, state.get(Path::new("a")).cloned().flatten());
        }
    }
}
