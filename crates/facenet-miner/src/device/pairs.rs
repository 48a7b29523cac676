//! `violating` and `semi-hard` on a device: count, draw, pick; or the closest at once.

use std::ops::Range;

use rayon::prelude::*;

use super::closest::closest;
use super::launch::{Anchors, Launch, PairRule, PairScope, Pairs, Slices};
use super::session::{On, f64s, u32s};
use super::{Device, Element, Slice};
use crate::admission::Admission;
use crate::draw::FirstWords;
use crate::problem::Problem;
use crate::statistics::{Tally, sample_stride};
use crate::{Draw, MineError, MinerConfig, NegativeChoice, Triplet};

/// Marks a pair without a negative, as the kernels do.
pub(super) const NONE: u32 = u32::MAX;

/// Pairs of a wave that are aimed at: what is held of them is some 32 MB.
const WAVE_PAIRS: usize = 1 << 20;

/// Counts of a wave, over all slices: 64 MB of them.
const WAVE_COUNTS: u32 = 1 << 24;

/// Anchors that have pairs, and their pairs, worked on together.
#[derive(Debug, Default)]
pub(super) struct Wave {
    anchors: Vec<u32>,
    /// `[anchors + 1]`.
    first_pairs: Vec<u32>,
    places: Vec<u32>,
    positives: Vec<u32>,
}

/// A wave on a device.
type Uploaded<B> = (Anchors<B>, Pairs<B>);

/// What the device found for the pairs of a wave.
struct Found {
    d_aps: Vec<f64>,
    /// [`NONE`] where a pair has no negative.
    negatives: Vec<u32>,
}

/// Gives the triplets of every pair, by anchor, then positive, the smaller index being the anchor.
pub(super) fn visit<D: Device>(
    on: &On<'_, D>,
    problem: &Problem<'_>,
    config: &MinerConfig,
    draw: Draw,
    tally: &mut Tally,
    visitor: &mut dyn FnMut(Triplet),
) -> Result<(), MineError> {
    let (draws, rule) = (draw.pairs(), rule(config));
    let n_pairs = (0..problem.len()).map(|anchor| problem.later(anchor).len() as u64);
    let stride = sample_stride(n_pairs.sum());
    let (mut row, mut first_pair) = (0, 0);
    while row < problem.len() {
        let wave = Wave::from(problem, &mut row, on.max_anchors());
        if wave.anchors.is_empty() {
            break;
        }
        let choose =
            |words: &mut FirstWords, pair, n| draws.choose(words, first_pair + pair as u64, n);
        let found = on_device(on, &wave, rule, |scope| match config.negative {
            NegativeChoice::Random => drawn(on.device, scope, choose),
            NegativeChoice::Closest => closest(on.device, scope, (problem, &wave)),
        })?;
        for (pair, (&d_ap, &negative)) in found.d_aps.iter().zip(&found.negatives).enumerate() {
            let has_negative = negative != NONE;
            tally.see(first_pair + pair as u64, stride, d_ap, has_negative);
            if has_negative {
                tally.give();
                visitor(wave.triplet(problem, pair, negative));
            }
        }
        first_pair += wave.positives.len() as u64;
    }
    Ok(())
}

fn rule(config: &MinerConfig) -> PairRule {
    let admission = Admission::new(config.rule, config.margin);
    PairRule {
        margin: admission.margin(),
        allowance: Admission::ALLOWANCE,
        semi_hard: admission.is_semi_hard(),
    }
}

impl Wave {
    /// The anchors from `row` on that fit; `row` becomes the first that does not.
    fn from(problem: &Problem<'_>, row: &mut usize, max_anchors: usize) -> Self {
        let mut wave = Self::default();
        wave.first_pairs.push(0);
        while *row < problem.len() && wave.anchors.len() < max_anchors {
            let positives = problem.later(*row);
            let n_pairs = wave.positives.len() + positives.len();
            if n_pairs > WAVE_PAIRS && !wave.anchors.is_empty() {
                break;
            }
            if !positives.is_empty() {
                let place = wave.anchors.len() as u32;
                wave.anchors.push(*row as u32);
                wave.places.extend(positives.iter().map(|_| place));
                wave.positives.extend_from_slice(positives);
                wave.first_pairs.push(n_pairs as u32);
            }
            *row += 1;
        }
        wave
    }

    /// Row of the anchor of a pair.
    pub(super) fn anchor(&self, pair: usize) -> usize {
        self.anchors[self.places[pair] as usize] as usize
    }

    fn triplet(&self, problem: &Problem<'_>, pair: usize, negative: u32) -> Triplet {
        Triplet {
            anchor: problem.original(self.anchor(pair)),
            positive: problem.original(self.positives[pair] as usize),
            negative: problem.original(negative as usize),
        }
    }

    fn upload<D: Device>(&self, on: &On<'_, D>) -> Result<Uploaded<D::Buffer>, MineError> {
        let upload = |values: &[u32]| on.device.upload(Slice::U32(values));
        let pairs = Pairs {
            starts: upload(&self.first_pairs)?,
            places: upload(&self.places)?,
            positives: upload(&self.positives)?,
            n: self.positives.len() as u32,
        };
        Ok((on.anchors(&self.anchors)?, pairs))
    }
}

