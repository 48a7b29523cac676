//! What a disk has for certain, and what it may have besides.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Which of the names made, moved and removed since their folders were synchronised a crash keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// The first so many of them.
    First(usize),
    /// Those that change this folder, by its number, and no other.
    Of(usize),
}

/// What a crash keeps of the bytes that were written since their file was synchronised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Nothing: an empty file where it was new.
    Lost,
    /// The first half.
    Half,
    /// All of them.
    Kept,
}

/// What a crash leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survival {
    /// Of names.
    pub names: Names,
    /// Of bytes.
    pub contents: Contents,
}

/// A path's folder, by its number, and its last part.
type Entry = (usize, OsString);

/// All files and folders below a root, by path from there; folders have no bytes.
pub(super) type State = BTreeMap<PathBuf, Option<Vec<u8>>>;

#[derive(Debug, Default)]
struct Node {
    is_folder: bool,
    now: Vec<u8>,
    synced: Vec<u8>,
}

/// One operation's changes of names, all or none of which a crash keeps.
type Change = Vec<(Entry, Option<usize>)>;

/// A folder's contents as processes see them and as the disk has them.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    now: BTreeMap<Entry, usize>,
    synced: BTreeMap<Entry, usize>,
    pending: Vec<Change>,
}

/// Number of the folder that the tree begins with.
const ROOT: usize = 0;

impl Tree {
    /// What is in a folder now, all of it synchronised.
    pub(super) fn read(root: &Path) -> io::Result<Self> {
        let node = Node {
            is_folder: true,
            ..Node::default()
        };
        let mut tree = Self {
            nodes: vec![node],
            now: BTreeMap::new(),
            synced: BTreeMap::new(),
            pending: Vec::new(),
        };
        tree.read_into(ROOT, root)?;
        tree.synced = tree.now.clone();
        Ok(tree)
    }

    fn read_into(&mut self, folder: usize, path: &Path) -> io::Result<()> {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let is_folder = entry.file_type()?.is_dir();
            let bytes = if is_folder {
                Vec::new()
            } else {
                fs::read(entry.path())?
            };
            let node = self.add(is_folder, bytes);
            self.now.insert((folder, entry.file_name()), node);
            if is_folder {
                self.read_into(node, &entry.path())?;
            }
        }
        Ok(())
    }

    fn add(&mut self, is_folder: bool, bytes: Vec<u8>) -> usize {
        self.nodes.push(Node {
            is_folder,
            synced: bytes.clone(),
            now: bytes,
        });
        self.nodes.len() - 1
    }

    /// The number of what has a path from the root.
    pub(super) fn find(&self, path: &Path) -> Option<usize> {
        path.iter().try_fold(ROOT, |folder, name| {
            self.now.get(&(folder, name.to_owned())).copied()
        })
    }

    fn entry(&self, path: &Path) -> Option<Entry> {
        let folder = self.find(path.parent()?)?;
        Some((folder, path.file_name()?.to_owned()))
    }

    /// Gives a new file or folder a name, and returns its number.
    pub(super) fn make(&mut self, path: &Path, is_folder: bool) -> Option<usize> {
        let entry = self.entry(path)?;
        let node = self.add(is_folder, Vec::new());
        self.change(vec![(entry, Some(node))]);
        Some(node)
    }

    /// Takes a name away.
    pub(super) fn remove(&mut self, path: &Path) -> Option<()> {
        let entry = self.entry(path)?;
        self.change(vec![(entry, None)]);
        Some(())
    }

    /// Moves what has one name to another.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Option<()> {
        let node = self.find(from)?;
        let change = vec![(self.entry(from)?, None), (self.entry(to)?, Some(node))];
        self.change(change);
        Some(())
    }

    /// Lets two names change places.
    pub(super) fn exchange(&mut self, one: &Path, other: &Path) -> Option<()> {
        let [at_one, at_other] = [self.find(one)?, self.find(other)?];
        let change = vec![
            (self.entry(one)?, Some(at_other)),
            (self.entry(other)?, Some(at_one)),
        ];
        self.change(change);
        Some(())
    }

    /// Gives a file a second name.
    pub(super) fn link(&mut self, from: &Path, to: &Path) -> Option<()> {
        let node = self.find(from)?;
        let entry = self.entry(to)?;
        self.change(vec![(entry, Some(node))]);
        Some(())
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.now, &change);
        self.pending.push(change);
    }

    /// Puts bytes at a file's end.
    pub(super) fn write(&mut self, node: usize, bytes: &[u8]) {
        self.nodes[node].now.extend(bytes);
    }

    /// The disk has the file's bytes now.
    pub(super) fn sync(&mut self, node: usize) {
        self.nodes[node].synced = self.nodes[node].now.clone();
    }

    /// The disk has the folder's names now, and what of earlier changes they rest on.
    pub(super) fn sync_folder(&mut self, folder: usize) {
        let mut touched = vec![folder];
        let mut is_synced = vec![false; self.pending.len()];
        for (change, is_synced) in self.pending.iter().zip(&mut is_synced).rev() {
            let folders = change.iter().map(|((folder, _), _)| *folder);
            if folders.clone().any(|folder| touched.contains(&folder)) {
                *is_synced = true;
                touched.extend(folders);
            }
        }
        let changes = std::mem::take(&mut self.pending);
        for (change, is_synced) in changes.into_iter().zip(is_synced) {
            if is_synced {
                apply(&mut self.synced, &change);
            } else {
                self.pending.push(change);
            }
        }
    }

    /// Every way in which a crash may treat what is not synchronised.
    pub(super) fn survivals(&self) -> Vec<Survival> {
        let firsts = (0..=self.pending.len()).map(Names::First);
        let touched = self.pending.iter().flatten();
        let mut folders: Vec<_> = touched.map(|((folder, _), _)| *folder).collect();
        folders.sort_unstable();
        folders.dedup();
        let names = firsts.chain(folders.into_iter().map(Names::Of));
        let all = names.flat_map(|names| {
            let all = [Contents::Lost, Contents::Half, Contents::Kept];
            all.map(|contents| Survival { names, contents })
        });
        all.collect()
    }

    /// What is found after a crash.
    pub(super) fn after(&self, survival: Survival) -> State {
        let mut names = self.synced.clone();
        for (number, change) in self.pending.iter().enumerate() {
            let is_kept = match survival.names {
                Names::First(kept) => number < kept,
                Names::Of(folder) => change.iter().any(|((of, _), _)| *of == folder),
            };
            if is_kept {
                apply(&mut names, change);
            }
        }
        let mut state = State::new();
        self.collect(&names, (ROOT, Path::new("")), survival.contents, &mut state);
        state
    }

    fn collect(
        &self,
        names: &BTreeMap<Entry, usize>,
        (folder, path): (usize, &Path),
        contents: Contents,
        state: &mut State,
    ) {
        let inside = names.iter().filter(|((of, _), _)| *of == folder);
        for ((_, name), &node) in inside {
            let path = path.join(name);
            if self.nodes[node].is_folder {
                self.collect(names, (node, &path), contents, state);
                state.insert(path, None);
            } else {
                state.insert(path, Some(self.nodes[node].left(contents)));
            }
        }
    }
}

