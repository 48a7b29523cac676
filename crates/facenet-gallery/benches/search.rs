//! Search for one probe and for many, beside the rate at which this machine reads the same bytes,
//! on the current number of threads (`RAYON_NUM_THREADS`): `cargo bench -p facenet-gallery`.
//!
//! Each line alternates a search and a plain read of as many bytes, so that both meet the same
//! machine, and gives the best and the median of the rounds.

use std::hint::black_box;
use std::time::Instant;

use facenet_gallery::{Embedded, Gallery, Searcher, Source};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rayon::prelude::*;

/// Templates and values of each, as issue and paper have them.
const SIZES: [(usize, usize); 2] = [(100_000, 512), (1_000_000, 128)];

/// Searches of each kind, a read before each.
const ROUNDS: usize = 40;

/// Words that a task reads at a time.
const READ: usize = 1 << 17;

fn main() {
    // `cargo test --benches` runs this too, to see that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("templates x values  probes  rows read  search best/median  read best/median  share");
    for (n, dim) in SIZES {
        let source = Source {
            model: [0; 32],
            recipe: "none".into(),
        };
        let gallery = gallery(&source, n, dim);
        let searcher = Searcher::new(&gallery);
        let words = vec![1u64; searcher.bytes() / 8];
        for n_probes in [1, 96] {
            let rows = unit_rows(n_probes, dim, 1);
            let embedded = Embedded {
                source: &source,
                rows: &rows,
            };
            report(&searcher, embedded, &words, (n, dim, n_probes));
        }
    }
}

fn report(
    searcher: &Searcher<'_>,
    probes: Embedded<'_>,
    words: &[u64],
    (n, dim, n_probes): (usize, usize, usize),
) {
    let (mut searches, mut reads) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        reads.push(seconds(|| {
            black_box(sum(black_box(words)));
        }));
        searches.push(seconds(|| {
            black_box(searcher.identify(probes, 1.0, 1)).expect("unit rows");
        }));
    }
    let bytes = searcher.bytes() as f64;
    let [search, read] = [searches, reads].map(|mut times| {
        times.sort_by(f64::total_cmp);
        [times[0], times[times.len() / 2]]
    });
    println!(
        "{n} x {dim}, {n_probes} probes: {:.0} MB; search {:.2}/{:.2} ms ({:.1}/{:.1} GB/s); \
         read {:.2}/{:.2} ms ({:.1}/{:.1} GB/s); share {:.2}/{:.2}",
        bytes / 1e6,
        1e3 * search[0],
        1e3 * search[1],
        bytes / search[0] / 1e9,
        bytes / search[1] / 1e9,
        1e3 * read[0],
        1e3 * read[1],
        bytes / read[0] / 1e9,
        bytes / read[1] / 1e9,
        read[0] / search[0],
        read[1] / search[1],
    );
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Reads every word on all threads: sixteen sums at a time, so that no addition waits for another.
fn sum(words: &[u64]) -> u64 {
    let parts = words.par_chunks(READ).map(|part| {
        let mut sums = [0u64; 16];
        for words in part.as_chunks::<16>().0 {
            for (sum, word) in sums.iter_mut().zip(words) {
                *sum = sum.wrapping_add(*word);
            }
        }
        sums.iter().fold(0, |sum, x| x.wrapping_add(sum))
    });
    parts.reduce(|| 0, u64::wrapping_add)
}

/// Ten templates an identity.
fn gallery(source: &Source, n: usize, dim: usize) -> Gallery {
    let mut gallery = Gallery::new(source.clone(), dim).expect("a dimension");
    let rows = unit_rows(n, dim, 0);
    for (i, rows) in rows.chunks(10 * dim).enumerate() {
        let embedded = Embedded { source, rows };
        gallery.enroll(&i.to_string(), embedded).expect("unit rows");
    }
    gallery
}

/// Unit rows in random directions.
fn unit_rows(n: usize, dim: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut rows = Vec::with_capacity(n * dim);
    for _ in 0..n {
        let uniform = |_| f64::from(rng.next_u32()) / f64::from(u32::MAX) - 0.5;
        let values: Vec<f64> = (0..dim).map(uniform).collect();
        let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
        rows.extend(values.iter().map(|x| (x / norm) as f32));
    }
    rows
}
