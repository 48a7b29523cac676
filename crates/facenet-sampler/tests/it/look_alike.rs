//! The look-alike sampler against its definition, written down naively, and its properties.

use std::collections::BTreeMap;

use facenet_sampler::{LookAlikeConfig, LookAlikes, Sample, SamplerConfig};
use proptest::prelude::*;

const DIM: usize = 3;

#[derive(Clone, Debug)]
struct Case {
    sizes: Vec<u32>,
    config: SamplerConfig,
    rule: LookAlikeConfig,
    /// A direction of each identity.
    directions: Vec<[f32; DIM]>,
}

impl Case {
    fn sampler(&self) -> LookAlikes {
        LookAlikes::new(&self.sizes, self.config, self.rule, DIM).expect("a request that fits")
    }

    /// What training does with a round: its identities are embedded.
    fn learn(&self, sampler: &mut LookAlikes, round: &Sample) {
        let identities = identities(round);
        let rows = identities
            .iter()
            .flat_map(|&identity| self.directions[identity as usize]);
        let rows: Vec<_> = rows.collect();
        sampler.learn(&identities, &rows);
    }
}

fn identities(round: &Sample) -> Vec<u32> {
    let mut all: Vec<_> = round.images.iter().map(|image| image.0).collect();
    all.dedup();
    all
}

fn arb_case() -> impl Strategy<Value = Case> {
    let identity = (0u32..6, prop::array::uniform3(-1.0f32..1.0));
    let rule = (0.0..0.95, prop_oneof![Just(0.0), 0.0..1.5]);
    let shape = (2usize..5, 2usize..4, any::<u64>());
    (prop::collection::vec(identity, 4..40), rule, shape).prop_filter_map(
        "the identities fill a round",
        |(identities, (share, floor), (people_per_batch, images_per_person, seed))| {
            let (sizes, directions) = identities.into_iter().unzip();
            let case = Case {
                sizes,
                config: SamplerConfig {
                    people_per_batch,
                    images_per_person,
                    seed,
                },
                rule: LookAlikeConfig { share, floor },
                directions,
            };
            let fits = LookAlikes::new(&case.sizes, case.config, case.rule, DIM).is_ok();
            fits.then_some(case)
        },
    )
}

/// The round by its definition, given who waits, longest first; by identities.
fn naive(case: &Case, sampler: &LookAlikes, waiting: &[u32]) -> Vec<u32> {
    let most = case.config.images_per_person as u32;
    let whole = case.config.people_per_batch as u32 * most;
    let images = |dealt: &[u32]| -> u32 {
        dealt
            .iter()
            .map(|&one| case.sizes[one as usize].min(most))
            .sum()
    };
    let alike = (f64::from(whole) * case.rule.share) as u32;
    let mut dealt = Vec::new();
    let next = |dealt: &[u32]| waiting.iter().copied().find(|one| !dealt.contains(one));
    while images(&dealt) < whole - alike {
        dealt.extend(next(&dealt));
    }
    let seeds = dealt.clone();
    while images(&dealt) < whole {
        let before = dealt.len();
        for &seed in &seeds {
            if images(&dealt) < whole {
                dealt.extend(alike_to(case, sampler, waiting, seed, &dealt));
            }
        }
        if dealt.len() == before {
            break;
        }
    }
    while images(&dealt) < whole {
        dealt.extend(next(&dealt));
    }
    dealt
}

fn alike_to(
    case: &Case,
    sampler: &LookAlikes,
    waiting: &[u32],
    seed: u32,
    dealt: &[u32],
) -> Option<u32> {
    let own = sampler.code(seed);
    let is_allowed = |one: u32| {
        let code = sampler.code(one);
        let mut others = dealt.iter().map(|&other| sampler.code(other));
        // By squared L2, which rises with the planes between.
        let is_clear =
            others.all(|other| !other.is_known() || other.sq_l2(&code) >= case.rule.floor - 1e-9);
        own.is_known() && code.is_known() && !dealt.contains(&one) && is_clear
    };
    let allowed = waiting.iter().copied().filter(|&one| is_allowed(one));
    // The first of equals: a stable minimum.
    allowed.min_by_key(|&one| own.planes_between(&sampler.code(one)))
}

/// Identities in the order of their first cycle: that of a sampler that knows nobody.
fn order(case: &Case) -> Vec<u32> {
    let mut sampler = case.sampler();
    let mut order = Vec::new();
    let filled = case.sizes.iter().filter(|&&size| size > 0).count();
    while order.len() < filled {
        order.extend(identities(&sampler.round()));
    }
    order.truncate(filled);
    order
}

fn know_all(case: &Case, sampler: &mut LookAlikes) {
    let all: Vec<_> = (0..case.sizes.len() as u32).collect();
    sampler.learn(&all, case.directions.as_flattened());
}

