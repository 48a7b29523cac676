//! A run's state on disk: one folder a step, complete or not there.
//!
//! `<run>/checkpoint-<step, 8 digits>/` holds `model.safetensors`, `ema.safetensors` where there
//! is an average, `head.safetensors` where there is a classifier, `optimizer.safetensors`, `progress.json`, the caller's own files, and
//! `manifest.json` with length and SHA-256 of each, written last. The folder is made under
//! another name, synchronised and renamed.
//!
//! **Invariant:** equal state gives equal bytes; nothing here reads a clock.

mod manifest;
mod store;
mod tensors;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use facenet_files::{Disk, FileSystem, delete, make_folder, put_folder, write_new};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::TrainError;
use manifest::Manifest;
pub use manifest::verify_checkpoint;
pub(crate) use store::set_aside;
pub use store::{checkpoint_path, checkpoints, latest, prune, supersede};

/// File of the weights and running statistics; with the caller's `config.json` beside it, a
/// checkpoint is a model folder.
pub const MODEL_FILE: &str = "model.safetensors";
/// File of the moving average.
pub const EMA_FILE: &str = "ema.safetensors";
/// File of the classifier.
pub const HEAD_FILE: &str = "head.safetensors";
/// File of the optimizer's state.
pub const OPTIMIZER_FILE: &str = "optimizer.safetensors";
/// File of the progress.
pub const PROGRESS_FILE: &str = "progress.json";

/// What to do about a checkpoint that is not whole.
const RESTORE: &str = "restore the folder from a copy, or resume from another checkpoint";

/// Everything that later steps depend on.
#[derive(Clone, Debug)]
pub struct Checkpoint<P> {
    /// Weights and running statistics by name.
    pub model: BTreeMap<String, Tensor>,
    /// Their moving average, where one is kept.
    pub ema: Option<BTreeMap<String, Tensor>>,
    /// Parameters of the classifier by name, where the loss has one.
    pub head: Option<BTreeMap<String, Tensor>>,
    /// State of the optimizer by name.
    pub optimizer: BTreeMap<String, Tensor>,
    /// All that is no tensor. Maps are written by rising key.
    ///
    /// Floats come back bit for bit only with `serde_json`'s feature `float_roundtrip`.
    pub progress: P,
}

impl<P: Serialize> Checkpoint<P> {
    /// Writes the checkpoint after `step` steps into `run_dir` and returns its folder.
    ///
    /// One of that step is replaced, unless it is the same already. At every moment the run
    /// folder holds the old state or the new one; what is unfinished has a name of its own that
    /// [`facenet_files::sweep`] knows.
    ///
    /// - `extra`: name and contents of further files, such as `config.json`
    ///
    /// # Errors
    /// [`TrainError::File`] when a file cannot be written, with the bytes of the whole checkpoint
    /// where there is no room for it; [`TrainError::Checkpoint`] when a tensor
    /// is of a type that cannot be kept, when `progress` is no JSON, or when a further file's
    /// name is taken or not plain. Nothing new has then been left.
    pub fn save(
        &self,
        run_dir: &Path,
        step: u64,
        extra: &[(&str, &[u8])],
    ) -> Result<PathBuf, TrainError> {
        self.save_on(&Disk, run_dir, step, extra)
    }

