use std::collections::HashSet;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::deck::{below, generator};
use crate::error::LfwError;
use crate::faces::{Comparison, Faces};
use crate::impostors::Impostors;
use crate::interval::clopper_pearson_95;
use crate::roc::share;

/// Errors that a rate must rest on: with ten, the exact 95 % interval is from half the rate to not
/// quite twice it (0.48 to 1.84 times); with three, from a fifth to nearly three times.
pub const ERRORS_WANTED: f64 = 10.0;
/// The largest FAR that a threshold is sought for: above it nobody would speak of verification.
pub const MAX_FAR: f64 = 0.1;
/// Draws of people that an interval is read from.
pub const REPLICATES: usize = 1000;
/// Seed of those draws; an interval is then a function of the data.
const SEED: u64 = 666;
/// Pairs that are kept beyond those that may be accepted: so many times as many, and a few.
/// A draw of people whose threshold lies beyond them all has it there.
const BEYOND: (usize, usize) = (3, 100);

/// A threshold for a wanted false accept rate, and what it rests on.
///
/// Intervals are 95 %: from [`REPLICATES`] draws of as many people with replacement (the images of
/// one person depend on each other), and never narrower than what the number of pairs leaves open
/// if they were independent (Clopper and Pearson's exact interval).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// The FAR asked for.
    pub far_target: f64,
    /// Squared L2; a pair is accepted below it. The largest whose FAR is not above the target.
    pub threshold: f64,
    /// Where the threshold is in draws of other people.
    pub threshold_interval: [f64; 2],
    /// Share of different pairs accepted.
    pub far: f64,
    /// Its interval.
    pub far_interval: [f64; 2],
    /// Different pairs accepted.
    pub accepted_different: u64,
    /// Different pairs compared.
    pub n_different: u64,
    /// Pairs of people among them, each counted once however many images they have.
    pub n_people_pairs: u64,
    /// Share of same pairs accepted; none without any.
    pub val: Option<f64>,
    /// Its interval.
    pub val_interval: Option<[f64; 2]>,
    /// Same pairs accepted.
    pub accepted_same: u64,
    /// Same pairs compared.
    pub n_same: u64,
}

/// Finds the threshold of each wanted FAR among all comparisons of `faces`.
///
/// Comparisons are made and forgotten; kept are the nearest different ones, on each thread at most
/// some 50 bytes times three times the largest FAR times the number of all.
///
/// - `far_targets`: above 0, at most [`MAX_FAR`]
///
/// # Errors
/// [`LfwError::CalibrationFar`] for another rate; [`LfwError::Unsupported`] unless there are
/// [`ERRORS_WANTED`] `/ FAR` pairs of different people or more, each counted once, since the images
/// of two people say less than as many people; [`LfwError::Tied`] where so many distances are the
/// same that the threshold accepts less than half of what it may.
pub fn calibrate(faces: &Faces<'_>, far_targets: &[f64]) -> Result<Vec<OperatingPoint>, LfwError> {
    let counts = Counts::of(faces);
    for &far in far_targets {
        counts.check(far)?;
    }
    let largest = far_targets.iter().copied().fold(0.0, f64::max);
    let most = BEYOND.0 * allowed(largest, counts.different) + BEYOND.1;
    let impostors = faces.fold(|| Impostors::new(most), Impostors::add, Impostors::join);
    let evidence = Evidence {
        faces,
        counts,
        impostors: impostors.sorted(),
    };
    let points = far_targets.iter().map(|&far| evidence.point(far));
    points.collect()
}

/// Refuses a FAR that no threshold is sought for.
///
/// # Errors
/// [`LfwError::CalibrationFar`] unless it is above 0 and at most [`MAX_FAR`].
pub fn check_far(far: f64) -> Result<(), LfwError> {
    if far > 0.0 && far <= MAX_FAR {
        Ok(())
    } else {
        Err(LfwError::CalibrationFar { found: far })
    }
}

