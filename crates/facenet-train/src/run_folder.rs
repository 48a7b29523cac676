//! The folders of a run, and the small text files in them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use facenet_files::{
    Disk, FileError, FileSystem, append_line, folder_of, make_folder, make_folders, replace,
};
use jiff::Zoned;

use crate::error::TrainError;

/// Names to try before giving up: so many runs do not begin within a second.
const MAX_SUFFIX: u32 = 9_999;

/// File of the log folder with the configuration, which `--config` takes.
pub(crate) const CONFIG_TOML: &str = "config.toml";
/// File of the log folder with the scores of the weights.
pub(crate) const RESULTS_FILE: &str = "lfw_result.txt";
/// The same of their moving average.
pub(crate) const RESULTS_FILE_EMA: &str = "lfw_result_ema.txt";

/// A run's log folder and model folder, of one name.
#[derive(Clone, Debug)]
pub struct RunFolder {
    files: Arc<dyn FileSystem>,
    log_dir: PathBuf,
    model_dir: PathBuf,
}

/// The commit that a work tree is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitRevision {
    /// Root of the work tree.
    pub folder: PathBuf,
    /// Hash of the commit.
    pub hash: String,
    /// Whether tracked files differ from it, or others lie about.
    pub is_dirty: bool,
}

/// The name of a run that begins at `now`: `%Y%m%d-%H%M%S`, as the reference has it.
pub fn run_name(now: &Zoned) -> String {
    now.strftime("%Y%m%d-%H%M%S").to_string()
}

impl RunFolder {
    /// Makes a folder called `name` in both base folders, which are made where missing; where
    /// either has one already, `name-2`, `name-3` and so on. Two runs never get the same one.
    ///
    /// # Errors
    /// [`TrainError::File`], of class [`Resources`](crate::ExitClass::Resources), naming the folder
    /// that cannot be made; [`TrainError::Config`] when `name` is no plain name.
    pub fn create(logs_base: &Path, models_base: &Path, name: &str) -> Result<Self, TrainError> {
        let files: Arc<dyn FileSystem> = Arc::new(Disk);
        Self::create_on(&files, logs_base, models_base, name)
    }

