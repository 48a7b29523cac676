//! Galleries that a model fills and asks.

use std::path::{Path, PathBuf};

use facenet_dataset::Folder;
use facenet_files::folder_of;
use facenet_gallery::{
    Embedded, Enrolled, Gallery, GalleryError, Match, Searcher, Source, check_name, load, update,
};
use serde::Serialize;

use crate::apply::fingerprint::made_by;
use crate::apply::people::embed_folder;
use crate::compute::on_threads;
use crate::error::TrainError;
use crate::evaluate::{ModelSource, embed};
use crate::observer::Observer;

/// Whom to enrol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// Everyone of a folder of identity folders, under the folders' names.
    Folder(PathBuf),
    /// One person, by images or folders of images.
    Person {
        /// Their name.
        name: String,
        /// Their images.
        images: Vec<PathBuf>,
    },
}

/// What enrolling did, and what the gallery holds now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EnrollReport {
    /// The gallery's file.
    pub gallery: PathBuf,
    /// People who were given.
    pub people: usize,
    /// Templates that are new.
    pub added: usize,
    /// Templates that were there already.
    pub already: usize,
    /// Images without a template, and why.
    pub skipped: Vec<(String, String)>,
    /// People in the gallery.
    pub n_identities: usize,
    /// Templates in the gallery.
    pub n_templates: usize,
}

/// Embeds images of people and adds them to a gallery, which is made where there is none.
///
/// All are added in one change of the file, or nobody.
///
/// # Errors
/// [`TrainError::Gallery`] for a gallery that is damaged or of another model, and for a name that can
/// be none, before anything is embedded; as [`embed_people`](crate::apply::embed_people).
pub fn enroll(
    source: &ModelSource,
    path: &Path,
    enrolment: &Enrolment,
    observer: &mut dyn Observer,
) -> Result<EnrollReport, TrainError> {
    let made_by = made_by(source)?;
    check_before(path, &made_by)?;
    let given = embed_given(source, enrolment, observer)?;
    let fresh = Gallery::new(made_by.clone(), given.dim)?;
    let change = |gallery: &mut Gallery| {
        let mut all = Enrolled::default();
        for (name, rows) in &given.people {
            let source = &made_by;
            let one = gallery.enroll(name, Embedded { source, rows })?;
            all.added += one.added;
            all.already += one.already;
        }
        Ok((all, gallery.names().len(), gallery.n_templates()))
    };
    let (enrolled, n_identities, n_templates) = update(path, Some(fresh), change)?;
    Ok(EnrollReport {
        gallery: path.to_owned(),
        people: given.people.len(),
        added: enrolled.added,
        already: enrolled.already,
        skipped: given.skipped,
        n_identities,
        n_templates,
    })
}

/// Refuses a gallery of another model, or in no folder, before an hour goes into embeddings for it.
fn check_before(path: &Path, made_by: &Source) -> Result<(), TrainError> {
    match load(path) {
        Err(GalleryError::Io { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound && folder_of(path).is_dir() =>
        {
            Ok(())
        }
        loaded => Ok(loaded?.check_source(made_by)?),
    }
}

/// Names with their rows.
struct Given {
    people: Vec<(String, Vec<f32>)>,
    dim: usize,
    skipped: Vec<(String, String)>,
}

fn embed_given(
    source: &ModelSource,
    enrolment: &Enrolment,
    observer: &mut dyn Observer,
) -> Result<Given, TrainError> {
    match enrolment {
        Enrolment::Folder(root) => {
            let folder = Folder::scan(root, &source.limits)?;
            let mut names = folder.identities.iter().map(|one| &one.name);
            names.try_for_each(|name| check_name(name))?;
            let found = on_threads(source.threads, || embed_folder(source, folder, observer))?;
            let people = found
                .each()
                .map(|(name, rows)| (name.to_owned(), rows.to_vec()));
            Ok(Given {
                people: people.collect(),
                dim: found.dim,
                skipped: found.skipped,
            })
        }
        Enrolment::Person { name, images } => {
            check_name(name)?;
            let found = embed(source, images, observer)?;
            Ok(Given {
                people: vec![(name.clone(), found.rows)],
                dim: found.dim,
                skipped: found.skipped,
            })
        }
    }
}

/// Whom to look for, and how.
#[derive(Clone, Debug)]
pub struct IdentifyRequest {
    /// The gallery's file.
    pub gallery: PathBuf,
    /// Images, or folders of images or of identity folders.
    pub images: Vec<PathBuf>,
    /// Whoever is not below it is unknown, in squared L2; without it nobody is judged.
    pub threshold: Option<f64>,
    /// People to name for each image, 1 or more.
    pub top: usize,
}

/// Somebody who is near.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Their name.
    pub name: String,
    /// Squared L2 to their nearest template.
    pub sq_l2: f64,
}

/// Who an image shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Identified {
    /// The image.
    pub image: String,
    /// The name, where the nearest is below the threshold; none for an unknown person, and without a threshold.
    pub name: Option<String>,
    /// Who is nearest, however far.
    pub nearest: Vec<Candidate>,
}

