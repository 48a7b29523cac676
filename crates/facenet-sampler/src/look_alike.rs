//! Rounds of identities that look alike, each dealt once before any is dealt again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::code::{Code, Coder, planes_at};
use crate::deal::{Deal, Place};
use crate::{ChaChaDraw, Sample, SamplerConfig, SamplerError};

/// Purpose of the draws of images.
const IMAGES: u64 = u64::from_le_bytes(*b"lookalik");

/// Which look-alikes share a round, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookAlikeConfig {
    /// Largest share of a round's images that are of look-alikes, in `[0, 1)`; the others are of
    /// identities as they come. By default a half: each identity brings one that looks like it.
    pub share: f64,
    /// Squared L2, in `[0, 4]`, below which two identities are taken for one person under two
    /// names: no look-alike comes nearer to any other identity of its round. By default 0.2, the
    /// margin of the FaceNet paper (arXiv:1503.03832, §3.2).
    pub floor: f64,
}

impl Default for LookAlikeConfig {
    fn default() -> Self {
        Self {
            share: 0.5,
            floor: 0.2,
        }
    }
}

impl LookAlikeConfig {
    /// Refuses numbers out of range.
    ///
    /// # Errors
    /// [`SamplerError::OutOfRange`].
    pub fn validate(&self) -> Result<(), SamplerError> {
        let wrong = |field, found: f64, expected| {
            Err(SamplerError::OutOfRange {
                field,
                found: found.to_string(),
                expected,
            })
        };
        if !(0.0..1.0).contains(&self.share) {
            return wrong("share", self.share, "0 or more and below 1");
        }
        if !(0.0..=4.0).contains(&self.floor) {
            return wrong("floor", self.floor, "0 to 4");
        }
        Ok(())
    }
}

/// Draws rounds among look-alikes, in the manner of doppelganger mining (Smirnov et al., ICCV
/// Workshops 2017): some identities as they come, each with others that look like it.
///
/// What an identity looks like is a [`Code`] of the mean of its embeddings in the last round that
/// it was in: no image is embedded for it. An identity that no round has had looks like nobody,
/// so the first cycle's rounds are random ones.
///
/// All identities are dealt once, in random order, before any is dealt again: after every round
/// the numbers of times that two identities have been dealt differ by one at most. The choice is
/// among the next [`WINDOW`](crate::WINDOW) identities of that order; those that have waited
/// longest come first, with the nearest of the others.
///
/// A round is a function of the configuration and of [`LookAlikes::state`]. Resident are 56 bytes
/// an identity: its size, its code and its place.
#[derive(Clone, Debug)]
pub struct LookAlikes {
    sizes: Vec<u32>,
    config: SamplerConfig,
    rule: LookAlikeConfig,
    coder: Coder,
    codes: Vec<Code>,
    deal: Deal,
    rounds: u64,
}

impl LookAlikes {
    /// Checks the request once, so that no round can fail later.
    ///
    /// - `sizes`: images of each identity; an empty identity is never dealt
    /// - `dim`: numbers of an embedding, 1 or more
    ///
    /// # Errors
    /// As [`Sampler::new`](crate::Sampler::new), and [`SamplerError::OutOfRange`].
    pub fn new(
        sizes: &[u32],
        config: SamplerConfig,
        rule: LookAlikeConfig,
        dim: usize,
    ) -> Result<Self, SamplerError> {
        config.validate(sizes)?;
        rule.validate()?;
        let n_images = config.people_per_batch * config.images_per_person;
        Ok(Self {
            sizes: sizes.to_vec(),
            config,
            rule,
            coder: Coder::new(config.seed, dim.max(1)),
            codes: vec![Code::default(); sizes.len()],
            deal: Deal::new(sizes, config.seed, n_images),
            rounds: 0,
        })
    }

    /// Deals the next round: exactly P x K images, at most K of an identity, as
    /// [`sample_people`](crate::sample_people) has them.
    pub fn round(&mut self) -> Sample {
        let draw = ChaChaDraw::of_purpose(self.config.seed, IMAGES, 0, self.rounds);
        self.rounds += 1;
        self.deal.refill(&self.sizes);
        let mut hand = Hand {
            needed: self.config.people_per_batch * self.config.images_per_person,
            identities: Vec::new(),
            sample: Sample::default(),
            draw,
        };
        let alike = (hand.needed as f64 * self.rule.share) as usize;
        self.deal_oldest(&mut hand, alike);
        self.deal_look_alikes(&mut hand);
        self.deal_oldest(&mut hand, 0);
        hand.sample
    }

    /// Deals those that have waited longest until no more than `rest` images are missing.
    fn deal_oldest(&mut self, hand: &mut Hand, rest: usize) {
        while hand.needed > rest {
            let identity = self.deal.oldest(&self.sizes, &hand.identities);
            hand.take(identity, &self.sizes, self.config.images_per_person);
        }
    }

