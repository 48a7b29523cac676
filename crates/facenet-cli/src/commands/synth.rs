//! `facenet synth`.

use facenet_train::write_synthetic;
use serde::Serialize;

use crate::args::SynthArgs;
use crate::failure::Failure;
use crate::report::Output;

/// What `synth --json` prints.
#[derive(Debug, Serialize)]
struct Written<'a> {
    folder: &'a std::path::Path,
    identities: u32,
    images: u64,
    pairs: std::path::PathBuf,
}

pub(crate) fn run(args: &SynthArgs, output: Output) -> Result<(), Failure> {
    let people = facenet_train::dataset::Synthetic {
        identities: args.identities,
        images_per_identity: args.images,
        first_identity: 0,
        side: args.side,
        seed: args.seed,
    };
    let pairs = facenet_train::lfw::PairsConfig {
        folds: args.folds,
        pairs_per_kind: args.pairs_per_fold,
        seed: args.seed,
    };
    let pairs = write_synthetic(&people, &pairs, &args.folder)?;
    let written = Written {
        folder: &args.folder,
        identities: args.identities,
        images: u64::from(args.identities) * u64::from(args.images),
        pairs,
    };
    let text = format!(
        "{}: {} synthetic identities, {} pictures; pairs in {}",
        args.folder.display(),
        written.identities,
        written.images,
        written.pairs.display()
    );
    output.result(&text, &written)
}