/// How much there is to compare.
#[derive(Debug, Clone, Copy)]
struct Counts {
    different: u64,
    same: u64,
    people_pairs: u64,
}

impl Counts {
    fn of(faces: &Faces<'_>) -> Self {
        let people = |&[i, j]: &[usize; 2]| [faces.owners()[i], faces.owners()[j]];
        if let Some(listed) = faces.listed() {
            let is_different = |[a, b]: &[u32; 2]| a != b;
            let different = listed.iter().map(people).filter(is_different);
            let n_different = different.clone().count() as u64;
            let met: HashSet<_> = different.map(|[a, b]| (a.min(b), a.max(b))).collect();
            return Self {
                different: n_different,
                same: listed.len() as u64 - n_different,
                people_pairs: met.len() as u64,
            };
        }
        let pairs = |n: u64| n * n.saturating_sub(1) / 2;
        let same: u64 = images_of(faces).iter().map(|&n| pairs(n)).sum();
        Self {
            different: pairs(faces.n_images() as u64) - same,
            same,
            people_pairs: pairs(faces.n_people() as u64),
        }
    }

    fn check(&self, far: f64) -> Result<(), LfwError> {
        check_far(far)?;
        let needed = ERRORS_WANTED / far;
        // A product of decimal fractions: 10 / 0.001 must not ask for 10,000.000000000002.
        if (self.people_pairs as f64) < needed * (1.0 - 1e-9) {
            return Err(LfwError::Unsupported {
                far,
                people_pairs: self.people_pairs,
                needed: (needed * (1.0 - 1e-9)).ceil() as u64,
            });
        }
        Ok(())
    }
}

/// Images of each person.
fn images_of(faces: &Faces<'_>) -> Vec<u64> {
    let mut images = vec![0; faces.n_people()];
    for &owner in faces.owners() {
        images[owner as usize] += 1;
    }
    images
}

/// The most of `n` pairs that a FAR lets through.
pub(crate) fn allowed(far: f64, n: u64) -> usize {
    let is_within = |k: u64| k as f64 / n as f64 <= far;
    let mut k = (far * n as f64) as u64;
    // The product may be off by a rounding either way.
    while k > 0 && !is_within(k) {
        k -= 1;
    }
    while k < n && is_within(k + 1) {
        k += 1;
    }
    k as usize
}

/// What thresholds are read from.
struct Evidence<'a> {
    faces: &'a Faces<'a>,
    counts: Counts,
    /// The nearest different pairs, the nearest first.
    impostors: Vec<Comparison>,
}

/// Accepted and all same pairs of each person.
type Genuine = Vec<[u64; 2]>;

