//! The kernels, run on the CPU as C++, against the f64 oracle.
//!
//! What runs is the text that NVRTC compiles, and the launches, draws and merges are those of a
//! GPU: only `Device` is another. Each set of cases runs with the threads of a block in order,
//! reversed and shuffled between two barriers, so that a missing barrier is another answer.

use std::path::Path;
use std::sync::Arc;

use facenet_miner::device::{Kernel, TILE, distances};
use facenet_miner::{
    Draw, Embeddings, MineError, Mined, Miner, MinerConfig, NegativeChoice, Rule, sq_l2,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::oracle::{Batch, Expected};
use crate::properties::{arb_batch, arb_config, arb_draw};
use crate::shim::{Build, OnShim, Order, Shim};

/// A tile of few anchors: the same text, with more tiles in a small batch.
const SMALL_TILE: u32 = 16;

fn embeddings(batch: &Batch) -> Embeddings<'_> {
    Embeddings::new(&batch.rows, batch.dim).expect("whole rows")
}

fn mine(batch: &Batch, config: MinerConfig, draw: Draw, on: OnShim) -> Result<Mined, MineError> {
    let miner = Miner::with_device(config, on).expect("a positive margin");
    miner.mine(embeddings(batch), &batch.labels, draw)
}

fn check(batch: &Batch, config: MinerConfig, draw: Draw, on: OnShim) -> Result<(), TestCaseError> {
    let mined = mine(batch, config, draw, on);
    let mined = mined.map_err(|error| TestCaseError::fail(error.to_string()))?;
    let cpu = Miner::new(config).expect("a positive margin");
    let expected = cpu.mine(embeddings(batch), &batch.labels, draw);
    prop_assert_eq!(Ok(&mined), expected.as_ref(), "the CPU's statistics too");
    let statistics = mined.statistics;
    let active = (statistics.active_share * statistics.pairs as f64).round() as u64;
    let found = Expected {
        triplets: mined.triplets,
        pairs: statistics.pairs,
        active,
    };
    prop_assert_eq!(found, batch.mine(&config, draw));
    Ok(())
}

/// Devices of a few blocks or of many, with rows on 16-byte boundaries or off them.
fn arb_device(shim: &Arc<Shim>) -> impl Strategy<Value = OnShim> + use<> {
    let shim = Arc::clone(shim);
    (1u32..12, 0u32..4).prop_map(move |(blocks, words)| OnShim {
        shim: Arc::clone(&shim),
        blocks,
        offset: 4 * words,
    })
}