    /// As [`save`](Self::save), on a file system of the caller's.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn save_on(
        &self,
        files: &dyn FileSystem,
        run_dir: &Path,
        step: u64,
        extra: &[(&str, &[u8])],
    ) -> Result<PathBuf, TrainError> {
        let path = checkpoint_path(run_dir, step);
        match self.put(files, &path, extra) {
            Ok(()) => Ok(path),
            Err(TrainError::File(error)) if error.is_full() => {
                let needed = self.bytes(&path, extra)?;
                Err(error.within(files, &path, needed).into())
            }
            Err(error) => Err(error),
        }
    }

    fn put(
        &self,
        files: &dyn FileSystem,
        path: &Path,
        extra: &[(&str, &[u8])],
    ) -> Result<(), TrainError> {
        let scratch = Scratch::create(files, path)?;
        let mut manifest = Manifest::new();
        self.members(&scratch.path, extra, |name, bytes| {
            check_name(&manifest, &scratch.path, name)?;
            manifest.insert(name, bytes);
            Ok(write_new(files, &scratch.path.join(name), bytes)?)
        })?;
        let manifest = manifest.to_bytes();
        if is_same(path, &manifest) {
            return Ok(());
        }
        write_new(files, &scratch.path.join(manifest::FILE), &manifest)?;
        Ok(put_folder(files, &scratch.path, path)?)
    }

    /// Bytes of all the checkpoint's files.
    fn bytes(&self, path: &Path, extra: &[(&str, &[u8])]) -> Result<u64, TrainError> {
        let (mut manifest, mut sum) = (Manifest::new(), 0);
        self.members(path, extra, |name, bytes| {
            manifest.insert(name, bytes);
            sum += bytes.len() as u64;
            Ok(())
        })?;
        Ok(sum + manifest.to_bytes().len() as u64)
    }

    /// Gives each file to `take`, one after the other: all at once would be as large again as
    /// what the run holds.
    fn members(
        &self,
        folder: &Path,
        extra: &[(&str, &[u8])],
        mut take: impl FnMut(&str, &[u8]) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let tensors = [
            (MODEL_FILE, Some(&self.model)),
            (EMA_FILE, self.ema.as_ref()),
            (HEAD_FILE, self.head.as_ref()),
            (OPTIMIZER_FILE, Some(&self.optimizer)),
        ];
        for (name, tensors) in tensors {
            if let Some(tensors) = tensors {
                take(name, &tensors::pack(tensors, &folder.join(name))?)?;
            }
        }
        take(PROGRESS_FILE, &self.progress_bytes(folder)?)?;
        extra.iter().try_for_each(|(name, bytes)| take(name, bytes))
    }

    fn progress_bytes(&self, folder: &Path) -> Result<Vec<u8>, TrainError> {
        // By way of a value, whose maps are sorted: the order of a hash map is no state.
        let value = serde_json::to_value(&self.progress);
        value
            .and_then(|value| serde_json::to_vec_pretty(&value))
            .map_err(|error| {
                let what = format!("progress cannot be written as JSON ({error})");
                TrainError::checkpoint(&folder.join(PROGRESS_FILE), what, "report this as a fault")
            })
    }
}

impl<P: DeserializeOwned> Checkpoint<P> {
    /// Reads the checkpoint in `folder`, with its tensors on `device`.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`], naming the file, what was found and what was expected, when
    /// the manifest or a member is missing, cut off, changed or foreign, or holds something else
    /// than its name says.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, TrainError> {
        let manifest = Manifest::read(folder)?;
        manifest.check_presence(folder)?;
        let read_below = [
            MODEL_FILE,
            EMA_FILE,
            HEAD_FILE,
            OPTIMIZER_FILE,
            PROGRESS_FILE,
        ];
        manifest.verify_except(folder, &read_below)?;
        let tensors = |name: &str| {
            let bytes = manifest.read_member(folder, name)?;
            tensors::unpack(&bytes, &folder.join(name), device)
        };
        let optional = |name: &str| manifest.contains(name).then(|| tensors(name)).transpose();
        Ok(Self {
            model: tensors(MODEL_FILE)?,
            ema: optional(EMA_FILE)?,
            head: optional(HEAD_FILE)?,
            optimizer: tensors(OPTIMIZER_FILE)?,
            progress: progress_in(&manifest, folder)?,
        })
    }
}

/// The further file `name` of the checkpoint in `folder`.
///
/// # Errors
/// [`TrainError::Checkpoint`] when it is missing or has changed.
pub(crate) fn member(folder: &Path, name: &str) -> Result<Vec<u8>, TrainError> {
    Manifest::read(folder)?.read_member(folder, name)
}

/// The progress of the checkpoint in `folder`, without its tensors.
///
/// # Errors
/// [`TrainError::Checkpoint`] as by [`Checkpoint::load`].
pub(crate) fn read_progress<P: DeserializeOwned>(folder: &Path) -> Result<P, TrainError> {
    progress_in(&Manifest::read(folder)?, folder)
}

fn progress_in<P: DeserializeOwned>(manifest: &Manifest, folder: &Path) -> Result<P, TrainError> {
    let bytes = manifest.read_member(folder, PROGRESS_FILE)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let what = format!("found progress of another form ({error})");
        TrainError::checkpoint(
            &folder.join(PROGRESS_FILE),
            what,
            "use the version that wrote it",
        )
    })
}

/// Whether `path` is a whole checkpoint with this manifest.
fn is_same(path: &Path, manifest: &[u8]) -> bool {
    std::fs::read(path.join(manifest::FILE)).is_ok_and(|found| found == manifest)
        && Manifest::read(path)
            .and_then(|manifest| manifest.verify_except(path, &[]))
            .is_ok()
}

fn check_name(manifest: &Manifest, folder: &Path, name: &str) -> Result<(), TrainError> {
    let is_free = manifest::is_plain(name)
        && !name.starts_with('.')
        && name != manifest::FILE
        && !manifest.contains(name);
    if is_free {
        return Ok(());
    }
    let what = format!("cannot be a member called {name:?}");
    Err(TrainError::checkpoint(
        folder,
        what,
        "give it a plain name of its own",
    ))
}