    /// As [`create`](Self::create), on a file system of the caller's.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_on(
        files: &Arc<dyn FileSystem>,
        logs_base: &Path,
        models_base: &Path,
        name: &str,
    ) -> Result<Self, TrainError> {
        if name.is_empty() || Path::new(name).file_name() != Some(name.as_ref()) {
            let problem = format!("found run name {name:?}, expected a plain folder name");
            return Err(TrainError::config("--logs-base-dir", problem));
        }
        for base in [logs_base, models_base] {
            make_folders(&**files, base)?;
        }
        for suffix in 1..=MAX_SUFFIX {
            let name = if suffix == 1 {
                name.to_owned()
            } else {
                format!("{name}-{suffix}")
            };
            let log_dir = logs_base.join(&name);
            let folder = Self::existing(files.clone(), log_dir, models_base.join(&name));
            if folder.claim()? {
                return Ok(folder);
            }
        }
        let taken = io::ErrorKind::AlreadyExists.into();
        let action = "find a free name for the run's folder";
        Err(FileError::new(&logs_base.join(name), action, taken).into())
    }

    /// The folders of a run that goes on; nothing is made or checked.
    pub fn existing(files: Arc<dyn FileSystem>, log_dir: PathBuf, model_dir: PathBuf) -> Self {
        Self {
            files,
            log_dir,
            model_dir,
        }
    }

    /// Makes both folders, or neither where one is taken; false then.
    fn claim(&self) -> Result<bool, TrainError> {
        if !self.make_new(&self.log_dir)? {
            return Ok(false);
        }
        if is_same_folder(folder_of(&self.log_dir), folder_of(&self.model_dir)) {
            return Ok(true);
        }
        let made = self.make_new(&self.model_dir);
        if !matches!(made, Ok(true)) {
            // Made a moment ago and empty; if it cannot go, an empty folder does no harm.
            let _ = self.files.remove_folder(&self.log_dir);
        }
        made
    }

    /// Makes a folder; false where the name is taken.
    fn make_new(&self, path: &Path) -> Result<bool, TrainError> {
        match make_folder(&*self.files, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What its files are written to.
    pub fn files(&self) -> &dyn FileSystem {
        &*self.files
    }

    /// Where logs go.
    pub fn log_dir(&self) -> &Path {
        &self.log_dir
    }

    /// Where checkpoints and the model go.
    pub fn model_dir(&self) -> &Path {
        &self.model_dir
    }

    /// Writes `arguments.txt`, a line `name: value` each, in the order given.
    ///
    /// # Errors
    /// [`TrainError::File`] when the file cannot be written; it is then as it was.
    pub fn write_arguments(&self, arguments: &[(String, String)]) -> Result<(), TrainError> {
        let line = |(name, value): &(String, String)| format!("{name}: {}\n", one_line(value));
        let text: String = arguments.iter().map(line).collect();
        let path = self.log_dir.join("arguments.txt");
        Ok(replace(&*self.files, &path, text.as_bytes())?)
    }

    /// Writes `config.toml`, which `--config` takes back.
    ///
    /// # Errors
    /// [`TrainError::File`] when the file cannot be written; it is then as it was.
    pub fn write_config(&self, toml: &str) -> Result<(), TrainError> {
        let path = self.log_dir.join(CONFIG_TOML);
        Ok(replace(&*self.files, &path, toml.as_bytes())?)
    }

    /// Writes `revision_info.txt`: command line, version, git hash, dirty flag and the work tree
    /// that they are of; "unknown" without `git`.
    ///
    /// # Errors
    /// [`TrainError::File`] when the file cannot be written; it is then as it was.
    pub fn write_revision(
        &self,
        command_line: &str,
        version: &str,
        git: Option<&GitRevision>,
    ) -> Result<(), TrainError> {
        let hash = git.map_or("unknown", |git| git.hash.as_str());
        let dirty = git.map_or("unknown", |git| if git.is_dirty { "yes" } else { "no" });
        let folder = git.map_or("unknown".to_owned(), |git| git.folder.display().to_string());
        let text = format!(
            "command line: {}\nversion: {version}\ngit hash: {hash}\ngit dirty: {dirty}\n\
             git folder: {}\n",
            one_line(command_line),
            one_line(&folder),
        );
        let path = self.log_dir.join("revision_info.txt");
        Ok(replace(&*self.files, &path, text.as_bytes())?)
    }

    /// Appends a line to `lfw_result.txt`, or to `lfw_result_ema.txt` with `is_ema`:
    /// `step<TAB>accuracy<TAB>val`, five decimals, as the reference writes it.
    ///
    /// - `step`: optimizer steps made when the score was taken (the reference is an epoch early)
    /// - `accuracy`, `val`: in `[0, 1]`
    ///
    /// # Errors
    /// [`TrainError::File`] when the file cannot be written.
    pub fn append_lfw_result(
        &self,
        step: u64,
        accuracy: f64,
        val: f64,
        is_ema: bool,
    ) -> Result<(), TrainError> {
        let name = if is_ema {
            RESULTS_FILE_EMA
        } else {
            RESULTS_FILE
        };
        let line = format!("{step}\t{accuracy:.5}\t{val:.5}\n");
        let path = self.log_dir.join(name);
        Ok(append_line(&*self.files, &path, line.as_bytes())?)
    }
}

impl GitRevision {
    /// The revision of the work tree that `folder` is in; `None` without git, a work tree or a
    /// commit.
    pub fn of(folder: &Path) -> Option<Self> {
        let hash = git(folder, &["rev-parse", "--verify", "HEAD"])?
            .trim()
            .to_owned();
        let is_dirty = !git(folder, &["status", "--porcelain"])?.is_empty();
        let is_hash = hash.len() >= 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let root = git(folder, &["rev-parse", "--show-toplevel"])?;
        let folder = PathBuf::from(root.trim_end());
        is_hash.then_some(Self {
            folder,
            hash,
            is_dirty,
        })
    }
}

/// What `git` prints, if it can be run and succeeds.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null());
    // `status` would otherwise write to the index: a log entry must not.
    let output = command.env("GIT_OPTIONAL_LOCKS", "0").output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).ok())
        .flatten()
}

