//! Made pairs files: complete, without repeats, disjoint, and the same for the same seed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use facenet_lfw::{LfwError, Pair, Pairs, PairsConfig, Person, make_pairs};
use proptest::prelude::*;

fn arb_people() -> impl Strategy<Value = Vec<Person>> {
    prop::collection::vec((0u32..9, any::<bool>()), 0..25).prop_map(|sizes| {
        let person = |(i, (images, is_lfw)): (usize, (u32, bool))| {
            let name = format!("p {i}");
            let file = |n| {
                if is_lfw {
                    format!("{name}_{n:04}.jpg")
                } else {
                    format!("{n}.pgm")
                }
            };
            Person {
                files: (1..=images).map(file).collect(),
                name,
            }
        };
        sizes.into_iter().enumerate().map(person).collect()
    })
}

fn arb_config() -> impl Strategy<Value = PairsConfig> {
    (1u32..5, 1u32..20, any::<u64>()).prop_map(|(folds, pairs_per_kind, seed)| PairsConfig {
        folds,
        pairs_per_kind,
        seed,
    })
}

fn fold_of_each_person(pairs: &[Pair]) -> Option<BTreeMap<&str, u32>> {
    let mut folds = BTreeMap::new();
    let uses = pairs
        .iter()
        .flat_map(|p| [(&p.a.name, p.fold), (&p.b.name, p.fold)]);
    for (name, fold) in uses {
        if *folds.entry(name.as_str()).or_insert(fold) != fold {
            return None;
        }
    }
    Some(folds)
}

fn check(people: &[Person], config: &PairsConfig, made: &Pairs) {
    let pairs = made.pairs();
    let text = made.to_string();
    assert_eq!(
        Pairs::parse(&text, Path::new("pairs.txt")).expect("reads back"),
        *made
    );
    assert!(
        fold_of_each_person(pairs).is_some(),
        "someone is in two folds"
    );
    let unordered = |p: &Pair| BTreeSet::from([p.a.clone(), p.b.clone()]);
    let distinct: BTreeSet<_> = pairs.iter().map(unordered).collect();
    assert_eq!(distinct.len(), pairs.len(), "a pair comes twice");
    assert!(
        distinct.iter().all(|pair| pair.len() == 2),
        "an image is paired with itself"
    );
    let known: BTreeSet<String> = people
        .iter()
        .flat_map(|p| p.files.iter().map(move |f| format!("{}/{f}", p.name)))
        .collect();
    for image in pairs.iter().flat_map(|p| [&p.a, &p.b]) {
        let stem = image.stem();
        assert!(
            known.contains(&stem) || known.contains(&format!("{stem}.jpg")),
            "{stem}"
        );
    }
    for fold in 1..=config.folds {
        let of_kind = |is_same| {
            pairs
                .iter()
                .filter(|p| p.fold == fold && p.is_same == is_same)
                .count()
        };
        assert_eq!(
            [of_kind(true), of_kind(false)],
            [config.pairs_per_kind as usize; 2]
        );
    }
    assert!(pairs.iter().all(|p| p.is_same == (p.a.name == p.b.name)));
}

/// Same pairs that exist in all.
fn same_pairs(people: &[Person]) -> u64 {
    people
        .iter()
        .map(|p| p.files.len() as u64)
        .map(|n| n * n.saturating_sub(1) / 2)
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn made_pairs_meet_the_definition(people in arb_people(), config in arb_config()) {
        match make_pairs(&people, &config) {
            Ok(made) => check(&people, &config, &made),
            Err(LfwError::TooFewSame { poorest, same, .. }) => {
                prop_assert_eq!(same, same_pairs(&people));
                prop_assert!(poorest < u64::from(config.pairs_per_kind));
            }
            Err(LfwError::TooFewDifferent { poorest, .. }) => {
                prop_assert!(poorest < u64::from(config.pairs_per_kind));
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn the_seed_fixes_the_bytes_whatever_the_order(people in arb_people(), config in arb_config()) {
        let text = |people: &[Person]| make_pairs(people, &config).map(|made| made.to_string()).ok();
        let mut turned = people.clone();
        turned.reverse();
        for person in &mut turned {
            person.files.reverse();
        }
        prop_assert_eq!(text(&turned), text(&people));
    }

    #[test]
    fn equal_people_fill_every_fold(each in 2usize..4, folds in 1u32..6, images in 2u32..7, seed: u64) {
        let people: Vec<_> = (0..each * folds as usize)
            .map(|i| Person { name: i.to_string(), files: (0..images).map(|n| format!("{n}.png")).collect() })
            .collect();
        let pairs_per_kind = each as u32 * images * (images - 1) / 2;
        let config = PairsConfig { folds, pairs_per_kind, seed };
        let made = make_pairs(&people, &config).expect("exactly as many as there are");
        check(&people, &config, &made);
    }
}

#[test]
fn another_seed_makes_other_pairs() {
    let files: Vec<_> = (0..20).map(|n| format!("{n}.png")).collect();
    let people: Vec<_> = (0..10)
        .map(|i| Person {
            name: i.to_string(),
            files: files.clone(),
        })
        .collect();
    let made = |seed| {
        make_pairs(
            &people,
            &PairsConfig {
                folds: 2,
                pairs_per_kind: 9,
                seed,
            },
        )
    };
    assert_ne!(made(1).expect("plenty"), made(2).expect("plenty"));
}