impl Node {
    fn left(&self, contents: Contents) -> Vec<u8> {
        let (synced, now) = (self.synced.len(), self.now.len());
        let left = match contents {
            Contents::Lost => synced,
            Contents::Half => synced + (now - synced) / 2,
            Contents::Kept => now,
        };
        self.now[..left].to_vec()
    }
}

fn apply(names: &mut BTreeMap<Entry, usize>, change: &Change) {
    for (entry, node) in change {
        match node {
            Some(node) => names.insert(entry.clone(), *node),
            None => names.remove(entry),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a` is on the disk; `b` is new and `a` has moved to `c`.
    fn tree() -> Tree {
        let folder = tempfile::tempdir().expect("a scratch folder");
        fs::write(folder.path().join("a"), "old").expect("writable");
        let mut tree = Tree::read(folder.path()).expect("readable");
        let file = tree.make(Path::new("b"), false).expect("a new name");
        tree.write(file, b"1234");
        tree.rename(Path::new("a"), Path::new("c")).expect("a name");
        tree
    }

    #[track_caller]
    fn check(tree: &Tree, names: Names, contents: Contents, expected: &[(&str, &str)]) {
        let state = tree.after(Survival { names, contents });
        let expected = expected.iter().map(|(path, text)| {
            let bytes = text.as_bytes().to_vec();
            (PathBuf::from(path), Some(bytes))
        });
        assert_eq!(state, expected.collect());
    }

    #[test]
    fn names_go_from_the_last_and_bytes_to_what_was_synchronised() {
        let tree = tree();
        check(&tree, Names::First(0), Contents::Kept, &[("a", "old")]);
        let one = [("a", "old"), ("b", "")];
        check(&tree, Names::First(1), Contents::Lost, &one);
        let both = [("b", "12"), ("c", "old")];
        check(&tree, Names::First(2), Contents::Half, &both);
        check(&tree, Names::Of(ROOT), Contents::Half, &both);
        assert_eq!(tree.survivals().len(), 4 * 3);
    }

    #[test]
    fn what_is_synchronised_stays() {
        let mut tree = tree();
        tree.sync_folder(ROOT);
        tree.sync(tree.find(Path::new("b")).expect("it is there"));
        assert_eq!(tree.survivals().len(), 3);
        let all = [("b", "1234"), ("c", "old")];
        check(&tree, Names::First(0), Contents::Lost, &all);
    }

    #[test]
    fn a_folder_that_is_lost_takes_what_is_in_it_along() {
        let mut tree = tree();
        let folder = tree.make(Path::new("d"), true).expect("a new name");
        tree.make(Path::new("d/x"), false).expect("a new name");
        tree.sync_folder(folder);
        check(&tree, Names::First(0), Contents::Kept, &[("a", "old")]);
        let state = tree.after(Survival {
            names: Names::First(3),
            contents: Contents::Kept,
        });
        assert!(state.contains_key(Path::new("d/x")), "{state:?}");
    }
}