    /// Deals to each identity of the hand in turn the one that looks most like it, while there is
    /// any.
    fn deal_look_alikes(&mut self, hand: &mut Hand) {
        let seeds = hand.identities.clone();
        let mut is_any = true;
        while is_any {
            is_any = false;
            for &seed in &seeds {
                if hand.needed == 0 {
                    return;
                }
                if let Some(at) = self.nearest(seed, &hand.identities) {
                    let identity = self.deal.remove(at);
                    hand.take(identity, &self.sizes, self.config.images_per_person);
                    is_any = true;
                }
            }
        }
    }

    /// The place in the window of the identity that looks most like `seed`, of those that are
    /// clear of all of `hand`; of equals the one that has waited longest.
    fn nearest(&self, seed: u32, hand: &[u32]) -> Option<usize> {
        let own = &self.codes[seed as usize];
        if !own.is_known() {
            return None;
        }
        let floor = planes_at(self.rule.floor);
        let mut best: Option<(u32, usize)> = None;
        for (at, &identity) in self.deal.window().iter().enumerate() {
            let code = &self.codes[identity as usize];
            let planes = own.planes_between(code);
            let is_nearer = best.is_none_or(|(least, _)| planes < least);
            if code.is_known() && is_nearer && self.is_clear(identity, hand, floor) {
                best = Some((planes, at));
            }
        }
        best.map(|(_, at)| at)
    }

    /// Whether an identity is not of `hand`, and nobody there is too near to be another person.
    fn is_clear(&self, identity: u32, hand: &[u32], floor: f64) -> bool {
        let code = &self.codes[identity as usize];
        hand.iter().all(|&other| {
            let theirs = &self.codes[other as usize];
            let is_far = !theirs.is_known() || f64::from(code.planes_between(theirs)) >= floor;
            other != identity && is_far
        })
    }

    /// Remembers what the identities of some embeddings look like: the mean of each one's.
    ///
    /// - `identities`: `[n]`, one for each row; one beyond the sizes is passed over
    /// - `embeddings`: `[n, dim]` row-major, finite
    pub fn learn(&mut self, identities: &[u32], embeddings: &[f32]) {
        let mut sums: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        let rows = embeddings.chunks_exact(self.coder.dim());
        for (&identity, row) in identities.iter().zip(rows) {
            let sum = sums.entry(identity);
            let sum = sum.or_insert_with(|| vec![0.0; row.len()]);
            sum.iter_mut()
                .zip(row)
                .for_each(|(sum, &x)| *sum += f64::from(x));
        }
        for (identity, sum) in sums {
            if let Some(code) = self.codes.get_mut(identity as usize) {
                *code = self.coder.code(&sum);
            }
        }
    }

    /// The code of an identity.
    ///
    /// # Panics
    /// For an identity beyond the sizes.
    pub fn code(&self, identity: u32) -> Code {
        self.codes[identity as usize]
    }

    /// What [`LookAlikes::go_back`] needs: no more than who waits, 128 KB.
    pub fn place(&self) -> LookAlikePlace {
        LookAlikePlace {
            rounds: self.rounds,
            deal: self.deal.place(),
        }
    }

    /// Undoes the rounds since this place of the same sampler: they come again. What was learnt since
    /// stays.
    pub fn go_back(&mut self, place: LookAlikePlace) {
        self.rounds = place.rounds;
        self.deal.go_back(place.deal);
    }

    /// All that later rounds depend on besides the configuration and what will be learnt.
    pub fn state(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.rounds.to_le_bytes());
        self.deal.write(&mut bytes);
        bytes.reserve_exact(self.codes.len() * crate::CODE_BYTES);
        for code in &self.codes {
            bytes.extend(code.to_bytes());
        }
        bytes
    }

    /// Goes on from a state.
    ///
    /// # Errors
    /// [`SamplerError::State`] where it is not that of a sampler of as many identities; nothing
    /// has then changed.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), SamplerError> {
        let wrong = || SamplerError::State {
            what: format!(
                "found {} bytes that are no state of {} identities",
                state.len(),
                self.sizes.len()
            ),
        };
        let (rounds, rest) = state.split_first_chunk().ok_or_else(wrong)?;
        let (deal, rest) = self.deal.read(&self.sizes, rest).ok_or_else(wrong)?;
        let (codes, tail) = rest.as_chunks();
        if codes.len() != self.codes.len() || !tail.is_empty() {
            return Err(wrong());
        }
        self.rounds = u64::from_le_bytes(*rounds);
        self.deal = deal;
        for (code, bytes) in self.codes.iter_mut().zip(codes) {
            *code = Code::from_bytes(bytes);
        }
        Ok(())
    }
}

