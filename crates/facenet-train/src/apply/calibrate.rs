//! Thresholds for wanted false accept rates, measured on people whose names are known.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use facenet_lfw::{Faces, MissingPolicy, Pairs, calibrate as operating_points, check_far, resolve};

use crate::apply::calibration::Calibration;
use crate::apply::fingerprint::made_by;
use crate::apply::people::{EmbeddedPeople, embed_people};
use crate::compute::on_threads;
use crate::error::TrainError;
use crate::evaluate::{ModelSource, embed_all};
use crate::observer::Observer;
use crate::source::Files;

/// What a calibration is measured on.
#[derive(Clone, Debug)]
pub struct CalibrateRequest {
    /// Folder of identity folders.
    pub dir: PathBuf,
    /// Compare the pairs of this file only; without it, all images with all others.
    pub pairs: Option<PathBuf>,
    /// Rates that thresholds are wanted for.
    pub far_targets: Vec<f64>,
}

/// A calibration that was measured and stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibrated {
    /// What the model folder holds now.
    pub calibration: Calibration,
    /// Images that were left out, and why.
    pub skipped: Vec<(String, String)>,
}

/// Finds the thresholds of a model and stores them in its folder.
///
/// # Errors
/// [`TrainError::Lfw`] for a rate that the data cannot support
/// ([`facenet_lfw::calibrate`] has the rule); as [`embed_people`] for the images, as
/// [`evaluate`](crate::evaluate) with a pairs file; [`TrainError::Io`] where the folder cannot be
/// written.
pub fn calibrate(
    source: &ModelSource,
    request: &CalibrateRequest,
    observer: &mut dyn Observer,
) -> Result<Calibrated, TrainError> {
    for &far in &request.far_targets {
        check_far(far)?;
    }
    let made_by = made_by(source)?;
    let (people, pairs) = match &request.pairs {
        None => (embed_people(source, &request.dir, observer)?, None),
        Some(file) => {
            let (people, pairs) = embed_pairs(source, &request.dir, file, observer)?;
            (people, Some(pairs))
        }
    };
    let points = on_threads(source.threads, || {
        let faces = Faces::new(&people.rows, people.dim, &people.owners)?;
        let faces = match &pairs {
            Some(pairs) => faces.only(pairs)?,
            None => faces,
        };
        Ok(operating_points(&faces, &request.far_targets)?)
    })?;
    let counts = (people.names.len(), people.paths.len());
    let calibration = Calibration::new(&made_by, counts, points);
    calibration.save(&source.model)?;
    Ok(Calibrated {
        calibration,
        skipped: people.skipped,
    })
}

/// The images that a pairs file names, each once, and the pairs as indices of them.
fn embed_pairs(
    source: &ModelSource,
    dir: &Path,
    file: &Path,
    observer: &mut dyn Observer,
) -> Result<(EmbeddedPeople, Vec<[usize; 2]>), TrainError> {
    on_threads(source.threads, || {
        let pairs = Pairs::load(file)?;
        let distinct = resolve(dir, &pairs, MissingPolicy::Refuse)?.distinct();
        let (names, owners) = owners(&pairs, &distinct.pairs, distinct.paths.len());
        let files = Files {
            paths: distinct.paths.clone(),
            limits: source.limits,
        };
        let (rows, _) = embed_all(source, Arc::new(files), 0.0, observer)?;
        let people = EmbeddedPeople {
            rows: rows.values,
            dim: rows.dim,
            owners,
            names,
            paths: distinct.paths,
            skipped: vec![],
        };
        Ok((people, distinct.pairs))
    })
}

/// The people that a pairs file names, by name, and whose image each is.
///
/// - `of_images`: the images of each pair of the file, none being left out
fn owners(pairs: &Pairs, of_images: &[[usize; 2]], n_images: usize) -> (Vec<String>, Vec<u32>) {
    let named = || {
        pairs
            .pairs()
            .iter()
            .flat_map(|pair| [&pair.a.name, &pair.b.name])
    };
    let mut numbers: BTreeMap<&str, u32> = named().map(|name| (name.as_str(), 0)).collect();
    for (number, entry) in (0..).zip(numbers.values_mut()) {
        *entry = number;
    }
    let mut owners = vec![0; n_images];
    for (name, &image) in named().zip(of_images.as_flattened()) {
        owners[image] = numbers[name.as_str()];
    }
    let names = numbers.into_keys().map(str::to_owned).collect();
    (names, owners)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_belong_to_those_whom_the_pairs_name() {
        let text = "2\nCyd\t1\t2\nAnn\t1\t2\nAnn\t1\tCyd\t2\nBob\t1\tAnn\t2\n";
        let pairs = Pairs::parse(text, Path::new("pairs.txt")).expect("sound");
        // In the order of first use: Cyd 1, Cyd 2, Ann 1, Ann 2, Bob 1.
        let (names, owners) = owners(&pairs, &[[0, 1], [2, 3], [2, 1], [4, 3]], 5);
        assert_eq!(names, ["Ann", "Bob", "Cyd"]);
        assert_eq!(owners, [2, 2, 0, 0, 1]);
    }
}
