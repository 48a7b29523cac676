//! What holds of every round, whatever the sizes.

use std::collections::{BTreeMap, BTreeSet};

use facenet_sampler::{Sample, Sampler, SamplerConfig, SamplerError};
use proptest::prelude::*;

/// Identity sizes with empty and single ones among them, and a P, K and seed to try.
fn arb_request() -> impl Strategy<Value = (Vec<u32>, SamplerConfig)> {
    let sizes = prop::collection::vec(0u32..12, 0..24);
    (sizes, 2usize..6, 2usize..7, any::<u64>()).prop_map(|(sizes, p, k, seed)| {
        (
            sizes,
            SamplerConfig {
                people_per_batch: p,
                images_per_person: k,
                seed,
            },
        )
    })
}

fn offered(sizes: &[u32], config: &SamplerConfig) -> usize {
    sizes
        .iter()
        .map(|&size| config.images_per_person.min(size as usize))
        .sum()
}

fn images_by_identity(sample: &Sample) -> BTreeMap<u32, BTreeSet<u32>> {
    let mut by_identity: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for &(identity, image) in &sample.images {
        by_identity.entry(identity).or_default().insert(image);
    }
    by_identity
}

fn check_round(
    sizes: &[u32],
    config: &SamplerConfig,
    sample: &Sample,
) -> Result<(), TestCaseError> {
    let by_identity = images_by_identity(sample);
    let total = config.people_per_batch * config.images_per_person;
    prop_assert_eq!(sample.images.len(), total, "the total is exact");
    let n_distinct: usize = by_identity.values().map(BTreeSet::len).sum();
    prop_assert_eq!(n_distinct, total, "images are distinct");
    prop_assert!(
        by_identity.len() >= config.people_per_batch,
        "at least P identities"
    );
    prop_assert_eq!(by_identity.len(), sample.counts.len());
    for (&identity, images) in &by_identity {
        prop_assert!(
            images.len() <= config.images_per_person,
            "at most K of each"
        );
        prop_assert!(images.iter().all(|&image| image < sizes[identity as usize]));
    }
    check_groups(sizes, config, sample)
}

/// Each group is one identity, and all but the last give as many images as they can.
fn check_groups(
    sizes: &[u32],
    config: &SamplerConfig,
    sample: &Sample,
) -> Result<(), TestCaseError> {
    let mut rest = &sample.images[..];
    let last = sample.counts.len() - 1;
    for (group, &count) in sample.counts.iter().enumerate() {
        let (images, others) = rest.split_at(count as usize);
        let identity = images[0].0;
        prop_assert!(
            images.iter().all(|image| image.0 == identity),
            "a group is one identity"
        );
        let most = config
            .images_per_person
            .min(sizes[identity as usize] as usize);
        prop_assert!(
            group == last || images.len() == most,
            "only the last is cut"
        );
        rest = others;
    }
    prop_assert!(rest.is_empty());
    let labels = sample.labels();
    for (i, image) in sample.images.iter().enumerate() {
        for (j, other) in sample.images.iter().enumerate().skip(i) {
            prop_assert_eq!(image.0 == other.0, labels[i] == labels[j]);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn rounds_keep_the_rules((sizes, config) in arb_request(), step in any::<u64>()) {
        match Sampler::new(&sizes, config) {
            Ok(sampler) => check_round(&sizes, &config, &sampler.round(step))?,
            Err(SamplerError::TooFewImages { needed, offered: found, .. }) => {
                prop_assert_eq!(found as usize, offered(&sizes, &config));
                prop_assert!(found < needed);
            }
            Err(SamplerError::NoPair { .. }) => prop_assert!(sizes.iter().all(|&size| size < 2)),
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes((sizes, config) in arb_request(), step in any::<u64>()) {
        let bytes = || Sampler::new(&sizes, config)
            .map(|sampler| serde_json::to_vec(&sampler.round(step)).expect("serialises"));
        prop_assert_eq!(bytes(), bytes());
    }
}

/// Counts over many rounds are within five standard deviations of a binomial's mean.
#[track_caller]
fn check_uniform(counts: &BTreeMap<(u32, u32), u32>, n_rounds: u32, share: f64) {
    let mean = f64::from(n_rounds) * share;
    let deviation = (mean * (1.0 - share)).sqrt();
    for (image, &count) in counts {
        assert!(
            (f64::from(count) - mean).abs() < 5.0 * deviation,
            "{image:?}: {count}, not {mean}"
        );
    }
}

#[test]
fn every_identity_and_every_image_is_as_likely() {
    let n_rounds = 4000;
    let config = SamplerConfig {
        people_per_batch: 3,
        images_per_person: 4,
        seed: 11,
    };
    let sampler = Sampler::new(&[8; 12], config).expect("enough images");
    let (mut people, mut images, mut firsts) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for step in 0..n_rounds {
        let sample = sampler.round(step.into());
        for (&identity, chosen) in &images_by_identity(&sample) {
            *people.entry((identity, 0)).or_insert(0) += 1;
            for &image in chosen {
                *images.entry((identity, image)).or_insert(0) += 1;
            }
        }
        *firsts.entry(sample.images[0]).or_insert(0) += 1;
    }
    assert_eq!((people.len(), images.len(), firsts.len()), (12, 96, 96));
    check_uniform(&people, n_rounds, 3.0 / 12.0);
    check_uniform(&images, n_rounds, 3.0 / 12.0 * 4.0 / 8.0);
    check_uniform(&firsts, n_rounds, 1.0 / 96.0);
}
