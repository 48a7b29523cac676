//! Each operation of what a run writes failing in turn: the old state or the new one, never a mix.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use facenet_train::apply::Calibration;
use facenet_train::embeddings_file::{Format, write_on};
use facenet_train::files::faults::{Fault, Faulty, Problem, Scenario, Told};
use facenet_train::files::{Disk, FileSystem, replace, sweep};
use facenet_train::gallery::Source;
use facenet_train::lfw::OperatingPoint;
use facenet_train::{
    Checkpoint, Embedded, EventWriter, LoggedEvent, ResumeOverrides, RunFolder, STEPS_FILE,
    TrainError, checkpoint_path, checkpoints, latest, prune, read_events, supersede,
};

use crate::runs::{Scratch, go_on, names, run, run_dir};

/// Runs a scenario and tells what was tried.
#[track_caller]
fn check(name: &str, scenario: &Scenario<'_>) {
    check_on(name, scenario, |files| files);
}

#[track_caller]
fn check_on(name: &str, scenario: &Scenario<'_>, change: impl Fn(Faulty) -> Faulty) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let count = scenario.run_on(&folder.path().join("trials"), change);
    println!("faults: {name}: {}", count.expect(name));
}

/// An error with its exit code.
fn told(error: &TrainError) -> Problem {
    let class = error.exit_class().code();
    let chain = std::iter::successors(Some(error as &dyn Error), |&error| error.source());
    let chain: Vec<_> = chain.map(ToString::to_string).collect();
    format!("exit {class}: {}", chain.join(": ")).into()
}

fn done<T>(result: Result<T, TrainError>) -> Result<(), Problem> {
    result.map(drop).map_err(|error| told(&error))
}

/// Every failure is of class resources; a full disk tells the bytes of `path` as it ends up.
fn check_told(told: &Told, needed: u64) -> Result<(), Problem> {
    let Some(error) = &told.error else {
        return Ok(());
    };
    let expected = match told.fault {
        Some(Fault::Full) => format!("it needs {needed} bytes, and the disk has 0 free"),
        _ => String::new(),
    };
    if error.starts_with("exit 6: ") && error.contains(&expected) {
        return Ok(());
    }
    Err(format!("found {error:?}, expected exit 6 and {expected:?}").into())
}

fn tensors(value: f32) -> BTreeMap<String, Tensor> {
    let tensor = Tensor::new(&[value, 0.5, -2.0], &Device::Cpu).expect("numbers on the CPU");
    BTreeMap::from([("a".to_owned(), tensor.clone()), ("b".to_owned(), tensor)])
}

fn checkpoint(value: u32) -> Checkpoint<u32> {
    Checkpoint {
        model: tensors(value as f32),
        ema: Some(tensors(value as f32 + 0.5)),
        head: None,
        optimizer: tensors(-(value as f32)),
        progress: value,
    }
}

const CONFIG: (&str, &[u8]) = ("config.json", b"{}");

fn save(files: &dyn FileSystem, run: &Path, step: u64, value: u32) -> Result<(), TrainError> {
    let saved = checkpoint(value).save_on(files, run, step, &[CONFIG]);
    saved.map(drop)
}

/// Step and value of every checkpoint, each of them whole: every hash is compared, and its parts
/// are those of one.
fn whole(run: &Path) -> Result<Vec<(u64, u32)>, Problem> {
    let found = checkpoints(run)?;
    let named = names(run).into_iter();
    let named = named.filter(|name| name.starts_with("checkpoint-")).count();
    if named != found.len() {
        return Err(format!("{named} checkpoints, {} of them whole", found.len()).into());
    }
    let value = |(step, path): (u64, PathBuf)| {
        let loaded = Checkpoint::<u32>::load(&path, &Device::Cpu)?;
        let expected = checkpoint(loaded.progress);
        let numbers = |tensors: &BTreeMap<String, Tensor>| tensors["a"].to_vec1::<f32>();
        let is_one = numbers(&loaded.model)? == numbers(&expected.model)?
            && numbers(&loaded.optimizer)? == numbers(&expected.optimizer)?;
        if !is_one {
            return Err(format!("{}: a mix", path.display()).into());
        }
        Ok((step, loaded.progress))
    };
    found.into_iter().map(value).collect()
}

/// Bytes of a checkpoint of one digit's step and value.
fn bytes_of_a_checkpoint() -> u64 {
    let folder = tempfile::tempdir().expect("a scratch folder");
    save(&Disk, folder.path(), 1, 1).expect("writable");
    let files = names(&checkpoint_path(folder.path(), 1)).into_iter();
    let path = |name| checkpoint_path(folder.path(), 1).join(name);
    files
        .map(|name| fs::metadata(path(name)).expect("written").len())
        .sum()
}

