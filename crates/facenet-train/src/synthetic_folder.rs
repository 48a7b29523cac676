//! Synthetic identities as a folder of pictures, to see what a data set looks like.

use std::path::{Path, PathBuf};

use facenet_dataset::{Rgb8, Synthetic, encode_png};
use facenet_files::{Disk, FileSystem, make_folder, new_folder, write_loose};
use facenet_lfw::{PairsConfig, Person, make_pairs};
use rayon::prelude::*;

use crate::error::TrainError;

/// Sides of a picture, in pixels; within what the decoder reads back.
const MIN_SIDE: u32 = 1;
const MAX_SIDE: u32 = 4096;
/// Most pictures of a folder: above, a file system is the wrong place for them.
const MAX_PICTURES: u64 = 1 << 24;

/// Writes `<folder>/<name>/<name>_<number, 4 digits>.png` for every picture, and
/// `<folder>/pairs.txt`; gives the path of the latter. LFW's names, so that LFW's form of pairs
/// file serves.
///
/// The folder appears complete under its name, or not at all.
///
/// # Errors
/// [`TrainError::Config`] where the folder exists; [`TrainError::Lfw`] where the identities do not
/// give the pairs; [`TrainError::File`] where the disk refuses.
pub fn write_synthetic(
    people: &Synthetic,
    pairs: &PairsConfig,
    folder: &Path,
) -> Result<PathBuf, TrainError> {
    check_sizes(people)?;
    let persons: Vec<_> = (0..people.identities)
        .map(|identity| person(people, identity))
        .collect();
    let pairs = make_pairs(&persons, pairs)?;
    check_absent(folder, "FOLDER")?;
    let files: &dyn FileSystem = &Disk;
    new_folder(files, folder, |scratch| {
        persons
            .par_iter()
            .enumerate()
            .try_for_each(|(identity, person)| {
                write_person(people, identity as u32, person, scratch)
            })?;
        Ok::<_, TrainError>(pairs.write_on(files, &scratch.join("pairs.txt"))?)
    })?;
    Ok(folder.join("pairs.txt"))
}

/// Sides and counts that can be drawn and named.
fn check_sizes(people: &Synthetic) -> Result<(), TrainError> {
    if !(MIN_SIDE..=MAX_SIDE).contains(&people.side) {
        let problem = format!(
            "found {}, expected {MIN_SIDE} to {MAX_SIDE} pixels",
            people.side
        );
        return Err(TrainError::config("--side", problem));
    }
    let pictures = u64::from(people.identities) * u64::from(people.images_per_identity);
    if pictures > MAX_PICTURES {
        let problem = format!(
            "{} identities of {} pictures are {pictures}, expected at most {MAX_PICTURES}",
            people.identities, people.images_per_identity
        );
        return Err(TrainError::config("--identities", problem));
    }
    Ok(())
}

fn person(people: &Synthetic, identity: u32) -> Person {
    let name = format!("synth_{:05}", people.first_identity + identity);
    let files = (1..=people.images_per_identity)
        .map(|number| format!("{name}_{number:04}.png"))
        .collect();
    Person { name, files }
}

fn write_person(
    people: &Synthetic,
    identity: u32,
    person: &Person,
    root: &Path,
) -> Result<(), TrainError> {
    let folder = root.join(&person.name);
    make_folder(&Disk, &folder)?;
    for (index, file) in person.files.iter().enumerate() {
        let picture: Rgb8 = people.render(identity, index as u32);
        // Without waiting for the disk: there are thousands, and each can be drawn again.
        write_loose(&Disk, &folder.join(file), &encode_png(&picture)?)?;
    }
    Ok(())
}

/// Refuses a folder that is there already.
///
/// - `flag`: what its name was given by
pub(crate) fn check_absent(folder: &Path, flag: &'static str) -> Result<(), TrainError> {
    if !folder.exists() {
        return Ok(());
    }
    let problem = format!("{} exists; give a folder that does not", folder.display());
    Err(TrainError::config(flag, problem))
}
