//! The miner against the oracle, and the symmetries that its rules have.

use std::sync::OnceLock;

use facenet_miner::{
    Draw, Embeddings, HardNegatives, Hardest, MineError, Mined, Miner, MinerConfig, NegativeChoice,
    Rule, Triplet, sq_l2,
};
use proptest::prelude::*;

use crate::oracle::{Batch, Expected};

/// Values for rows: continuous; few and exact, for ties and duplicates; far too large or small for
/// f32 squares; shifted, so that f32 distances cancel.
fn arb_value() -> impl Strategy<Value = BoxedStrategy<f32>> {
    prop_oneof![
        4 => Just((-1.0f32..1.0).boxed()),
        2 => Just((-0.3f32..0.3).boxed()),
        4 => Just((-2i8..3).prop_map(|x| f32::from(x) * 0.25).boxed()),
        1 => Just((-1.0f32..1.0).prop_map(|x| x * 1e18).boxed()),
        1 => Just((-1.0f32..1.0).prop_map(|x| x * 1e30).boxed()),
        1 => Just((-1.0f32..1.0).prop_map(|x| x * 1e-22).boxed()),
        2 => Just((0i8..4).prop_map(|x| 100.0 + f32::from(x) * 1e-3).boxed()),
        1 => Just(Just(0.5f32).boxed()),
    ]
}

fn arb_margin() -> impl Strategy<Value = f32> {
    prop_oneof![
        Just(0.0625f32),
        Just(0.25),
        Just(0.2),
        Just(1e-6),
        Just(1e30),
        0.01f32..2.0
    ]
}

/// Batches with any labels; one in four has rows with a NaN or an infinity.
pub(crate) fn arb_batch(max_rows: usize) -> impl Strategy<Value = Batch> {
    let sizes = (
        0..max_rows,
        prop_oneof![1usize..6, 7usize..20, Just(33usize)],
        1u32..8,
    );
    (sizes, arb_value(), 0u8..4).prop_flat_map(|((n, dim, n_labels), value, poison)| {
        let rows = prop::collection::vec(value, n * dim);
        let labels = prop::collection::vec((0..n_labels).prop_map(|x| x * 1_000_003), n);
        let spoilt = if poison == 0 { 0..n.min(5) } else { 0..0 };
        let bad = prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY)];
        let spoilt = prop::collection::vec((0..(n * dim).max(1), bad), spoilt.len());
        (rows, labels, spoilt).prop_map(move |(mut rows, labels, spoilt)| {
            if !rows.is_empty() {
                for (at, value) in spoilt {
                    rows[at] = value;
                }
            }
            Batch { rows, dim, labels }
        })
    })
}

pub(crate) fn arb_config() -> impl Strategy<Value = MinerConfig> {
    let rule = prop::sample::select(Rule::ALL.to_vec());
    let negative = prop::sample::select(NegativeChoice::ALL.to_vec());
    let hardest_negatives = prop_oneof![3 => Just(0usize), 1 => 1usize..6, 1 => Just(1000)];
    let cutoffs = prop_oneof![
        Just((0.5f32, 1.4f32)),
        Just((0.01, 1.99)),
        Just((1.0, 1.25))
    ];
    let rest = (any::<bool>(), arb_margin(), hardest_negatives, cutoffs);
    (rule, negative, rest).prop_map(
        |(rule, negative, (only_violating, margin, hardest_negatives, cutoffs))| MinerConfig {
            rule,
            margin,
            negative,
            only_violating,
            hardest_negatives,
            cutoff: cutoffs.0,
            nonzero_loss_cutoff: cutoffs.1,
            ..Default::default()
        },
    )
}

pub(crate) fn arb_draw() -> impl Strategy<Value = Draw> {
    any::<[u64; 3]>().prop_map(|[seed, epoch, step]| Draw { seed, epoch, step })
}

fn embeddings(batch: &Batch) -> Embeddings<'_> {
    Embeddings::new(&batch.rows, batch.dim).expect("whole rows")
}

fn mine(batch: &Batch, config: MinerConfig, draw: Draw) -> Mined {
    let miner = Miner::new(config).expect("a positive margin");
    miner
        .mine(embeddings(batch), &batch.labels, draw)
        .expect("a label a row, few triplets")
}

/// Works on one of five pools, of 0 (as many as there are) to 4 threads, each started once.
fn on_threads<T: Send>(n_threads: usize, work: impl FnOnce() -> T + Send) -> T {
    static POOLS: [OnceLock<rayon::ThreadPool>; 5] = [const { OnceLock::new() }; 5];
    let pool = POOLS[n_threads].get_or_init(|| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(n_threads)
            .build();
        pool.expect("threads start")
    });
    pool.install(work)
}