/// After an act on a run with the checkpoints `old`: `old` or `new`, or one of `between`; nothing
/// is left over once swept, and the run can go on.
fn check_checkpoints(
    name: &str,
    old: &[(u64, u32)],
    act: &dyn Fn(&dyn FileSystem, &Path) -> Result<(), TrainError>,
    new: &[(u64, u32)],
    between: &[&[(u64, u32)]],
) {
    let needed = bytes_of_a_checkpoint();
    let scenario = Scenario {
        prepare: &|run| {
            let mut old = old.iter();
            Ok(old.try_for_each(|&(step, value)| save(&Disk, run, step, value))?)
        },
        act: &|files, run| done(act(files, run)),
        check: &|run, told| {
            check_told(told, needed)?;
            sweep(&Disk, run)?;
            let found = whole(run)?;
            let is_good = if told.is_done() {
                found == new
            } else {
                found == old || found == new || between.contains(&found.as_slice())
            };
            if !is_good {
                return Err(format!("found checkpoints {found:?}").into());
            }
            if names(run).iter().any(|name| name.starts_with('.')) {
                return Err(format!("{:?} after sweeping", names(run)).into());
            }
            save(&Disk, run, 9, 9)?;
            let last = latest(run)?;
            let goes_on = last == Some(checkpoint_path(run, 9));
            goes_on.then_some(()).ok_or_else(|| "cannot go on".into())
        },
    };
    check(name, &scenario);
    let name = format!("{name}, by renames");
    check_on(&name, &scenario, Faulty::without_exchange);
}

#[test]
fn a_checkpoint_beside_older_ones_and_the_pruning_of_these() {
    let act = |files: &dyn FileSystem, run: &Path| {
        save(files, run, 4, 4)?;
        prune(files, run, 2, Some(2)).map(drop)
    };
    let (old, new) = ([(1, 1), (2, 2), (3, 3)], [(2, 2), (3, 3), (4, 4)]);
    let all = [(1, 1), (2, 2), (3, 3), (4, 4)];
    check_checkpoints("checkpoint saved and pruned", &old, &act, &new, &[&all]);
}

#[test]
fn a_checkpoint_in_place_of_one_of_its_step() {
    let act = |files: &dyn FileSystem, run: &Path| save(files, run, 3, 4);
    let (old, new) = ([(1, 1), (3, 3)], [(1, 1), (3, 4)]);
    check_checkpoints("checkpoint replaced", &old, &act, &new, &[]);
}

#[test]
fn checkpoints_of_abandoned_steps_moved_aside() {
    let act = |files: &dyn FileSystem, run: &Path| supersede(files, run, 1).map(drop);
    let (old, new) = ([(1, 1), (2, 2), (3, 3)], [(1, 1)]);
    check_checkpoints(
        "checkpoints superseded",
        &old,
        &act,
        &new,
        &[&[(1, 1), (2, 2)]],
    );
}

#[test]
fn what_a_crash_has_left_being_swept() {
    let act = |files: &dyn FileSystem, run: &Path| Ok(sweep(files, run)?);
    let scenario = Scenario {
        prepare: &|run| {
            save(&Disk, run, 1, 1)?;
            save(&Disk, run, 2, 2)?;
            fs::rename(
                checkpoint_path(run, 2),
                run.join(".replaced-checkpoint-00000002"),
            )?;
            fs::create_dir(run.join(".scratch-checkpoint-00000003"))?;
            fs::write(run.join(".scratch-checkpoint-00000003/x"), "half")?;
            Ok(fs::write(run.join(".scratch-a.txt"), "half")?)
        },
        act: &|files, run| done(act(files, run)),
        check: &|run, _| {
            sweep(&Disk, run)?;
            match whole(run)?.as_slice() {
                [(1, 1), (2, 2)] if names(run).len() == 2 => Ok(()),
                found => Err(format!("found {found:?} and {:?}", names(run)).into()),
            }
        },
    };
    check("sweep", &scenario);
}

/// A file that `act` replaces: all of the old bytes or of the new ones.
fn check_file(
    name: &str,
    file: &str,
    act: &dyn Fn(&dyn FileSystem, &Path) -> Result<(), TrainError>,
) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    act(&Disk, folder.path()).expect("writable");
    let new = fs::read(folder.path().join(file)).expect("written");
    let old = b"the file of before".as_slice();
    let scenario = Scenario {
        prepare: &|root| Ok(replace(&Disk, &root.join(file), old)?),
        act: &|files, root| done(act(files, root)),
        check: &|root, told| {
            check_told(told, new.len() as u64)?;
            let found = fs::read(root.join(file))?;
            if found == new || (found == old && !told.is_done()) {
                return Ok(());
            }
            Err(format!("found {:?}", String::from_utf8_lossy(&found)).into())
        },
    };
    check(name, &scenario);
}