impl Evidence<'_> {
    fn point(&self, far_target: f64) -> Result<OperatingPoint, LfwError> {
        let Counts {
            different,
            same,
            people_pairs,
        } = self.counts;
        let may = allowed(far_target, different);
        // There are 10 pairs for each that may pass, at least: one more is always kept.
        let threshold = self.impostors[may].sq_l2;
        let accepted = self.impostors.partition_point(|one| one.sq_l2 < threshold);
        if accepted < may.div_ceil(2) {
            let (accepted, may) = (accepted as u64, may as u64);
            return Err(LfwError::Tied {
                threshold,
                accepted,
                may,
            });
        }
        let genuine = self.genuine(threshold);
        let accepted_same = genuine.iter().map(|[accepted, _]| accepted).sum();
        let drawn = self.draws(far_target, accepted, &genuine);
        let accepted_different = accepted as u64;
        let exact = clopper_pearson_95(accepted_different, different);
        Ok(OperatingPoint {
            far_target,
            threshold,
            threshold_interval: wider(middle_95(&drawn, |d| d.threshold), [threshold; 2]),
            far: share(accepted, different as usize),
            far_interval: wider(middle_95(&drawn, |d| d.far), exact),
            accepted_different,
            n_different: different,
            n_people_pairs: people_pairs,
            val: (same > 0).then(|| accepted_same as f64 / same as f64),
            val_interval: (same > 0).then(|| {
                wider(
                    middle_95(&drawn, |d| d.val),
                    clopper_pearson_95(accepted_same, same),
                )
            }),
            accepted_same,
            n_same: same,
        })
    }

    /// Same pairs of each person, and those of them below the threshold.
    fn genuine(&self, threshold: f64) -> Genuine {
        let mut genuine = vec![[0; 2]; self.faces.n_people()];
        let owners = self.faces.owners();
        let mut add = |i: usize, j: usize| {
            let [accepted, all] = &mut genuine[owners[i] as usize];
            *accepted += u64::from(self.faces.sq_l2(i, j) < threshold);
            *all += 1;
        };
        if let Some(listed) = self.faces.listed() {
            let same = listed.iter().filter(|[i, j]| owners[*i] == owners[*j]);
            same.for_each(|&[i, j]| add(i, j));
            return genuine;
        }
        let mut images: Vec<usize> = (0..owners.len()).collect();
        images.sort_by_key(|&image| owners[image]);
        for person in images.chunk_by(|&i, &j| owners[i] == owners[j]) {
            for (at, &i) in person.iter().enumerate() {
                person[..at].iter().for_each(|&j| add(i, j));
            }
        }
        genuine
    }

    /// The figures again, for draws of as many people with replacement.
    fn draws(&self, far_target: f64, accepted: usize, genuine: &Genuine) -> Vec<Draw> {
        let n_people = self.faces.n_people();
        let images = images_of(self.faces);
        let draw = |replicate: usize| {
            let mut rng = generator(SEED, replicate as u64);
            let mut times = vec![0u64; n_people];
            for _ in 0..n_people {
                times[below(&mut rng, n_people as u64) as usize] += 1;
            }
            self.drawn(&times, &images, far_target, accepted, genuine)
        };
        (0..REPLICATES).into_par_iter().map(draw).collect()
    }

    /// - `times`: how often each person was drawn
    fn drawn(
        &self,
        times: &[u64],
        images: &[u64],
        far_target: f64,
        accepted: usize,
        genuine: &Genuine,
    ) -> Draw {
        let weight = |one: &Comparison| {
            one.people
                .iter()
                .map(|&p| times[p as usize])
                .product::<u64>()
        };
        let all = self.different_pairs(times, images) as f64;
        let below: u64 = self.impostors[..accepted].iter().map(weight).sum();
        let mut so_far = 0;
        let beyond = self.impostors.iter().find(|one| {
            so_far += weight(one);
            so_far as f64 > far_target * all
        });
        let same = |of: usize| -> u64 {
            let weighted = genuine
                .iter()
                .zip(times)
                .map(|(counts, times)| counts[of] * times);
            weighted.sum()
        };
        Draw {
            threshold: beyond
                .or(self.impostors.last())
                .map_or(f64::NAN, |one| one.sq_l2),
            far: below as f64 / all,
            val: same(0) as f64 / same(1) as f64,
        }
    }

    /// Different pairs of a draw of people.
    fn different_pairs(&self, times: &[u64], images: &[u64]) -> u64 {
        let owners = self.faces.owners();
        if let Some(listed) = self.faces.listed() {
            let people = listed.iter().map(|&[i, j]| [owners[i], owners[j]]);
            let different = people.filter(|[a, b]| a != b);
            return different
                .map(|[a, b]| times[a as usize] * times[b as usize])
                .sum();
        }
        let drawn = || {
            times
                .iter()
                .zip(images)
                .map(|(times, images)| times * images)
        };
        let (sum, squares) = (drawn().sum::<u64>(), drawn().map(|n| n * n).sum::<u64>());
        (sum * sum - squares) / 2
    }
}

/// The figures of one draw of people; NaN where it has no pair to measure them on.
struct Draw {
    threshold: f64,
    far: f64,
    val: f64,
}