/// Times that each identity with images has been dealt.
fn check_even(case: &Case, dealt: &BTreeMap<u32, u32>) {
    let filled = (0u32..).zip(&case.sizes).filter(|&(_, &size)| size > 0);
    let times: Vec<_> = filled
        .map(|(identity, _)| dealt.get(&identity).copied().unwrap_or(0))
        .collect();
    let (least, most) = (times.iter().min(), times.iter().max());
    assert!(most.copied() <= least.map(|least| least + 1), "{times:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn rounds_are_those_of_the_definition(case in arb_case()) {
        let mut sampler = case.sampler();
        know_all(&case, &mut sampler);
        let mut waiting = order(&case);
        let most = case.config.images_per_person as u32;
        let whole = case.config.people_per_batch as u32 * most;
        let images = |all: &[u32]| -> u32 {
            all.iter().map(|&one| case.sizes[one as usize].min(most)).sum()
        };
        while images(&waiting) >= whole {
            let expected = naive(&case, &sampler, &waiting);
            let round = sampler.round();
            prop_assert_eq!(identities(&round), &expected[..]);
            waiting.retain(|one| !expected.contains(one));
        }
    }

    #[test]
    fn rounds_are_whole_and_deal_everyone_alike(case in arb_case(), rounds in 1usize..40) {
        let mut sampler = case.sampler();
        let mut dealt = BTreeMap::new();
        let (people, most) = (case.config.people_per_batch, case.config.images_per_person);
        for _ in 0..rounds {
            let round = sampler.round();
            prop_assert_eq!(round.images.len(), people * most);
            let mut distinct = round.images.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), round.images.len());
            let all = identities(&round);
            prop_assert_eq!(all.len(), round.counts.len());
            for (&identity, &count) in all.iter().zip(&round.counts) {
                prop_assert!(count as usize <= most && count <= case.sizes[identity as usize]);
                *dealt.entry(identity).or_insert(0) += 1;
            }
            check_even(&case, &dealt);
            case.learn(&mut sampler, &round);
        }
    }

    #[test]
    fn a_run_goes_on_from_its_state(case in arb_case(), before in 0usize..20, after in 1usize..20) {
        let mut sampler = case.sampler();
        for _ in 0..before {
            let round = sampler.round();
            case.learn(&mut sampler, &round);
        }
        let mut again = case.sampler();
        again.restore(&sampler.state())?;
        for _ in 0..after {
            let round = sampler.round();
            prop_assert_eq!(&again.round(), &round);
            case.learn(&mut sampler, &round);
            case.learn(&mut again, &round);
        }
        prop_assert_eq!(again.state(), sampler.state());
    }

    #[test]
    fn rounds_that_were_undone_come_again(
        case in arb_case(),
        before in 0usize..20,
        undone in 1usize..30,
    ) {
        let mut sampler = case.sampler();
        for _ in 0..before {
            let round = sampler.round();
            case.learn(&mut sampler, &round);
        }
        let (place, state) = (sampler.place(), sampler.state());
        let rounds: Vec<_> = (0..undone).map(|_| sampler.round()).collect();
        sampler.go_back(place);
        prop_assert_eq!(sampler.state(), state);
        for round in rounds {
            prop_assert_eq!(sampler.round(), round);
        }
    }

    #[test]
    fn any_bytes_are_a_state_or_refused(
        case in arb_case(),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let mut sampler = case.sampler();
        sampler.round();
        let mut state = sampler.state();
        // Codes may be any; what comes before them says who waits, and how long that is.
        let head = state.len() - 48 * case.sizes.len();
        let at = at.index(head);
        state[at] ^= flip;
        if case.sampler().restore(&state).is_ok() {
            let mut other = case.sampler();
            other.restore(&state)?;
            prop_assert_eq!(other.state(), state);
        }
        let cut = &sampler.state()[..at];
        prop_assert!(case.sampler().restore(cut).is_err());
    }
}

#[test]
fn seeds_order_and_purpose_make_rounds_of_their_own() {
    let case = |seed| Case {
        sizes: vec![5; 30],
        config: SamplerConfig {
            people_per_batch: 3,
            images_per_person: 4,
            seed,
        },
        rule: LookAlikeConfig::default(),
        directions: vec![[0.0; DIM]; 30],
    };
    assert_eq!(case(1).sampler().round(), case(1).sampler().round());
    assert_ne!(case(1).sampler().round(), case(2).sampler().round());
    let mut sampler = case(1).sampler();
    assert_ne!(sampler.round(), sampler.round());
}

/// Two hundred clusters of five, scaled from what `examples/scale.rs` does for 8 million.
#[test]
fn rounds_of_known_identities_are_of_near_ones() {
    let n = 1000_u32;
    let direction = |identity: u32| {
        // A direction of its cluster, and a little of its own: squared L2 within one, about 0.4.
        let part = |seed: u32| {
            let bits = (seed.wrapping_mul(2_654_435_761) ^ 0x9e37).wrapping_mul(40_503);
            (bits >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        [0u32, 1, 2].map(|i| part(identity / 5 * 3 + i) + 0.3 * part(9999 + identity * 3 + i))
    };
    let case = Case {
        sizes: vec![4; n as usize],
        config: SamplerConfig {
            people_per_batch: 10,
            images_per_person: 4,
            seed: 1,
        },
        rule: LookAlikeConfig {
            share: 0.5,
            floor: 0.01,
        },
        directions: (0..n).map(direction).collect(),
    };
    let mut sampler = case.sampler();
    know_all(&case, &mut sampler);
    let mut apart = (0.0, 0.0);
    for _ in 0..50 {
        let round = identities(&sampler.round());
        for (seed, alike) in (0..5).zip(5..10) {
            let code = |place: usize| sampler.code(round[place]);
            apart.0 += code(seed).sq_l2(&code(alike)) / 250.0;
            apart.1 += code(seed).sq_l2(&code((seed + 1) % 5)) / 250.0;
        }
    }
    // Strangers in three dimensions are 2 apart on average.
    assert!(apart.0 < 0.1 && (1.7..2.3).contains(&apart.1), "{apart:?}");
}
