//! Deals rounds of many identities, stops in the middle, goes on from the state, and tells what it
//! took: `cargo run -p facenet-sampler --example scale -- 8000000 25 2000`.

use std::collections::HashMap;
use std::error::Error;
use std::time::Instant;

use facenet_sampler::{LookAlikeConfig, LookAlikes, Sample, SamplerConfig};

const DIM: usize = 128;

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1);
    let mut number = |default: usize| numbers.next().map_or(Ok(default), |text| text.parse());
    let (identities, images, rounds) = (number(8_000_000)?, number(25)?, number(2000)?);
    let sizes = vec![u32::try_from(images)?; identities];
    let config = SamplerConfig {
        people_per_batch: 45,
        images_per_person: images.min(40),
        seed: 666,
    };
    let fresh = || LookAlikes::new(&sizes, config, LookAlikeConfig::default(), DIM);
    let mut sampler = fresh()?;
    // As if a cycle had been: everyone looks in a direction of their own.
    let begin = Instant::now();
    for identity in 0..identities as u32 {
        sampler.learn(&[identity], &embedding(identity));
    }
    println!("learning: {:.1} us an identity", micros(begin, identities));
    let mut dealt = HashMap::new();
    let begin = Instant::now();
    run(&mut sampler, rounds / 2, &mut dealt);
    println!(
        "dealing: {:.0} us a round, learning included",
        micros(begin, rounds / 2)
    );
    let state = sampler.state();
    let expected = digest(&mut sampler, rounds / 2);
    drop(sampler);
    let mut again = fresh()?;
    again.restore(&state)?;
    drop(state);
    let is_same = digest(&mut again, rounds / 2) == expected;
    let most = dealt.values().max().copied().unwrap_or(0);
    println!("the same rounds after going on: {is_same}; dealt at most {most} times");
    println!("{}", peak());
    Ok(())
}

/// Deals rounds and embeds what they deal, counting identities.
fn run(sampler: &mut LookAlikes, rounds: usize, dealt: &mut HashMap<u32, u32>) {
    for _ in 0..rounds {
        for identity in step(sampler).0 {
            *dealt.entry(identity).or_insert(0) += 1;
        }
    }
}

/// A number that another round anywhere changes (FNV-1a).
fn digest(sampler: &mut LookAlikes, rounds: usize) -> u64 {
    (0..rounds).fold(0xcbf2_9ce4_8422_2325, |hash, _| {
        let images = step(sampler).1.images.into_iter();
        images.fold(hash, |hash, (identity, image)| {
            let both = u64::from(identity) << 32 | u64::from(image);
            (hash ^ both).wrapping_mul(0x0100_0000_01b3)
        })
    })
}

fn step(sampler: &mut LookAlikes) -> (Vec<u32>, Sample) {
    let round = sampler.round();
    let mut identities: Vec<_> = round.images.iter().map(|image| image.0).collect();
    identities.dedup();
    let rows: Vec<_> = identities.iter().flat_map(|&one| embedding(one)).collect();
    sampler.learn(&identities, &rows);
    (identities, round)
}

/// A direction of an identity's own, beside that of 50 others.
fn embedding(identity: u32) -> [f32; DIM] {
    let part = |of: u32, at: usize| {
        let bits =
            (of ^ 0x9e37_79b9).wrapping_mul(0x85eb_ca6b) ^ (at as u32).wrapping_mul(0xc2b2_ae35);
        let bits = (bits ^ bits >> 15).wrapping_mul(0x2c1b_3c6d);
        (bits >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    std::array::from_fn(|at| part(identity / 50, at) + 0.6 * part(identity, at + DIM))
}

fn micros(begin: Instant, n: usize) -> f64 {
    begin.elapsed().as_secs_f64() * 1e6 / n as f64
}

/// The line of Linux that tells the largest resident memory so far.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.map_or("peak memory: not known".to_owned(), str::to_owned)
}