/// Between which 95 % of the draws lie.
fn middle_95(draws: &[Draw], of: impl Fn(&Draw) -> f64) -> [f64; 2] {
    let mut values: Vec<f64> = draws.iter().map(of).filter(|x| !x.is_nan()).collect();
    values.sort_unstable_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return [f64::INFINITY, f64::NEG_INFINITY];
    };
    let at = |share: f64| share * last as f64;
    [
        values[at(0.025).floor() as usize],
        values[at(0.975).ceil() as usize],
    ]
}

/// The interval that holds both.
fn wider([a, b]: [f64; 2], [c, d]: [f64; 2]) -> [f64; 2] {
    [a.min(c), b.max(d)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// People with one image each, at whole places of a line.
    fn on_a_line(n: u32) -> (Vec<f32>, Vec<u32>) {
        ((0..n).map(|place| place as f32).collect(), (0..n).collect())
    }

    /// Normal places of `people`, with `images` about each, by sums of twelve uniform draws.
    fn scattered(people: u32, images: u32, seed: u64) -> (Vec<f32>, Vec<u32>) {
        let mut rng = generator(seed, u64::MAX);
        let mut normal = || {
            (0..12)
                .map(|_| below(&mut rng, 1 << 20) as f64)
                .sum::<f64>()
                / f64::from(1 << 20)
                - 6.0
        };
        let (mut rows, mut owners) = (vec![], vec![]);
        for person in 0..people {
            let place = normal();
            for _ in 0..images {
                let apart = if images > 1 { 0.1 * normal() } else { 0.0 };
                rows.push((place + apart) as f32);
                owners.push(person);
            }
        }
        (rows, owners)
    }

    #[test]
    fn the_threshold_is_the_largest_that_keeps_the_rate() {
        // Of 190 pairs 19 are one place apart, the next 18 two places.
        let (rows, owners) = on_a_line(20);
        let faces = Faces::new(&rows, 1, &owners).expect("a row a person");
        let point = &calibrate(&faces, &[0.1]).expect("10 / 0.1 pairs and more")[0];
        assert_eq!((point.threshold, point.far), (4.0, 0.1));
        assert_eq!((point.accepted_different, point.n_different), (19, 190));
        assert_eq!(
            (point.n_people_pairs, point.val, point.n_same),
            (190, None, 0)
        );
        let [low, high] = point.far_interval;
        // Clopper and Pearson's for 19 of 190 alone is 0.061 to 0.152.
        assert!(low < 0.062 && high > 0.151, "{low} {high}");
        assert!(point.threshold_interval[0] <= 4.0 && point.threshold_interval[1] >= 4.0);
        // 18 may pass, and the nearest 19 are tied.
        let tied = calibrate(&faces, &[0.0999]).expect_err("nobody is nearer");
        assert!(
            matches!(
                tied,
                LfwError::Tied {
                    accepted: 0,
                    may: 18,
                    ..
                }
            ),
            "{tied}"
        );
    }

    #[test]
    fn a_rate_that_the_people_cannot_show_is_refused_however_many_images_they_have() {
        let (rows, owners) = scattered(14, 10, 1);
        let faces = Faces::new(&rows, 1, &owners).expect("a row an image");
        // 91 pairs of people, 9,100 of images.
        let few = calibrate(&faces, &[0.1, 0.05]).expect_err("91 pairs");
        let LfwError::Unsupported {
            people_pairs: 91,
            needed: 100,
            ..
        } = few
        else {
            panic!("{few}")
        };
        for wrong in [0.0, -1.0, 0.2, f64::NAN] {
            let found = calibrate(&faces, &[wrong]);
            assert!(
                matches!(found, Err(LfwError::CalibrationFar { .. })),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_list_of_all_pairs_is_all_pairs() {
        let (rows, owners) = scattered(20, 3, 2);
        let faces = Faces::new(&rows, 1, &owners).expect("a row an image");
        let all: Vec<_> = (0..60).flat_map(|i| (0..i).map(move |j| [i, j])).collect();
        let listed = faces.only(&all).expect("images");
        let fars = [0.06, 0.1];
        let found = calibrate(&faces, &fars).expect("190 pairs of people");
        assert_eq!(calibrate(&listed, &fars).expect("the same"), found);
        let naive = |far: f64| {
            let apart = |&[i, j]: &[usize; 2]| (f64::from(rows[i]) - f64::from(rows[j])).powi(2);
            let (mut same, mut different) = (vec![], vec![]);
            for pair in &all {
                let is_same = owners[pair[0]] == owners[pair[1]];
                if is_same { &mut same } else { &mut different }.push(apart(pair));
            }
            different.sort_by(f64::total_cmp);
            let rate = |t: f64| {
                different.iter().filter(|&&d| d < t).count() as f64 / different.len() as f64
            };
            let threshold = different
                .iter()
                .copied()
                .rfind(|&t| rate(t) <= far)
                .expect("some");
            let accepted = same.iter().filter(|&&d| d < threshold).count() as u64;
            (threshold, rate(threshold), accepted, same.len() as u64)
        };
        for point in found {
            let figures = (
                point.threshold,
                point.far,
                point.accepted_same,
                point.n_same,
            );
            assert_eq!(figures, naive(point.far_target));
        }
    }

    #[test]
    fn a_draw_is_measured_as_if_its_people_were_there_so_often() {
        let (rows, owners) = scattered(15, 2, 3);
        let faces = Faces::new(&rows, 1, &owners).expect("a row an image");
        let counts = Counts::of(&faces);
        let kept = faces.fold(|| Impostors::new(10_000), Impostors::add, Impostors::join);
        let evidence = Evidence {
            faces: &faces,
            counts,
            impostors: kept.sorted(),
        };
        let threshold = evidence.impostors[40].sq_l2;
        let times: Vec<u64> = (0..15).map(|person| [0, 2, 1, 3, 0][person % 5]).collect();
        let drawn = evidence.drawn(
            &times,
            &images_of(&faces),
            0.1,
            40,
            &evidence.genuine(threshold),
        );
        // Copies of a person are no two people: their pairs are left out.
        let (mut different, mut same) = (vec![], vec![]);
        for i in 0..30usize {
            for j in 0..i {
                let [a, b] = [owners[i] as usize, owners[j] as usize];
                let into = if a == b { &mut same } else { &mut different };
                let n = if a == b {
                    times[a]
                } else {
                    times[a] * times[b]
                };
                into.extend((0..n).map(|_| faces.sq_l2(i, j)));
            }
        }
        different.sort_by(f64::total_cmp);
        let below =
            |all: &[f64]| all.iter().filter(|&&d| d < threshold).count() as f64 / all.len() as f64;
        assert_eq!((drawn.far, drawn.val), (below(&different), below(&same)));
        let may = (0.1 * different.len() as f64) as usize;
        assert_eq!(drawn.threshold, different[may]);
    }

    /// Intervals must hold the truth about as often as they say, although pairs share people.
    #[test]
    fn the_intervals_hold_the_truth() {
        // The difference of two standard normal places is normal of variance 2, and within
        // 0.0627068 standard deviations with a probability of 5 %.
        let truth = 2.0 * 0.062_706_8f64.powi(2);
        let holds = |seed: u64| {
            let (rows, owners) = scattered(40, 1, seed);
            let faces = Faces::new(&rows, 1, &owners).expect("a row a person");
            let [low, high] = calibrate(&faces, &[0.05]).expect("780 pairs")[0].threshold_interval;
            low <= truth && truth <= high
        };
        let held = (0..100).filter(|&seed| holds(seed)).count();
        assert!((90..=100).contains(&held), "{held} of 100");
    }
}