/// An unfinished folder, gone when dropped unless it has been renamed.
struct Scratch<'a> {
    files: &'a dyn FileSystem,
    path: PathBuf,
}

impl<'a> Scratch<'a> {
    fn create(files: &'a dyn FileSystem, path: &Path) -> Result<Self, TrainError> {
        let scratch = store::scratch_path(path);
        delete(files, &scratch)?;
        make_folder(files, &scratch)?;
        Ok(Self {
            files,
            path: scratch,
        })
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        // Gone already after a rename; what cannot be deleted now is swept at the next start.
        let _ = delete(self.files, &self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use facenet_files::faults::Faulty;
    use std::collections::HashMap;
    use std::fs;

    fn tensors(values: &[f32]) -> BTreeMap<String, Tensor> {
        let tensor = Tensor::new(values, &Device::Cpu).expect("numbers on the CPU");
        BTreeMap::from([("b".to_owned(), tensor.clone()), ("a".to_owned(), tensor)])
    }

    fn checkpoint(value: f32) -> Checkpoint<HashMap<String, u64>> {
        let keys = ["zeta", "alpha", "mid", "one", "two", "three"];
        Checkpoint {
            model: tensors(&[value, f32::MIN_POSITIVE]),
            ema: Some(tensors(&[1.5])),
            head: Some(tensors(&[value, 2.5])),
            optimizer: tensors(&[]),
            progress: keys.iter().map(|key| ((*key).to_owned(), 7)).collect(),
        }
    }

    fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(folder).expect("a checkpoint").map(|entry| {
            let entry = entry.expect("readable");
            let bytes = fs::read(entry.path()).expect("readable");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        });
        entries.collect()
    }

    #[test]
    fn a_checkpoint_comes_back_bit_for_bit() {
        let run = tempfile::tempdir().expect("a scratch folder");
        let saved = checkpoint(-0.0);
        let path = saved
            .save(run.path(), 12, &[("config.json", b"{}")])
            .expect("writable");
        assert_eq!(path, run.path().join("checkpoint-00000012"));
        let loaded = Checkpoint::load(&path, &Device::Cpu).expect("as written");
        assert_eq!(saved.progress, loaded.progress);
        let bits = |tensors: &BTreeMap<String, Tensor>| {
            tensors::pack(tensors, Path::new("x")).expect("f32")
        };
        assert_eq!(bits(&saved.model), bits(&loaded.model));
        assert_eq!(bits(&saved.optimizer), bits(&loaded.optimizer));
        assert_eq!(saved.ema.as_ref().map(bits), loaded.ema.as_ref().map(bits));
        assert_eq!(
            saved.head.as_ref().map(bits),
            loaded.head.as_ref().map(bits)
        );
    }

    #[test]
    fn equal_state_gives_equal_bytes() {
        let [one, two] = [0, 1].map(|_| tempfile::tempdir().expect("a scratch folder"));
        let paths = [&one, &two].map(|run| {
            checkpoint(1.0)
                .save(run.path(), 3, &[("README.md", b"card")])
                .expect("writable")
        });
        let [first, second] = paths.map(|path| contents(&path));
        assert_eq!(first, second);
        let names: Vec<_> = first.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "README.md",
                "ema.safetensors",
                "head.safetensors",
                "manifest.json",
                "model.safetensors",
                "optimizer.safetensors",
                "progress.json",
            ]
        );
    }

    #[test]
    fn saving_again_replaces_other_state_only() {
        let run = tempfile::tempdir().expect("a scratch folder");
        let path = checkpoint(1.0).save(run.path(), 3, &[]).expect("writable");
        checkpoint(1.0).save(run.path(), 3, &[]).expect("the same");
        fs::write(path.join(MODEL_FILE), "broken").expect("ours");
        checkpoint(1.0).save(run.path(), 3, &[]).expect("mends it");
        checkpoint(2.0)
            .save(run.path(), 3, &[])
            .expect("other state");
        let loaded = Checkpoint::<HashMap<String, u64>>::load(&path, &Device::Cpu);
        let model = loaded.expect("whole").model["a"]
            .to_vec1::<f32>()
            .expect("one dimension");
        assert_eq!(model[0].to_bits(), 2.0f32.to_bits());
        assert_eq!(contents_of_run(run.path()), ["checkpoint-00000003"]);
    }

    fn contents_of_run(run: &Path) -> Vec<String> {
        let entries = fs::read_dir(run).expect("a run folder");
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        entries
            .map(|entry| name(entry.expect("readable")))
            .collect()
    }

    #[test]
    fn a_failed_save_leaves_nothing() {
        let run = tempfile::tempdir().expect("a scratch folder");
        for name in [
            "model.safetensors",
            "manifest.json",
            "../x",
            "a/b",
            "",
            ".hidden",
        ] {
            let refused = checkpoint(1.0).save(run.path(), 1, &[(name, b"")]);
            assert!(refused.is_err(), "{name:?}");
            assert!(contents_of_run(run.path()).is_empty(), "{name:?}");
        }
        let nowhere = run.path().join("no/such/run");
        let error = checkpoint(1.0)
            .save(&nowhere, 1, &[])
            .expect_err("not there");
        assert_eq!(error.exit_class(), crate::ExitClass::Resources);
    }

    #[test]
    fn the_manifest_is_written_last_and_the_folder_named_when_all_is_on_the_disk() {
        let run = tempfile::tempdir().expect("a scratch folder");
        let files = Faulty::new(run.path()).expect("readable");
        let saved = checkpoint(1.0).save_on(&files, run.path(), 1, &[("config.json", b"{}")]);
        saved.expect("nothing fails");
        let operations = files.operations();
        let scratch = ".scratch-checkpoint-00000001";
        let manifest = format!("create {scratch}/{}", manifest::FILE);
        let begun = operations.iter().position(|told| *told == manifest);
        let (members, last) = operations.split_at(begun.expect("it is written"));
        let created = members
            .iter()
            .filter_map(|told| told.strip_prefix("create "));
        let mut unsynced: Vec<_> = created.collect();
        assert_eq!(unsynced.len(), 6, "{operations:#?}");
        unsynced.retain(|file| !members.contains(&format!("sync {file}")));
        assert!(unsynced.is_empty(), "{unsynced:?}");
        let expected = [
            format!("sync {scratch}/{}", manifest::FILE),
            format!("sync folder {scratch}"),
            format!("rename {scratch}, checkpoint-00000001"),
            "sync folder ".to_owned(),
        ];
        assert_eq!(last[2..], expected);
    }

    #[track_caller]
    fn check_refused(spoil: impl FnOnce(&Path), expected: &str) {
        let run = tempfile::tempdir().expect("a scratch folder");
        let path = checkpoint(1.0).save(run.path(), 1, &[]).expect("writable");
        spoil(&path);
        let loaded = Checkpoint::<HashMap<String, u64>>::load(&path, &Device::Cpu);
        let error = loaded.expect_err("spoilt");
        assert!(
            error.to_string().contains(expected),
            "{error} lacks {expected:?}"
        );
        assert!(matches!(error, TrainError::Checkpoint { .. }), "{error:?}");
    }

    #[test]
    fn what_is_wrong_is_named_with_found_and_expected() {
        let remove =
            |name: &'static str| move |path: &Path| fs::remove_file(path.join(name)).expect("ours");
        let write = |name: &'static str, bytes: &'static str| {
            move |path: &Path| fs::write(path.join(name), bytes).expect("ours")
        };
        check_refused(remove(MODEL_FILE), "model.safetensors: this member");
        check_refused(remove("manifest.json"), "manifest.json: cannot read");
        check_refused(
            write(EMA_FILE, ""),
            "ema.safetensors: found 0 bytes, expected",
        );
        check_refused(
            write("stray.bin", "?"),
            "stray.bin: this file does not belong",
        );
        check_refused(
            |path| {
                let file = path.join(PROGRESS_FILE);
                let text = fs::read_to_string(&file).expect("ours").replace('7', "8");
                fs::write(&file, text).expect("ours");
            },
            "progress.json: found SHA-256",
        );
    }

    #[test]
    fn hidden_files_of_desktops_do_no_harm() {
        let run = tempfile::tempdir().expect("a scratch folder");
        let path = checkpoint(1.0).save(run.path(), 1, &[]).expect("writable");
        fs::write(path.join(".DS_Store"), "").expect("ours");
        assert!(Checkpoint::<HashMap<String, u64>>::load(&path, &Device::Cpu).is_ok());
    }

    #[test]
    fn progress_of_another_form_says_so() {
        let run = tempfile::tempdir().expect("a scratch folder");
        let path = checkpoint(1.0).save(run.path(), 1, &[]).expect("writable");
        let loaded = Checkpoint::<Vec<u8>>::load(&path, &Device::Cpu);
        let message = loaded.expect_err("a map is no list").to_string();
        assert!(message.contains("progress of another form"), "{message}");
    }
}
