//! A scratch folder to run the program in, and what a run came to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const USAGE: i32 = 2;
pub(crate) const DATA: i32 = 3;
pub(crate) const DIVERGED: i32 = 4;
pub(crate) const MODEL: i32 = 5;
pub(crate) const RESOURCES: i32 = 6;

/// The smallest network on the smallest pictures: a run takes about a second.
const TINY: &str = "--model-def mobilefacenet --image-size 32 --embedding-size 16 \
    --batch-size 6 --people-per-batch 4 --images-per-person 3 --epoch-size 2 \
    --max-nrof-epochs 1 --models-base-dir models --logs-base-dir logs";
/// 12 people with 4 pictures each, below `faces`: 72 same pairs, of which each fold takes 6.
const FACES: &str = "synth faces --identities 12 --images 4 --side 32 --folds 2 --pairs-per-fold 6";

/// How the program ended and what it said.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().expect("it starts");
        Self {
            code: output.status.code().expect("no signal ended it"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// The object on the last line of stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let line = self.stdout.lines().last().unwrap_or_default();
        let object = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("no JSON at the end of stdout ({error}): {self:#?}"));
        assert!(matches!(object, Value::Object(_)), "{self:#?}");
        object
    }

    /// The run itself, having ended well.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// The one line that says why the run failed.
    #[track_caller]
    pub(crate) fn error(&self) -> &str {
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        let mut lines = self
            .stderr
            .lines()
            .filter(|line| line.starts_with("error: "));
        let (Some(line), None) = (lines.next(), lines.next()) else {
            panic!("expected one line of error: {self:#?}")
        };
        line.strip_prefix("error: ").expect("just filtered")
    }
}

/// A folder of its own, the working folder of the program.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a scratch folder"))
    }

    /// With synthetic people in `faces`.
    pub(crate) fn with_faces() -> Self {
        let scratch = Self::new();
        scratch.run(FACES).done();
        scratch
    }

    /// With `faces`, and in `run` the model folder of a run that was trained and scored on them.
    pub(crate) fn with_run() -> Self {
        static FILES: OnceLock<Files> = OnceLock::new();
        let files = FILES.get_or_init(|| {
            let scratch = Self::with_faces();
            let line = tiny("--data-dir faces --lfw-dir faces --lfw-nrof-folds 2");
            let outcome = scratch.run(&format!("train --json {line}")).done().json();
            let model = outcome["model_dir"].as_str().expect("a path");
            files_below(scratch.path(model).parent().expect("the run's folder"))
        });
        let scratch = Self::with_faces();
        for (name, bytes) in files {
            scratch.write(&format!("run/{name}"), bytes);
        }
        scratch
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the scratch folder")).expect("writable");
        fs::write(path, bytes).expect("writable");
    }

    #[track_caller]
    pub(crate) fn read(&self, name: &str) -> String {
        let read = fs::read_to_string(self.path(name));
        read.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Copies the files of a folder into another.
    pub(crate) fn copy(&self, from: &str, to: &str) {
        for (name, bytes) in files_below(&self.path(from)) {
            self.write(&format!("{to}/{name}"), bytes);
        }
    }

    /// Replaces text in a file, which must hold it.
    #[track_caller]
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name} lacks {from:?}: {text}");
        self.write(name, text.replace(from, to));
    }

    /// Runs `facenet` with the words of `line`; the word `''` is an empty one.
    pub(crate) fn run(&self, line: &str) -> Run {
        let words = line.split_whitespace();
        self.run_words(words.map(|word| if word == "''" { "" } else { word }))
    }

    /// Runs `facenet` with these words.
    pub(crate) fn run_words<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Run {
        Run::of(self.command().args(words))
    }

    /// Runs `facenet` with the words of `line`, and this folder as the home folder.
    pub(crate) fn run_at_home(&self, line: &str) -> Run {
        let mut command = self.command();
        command.env("HOME", self.0.path());
        Run::of(command.args(line.split_whitespace()))
    }

    /// The program, to be run in this folder.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_facenet"));
        command.current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// Names of all files and empty folders, with `/` between their parts.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        walk(self.0.path(), "", &mut |name, _| {
            names.push(name.to_owned());
        });
        names
    }

    /// Runs `line` with and without `--json`: it must end with `code`, say all of `parts` in one
    /// line, and leave the folder as it was.
    #[track_caller]
    pub(crate) fn refuses(&self, line: &str, code: i32, parts: &[&str]) {
        let before = self.names();
        let plain = self.run(line);
        assert_eq!(plain.code, code, "{plain:#?}");
        for part in parts {
            assert!(plain.error().contains(part), "lacks {part:?}: {plain:#?}");
        }
        assert_eq!(plain.stdout, "", "stdout is for results");
        let json = self.run(&format!("{line} --json"));
        assert_eq!((json.code, json.error()), (code, plain.error()));
        assert_eq!(json.stdout.lines().count(), 1, "{json:#?}");
        let expected = serde_json::json!({ "error": json.error(), "exit_code": code });
        assert_eq!(json.json(), expected);
        assert_eq!(self.names(), before, "a failure leaves no file behind");
    }
}

/// `train` with the flags of a tiny run and `changes` is refused, as [`Scratch::refuses`] says.
#[track_caller]
pub(crate) fn check_train(scratch: &Scratch, changes: &str, code: i32, parts: &[&str]) {
    scratch.refuses(&format!("train {}", tiny(changes)), code, parts);
}

/// The flags of a tiny run with `changes`; a flag that they name is not given twice.
pub(crate) fn tiny(changes: &str) -> String {
    let words: Vec<_> = TINY.split_whitespace().collect();
    let given: Vec<_> = changes.split_whitespace().collect();
    let kept = words.chunks(2).filter(|pair| !given.contains(&pair[0]));
    let kept: Vec<_> = kept
        .flatten()
        .copied()
        .chain(given.iter().copied())
        .collect();
    kept.join(" ")
}

/// The command line of the example that `--help` begins with, without the program's name.
#[track_caller]
pub(crate) fn example(scratch: &Scratch, command: &str) -> String {
    let help = scratch.run(&format!("{command} --help")).done().stdout;
    let line = help.lines().nth(2);
    let line = line.and_then(|line| line.strip_prefix("Example: facenet "));
    line.unwrap_or_else(|| panic!("no example at the beginning of {help}"))
        .to_owned()
}

/// Contents of files by their names below a folder.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// The files below a folder.
pub(crate) fn files_below(root: &Path) -> Files {
    let mut files = Files::new();
    walk(root, "", &mut |name, path| {
        if path.is_file() {
            files.insert(name.to_owned(), fs::read(path).expect("readable"));
        }
    });
    files
}

/// Calls `visit` with each file and each empty folder, in order of names.
fn walk(folder: &Path, prefix: &str, visit: &mut impl FnMut(&str, &Path)) {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("listable").path())
        .collect();
    paths.sort();
    for path in paths {
        let name = path
            .file_name()
            .expect("listed")
            .to_string_lossy()
            .into_owned();
        let name = format!("{prefix}{name}");
        let is_empty = || fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
        if path.is_symlink() || !path.is_dir() || is_empty() {
            visit(&name, &path);
        } else {
            walk(&path, &format!("{name}/"), visit);
        }
    }
}
