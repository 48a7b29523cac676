//! Writes the seeds of every target into `corpus/<target>/`, or below the folder given.

use std::path::PathBuf;

use facenet_fuzz::TARGETS;

fn main() -> std::io::Result<()> {
    let here = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let corpus = std::env::args_os().nth(1).map_or_else(here, PathBuf::from);
    for target in TARGETS {
        let folder = corpus.join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