/// Random cases on one program; `false` where there is none.
fn check_random(build: &Build, order: Order, n_cases: u32, max_rows: usize) -> bool {
    let Some(shim) = Shim::start(build, order) else {
        return false;
    };
    let mut runner = TestRunner::new(ProptestConfig {
        cases: n_cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let cases = (
        arb_batch(max_rows),
        arb_config(),
        arb_draw(),
        arb_device(&shim),
    );
    let ran = runner.run(&cases, |(batch, config, draw, on)| {
        check(&batch, config, draw, on)
    });
    ran.unwrap_or_else(|error| panic!("{build:?}, {order:?}: {error}"));
    true
}

#[test]
fn triplets_equal_the_oracles_with_threads_in_order() {
    check_random(&Build::plain(TILE), Order::Forward, 1000, 40);
    check_random(&Build::plain(SMALL_TILE), Order::Forward, 200, 100);
}

#[test]
fn triplets_equal_the_oracles_with_threads_reversed() {
    check_random(&Build::plain(TILE), Order::Reversed, 1000, 40);
    check_random(&Build::plain(SMALL_TILE), Order::Reversed, 200, 100);
}

#[test]
fn triplets_equal_the_oracles_with_threads_shuffled() {
    check_random(&Build::plain(TILE), Order::Shuffled, 1000, 40);
    check_random(&Build::plain(SMALL_TILE), Order::Shuffled, 200, 100);
}

#[test]
fn no_access_is_out_of_bounds() {
    for (tile, n_cases, max_rows) in [(TILE, 50, 80), (SMALL_TILE, 100, 60)] {
        let build = Build {
            sanitized: true,
            ..Build::plain(tile)
        };
        check_random(&build, Order::Shuffled, n_cases, max_rows);
    }
}

/// Rows near each other and far, some twice, labels in runs of three and a few alone.
fn batch(n: usize, dim: usize) -> Batch {
    let value = |i: usize| ((i * 2_654_435_761) % 1013) as f32 / 1013.0 - 0.5;
    let row = |i: usize| (0..dim).map(move |k| value((i - i % 5 / 4) * dim + k));
    let label = |i: usize| {
        if i.is_multiple_of(7) {
            1000 + i
        } else {
            i / 3 % 11
        }
    };
    Batch {
        rows: (0..n).flat_map(row).collect(),
        dim,
        labels: (0..n).map(|i| label(i) as u32).collect(),
    }
}

fn configs() -> Vec<MinerConfig> {
    let config = |rule, negative| MinerConfig {
        rule,
        negative,
        margin: 0.2,
        only_violating: true,
        ..Default::default()
    };
    let rules = Rule::ALL.iter();
    let random = rules.map(|&rule| config(rule, NegativeChoice::Random));
    let closest = [Rule::Violating, Rule::SemiHard];
    let closest = closest.map(|rule| config(rule, NegativeChoice::Closest));
    random.chain(closest).collect()
}

#[test]
fn batches_around_a_tile_equal_the_oracles() {
    let Some(shim) = Shim::start(&Build::plain(TILE), Order::Shuffled) else {
        return;
    };
    let tile = TILE as usize;
    let sizes = [
        1,
        tile - 1,
        tile,
        tile + 1,
        2 * tile - 1,
        2 * tile,
        2 * tile + 1,
    ];
    for (n, dim) in sizes.into_iter().zip([17, 4, 16, 3, 15, 5, 33]) {
        for config in configs() {
            let on = OnShim {
                shim: Arc::clone(&shim),
                blocks: 5,
                offset: 0,
            };
            let checked = check(&batch(n, dim), config, Draw::default(), on);
            checked.unwrap_or_else(|error| panic!("{n} x {dim}, {config:?}: {error}"));
        }
    }
}

/// `d_an - d_ap < margin` holds here, and `d_an < d_ap + margin`, rounded, does not: the sum needs
/// a bit at 2^-63 that f64 does not have beside 1.
#[test]
fn the_margin_is_compared_with_the_difference() {
    let Some(shim) = Shim::start(&Build::plain(SMALL_TILE), Order::Forward) else {
        return;
    };
    let (near, small) = (1.0f32.next_up(), 1.0 / (1 << 20) as f32);
    let batch = Batch {
        rows: vec![0.0, 0.0, near, 0.0, near, small],
        dim: 2,
        labels: vec![1, 1, 2],
    };
    let config = MinerConfig {
        margin: (small * small).next_up(),
        ..Default::default()
    };
    let on = OnShim {
        shim,
        blocks: 1,
        offset: 0,
    };
    let mined = mine(&batch, config, Draw::default(), on).expect("the program runs");
    assert_eq!(mined.triplets.len(), 1);
    let cpu = Miner::new(config).expect("valid");
    let cpu = cpu.mine(embeddings(&batch), &batch.labels, Draw::default());
    assert_eq!(Ok(mined), cpu);
}

#[test]
fn hardest_and_admissible_are_the_cpus() {
    let Some(shim) = Shim::start(&Build::plain(SMALL_TILE), Order::Reversed) else {
        return;
    };
    let (batch, config) = (batch(90, 6), MinerConfig::default());
    let on = OnShim {
        shim,
        blocks: 7,
        offset: 4,
    };
    let device = Miner::with_device(config, on).expect("valid");
    let cpu = Miner::new(config).expect("valid");
    let (rows, labels) = (embeddings(&batch), &batch.labels);
    assert_eq!(device.hardest(rows, labels), cpu.hardest(rows, labels));
    let admissible = |miner: &Miner| {
        let mut seen = Vec::new();
        let mut see = |pair, negatives: &[u32]| seen.push((pair, negatives.to_vec()));
        miner
            .admissible_negatives(rows, labels, &mut see)
            .expect("a label a row");
        seen
    };
    assert_eq!(admissible(&device), admissible(&cpu));
}

/// The documented order of operations, bit for bit: that of tile.cuh, written in Rust.
#[test]
fn f32_distances_have_the_documented_bits() {
    let Some(shim) = Shim::start(&Build::plain(TILE), Order::Forward) else {
        return;
    };
    for (n, dim, offset) in [(70, 128, 0), (130, 7, 0), (66, 20, 4)] {
        let batch = batch(n, dim);
        let on = OnShim {
            shim: Arc::clone(&shim),
            blocks: 1,
            offset,
        };
        let found = distances(&on, embeddings(&batch), 2..n).expect("the program runs");
        let sq_norm = |i: usize| sq_l2(batch.row(i), &vec![0.0; dim]) as f32;
        for (place, distance) in found.iter().enumerate() {
            let (i, j) = (2 + place / n, place % n);
            let terms = batch.row(i).iter().zip(batch.row(j));
            let dot = terms.fold(0.0f32, |sum, (x, y)| x.mul_add(*y, sum));
            let expected = (sq_norm(i) + sq_norm(j)) - 2.0 * dot;
            assert_eq!(
                distance.to_bits(),
                expected.to_bits(),
                "{n} x {dim}: {i} {j}"
            );
        }
    }
}

/// What is compiled is what lies in `kernels/`, byte for byte.
#[test]
fn programs_are_the_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    let file = |name: &str| std::fs::read_to_string(folder.join(name)).expect(name);
    let headers = file("tile.cuh") + &file("admission.cuh");
    for kernel in Kernel::ALL {
        let text = headers.clone() + &file(&format!("{}.cu", kernel.name()));
        assert!(text == kernel.program(), "{kernel:?}");
    }
}

/// Checks that one of some cases fails, in some order of threads, and that it says so.
#[track_caller]
fn check_caught(mistake: (&'static str, &'static str), says: &str) {
    let build = Build {
        mistake: Some(mistake),
        ..Build::plain(TILE)
    };
    assert!(
        Kernel::ALL
            .iter()
            .any(|kernel| kernel.program().contains(mistake.0))
    );
    for order in [Order::Reversed, Order::Shuffled, Order::Forward] {
        let Some(shim) = Shim::start(&build, order) else {
            return;
        };
        for config in configs() {
            let on = OnShim {
                shim: Arc::clone(&shim),
                blocks: 2,
                offset: 0,
            };
            if let Err(error) = check(&batch(75, 35), config, Draw::default(), on) {
                let message = error.to_string();
                assert!(message.contains(says), "{mistake:?}: {message}");
                return;
            }
        }
    }
    panic!("{mistake:?} was not caught");
}

#[test]
fn a_missing_barrier_is_caught() {
    let barriers = [
        "__syncthreads(); // what lies in shared memory has been read",
        "__syncthreads(); // the step is complete",
        "__syncthreads(); // the last step has been read",
        "__syncthreads(); // the distances are complete",
        "__syncthreads(); // every lane's best is there",
    ];
    let n_barriers: usize = Kernel::ALL.map(count_barriers).iter().sum();
    assert_eq!(
        n_barriers,
        4 * Kernel::ALL.len() + 1,
        "every barrier is in the list"
    );
    for barrier in barriers {
        check_caught((barrier, "//"), "");
    }
}

fn count_barriers(kernel: Kernel) -> usize {
    kernel.program().matches("__syncthreads()").count()
}

#[test]
fn a_divergent_barrier_is_caught() {
    let right = "__syncthreads(); // the step is complete";
    check_caught(
        (right, "if (threadIdx.x > 0) __syncthreads();"),
        "divergent barrier",
    );
    let early = (
        "float d[4][8];",
        "float d[4][8]; if (thread_index() == 3) return;",
    );
    check_caught(early, "has returned");
}
