//! Checkpoints: a manifest, or a member that agrees with its manifest.

use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;

use candle_core::{Device, Tensor};
use facenet_train::{Checkpoint, MODEL_FILE, OPTIMIZER_FILE, PROGRESS_FILE, verify_checkpoint};
use sha2::{Digest, Sha256};

const MANIFEST: &str = "manifest.json";
/// Files of a checkpoint without an average or a classifier; the first byte chooses one.
const FILES: [&str; 4] = [MANIFEST, MODEL_FILE, OPTIMIZER_FILE, PROGRESS_FILE];

type Progress = BTreeMap<String, u64>;

/// Loads a checkpoint one of whose files is hostile; the hashes of its members are true, so that
/// these are read. What was loaded is whole.
pub(crate) fn run(bytes: &[u8]) {
    let Some((chosen, bytes)) = bytes.split_first() else {
        return;
    };
    let mut files = whole().clone();
    let chosen = usize::from(*chosen) % FILES.len();
    files[chosen] = bytes.to_vec();
    if FILES[chosen] != MANIFEST {
        files[0] = manifest(&files).into_bytes();
    }
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let folder = scratch.path();
    for (file, bytes) in FILES.iter().zip(files) {
        fs::write(folder.join(file), bytes).expect("writable");
    }
    match Checkpoint::<Progress>::load(folder, &Device::Cpu) {
        Ok(_) => drop(verify_checkpoint(folder).expect("it was loaded")),
        Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
    }
}

/// Each file as it is, and a manifest that a fuzzer has found: its key would break an error's line.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let found = b"{\"format\": 1, \"mem\\nbers\": {}}".to_vec();
    let files = (0..).zip(whole()).chain([(0, &found)]);
    files
        .map(|(chosen, bytes)| [&[chosen], &bytes[..]].concat())
        .collect()
}

/// The files of a checkpoint of few numbers, as they are saved.
fn whole() -> &'static Vec<Vec<u8>> {
    static WHOLE: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let tensors = |values: &[f32]| {
            let tensor = Tensor::new(values, &Device::Cpu).expect("a vector");
            BTreeMap::from([("last.weight".to_owned(), tensor)])
        };
        let checkpoint = Checkpoint {
            model: tensors(&[1.0, -2.0]),
            ema: None,
            head: None,
            optimizer: tensors(&[0.5]),
            progress: Progress::from([("step".into(), 3)]),
        };
        let run = tempfile::tempdir().expect("a scratch folder");
        let folder = checkpoint.save(run.path(), 3, &[]).expect("writable");
        let read = |file| fs::read(folder.join(file)).expect("just written");
        FILES.map(read).into()
    })
}

/// A manifest that is true of the other files.
fn manifest(files: &[Vec<u8>]) -> String {
    let members = FILES[1..].iter().zip(&files[1..]).map(|(file, bytes)| {
        let hash = Sha256::digest(bytes);
        let hex: Vec<_> = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "\"{file}\": {{\"bytes\": {}, \"sha256\": \"{}\"}}",
            bytes.len(),
            hex.concat()
        )
    });
    let members: Vec<_> = members.collect();
    format!("{{\"format\": 1, \"members\": {{{}}}}}", members.join(", "))
}
