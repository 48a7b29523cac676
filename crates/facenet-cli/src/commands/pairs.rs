//! `facenet pairs`.

use facenet_train::dataset::{DecodeLimits, Folder, people_list};
use facenet_train::lfw::{Pairs, PairsConfig, Person, make_pairs};
use facenet_train::{TrainError, lfw::LfwError};
use serde::Serialize;

use crate::args::PairsArgs;
use crate::failure::Failure;
use crate::report::Output;

/// What `pairs --json` prints.
#[derive(Debug, Serialize)]
struct Written<'a> {
    output: &'a std::path::Path,
    folds: u32,
    same: usize,
    different: usize,
    people: usize,
}

pub(crate) fn run(args: &PairsArgs, output: Output) -> Result<(), Failure> {
    // The limits are for decoding, and names are enough here.
    let limits = DecodeLimits::default();
    let mut folder = Folder::scan(&args.folder, &limits).map_err(TrainError::from)?;
    if let Some(spec) = &args.people {
        folder.keep(&people_list(spec).map_err(TrainError::from)?);
    }
    let people = people(&folder);
    let pairs = write(&people, args).map_err(TrainError::from)?;
    let same = pairs.pairs().iter().filter(|pair| pair.is_same).count();
    let written = Written {
        output: &args.output,
        folds: args.folds,
        same,
        different: pairs.pairs().len() - same,
        people: people.len(),
    };
    let text = format!(
        "{}: {} folds, {} same and {} different pairs of {} people",
        args.output.display(),
        written.folds,
        written.same,
        written.different,
        written.people
    );
    output.result(&text, &written)
}

fn write(people: &[Person], args: &PairsArgs) -> Result<Pairs, LfwError> {
    let config = PairsConfig {
        folds: args.folds,
        pairs_per_kind: args.pairs_per_fold,
        seed: args.seed,
    };
    let pairs = make_pairs(people, &config)?;
    pairs.write(&args.output)?;
    Ok(pairs)
}

/// The folder's identities with the names of their image files.
fn people(folder: &Folder) -> Vec<Person> {
    let file_name = |path: &std::path::PathBuf| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    let identities = folder.identities.iter();
    identities
        .map(|identity| Person {
            name: identity.name.clone(),
            files: identity.images.iter().filter_map(file_name).collect(),
        })
        .collect()
}