/// Between which rounds a [`LookAlikes`] stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookAlikePlace {
    rounds: u64,
    deal: Place,
}

/// A round being dealt.
struct Hand {
    /// Images still missing.
    needed: usize,
    identities: Vec<u32>,
    sample: Sample,
    draw: ChaChaDraw,
}

impl Hand {
    fn take(&mut self, identity: u32, sizes: &[u32], most: usize) {
        let most = most.min(self.needed);
        self.needed -= self.sample.take(identity, sizes, most, &mut self.draw);
        self.identities.push(identity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: SamplerConfig = SamplerConfig {
        people_per_batch: 4,
        images_per_person: 2,
        seed: 3,
    };

    fn look_alikes(n: usize) -> LookAlikes {
        let rule = LookAlikeConfig::default();
        LookAlikes::new(&vec![3; n], CONFIG, rule, 2).expect("enough images")
    }

    fn identities(sample: &Sample) -> Vec<u32> {
        let mut all: Vec<_> = sample.images.iter().map(|image| image.0).collect();
        all.dedup();
        all
    }

    /// Lets every identity look in the direction of so many degrees.
    fn learn_degrees(sampler: &mut LookAlikes, degrees: impl Fn(u32) -> f32) {
        let all: Vec<_> = (0..sampler.sizes.len() as u32).collect();
        let direction = |&identity: &u32| {
            let angle = degrees(identity).to_radians();
            [angle.cos(), angle.sin()]
        };
        let rows: Vec<_> = all.iter().flat_map(direction).collect();
        sampler.learn(&all, &rows);
    }

    /// The first rounds of many seeds, when all wait and look in such a direction.
    fn first_rounds(n: usize, degrees: impl Fn(u32) -> f32) -> Vec<Vec<u32>> {
        let round = |seed| {
            let config = SamplerConfig { seed, ..CONFIG };
            let rule = LookAlikeConfig::default();
            let mut sampler = LookAlikes::new(&vec![3; n], config, rule, 2).expect("enough");
            learn_degrees(&mut sampler, &degrees);
            identities(&sampler.round())
        };
        (0..20).map(round).collect()
    }

    #[test]
    fn each_identity_brings_the_one_that_looks_like_it() {
        // Pairs 40 degrees apart (squared L2 0.47), 120 degrees from pair to pair.
        let degrees = |identity| (identity / 2 * 120 + identity % 2 * 40) as f32;
        for round in first_rounds(6, degrees) {
            let partners: Vec<_> = round[..2].iter().map(|identity| identity ^ 1).collect();
            // Where the two that came are a pair themselves, others fill the round.
            assert!(
                round[1] == round[0] ^ 1 || round[2..] == partners,
                "{round:?}"
            );
        }
    }

    #[test]
    fn nobody_is_dealt_beside_one_who_may_be_the_same() {
        // Three people under three names each, 10 degrees apart (squared L2 0.03).
        let degrees = |identity| (identity / 3 * 120 + identity % 3 * 10) as f32;
        for round in first_rounds(9, degrees) {
            let people: Vec<_> = round.iter().map(|identity| identity / 3).collect();
            // The third is another person, if two came; the fourth, whom nobody is clear of, came
            // next.
            let is_clear = people[2] != people[0] && people[2] != people[1];
            assert!(is_clear, "{round:?}");
        }
    }

    #[test]
    fn an_identity_is_the_mean_of_its_rows_and_strangers_are_passed_over() {
        let mut sampler = look_alikes(5);
        sampler.learn(&[1, 7, 1], &[2.0, 0.0, 9.0, 9.0, 0.0, 1.0]);
        assert_eq!(sampler.code(1), sampler.coder.code(&[2.0, 1.0]));
        assert!(!sampler.code(0).is_known());
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let refused = |share, floor| {
            let error = LookAlikes::new(&[5; 9], CONFIG, LookAlikeConfig { share, floor }, 4);
            error.expect_err("out of range").to_string()
        };
        assert!(refused(1.0, 0.2).starts_with("sampler: share is 1, expected 0 or more"));
        assert!(refused(0.5, 4.5).starts_with("sampler: floor is 4.5, expected 0 to 4"));
        assert!(refused(f64::NAN, 0.2).starts_with("sampler: share is NaN"));
    }

    #[test]
    fn a_state_of_others_is_refused_and_changes_nothing() {
        let (mut sampler, mut other) = (look_alikes(8), look_alikes(9));
        sampler.round();
        other.round();
        let before = sampler.state();
        let cut = &before[..before.len() - 1];
        for state in [&other.state()[..], cut, &[]] {
            let error = sampler.restore(state).expect_err("of another");
            assert!(
                error.to_string().contains("no state of 8 identities"),
                "{error}"
            );
        }
        assert_eq!(sampler.state(), before);
    }
}
