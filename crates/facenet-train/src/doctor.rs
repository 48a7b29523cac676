//! A training folder looked through before it is trained on: its files, and with a model its
//! people.

mod chance;
mod median;
mod people;
mod separation;
mod suspect;

use std::path::{Path, PathBuf};

use facenet_dataset::{CheckConfig, Checkup, DecodeLimits, Finding, Folder};

pub use separation::Separation;
pub use suspect::{Suspect, SuspectKind};

use crate::compute::on_threads;
use crate::error::TrainError;
use crate::evaluate::{ModelSource, embed_paths};
use crate::observer::{Event, Observer, Stage};
use people::People;

/// What is to be looked through.
#[derive(Clone, Debug)]
pub struct DoctorRequest {
    /// Folder of identity folders.
    pub folder: PathBuf,
    /// Another one that must share no picture and, with a model, nobody with it: what is scored on.
    pub against: Option<PathBuf>,
    /// A model to tell people by.
    pub model: Option<ModelSource>,
    /// How files are looked at.
    pub check: CheckConfig,
    /// Bounds on one image.
    pub limits: DecodeLimits,
    /// Squared L2 below which people are one; measured on the folder where it is `None`.
    pub same_below: Option<f64>,
    /// Squared L2 from which an image is of someone else; measured likewise.
    pub other_above: Option<f64>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// Identities with an image file.
    pub identities: usize,
    /// Image files.
    pub images: usize,
    /// Those that can be read.
    pub readable: usize,
    /// What is wrong with files.
    pub findings: Vec<Finding>,
    /// How well the model tells these people apart; `None` without a model, or where no identity
    /// has two readable images or there is but one.
    pub separation: Option<Separation>,
    /// What is suspicious by embedding; empty without a separation.
    pub suspects: Vec<Suspect>,
}

impl Diagnosis {
    /// How many things are grave: above 0, training on the folder as it is would be wrong.
    pub fn n_grave(&self) -> usize {
        let findings = self.findings.iter().filter(|one| one.is_grave).count();
        findings + self.suspects.iter().filter(|one| one.is_grave).count()
    }
}

/// Looks through a folder.
///
/// # Errors
/// [`TrainError::Dataset`] where a folder cannot be listed or holds no image; with a model as
/// [`embed`](crate::embed), and [`TrainError::Config`] for a distance that is none.
pub fn doctor(
    request: &DoctorRequest,
    observer: &mut dyn Observer,
) -> Result<Diagnosis, TrainError> {
    for (flag, sq_l2) in [
        ("--same-below", request.same_below),
        ("--other-above", request.other_above),
    ] {
        check_distance(flag, sq_l2)?;
    }
    let own = check(&request.folder, request, observer)?;
    let other = request.against.as_deref();
    let other = other
        .map(|folder| check(folder, request, observer))
        .transpose()?;
    let mut diagnosis = Diagnosis {
        identities: own.folder().identities.len(),
        images: own
            .folder()
            .identities
            .iter()
            .map(|one| one.images.len())
            .sum(),
        readable: own.readable().count(),
        findings: own.findings(),
        separation: None,
        suspects: Vec::new(),
    };
    if let Some(other) = &other {
        diagnosis.findings.extend(own.shared_with(other));
    }
    if let Some(model) = request.model.as_ref().filter(|_| diagnosis.readable > 0) {
        on_threads(model.threads, || {
            let people = embedded(model, &own, other.as_ref(), observer)?;
            diagnosis.tell_apart(&people, request)
        })?;
    }
    Ok(diagnosis)
}

impl Diagnosis {
    /// - `people`: of the folder, and of the other one
    fn tell_apart(
        &mut self,
        (own, other): &(People, Option<People>),
        request: &DoctorRequest,
    ) -> Result<(), TrainError> {
        let measured = Separation::of(own, request.same_below, request.other_above);
        let Some(separation) = measured else {
            return Ok(());
        };
        self.suspects = own.suspects(&separation)?;
        if let Some(other) = other {
            self.suspects.extend(own.shared_with(other, &separation)?);
        }
        self.separation = Some(separation);
        Ok(())
    }
}

/// Distances of unit embeddings are within `[0, 4]`.
fn check_distance(flag: &'static str, sq_l2: Option<f64>) -> Result<(), TrainError> {
    match sq_l2 {
        Some(found) if !(0.0..=4.0).contains(&found) => {
            let problem = format!("found {found}, expected a squared L2 from 0 to 4");
            Err(TrainError::config(flag, problem))
        }
        _ => Ok(()),
    }
}

fn check(
    root: &Path,
    request: &DoctorRequest,
    observer: &mut dyn Observer,
) -> Result<Checkup, TrainError> {
    let folder = Folder::scan(root, &request.limits)?;
    let mut progress = |done, total| {
        let stage = Stage::Scan;
        observer.event(&Event::Progress { stage, done, total });
    };
    Ok(Checkup::of(folder, request.check, &mut progress)?)
}

/// Embeds the readable images of both folders.
fn embedded(
    model: &ModelSource,
    own: &Checkup,
    other: Option<&Checkup>,
    observer: &mut dyn Observer,
) -> Result<(People, Option<People>), TrainError> {
    let readable = |checkup: &Checkup| -> Vec<PathBuf> {
        checkup
            .readable()
            .map(|(_, path)| path.to_owned())
            .collect()
    };
    let mut paths = readable(own);
    let n_own = paths.len();
    paths.extend(other.map(readable).unwrap_or_default());
    let (rows, _) = embed_paths(model, paths, observer)?;
    let n_rows = rows
        .ids
        .iter()
        .filter(|id| (id.image as usize) < n_own)
        .count();
    let (ids, other_ids) = rows.ids.split_at(n_rows);
    let (values, other_values) = rows.values.split_at(n_rows * rows.dim);
    let at = |ids: &[facenet_dataset::ImageId], from: usize| -> Vec<usize> {
        ids.iter().map(|id| id.image as usize - from).collect()
    };
    let people = People::new(own, &at(ids, 0), values, rows.dim);
    let others =
        other.map(|other| People::new(other, &at(other_ids, n_own), other_values, rows.dim));
    Ok((people, others))
}