fn check_oracle(batch: &Batch, config: MinerConfig, draw: Draw) -> Result<(), TestCaseError> {
    let Mined {
        triplets,
        statistics,
        hardest_negatives,
    } = mine(batch, config, draw);
    let expected = batch.mine(&config, draw);
    prop_assert_eq!(statistics.triplets, expected.triplets.len() as u64);
    prop_assert_eq!(statistics.rows, batch.labels.len() as u64);
    prop_assert_eq!(
        statistics.masked_rows as usize,
        batch.labels.len() - batch.finite().len()
    );
    let active = (statistics.active_share * statistics.pairs as f64).round() as u64;
    prop_assert_eq!(
        Expected {
            triplets,
            pairs: statistics.pairs,
            active
        },
        expected
    );
    check_hardest_negatives(batch, config.hardest_negatives, &hardest_negatives)
}

pub(crate) fn check_hardest_negatives(
    batch: &Batch,
    k: usize,
    found: &HardNegatives,
) -> Result<(), TestCaseError> {
    let n = batch.labels.len();
    prop_assert_eq!(found.len(), if k == 0 { 0 } else { n });
    for row in 0..n {
        let list: Vec<(u64, usize)> = found
            .of(row)
            .iter()
            .map(|other| (other.sq_l2.to_bits(), other.index as usize))
            .collect();
        prop_assert_eq!(list, batch.nearest_of(row, k));
    }
    Ok(())
}

/// `PROPTEST_CASES` cases, 2,048 by default, or a share of them: a property of larger batches
/// takes an eighth.
fn cases(share: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok();
    let asked = asked.map_or(2048, |n| n.parse().expect("PROPTEST_CASES is a number"));
    ProptestConfig::with_cases((asked / share).max(1))
}