/// The launches of a wave: f64 distances of the pairs, then those of `select`.
///
/// - `select`: gives the negative of every pair, [`NONE`] where there is none
fn on_device<D: Device>(
    on: &On<'_, D>,
    wave: &Wave,
    rule: PairRule,
    select: impl FnOnce(&PairScope<'_, D::Buffer>) -> Result<Vec<u32>, MineError>,
) -> Result<Found, MineError> {
    let (device, batch) = (on.device, on.batch());
    let (anchors, pairs) = wave.upload(on)?;
    let mut d_aps = device.zeros(Element::F64, wave.positives.len())?;
    device.launch(Launch::pair_sq_l2(batch, &anchors, &pairs, &mut d_aps))?;
    let negatives = select(&PairScope {
        batch,
        anchors: &anchors,
        pairs: &pairs,
        d_aps: &d_aps,
        rule,
    })?;
    let d_aps = f64s(device, &d_aps)?;
    Ok(Found { d_aps, negatives })
}

/// Slices for which the results of a wave are no more than `most`, where one slice allows it.
pub(super) fn slices<D: Device>(device: &D, scope: &PairScope<'_, D::Buffer>, most: u32) -> Slices {
    let (anchors, most) = (scope.anchors, most / scope.pairs.n);
    Slices::new(
        scope.batch.n,
        anchors.n,
        anchors.tile,
        device.blocks(),
        most,
    )
}

/// - `choose`: of pair (its place in the wave) and the number of its negatives, the rank to take
fn drawn<D: Device>(
    device: &D,
    scope: &PairScope<'_, D::Buffer>,
    choose: impl Fn(&mut FirstWords, usize, usize) -> usize + Sync,
) -> Result<Vec<u32>, MineError> {
    let (n_pairs, slices) = (scope.pairs.n as usize, slices(device, scope, WAVE_COUNTS));
    let mut counts = device.zeros(Element::U32, n_pairs * slices.n as usize)?;
    device.launch(Launch::count_admissible(scope, slices, &mut counts))?;
    let counts = u32s(device, &counts)?;
    let (slices_of, ranks) = chosen(&counts, slices.n as usize, choose);
    let chosen = device.upload(Slice::U32(&slices_of))?;
    let mut ranks = device.upload(Slice::U32(&ranks))?;
    let mut picks = device.upload(Slice::U32(&vec![NONE; n_pairs]))?;
    let choices = (&chosen, &mut ranks);
    device.launch(Launch::pick_admissible(scope, slices, choices, &mut picks))?;
    let picks = u32s(device, &picks)?;
    let is_right = |(&slice, &pick): (&u32, &u32)| {
        (slice == NONE && pick == NONE) || (slice != NONE && pick < scope.batch.n)
    };
    if !slices_of.iter().zip(&picks).all(is_right) {
        return Err(MineError::device("a pick is not among those counted"));
    }
    Ok(picks)
}

/// Slice of each pair's negative and its rank there; [`NONE`] twice where a pair has none.
///
/// - `counts`: `[pairs, n_slices]`
fn chosen(
    counts: &[u32],
    n_slices: usize,
    choose: impl Fn(&mut FirstWords, usize, usize) -> usize + Sync,
) -> (Vec<u32>, Vec<u32>) {
    let per_pair = counts.par_chunks_exact(n_slices).enumerate();
    per_pair
        .map_init(FirstWords::default, |words, (pair, counts)| {
            let n_negatives: usize = counts.iter().map(|&count| count as usize).sum();
            if n_negatives == 0 {
                return (NONE, NONE);
            }
            located(counts, choose(words, pair, n_negatives))
        })
        .unzip()
}

/// The slice in which `rank` falls, and the rank there.
fn located(counts: &[u32], mut rank: usize) -> (u32, u32) {
    let slices: Range<u32> = 0..counts.len() as u32;
    for (slice, &count) in slices.zip(counts) {
        if rank < count as usize {
            return (slice, rank as u32);
        }
        rank -= count as usize;
    }
    (NONE, NONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Embeddings;

    #[test]
    fn a_rank_is_found_in_its_slice() {
        let counts = [2, 0, 3];
        let found: Vec<_> = (0..6).map(|rank| located(&counts, rank)).collect();
        let expected = [(0, 0), (0, 1), (2, 0), (2, 1), (2, 2), (NONE, NONE)];
        assert_eq!(found, expected);
        let (slices, ranks) = chosen(&[2, 0, 3, 0, 0, 0, 0, 0, 1], 3, |_, _, n| n - 1);
        assert_eq!((slices, ranks), (vec![2, NONE, 2], vec![2, NONE, 0]));
    }

    #[test]
    fn waves_hold_every_pair_once_in_order() {
        let labels = [1, 2, 1, 3, 1, 2];
        let embeddings = Embeddings::new(&[0.0; 6], 1).expect("points");
        let problem = Problem::new(embeddings, &labels).expect("a label a row");
        for max_anchors in [1, 2, 100] {
            let (mut row, mut pairs) = (0, Vec::new());
            while row < problem.len() {
                let wave = Wave::from(&problem, &mut row, max_anchors);
                assert_eq!(wave.first_pairs.len(), wave.anchors.len() + 1);
                let anchors = wave
                    .places
                    .iter()
                    .map(|&place| wave.anchors[place as usize]);
                pairs.extend(anchors.zip(wave.positives.iter().copied()));
            }
            assert_eq!(pairs, [(0, 2), (0, 4), (1, 5), (2, 4)]);
        }
    }
}
