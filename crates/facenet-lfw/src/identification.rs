use rayon::prelude::*;
use serde::Serialize;

use crate::calibration::{ERRORS_WANTED, allowed};
use crate::error::LfwError;
use crate::faces::Faces;
use crate::interval::clopper_pearson_95;

/// The share of unknown probes that open-set figures let through unless told otherwise.
pub const DEFAULT_FALSE_ALARMS: f64 = 0.01;

/// Closed- and open-set identification among people with few images each.
///
/// The gallery holds the first image of everyone with two or more; their other images are the known
/// probes. Images of people with a single one are the unknown probes: nobody of them is enrolled.
/// Intervals are Clopper and Pearson's, 95 %, probes taken as independent (those of one person are
/// not, which makes them too narrow).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Identification {
    /// People in the gallery, one image each.
    pub gallery: usize,
    /// Probes of people who are in the gallery.
    pub known_probes: usize,
    /// Probes of people who are not.
    pub unknown_probes: usize,
    /// Closed set: known probes whose own person is the nearest. A tie counts against them.
    pub rank_1: f64,
    /// Its interval.
    pub rank_1_interval: [f64; 2],
    /// Known probes with fewer than five others at their own person's distance or nearer.
    pub rank_5: f64,
    /// Its interval.
    pub rank_5_interval: [f64; 2],
    /// Open set: the figures at `false_alarm_target`; none where there are fewer unknown probes than
    /// 10 / target, which would show fewer than ten false alarms.
    pub open_set: Option<OpenSet>,
    /// Share of unknown probes that may be taken for somebody.
    pub false_alarm_target: f64,
}

/// What a threshold for the nearest in the gallery does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OpenSet {
    /// Squared L2; the largest that keeps the target.
    pub threshold: f64,
    /// Share of unknown probes with somebody below the threshold (also called FPIR).
    pub false_alarm_rate: f64,
    /// Its interval.
    pub false_alarm_interval: [f64; 2],
    /// Detection and identification rate: known probes whose own person is the nearest, and below
    /// the threshold.
    pub detected: f64,
    /// Its interval.
    pub detected_interval: [f64; 2],
}

/// A known probe's answer.
struct Answer {
    /// Squared L2 to its own person's image.
    own: f64,
    /// Others at that distance or nearer.
    n_before: usize,
}

/// Identifies all probes that `faces` give, by the split that [`Identification`] describes.
///
/// - `faces`: all images; a person's first is the one with the smallest index
/// - `false_alarm_target`: above 0, at most 1
///
/// # Errors
/// [`LfwError::FalseAlarms`] for another target, [`LfwError::NobodyTwice`] where nobody has two
/// images.
pub fn identification(
    faces: &Faces<'_>,
    false_alarm_target: f64,
) -> Result<Identification, LfwError> {
    if !(false_alarm_target > 0.0 && false_alarm_target <= 1.0) {
        return Err(LfwError::FalseAlarms {
            found: false_alarm_target,
        });
    }
    let split = Split::of(faces);
    if split.gallery.is_empty() {
        return Err(LfwError::NobodyTwice {
            images: faces.n_images(),
        });
    }
    let answers: Vec<_> = split
        .known
        .par_iter()
        .map(|&probe| answer(faces, &split, probe))
        .collect();
    let n_known = answers.len();
    let within = |n: usize| answers.iter().filter(|answer| answer.n_before < n).count();
    let rate = |hits: usize, trials: usize| hits as f64 / trials as f64;
    let interval = |hits: usize, trials: usize| clopper_pearson_95(hits as u64, trials as u64);
    let open_set = || {
        let (threshold, false_alarms) = threshold(faces, &split, false_alarm_target);
        let is_found = |answer: &&Answer| answer.n_before == 0 && answer.own < threshold;
        let detected = answers.iter().filter(is_found).count();
        OpenSet {
            threshold,
            false_alarm_rate: rate(false_alarms, split.unknown.len()),
            false_alarm_interval: interval(false_alarms, split.unknown.len()),
            detected: rate(detected, n_known),
            detected_interval: interval(detected, n_known),
        }
    };
    let is_enough = split.unknown.len() as f64 >= ERRORS_WANTED / false_alarm_target * (1.0 - 1e-9);
    Ok(Identification {
        gallery: split.gallery.len(),
        known_probes: n_known,
        unknown_probes: split.unknown.len(),
        rank_1: rate(within(1), n_known),
        rank_1_interval: interval(within(1), n_known),
        rank_5: rate(within(5), n_known),
        rank_5_interval: interval(within(5), n_known),
        open_set: is_enough.then(open_set),
        false_alarm_target,
    })
}

/// Which image plays which part.
struct Split {
    /// First images of people with two or more.
    gallery: Vec<usize>,
    /// Where a person's image is among all; nothing for those with one.
    enrolled: Vec<Option<usize>>,
    known: Vec<usize>,
    unknown: Vec<usize>,
}