/// What a gallery answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IdentifyReport {
    /// Each image's answer, in order.
    pub images: Vec<Identified>,
    /// Images that could not be read, and why.
    pub skipped: Vec<(String, String)>,
    /// People in the gallery.
    pub n_identities: usize,
    /// Templates in the gallery.
    pub n_templates: usize,
}

/// Looks for the people on images in a gallery, which need not hold them.
///
/// # Errors
/// [`TrainError::Gallery`] for a gallery that is missing, damaged or of another model; as
/// [`embed`](crate::embed) for the images.
pub fn identify(
    source: &ModelSource,
    request: &IdentifyRequest,
    observer: &mut dyn Observer,
) -> Result<IdentifyReport, TrainError> {
    let made_by = made_by(source)?;
    let gallery = load(&request.gallery)?;
    gallery.check_source(&made_by)?;
    let probes = embed(source, &request.images, observer)?;
    let rows = Embedded {
        source: &made_by,
        rows: &probes.rows,
    };
    // Nothing is below zero.
    let threshold = request.threshold.unwrap_or(0.0);
    let found = on_threads(source.threads, || {
        Ok(Searcher::new(&gallery).identify(rows, threshold, request.top)?)
    })?;
    let images = probes.paths.into_iter().zip(found).map(|(image, found)| {
        let nearest: Vec<_> = found.nearest.iter().map(candidate).collect();
        let first = nearest.first().map(|first| first.name.clone());
        Identified {
            image,
            name: first.filter(|_| found.is_known),
            nearest,
        }
    });
    Ok(IdentifyReport {
        images: images.collect(),
        skipped: probes.skipped,
        n_identities: gallery.names().len(),
        n_templates: gallery.n_templates(),
    })
}

fn candidate(found: &Match<'_>) -> Candidate {
    Candidate {
        name: found.name.to_owned(),
        sq_l2: found.sq_l2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_models_gallery_is_refused_before_anything_is_embedded() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("g");
        let source = |model: u8| Source {
            model: [model; 32],
            recipe: String::new(),
        };
        assert!(check_before(&path, &source(1)).is_ok(), "none yet");
        let nowhere = check_before(&folder.path().join("no/g"), &source(1));
        assert_eq!(nowhere.expect_err("no folder").exit_class().code(), 3);
        let gallery = Gallery::new(source(1), 2).expect("two values");
        facenet_gallery::save(&path, &gallery).expect("writable");
        assert!(check_before(&path, &source(1)).is_ok());
        let other = check_before(&path, &source(2)).expect_err("another model");
        assert_eq!(other.exit_class().code(), 5);
        std::fs::write(&path, "x").expect("writable");
        assert_eq!(
            check_before(&path, &source(1))
                .expect_err("damaged")
                .exit_class()
                .code(),
            3
        );
    }
}