fn embedded(value: f32) -> Embedded {
    Embedded {
        rows: vec![value, -value, 0.5, 0.25],
        dim: 2,
        paths: vec![format!("{value}/a.png"), format!("{value}/b.png")],
        skipped: vec![],
    }
}

#[test]
fn embeddings_in_one_file() {
    for (format, file) in [
        (Format::Safetensors, "e.safetensors"),
        (Format::Csv, "e.csv"),
    ] {
        let act = |files: &dyn FileSystem, root: &Path| {
            write_on(files, &root.join(file), format, &embedded(1.0))
        };
        check_file(&format!("embeddings, {file}"), file, &act);
    }
}

#[test]
fn embeddings_and_the_list_of_their_paths() {
    let put = |files: &dyn FileSystem, root: &Path, value| {
        write_on(files, &root.join("e.npy"), Format::Npy, &embedded(value))
    };
    let scenario = Scenario {
        prepare: &|root| Ok(put(&Disk, root, 1.0)?),
        act: &|files, root| done(put(files, root, 2.0)),
        check: &|root, told| {
            let rows = fs::read(root.join("e.npy")).ok();
            let list = fs::read_to_string(root.join("e.npy.paths.txt"))?;
            let first =
                |rows: Vec<u8>| f32::from_le_bytes([rows[128], rows[129], rows[130], rows[131]]);
            let found = (rows.map(first), list.lines().next().unwrap_or_default());
            let is_good = match found {
                (Some(2.0), "2/a.png") => true,
                // The rows come last: without them there is nothing to mix up.
                (Some(1.0), "1/a.png") | (None, "1/a.png" | "2/a.png") => !told.is_done(),
                _ => false,
            };
            let is_spared = told.fault != Some(Fault::Full) || found.0.is_some();
            if is_good && is_spared {
                Ok(())
            } else {
                Err(format!("found {found:?}").into())
            }
        },
    };
    check("embeddings, e.npy and its list", &scenario);
}

#[test]
fn a_calibration() {
    let source = Source {
        model: [7; 32],
        recipe: "32 pixels".to_owned(),
    };
    let point = OperatingPoint {
        far_target: 0.01,
        threshold: 1.1,
        threshold_interval: [1.0, 1.2],
        far: 0.01,
        far_interval: [0.0, 1.0],
        accepted_different: 10,
        n_different: 1000,
        n_people_pairs: 1000,
        val: None,
        val_interval: None,
        accepted_same: 0,
        n_same: 0,
    };
    let calibration = Calibration {
        format: 1,
        model: "07".repeat(32),
        recipe: source.recipe.clone(),
        people: 50,
        images: 100,
        confidence: 0.95,
        points: vec![point],
    };
    let folder = tempfile::tempdir().expect("a scratch folder");
    calibration.save(folder.path()).expect("writable");
    let loaded = Calibration::load(folder.path(), &source).expect("as written");
    assert_eq!(loaded.as_ref(), Some(&calibration));
    let act = |files: &dyn FileSystem, root: &Path| calibration.save_on(files, root);
    check_file("calibration", "calibration.json", &act);
}

#[test]
fn the_small_files_of_a_run() {
    let arguments = [("seed".to_owned(), "1".to_owned())];
    let scenario = Scenario {
        prepare: &|_| Ok(()),
        act: &|files, root| {
            let files: Arc<dyn FileSystem> = Arc::new(files.clone());
            let made =
                RunFolder::create_on(&files, &root.join("logs"), &root.join("models"), "run");
            done(made.and_then(|folder| folder.write_arguments(&arguments)))
        },
        check: &|root, told| {
            let found = fs::read_to_string(root.join("logs/run/arguments.txt")).ok();
            match found.as_deref() {
                Some("seed: 1\n") if root.join("models/run").is_dir() => Ok(()),
                None if !told.is_done() => Ok(()),
                found => Err(format!("found {found:?}").into()),
            }
        },
    };
    check("run folder and its arguments", &scenario);
}