impl Split {
    fn of(faces: &Faces<'_>) -> Self {
        let mut images = vec![Vec::new(); faces.n_people()];
        for (image, &owner) in faces.owners().iter().enumerate() {
            images[owner as usize].push(image);
        }
        let several = || images.iter().filter(|of| of.len() > 1);
        let single = images.iter().filter(|of| of.len() == 1);
        Self {
            gallery: several().map(|of| of[0]).collect(),
            enrolled: images
                .iter()
                .map(|of| of.first().copied().filter(|_| of.len() > 1))
                .collect(),
            known: several().flat_map(|of| of[1..].iter().copied()).collect(),
            unknown: single.map(|of| of[0]).collect(),
        }
    }
}

fn answer(faces: &Faces<'_>, split: &Split, probe: usize) -> Answer {
    let own_image = split.enrolled[faces.owners()[probe] as usize];
    let own_image = own_image.expect("a known probe has a first image");
    let own = faces.sq_l2(probe, own_image);
    let others = split.gallery.iter().filter(|&&image| image != own_image);
    let n_before = others
        .filter(|&&image| faces.sq_l2(probe, image) <= own)
        .count();
    Answer { own, n_before }
}

/// The largest threshold that keeps the target among unknown probes, and how many pass it.
fn threshold(faces: &Faces<'_>, split: &Split, target: f64) -> (f64, usize) {
    let nearest = |&probe: &usize| {
        let all = split.gallery.iter().map(|&image| faces.sq_l2(probe, image));
        all.fold(f64::INFINITY, f64::min)
    };
    let mut nearest: Vec<f64> = split.unknown.par_iter().map(nearest).collect();
    nearest.sort_unstable_by(f64::total_cmp);
    let may = allowed(target, nearest.len() as u64);
    // With a target of 1 all may pass.
    let last = nearest.last().copied().unwrap_or(0.0);
    let threshold = nearest.get(may).copied().unwrap_or_else(|| last.next_up());
    (threshold, nearest.partition_point(|&d| d < threshold))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(places: &[f32], owners: &[u32], target: f64) -> Result<Identification, LfwError> {
        identification(
            &Faces::new(places, 1, owners).expect("a row an image"),
            target,
        )
    }

    /// Three enrolled at 0, 10 and 20; of four known probes two are right, one is nearest to another
    /// person, and one lies half way between two.
    #[test]
    fn ranks_are_those_of_the_nearest_and_ties_count_against_the_probe() {
        let places = [0.0, 1.0, 10.0, 19.0, 5.0, 20.0, 21.0];
        let owners = [0, 0, 1, 1, 1, 2, 2];
        let found = measure(&places, &owners, 0.5).expect("three with several");
        assert_eq!(
            (found.gallery, found.known_probes, found.unknown_probes),
            (3, 4, 0)
        );
        assert_eq!((found.rank_1, found.rank_5), (0.5, 1.0));
        assert_eq!(found.open_set, None);
    }

    #[test]
    fn the_open_set_rejects_by_the_unknown_probes_nearest() {
        // Twenty strangers at 100, 101, ... from the gallery's nearest at 0.
        let strangers = (0..20).map(|i| 100.0 + i as f32);
        let places: Vec<f32> = [0.0, 1.0, 102.0, -900.0, -901.0]
            .into_iter()
            .chain(strangers)
            .collect();
        let owners: Vec<u32> = [0, 0, 0, 1, 1].into_iter().chain(2..22).collect();
        let open = |target| measure(&places, &owners, target).expect("sound").open_set;
        let found = open(0.5).expect("20 strangers are 10 / 0.5");
        // Ten may pass: the eleventh is at 110, and the probe at 102 is nearer.
        assert_eq!(found.threshold, 110.0 * 110.0);
        assert_eq!((found.false_alarm_rate, found.detected), (0.5, 1.0));
        assert_eq!(open(0.49), None, "9 false alarms and fewer");
        assert_eq!(open(1.0).expect("all may pass").false_alarm_rate, 1.0);
        let near: Vec<f32> = places
            .iter()
            .map(|&x| if x == 102.0 { 111.0 } else { x })
            .collect();
        let found = measure(&near, &owners, 0.5)
            .expect("sound")
            .open_set
            .expect("20 strangers");
        // Of three known probes the one at 111 is right, and beyond the threshold.
        assert_eq!(found.detected, 2.0 / 3.0);
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        let nobody = measure(&[0.0, 1.0], &[0, 1], 0.01);
        assert!(matches!(nobody, Err(LfwError::NobodyTwice { images: 2 })));
        for target in [0.0, 1.5, f64::NAN] {
            let found = measure(&[0.0, 1.0], &[0, 0], target);
            assert!(
                matches!(found, Err(LfwError::FalseAlarms { .. })),
                "{target}"
            );
        }
    }
}
