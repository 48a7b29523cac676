//! Times of the rules, and of the hardest negatives alone, on the current number of threads
//! (`RAYON_NUM_THREADS`): `cargo bench -p facenet-miner`.

use std::f64::consts::TAU;

use divan::{Bencher, black_box};
use facenet_miner::{Draw, Embeddings, Miner, MinerConfig, Rule};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

const DIM: usize = 128;

/// Images of a person: the reference's.
const IMAGES: usize = 40;

/// 1800: the mini-batch of the paper (arXiv:1503.03832, §3.2), 45 people of 40.
const SIZES: [usize; 2] = [1800, 7200];

/// Standard deviation of a person's rows about their centre, in that of the centres.
const SPREAD: f64 = 1.7;

fn main() {
    divan::main();
}

#[divan::bench(args = SIZES, max_time = 5)]
fn violating(bencher: Bencher, n: usize) {
    mine(bencher, n, Rule::Violating);
}

#[divan::bench(args = SIZES, max_time = 5)]
fn semi_hard(bencher: Bencher, n: usize) {
    mine(bencher, n, Rule::SemiHard);
}

#[divan::bench(args = SIZES, max_time = 5)]
fn distance_weighted(bencher: Bencher, n: usize) {
    mine(bencher, n, Rule::DistanceWeighted);
}

#[divan::bench(args = SIZES, max_time = 5)]
fn batch_hard(bencher: Bencher, n: usize) {
    mine(bencher, n, Rule::BatchHard);
}

#[divan::bench(args = [20_000], max_time = 10)]
fn hardest_64_negatives(bencher: Bencher, n: usize) {
    let (rows, labels) = people(n);
    let config = MinerConfig {
        hardest_negatives: 64,
        ..MinerConfig::default()
    };
    let miner = Miner::new(config).expect("the default margin");
    bencher.bench_local(|| {
        let embeddings = Embeddings::new(black_box(&rows), DIM).expect("whole rows");
        miner.hardest_negatives(embeddings, &labels)
    });
}

fn mine(bencher: Bencher, n: usize, rule: Rule) {
    let (rows, labels) = people(n);
    let config = MinerConfig {
        rule,
        ..MinerConfig::default()
    };
    let miner = Miner::new(config).expect("the default margin");
    bencher.bench_local(|| {
        let embeddings = Embeddings::new(black_box(&rows), DIM).expect("whole rows");
        miner.mine(embeddings, &labels, Draw::default())
    });
}

/// Unit rows: for every person a normal centre, and normal noise about it.
fn people(n: usize) -> (Vec<f32>, Vec<u32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(666);
    let mut rows = Vec::with_capacity(n * DIM);
    let mut centre = Vec::new();
    for i in 0..n {
        if i.is_multiple_of(IMAGES) {
            centre = (0..DIM).map(|_| normal(&mut rng)).collect();
        }
        let row: Vec<f64> = centre
            .iter()
            .map(|x| x + SPREAD * normal(&mut rng))
            .collect();
        let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        rows.extend(row.iter().map(|x| (x / norm) as f32));
    }
    (rows, (0..n).map(|i| (i / IMAGES) as u32).collect())
}

/// Box and Muller's transform of two uniform numbers.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let mut uniform = || ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    (-2.0 * uniform().ln()).sqrt() * (TAU * uniform()).cos()
}
