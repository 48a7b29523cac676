//! Every target by name.

use std::fs;
use std::path::PathBuf;

/// A function that any bytes may be given, and bytes that lead somewhere.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, the binary's and the corpus's.
    pub name: &'static str,
    /// Takes any bytes; a panic is a finding.
    pub run: fn(&[u8]),
    /// Bytes to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// A target of the module of its name.
macro_rules! target {
    ($name:ident) => {
        Target {
            name: stringify!($name),
            run: crate::$name::run,
            seeds: crate::$name::seeds,
        }
    };
}

/// Every target; those of crates with a network behind the feature `networks`.
pub const TARGETS: &[Target] = &[
    target!(graph),
    target!(state_dict),
    target!(wire),
    target!(picture),
    target!(recipe),
    target!(people),
    target!(pairs),
    target!(gallery),
    target!(embeddings),
    #[cfg(feature = "networks")]
    target!(import),
    #[cfg(feature = "networks")]
    target!(model_config),
    #[cfg(feature = "networks")]
    target!(checkpoint),
    #[cfg(feature = "networks")]
    target!(events),
    #[cfg(feature = "networks")]
    target!(stored),
    #[cfg(feature = "networks")]
    target!(schedule),
];

/// Variable that names a folder: a target writes its seeds there instead of running.
pub const SEEDS: &str = "FACENET_FUZZ_SEEDS";

/// Writes the seeds of the target of this name and ends the program, where [`SEEDS`] is set.
///
/// A program of its own could not: what is built with coverage links libFuzzer, or not at all.
///
/// # Panics
/// Where there is no such target, and where the folder cannot be written.
pub fn begin(name: &str) {
    let Some(folder) = std::env::var_os(SEEDS).map(PathBuf::from) else {
        return;
    };
    fs::create_dir_all(&folder).expect("a folder for the seeds");
    for (number, seed) in (called(name).seeds)().iter().enumerate() {
        fs::write(folder.join(format!("seed-{number}")), seed).expect("a writable folder");
    }
    std::process::exit(0);
}

/// Runs the target of this name.
///
/// # Panics
/// Where there is none, and where the target finds something.
pub fn run(name: &str, bytes: &[u8]) {
    (called(name).run)(bytes);
}

fn called(name: &str) -> &'static Target {
    let target = TARGETS.iter().find(|target| target.name == name);
    target.expect("a target of this name")
}
