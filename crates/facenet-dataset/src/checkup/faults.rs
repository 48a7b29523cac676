//! From looks to findings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::finding::{Fault, Finding};
use super::look::Look;
use super::print::Print;
use super::{Checkup, File, near};
use crate::error::in_line;
use crate::format::Format;
use crate::picture::ImageId;
use crate::quarantine::{Quarantine, Quarantined};
use crate::skipped::SkipReason;

/// A picture whose longer side is more than so many times the shorter is no face crop.
const MAX_ASPECT: usize = 2;

/// What is wrong with a folder; see [`Checkup::findings`].
pub(super) fn findings(checkup: &Checkup) -> Vec<Finding> {
    let mut findings = unfit(checkup);
    findings.extend(unreadable(checkup));
    findings.extend(passed_over(checkup));
    findings.extend(checkup.files.iter().filter_map(|file| tiny(checkup, file)));
    findings.extend(checkup.files.iter().filter_map(|file| odd(checkup, file)));
    findings.extend(single(checkup));
    findings.extend(duplicates(checkup));
    findings.extend(near_duplicates(checkup));
    findings
}

/// Pictures that another folder has too; see [`Checkup::shared_with`].
pub(super) fn shared(own: &Checkup, other: &Checkup) -> Vec<Finding> {
    let both: Vec<&File> = own.files.iter().chain(&other.files).collect();
    let mut twins: BTreeMap<usize, (usize, &str)> = BTreeMap::new();
    let sets = [
        (exact_sets(&both), "the same file as"),
        (near_sets(&both), "the same picture as"),
    ];
    for (sets, how) in &sets {
        for set in sets {
            let (ours, theirs) = set.split_at(set.partition_point(|&i| i < own.files.len()));
            if let Some(&first) = theirs.first() {
                for &i in ours {
                    twins.entry(i).or_insert((first, how));
                }
            }
        }
    }
    let finding = |(i, (twin, how)): (usize, (usize, &str))| Finding {
        fault: Fault::Overlap,
        is_grave: true,
        identities: own.names(&[both[i]]),
        images: vec![both[i].path.clone(), both[twin].path.clone()],
        what: format!("{how} one of {}", other.folder.root.display()),
    };
    twins.into_iter().map(finding).collect()
}

impl Checkup {
    fn finding(&self, fault: Fault, files: &[&File], what: impl Into<String>) -> Finding {
        Finding {
            fault,
            is_grave: false,
            identities: self.names(files),
            images: files.iter().map(|file| file.path.clone()).collect(),
            what: what.into(),
        }
    }

    /// Names of the identities of files, in order, each once.
    fn names(&self, files: &[&File]) -> Vec<String> {
        let mut identities: Vec<usize> = files.iter().map(|file| file.identity).collect();
        identities.dedup();
        let name = |identity: usize| self.folder.identities[identity].name.clone();
        identities.into_iter().map(name).collect()
    }

    /// Readable images of each identity.
    fn n_readable(&self) -> Vec<usize> {
        let mut n_readable = vec![0; self.folder.identities.len()];
        for (identity, _) in self.readable() {
            n_readable[identity] += 1;
        }
        n_readable
    }

    /// A set of files that show one picture: grave under more than one name.
    fn same_picture(&self, fault: Fault, files: &[&File], how: &str) -> Finding {
        let mut finding = self.finding(fault, files, "");
        finding.is_grave = finding.identities.len() > 1;
        finding.what = match finding.identities.len() {
            1 => format!("{how}, {} times", files.len()),
            names => format!("{how} under {names} names"),
        };
        finding
    }
}

/// What stops a run, or gives it nothing to learn.
fn unfit(checkup: &Checkup) -> Vec<Finding> {
    let n_readable = checkup.n_readable();
    let mut problems = Vec::new();
    if n_readable.iter().filter(|&&n| n > 0).count() < 2 {
        problems.push("fewer than two identities can be read: there is no negative".to_owned());
    }
    if n_readable.iter().all(|&n| n < 2) {
        problems.push("no identity has two readable images: there is no positive".to_owned());
    }
    problems.extend(too_many_bad(checkup));
    let finding = |what| Finding {
        fault: Fault::Unfit,
        is_grave: true,
        identities: Vec::new(),
        images: vec![checkup.folder.root.clone()],
        what,
    };
    problems.into_iter().map(finding).collect()
}

/// What a loader says at the end of a stream of all images, where it refuses them.
fn too_many_bad(checkup: &Checkup) -> Option<String> {
    let files = &checkup.files;
    let mut quarantine = Quarantine::new(files.len(), checkup.config.max_bad_share);
    let id = |image: usize| ImageId {
        identity: 0,
        image: image as u32,
    };
    let mut bad = Vec::new();
    for (image, file) in files.iter().enumerate() {
        match &file.looked {
            Ok(_) => quarantine.good(id(image)),
            Err(reason) => bad.push(Quarantined {
                image: id(image),
                name: file.path.display().to_string(),
                reason: reason.clone(),
            }),
        }
    }
    let refused = bad.into_iter().find_map(|one| quarantine.bad(one).err());
    refused.map(|error| in_line(&error))
}

fn unreadable(checkup: &Checkup) -> Vec<Finding> {
    let broken = checkup.files.iter().filter_map(|file| {
        let reason = file.looked.as_ref().err()?;
        let path = format!("{}: ", file.path.display());
        let reason = reason.strip_prefix(&path).unwrap_or(reason);
        Some(checkup.finding(Fault::Unreadable, &[file], reason))
    });
    let closed = skipped(checkup, Fault::Unreadable);
    broken.chain(closed).collect()
}

