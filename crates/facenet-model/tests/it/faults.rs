//! Each operation of saving a model folder failing in turn: the old model or the new one.

use std::fs;
use std::path::Path;

use facenet_files::faults::{Fault, Faulty, Scenario};
use facenet_files::{Disk, sweep};
use facenet_model::{CARD_FILE, CONFIG_FILE, TENSORS_FILE, put_model};

const FILES: [&str; 3] = [TENSORS_FILE, CONFIG_FILE, CARD_FILE];

/// Whatever is in them: saving does not look into them.
fn members(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let of = |name| (name, format!("{text} {name}").into_bytes());
    FILES.map(of).into()
}

/// Whether the folder is that model, all of it and nothing else.
fn is(dir: &Path, text: &str) -> bool {
    let mut members = members(text).into_iter();
    members.all(|(name, bytes)| fs::read(dir.join(name)).is_ok_and(|found| found == bytes))
        && fs::read_dir(dir).is_ok_and(|entries| entries.count() == FILES.len())
}

#[test]
fn a_model_in_place_of_another() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let trials = folder.path().join("trials");
    let needed: usize = members("new").iter().map(|(_, bytes)| bytes.len()).sum();
    let full = format!("it needs {needed} bytes, and the disk has 0 free");
    for exchanges in [true, false] {
        let scenario = Scenario {
            prepare: &|root| Ok(put_model(&Disk, &root.join("model"), &members("old"))?),
            act: &|files, root| Ok(put_model(files, &root.join("model"), &members("new"))?),
            check: &|root, told| {
                if told.fault == Some(Fault::Full) {
                    let error = told.error.as_deref().unwrap_or(&full);
                    assert!(error.contains(&full), "{error}");
                }
                let dir = root.join("model");
                // Names that are exchanged leave no moment without a model.
                if !exchanges {
                    sweep(&Disk, root)?;
                }
                if !is(&dir, "new") && (told.is_done() || !is(&dir, "old")) {
                    return Err("neither the old model nor the new one".into());
                }
                sweep(&Disk, root)?;
                put_model(&Disk, &dir, &members("next"))?;
                match fs::read_dir(root)?.count() {
                    1 if is(&dir, "next") => Ok(()),
                    names => Err(format!("found {names} names").into()),
                }
            },
        };
        let change = |files: Faulty| {
            if exchanges {
                files
            } else {
                files.without_exchange()
            }
        };
        let count = scenario.run_on(&trials, change).expect("right");
        println!("faults: model folder, exchange {exchanges}: {count}");
    }
}