fn is_same_folder(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// The text with line breaks spelled out, so that a line of a file stays one.
fn one_line(text: &str) -> String {
    text.replace('\r', "\\r").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ExitClass;
    use std::fs;

    struct Bases {
        root: tempfile::TempDir,
    }

    impl Bases {
        fn new() -> Self {
            Self {
                root: tempfile::tempdir().expect("a scratch folder"),
            }
        }

        fn create(&self) -> Result<RunFolder, TrainError> {
            let root = self.root.path();
            RunFolder::create(&root.join("a/logs"), &root.join("models"), "run")
        }

        fn read(&self, name: &str) -> String {
            let path = self.root.path().join("a/logs/run").join(name);
            fs::read_to_string(path).expect("written before")
        }
    }

    #[test]
    fn a_run_is_named_by_its_second() {
        let now = jiff::civil::date(2024, 2, 29).at(7, 5, 9, 0);
        let now = now.to_zoned(jiff::tz::TimeZone::UTC).expect("a real day");
        assert_eq!(run_name(&now), "20240229-070509");
    }

    #[test]
    fn a_taken_name_gets_a_number_in_both_bases() {
        let bases = Bases::new();
        let first = bases.create().expect("writable");
        assert!(first.log_dir().ends_with("a/logs/run") && first.log_dir().is_dir());
        assert!(first.model_dir().ends_with("models/run") && first.model_dir().is_dir());
        fs::create_dir(bases.root.path().join("models/run-2")).expect("writable");
        let third = bases.create().expect("writable");
        assert!(third.log_dir().ends_with("run-3") && third.model_dir().ends_with("run-3"));
        assert!(
            !bases.root.path().join("a/logs/run-2").exists(),
            "half a run is taken back"
        );
    }

    #[test]
    fn runs_that_begin_together_get_folders_of_their_own() {
        let bases = Bases::new();
        let mut folders: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| bases.create())).collect();
            let folders = threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"));
            folders
                .map(|folder| folder.expect("writable").model_dir)
                .collect()
        });
        folders.sort();
        folders.dedup();
        assert_eq!(folders.len(), 8);
    }

    #[test]
    fn one_base_for_both_gives_one_folder() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let folder = RunFolder::create(root.path(), root.path(), "run").expect("writable");
        assert_eq!(folder.log_dir(), folder.model_dir());
    }

    #[test]
    fn a_base_that_cannot_be_made_is_named() {
        let bases = Bases::new();
        fs::write(bases.root.path().join("models"), "a file").expect("writable");
        let error = bases.create().expect_err("a file is in the way");
        assert_eq!(error.exit_class(), ExitClass::Resources);
        let message = error.to_string();
        assert!(
            message.contains("models: cannot make this folder"),
            "{message}"
        );
        assert!(message.contains("check that the path exists"), "{message}");
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        let root = tempfile::tempdir().expect("a scratch folder");
        for name in ["", "..", "../x", "a/b"] {
            assert!(
                RunFolder::create(root.path(), root.path(), name).is_err(),
                "{name:?}"
            );
        }
    }

    #[test]
    fn arguments_are_a_line_each() {
        let bases = Bases::new();
        let folder = bases.create().expect("writable");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        folder
            .write_arguments(&[pair("seed", "1")])
            .expect("writable");
        let arguments = [pair("margin", "0.2"), pair("odd", "two\nlines")];
        folder.write_arguments(&arguments).expect("writable");
        assert_eq!(
            bases.read("arguments.txt"),
            "margin: 0.2\nodd: two\\nlines\n"
        );
    }

    #[test]
    fn the_revision_is_unknown_without_git() {
        let bases = Bases::new();
        let folder = bases.create().expect("writable");
        folder
            .write_revision("facenet train", "0.1.0", None)
            .expect("writable");
        let expected = "command line: facenet train\nversion: 0.1.0\ngit hash: unknown\ngit dirty: unknown\n\
             git folder: unknown\n";
        assert_eq!(bases.read("revision_info.txt"), expected);
        let git = GitRevision {
            folder: "there".into(),
            hash: "ab12".to_owned(),
            is_dirty: true,
        };
        folder
            .write_revision("x", "0.1.0", Some(&git))
            .expect("writable");
        assert!(
            bases
                .read("revision_info.txt")
                .ends_with("git hash: ab12\ngit dirty: yes\ngit folder: there\n")
        );
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_revision() {
        assert_eq!(GitRevision::of(Path::new("/no/such/folder")), None);
    }

    #[test]
    fn a_work_tree_has_its_commit_and_a_dirty_flag() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let run = |line: &str| git(root.path(), &line.split(' ').collect::<Vec<_>>());
        let commit =
            "-c user.name=n -c user.email=e commit -q --allow-empty --no-gpg-sign -m first";
        if run("init -q").and_then(|_| run(commit)).is_none() {
            eprintln!("SKIPPED a_work_tree_has_its_commit_and_a_dirty_flag: git cannot be run");
            return;
        }
        let clean = GitRevision::of(root.path()).expect("a commit");
        let real = fs::canonicalize(root.path()).expect("it is there");
        assert_eq!(
            fs::canonicalize(&clean.folder).expect("the work tree"),
            real
        );
        assert!(clean.hash.len() >= 40 && !clean.is_dirty, "{clean:?}");
        fs::write(root.path().join("new.txt"), "").expect("writable");
        let dirty = GitRevision::of(root.path()).expect("a commit");
        assert_eq!(
            dirty,
            GitRevision {
                is_dirty: true,
                ..clean
            }
        );
    }

    #[test]
    fn scores_are_appended_with_five_decimals() {
        let bases = Bases::new();
        let folder = bases.create().expect("writable");
        folder
            .append_lfw_result(1000, 0.987_654_321, 0.5, false)
            .expect("writable");
        folder
            .append_lfw_result(2000, 1.0, 0.0, false)
            .expect("writable");
        folder
            .append_lfw_result(2000, 0.25, 0.125, true)
            .expect("writable");
        let expected = "1000\t0.98765\t0.50000\n2000\t1.00000\t0.00000\n";
        assert_eq!(bases.read("lfw_result.txt"), expected);
        assert_eq!(bases.read("lfw_result_ema.txt"), "2000\t0.25000\t0.12500\n");
    }
}