/// Lines of a step each, some of them; of all but the last nothing is missing.
#[test]
fn lines_of_a_log() {
    let line = |step: u64| format!("{step}\t0.50000\t0.25000\n");
    let append = |files: Arc<dyn FileSystem>, root: &Path, step| {
        let (log_dir, model_dir) = (root.to_owned(), root.to_owned());
        let folder = RunFolder::existing(files, log_dir, model_dir);
        folder.append_lfw_result(step, 0.5, 0.25, false)
    };
    let whole: Vec<_> = (1..=3).map(line).collect();
    let scenario = Scenario {
        prepare: &|root| Ok(append(Arc::new(Disk), root, 1)?),
        act: &|files, root| {
            let mut steps = [2, 3].into_iter();
            done(steps.try_for_each(|step| append(Arc::new(files.clone()), root, step)))
        },
        check: &|root, told| {
            check_told(told, whole[1].len() as u64)?;
            let before = fs::read_to_string(root.join("lfw_result.txt"))?;
            if !whole.concat().starts_with(&before) || !before.starts_with(&whole[0]) {
                return Err(format!("found {before:?}").into());
            }
            // Whoever goes on does so on a line of their own.
            append(Arc::new(Disk), root, 3)?;
            let after = fs::read_to_string(root.join("lfw_result.txt"))?;
            match after.lines().last() {
                Some("3\t0.50000\t0.25000") => Ok(()),
                _ => Err(format!("found {after:?}").into()),
            }
        },
    };
    check("log lines", &scenario);
}

#[test]
fn an_event_file() {
    let write = |files: &dyn FileSystem, root: &Path| {
        let mut writer = EventWriter::create_on(files, root, 1.0)?;
        (1..=3).try_for_each(|step| writer.write(1.0, step, &[("loss", 0.5)]))?;
        Ok(writer.path().to_owned())
    };
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = write(&Disk, folder.path()).expect("writable");
    let (bytes, events) = (fs::read(&path), read_events(&path).expect("as written"));
    let (bytes, name) = (bytes.expect("written"), path.file_name().expect("a file"));
    let scenario = Scenario {
        prepare: &|_| Ok(()),
        act: &|files, root| done(write(files, root)),
        check: &|root, _| {
            let path = root.join(name);
            let found = fs::read(&path).unwrap_or_default();
            if !bytes.starts_with(&found) {
                return Err("other bytes than were written".into());
            }
            if path.exists() {
                check_events(&path, &events)?;
            }
            // A run that goes on begins another file.
            let again = write(&Disk, root)?;
            if read_events(&again)? == events {
                Ok(())
            } else {
                Err("another log".into())
            }
        },
    };
    check("event file", &scenario);
}

/// A file of whole records is read as a part of `events`; one with a torn record says where.
fn check_events(path: &Path, events: &[LoggedEvent]) -> Result<(), Problem> {
    match read_events(path) {
        Ok(found) if events.starts_with(&found) => Ok(()),
        Err(TrainError::Data { what, .. }) if what.starts_with("record at byte") => Ok(()),
        other => Err(format!("found {other:?}").into()),
    }
}

#[test]
fn a_run_whose_last_lines_are_torn_goes_on() {
    let scratch = Scratch::new();
    let first = run(scratch.config());
    let steps = first.log_dir.join(STEPS_FILE);
    let text = fs::read_to_string(&steps).expect("a log");
    fs::write(&steps, &text[..text.len() - 7]).expect("as if killed while writing");
    let mut found = names(&first.log_dir).into_iter();
    let name = found.find(|name| name.starts_with("events."));
    let events = first.log_dir.join(name.expect("an event file"));
    let bytes = fs::read(&events).expect("a log");
    fs::write(&events, &bytes[..bytes.len() - 7]).expect("as if killed while writing");
    fs::write(first.log_dir.join(".scratch-config.toml"), "half").expect("writable");
    let more = ResumeOverrides {
        max_nrof_epochs: Some(3),
        ..ResumeOverrides::default()
    };
    let again = go_on(&run_dir(&first), more).expect("goes on");
    assert_eq!(again.steps, 12);
    let read = fs::read_to_string(&steps).expect("a log");
    let objects = read.lines().map(serde_json::from_str::<serde_json::Value>);
    let torn: Vec<_> = objects
        .enumerate()
        .filter(|(_, line)| line.is_err())
        .collect();
    assert_eq!(torn.len(), 1, "the torn line alone is none: {torn:?}");
    assert_eq!(torn[0].0, 7);
    let torn = read_events(&events).expect_err("torn");
    assert!(torn.to_string().contains("record at byte"), "{torn}");
    let others = names(&first.log_dir).into_iter();
    let others = others.filter(|name| name.starts_with("events.") && !events.ends_with(name));
    let others: Vec<_> = others.collect();
    assert_eq!(others.len(), 1);
    read_events(&first.log_dir.join(&others[0])).expect("a file of its own");
    assert!(scratch.unfinished().is_empty());
}