fn passed_over(checkup: &Checkup) -> Vec<Finding> {
    skipped(checkup, Fault::PassedOver).collect()
}

/// What the scan did not take, in so far as it is of this kind.
fn skipped(checkup: &Checkup, fault: Fault) -> impl Iterator<Item = Finding> {
    let kind = |reason: &SkipReason| match reason {
        SkipReason::Unreadable(_) => Fault::Unreadable,
        _ => Fault::PassedOver,
    };
    let of_kind = checkup.folder.skipped.iter();
    of_kind
        .filter(move |one| kind(&one.reason) == fault)
        .map(move |one| Finding {
            fault,
            is_grave: false,
            identities: Vec::new(),
            images: vec![one.path.clone()],
            what: one.reason.to_string(),
        })
}

fn tiny(checkup: &Checkup, file: &File) -> Option<Finding> {
    let Look { width, height, .. } = *file.look()?;
    let min_side = checkup.config.min_side as usize;
    (width.min(height) < min_side).then(|| {
        let what = format!("{width} x {height} pixels, expected {min_side} a side or more");
        checkup.finding(Fault::Tiny, &[file], what)
    })
}

fn odd(checkup: &Checkup, file: &File) -> Option<Finding> {
    let look = file.look()?;
    let (width, height) = (look.width, look.height);
    let mut oddities = Vec::new();
    if look.print.is_blank() {
        oddities.push("nearly one colour".to_owned());
    }
    if width.max(height) > MAX_ASPECT * width.min(height) {
        oddities.push(format!(
            "{width} x {height} pixels, not the shape of a face"
        ));
    }
    if let Some(named) = claimed(&file.path).filter(|&named| named != look.format) {
        oddities.push(format!("{} in a file named as {named}", look.format));
    }
    let what = oddities.join("; ");
    (!what.is_empty()).then(|| checkup.finding(Fault::Odd, &[file], what))
}

/// The format that a file's name claims.
fn claimed(path: &Path) -> Option<Format> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "jpg" | "jpeg" => Some(Format::Jpeg),
        "png" => Some(Format::Png),
        "pgm" | "ppm" | "pbm" | "pnm" => Some(Format::Pnm),
        "webp" => Some(Format::WebP),
        _ => None,
    }
}

fn single(checkup: &Checkup) -> Vec<Finding> {
    let identities = checkup.folder.identities.iter().zip(checkup.n_readable());
    let few = identities.filter(|&(_, n)| n < 2);
    let finding = |(identity, n): (&crate::Identity, usize)| Finding {
        fault: Fault::SingleImage,
        is_grave: false,
        identities: vec![identity.name.clone()],
        images: identity.images.iter().take(1).map(PathBuf::clone).collect(),
        what: match n {
            0 => "no readable image of this identity".to_owned(),
            _ => "one readable image of this identity".to_owned(),
        },
    };
    few.map(finding).collect()
}

fn duplicates(checkup: &Checkup) -> Vec<Finding> {
    let files: Vec<&File> = checkup.files.iter().collect();
    let sets = exact_sets(&files).into_iter();
    sets.map(|set| {
        let members: Vec<&File> = set.iter().map(|&i| files[i]).collect();
        checkup.same_picture(Fault::Duplicate, &members, "the same file")
    })
    .collect()
}

/// Of files of the same bytes the first stands for all.
fn near_duplicates(checkup: &Checkup) -> Vec<Finding> {
    let all: Vec<&File> = checkup.files.iter().collect();
    let mut is_first = vec![true; all.len()];
    for set in exact_sets(&all) {
        for &i in &set[1..] {
            is_first[i] = false;
        }
    }
    let firsts = all.iter().zip(is_first).filter(|&(_, is_first)| is_first);
    let firsts: Vec<&File> = firsts.map(|(&file, _)| file).collect();
    let sets = near_sets(&firsts).into_iter();
    sets.map(|set| {
        let members: Vec<&File> = set.iter().map(|&i| firsts[i]).collect();
        checkup.same_picture(Fault::NearDuplicate, &members, "the same picture")
    })
    .collect()
}

/// Sets of files of the same bytes, by their first.
fn exact_sets(files: &[&File]) -> Vec<Vec<usize>> {
    let mut by_digest: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
    for (i, file) in files.iter().enumerate() {
        if let Some(look) = file.look() {
            by_digest.entry(look.digest).or_default().push(i);
        }
    }
    let mut sets: Vec<_> = by_digest
        .into_values()
        .filter(|set| set.len() > 1)
        .collect();
    sets.sort_unstable();
    sets
}

/// Sets of files that show one picture, by their first; blank ones are in none.
fn near_sets(files: &[&File]) -> Vec<Vec<usize>> {
    let prints: Vec<(usize, &Print)> = files
        .iter()
        .enumerate()
        .filter_map(|(i, file)| Some((i, &file.look()?.print)))
        .filter(|(_, print)| !print.is_blank())
        .collect();
    let borrowed: Vec<&Print> = prints.iter().map(|&(_, print)| print).collect();
    let sets = near::sets(&borrowed).into_iter();
    sets.map(|set| set.into_iter().map(|at| prints[at].0).collect())
        .collect()
}