proptest! {
    #![proptest_config(cases(1))]

    #[test]
    fn triplets_equal_the_f64_oracles(
        batch in arb_batch(24), config in arb_config(), draw in arb_draw(),
    ) {
        check_oracle(&batch, config, draw)?;
    }
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn larger_batches_equal_the_oracles(
        batch in arb_batch(100), config in arb_config(), draw in arb_draw(),
    ) {
        check_oracle(&batch, config, draw)?;
    }

    #[test]
    fn admissible_negatives_equal_the_oracles(batch in arb_batch(24), config in arb_config()) {
        let miner = Miner::new(config).expect("a positive margin");
        let mut seen = Vec::new();
        miner.admissible_negatives(embeddings(&batch), &batch.labels, &mut |pair, negatives| {
            seen.push((pair, negatives.to_vec()));
        }).expect("a label a row");
        let mut seen = seen.into_iter();
        for anchor in batch.finite() {
            for positive in batch.sides(anchor).0.into_iter().filter(|&row| row > anchor) {
                let (pair, negatives) = seen.next().expect("every pair is shown");
                prop_assert_eq!([pair.anchor as usize, pair.positive as usize], [anchor, positive]);
                prop_assert_eq!(pair.d_ap.to_bits(), batch.d(anchor, positive).to_bits());
                let expected = batch.admissible(config.rule, config.margin, [anchor, positive]);
                let negatives: Vec<usize> = negatives.iter().map(|&row| row as usize).collect();
                prop_assert_eq!(negatives, expected);
            }
        }
        prop_assert!(seen.next().is_none());
    }

    #[test]
    fn hardest_rows_equal_the_oracles(batch in arb_batch(40)) {
        let miner = Miner::new(MinerConfig::default()).expect("the default is valid");
        let found = miner.hardest(embeddings(&batch), &batch.labels).expect("a label a row");
        let finite = batch.finite();
        for (anchor, hardest) in found.iter().enumerate() {
            if !finite.contains(&anchor) {
                prop_assert_eq!(*hardest, Hardest::default());
                continue;
            }
            let (positives, negatives) = batch.sides(anchor);
            let positive = hardest.positive.map(|row| row.index as usize);
            prop_assert_eq!(positive, batch.farthest(anchor, &positives));
            let negative = hardest.negative.map(|row| row.index as usize);
            prop_assert_eq!(negative, batch.nearest(anchor, &negatives));
            for row in [hardest.positive, hardest.negative].into_iter().flatten() {
                prop_assert_eq!(row.sq_l2.to_bits(), batch.d(anchor, row.index as usize).to_bits());
            }
        }
    }

    #[test]
    fn hardest_negatives_alone_are_those_of_the_same_pass(
        batch in arb_batch(100), config in arb_config(), k in 0usize..80,
    ) {
        let config = MinerConfig { hardest_negatives: k, ..config };
        let miner = Miner::new(config).expect("a positive margin");
        let found = miner.hardest_negatives(embeddings(&batch), &batch.labels);
        let found = found.expect("a label a row");
        if k > 0 {
            let mined = mine(&batch, config, Draw::default());
            prop_assert_eq!(&found, &mined.hardest_negatives);
            check_hardest_negatives(&batch, k, &found)?;
        } else {
            prop_assert!((0..batch.labels.len()).all(|row| found.of(row).is_empty()));
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same(
        batch in arb_batch(150), config in arb_config(), draw in arb_draw(),
    ) {
        let one = on_threads(1, || mine(&batch, config, draw));
        for n_threads in [2, 4] {
            prop_assert_eq!(&on_threads(n_threads, || mine(&batch, config, draw)), &one);
        }
    }

    #[test]
    fn visiting_shows_what_mining_collects(
        batch in arb_batch(40), config in arb_config(), draw in arb_draw(),
    ) {
        let mined = mine(&batch, config, draw);
        let miner = Miner::new(config).expect("a positive margin");
        let mut seen = Vec::new();
        let statistics = miner
            .visit(embeddings(&batch), &batch.labels, draw, &mut |triplet| seen.push(triplet))
            .expect("a label a row");
        prop_assert_eq!((seen, statistics), (mined.triplets.clone(), mined.statistics));
        if let Some(fewer) = mined.triplets.len().checked_sub(1) {
            let miner = Miner::new(MinerConfig { max_triplets: fewer, ..config });
            let error = miner.expect("valid").mine(embeddings(&batch), &batch.labels, draw);
            let count = mined.triplets.len() as u64;
            prop_assert_eq!(error, Err(MineError::TooManyTriplets { count, max_triplets: fewer }));
        }
    }

    #[test]
    fn masked_rows_are_as_if_they_held_a_nan(
        batch in arb_batch(40), config in arb_config(), draw in arb_draw(), mask in any::<u64>(),
    ) {
        let masked: Vec<bool> = (0..batch.labels.len()).map(|i| mask >> i & 1 == 1).collect();
        let mut spoilt = batch.clone();
        for (row, _) in spoilt.rows.chunks_mut(batch.dim).zip(&masked).filter(|(_, masked)| **masked) {
            row[0] = f32::NAN;
        }
        let miner = Miner::new(config).expect("a positive margin");
        let rows = embeddings(&batch).with_mask(&masked).expect("one a row");
        let found = miner.mine(rows, &batch.labels, draw).expect("a label a row");
        prop_assert_eq!(found, mine(&spoilt, config, draw));
    }

    #[test]
    fn names_of_labels_do_not_matter(
        batch in arb_batch(40), config in arb_config(), draw in arb_draw(),
    ) {
        let labels = batch.labels.iter().map(|label| u32::MAX - label).collect();
        let renamed = Batch { labels, ..batch.clone() };
        prop_assert_eq!(mine(&renamed, config, draw).triplets, mine(&batch, config, draw).triplets);
    }

    #[test]
    fn permuting_rows_permutes_what_is_admissible(
        batch in arb_batch(24), config in arb_config(), order in any::<u64>(),
    ) {
        let config = MinerConfig { rule: Rule::BatchAll, only_violating: true, ..config };
        let n = batch.labels.len();
        let order = permutation(n, order);
        let rows = order.iter().flat_map(|&i| batch.row(i).to_vec()).collect();
        let labels = order.iter().map(|&i| batch.labels[i]).collect();
        let permuted = Batch { rows, dim: batch.dim, labels };
        let back = |row: u32| order[row as usize] as u32;
        let mut found: Vec<Triplet> = mine(&permuted, config, Draw::default()).triplets;
        for t in &mut found {
            *t = Triplet {
                anchor: back(t.anchor),
                positive: back(t.positive),
                negative: back(t.negative),
            };
        }
        found.sort();
        prop_assert_eq!(found, mine(&batch, config, Draw::default()).triplets);
    }

    #[test]
    fn quantiles_are_of_the_definitions_when_all_are_taken(batch in arb_batch(30)) {
        let statistics = mine(&batch, MinerConfig::default(), Draw::default()).statistics;
        let (mut d_ap, mut d_an) = (Vec::new(), Vec::new());
        let finite = batch.finite();
        for (place, &i) in finite.iter().enumerate() {
            for &j in &finite[place + 1..] {
                let is_same = batch.labels[i] == batch.labels[j];
                if is_same { &mut d_ap } else { &mut d_an }.push(batch.d(i, j));
            }
        }
        for (mut values, quantiles) in [(d_ap, statistics.d_ap), (d_an, statistics.d_an)] {
            values.sort_by(f64::total_cmp);
            prop_assert_eq!(quantiles.count, values.len() as u64);
            let Some(last) = values.len().checked_sub(1) else { continue };
            let median = values[(0.5 * last as f64).round() as usize];
            let expected = (values[0], median, values[last]);
            prop_assert_eq!((quantiles.min, quantiles.median, quantiles.max), expected);
        }
    }

    #[test]
    fn the_distance_is_symmetric(batch in arb_batch(12)) {
        for i in 0..batch.labels.len() {
            for j in 0..i {
                let (there, back) = (batch.row(i), batch.row(j));
                prop_assert_eq!(sq_l2(there, back).to_bits(), sq_l2(back, there).to_bits());
            }
        }
    }
}

/// Sorts indices by a hash of seed and index.
fn permutation(n: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|&i| (i as u64 + 1).wrapping_mul(seed | 1).rotate_left(29) ^ seed);
    order
}

/// The drawn negative is uniform over the admissible ones: counts within five standard deviations.
#[test]
fn random_negatives_are_uniform() {
    let (n_draws, n_negatives) = (4000u32, 8u32);
    let rows = vec![0.0; 10];
    let labels = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let batch = Batch {
        rows,
        dim: 1,
        labels: labels.to_vec(),
    };
    let mut counts = [0u32; 10];
    for step in 0..n_draws {
        let mined = mine(
            &batch,
            MinerConfig::default(),
            Draw {
                step: step.into(),
                ..Draw::default()
            },
        );
        counts[mined.triplets[0].negative as usize] += 1;
    }
    let mean = f64::from(n_draws / n_negatives);
    let deviation = (mean * (1.0 - 1.0 / f64::from(n_negatives))).sqrt();
    assert_eq!(counts[..2], [0, 0]);
    let is_near = |&count: &u32| (f64::from(count) - mean).abs() < 5.0 * deviation;
    assert!(counts[2..].iter().all(is_near), "{counts:?}");
}

/// Weighted draws come as often as the weights say: counts within five standard deviations.
#[test]
fn distance_weighted_negatives_follow_their_weights() {
    let n_draws = 20_000u32;
    // Unit rows in a plane of eight dimensions, by their angle to the anchor; 2.0 is beyond the
    // cutoff, and 0.1 and 0.4 are nearer than the lower one.
    let angles = [0.0f32, 0.3, 0.1, 0.4, 0.6, 0.65, 0.7, -0.6, 2.0];
    let mut rows = vec![0.0; angles.len() * 8];
    for (row, angle) in rows.chunks_mut(8).zip(angles) {
        row[..2].copy_from_slice(&[angle.cos(), angle.sin()]);
    }
    let labels = vec![0, 0, 1, 2, 3, 4, 5, 6, 7];
    let batch = Batch {
        rows,
        dim: 8,
        labels,
    };
    let near: Vec<usize> = (2..8).collect();
    let config = MinerConfig {
        rule: Rule::DistanceWeighted,
        ..Default::default()
    };
    let mut counts = [0u32; 9];
    for step in 0..n_draws {
        let draw = Draw {
            step: step.into(),
            ..Draw::default()
        };
        counts[mine(&batch, config, draw).triplets[0].negative as usize] += 1;
    }
    let weights = batch.weights(0, &near, config.cutoff);
    let total: f64 = weights.iter().sum();
    for (&row, weight) in near.iter().zip(&weights) {
        let (share, n) = (weight / total, f64::from(n_draws));
        let deviation = (n * share * (1.0 - share)).sqrt();
        let off = (f64::from(counts[row]) - n * share).abs();
        assert!(off < 5.0 * deviation, "{row}: {counts:?} for {weights:?}");
    }
    assert_eq!(counts[2..8].iter().sum::<u32>(), n_draws);
}

/// Embeddings that have collapsed to one point: every comparison is a tie, decided in f64.
#[test]
fn collapsed_embeddings_are_mined_right() {
    let n = 200;
    let labels: Vec<u32> = (0..n).map(|i| i / 10).collect();
    let batch = Batch {
        rows: vec![0.0883; n as usize * 128],
        dim: 128,
        labels,
    };
    for rule in [
        Rule::Violating,
        Rule::SemiHard,
        Rule::BatchHard,
        Rule::DistanceWeighted,
    ] {
        for negative in NegativeChoice::ALL {
            let config = MinerConfig {
                rule,
                negative,
                ..Default::default()
            };
            check_oracle(&batch, config, Draw::default()).expect("as the oracle");
        }
    }
}
