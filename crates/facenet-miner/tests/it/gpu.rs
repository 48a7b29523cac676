//! The GPU, where there is one, against the f64 oracle. Without one this says so and claims nothing.

use facenet_miner::cudarc::driver::CudaContext;
use facenet_miner::{Draw, Embeddings, MineDevice, Miner, MinerConfig, NegativeChoice, Rule};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::properties::{arb_batch, arb_draw};

const GPU: MineDevice = MineDevice::Cuda { ordinal: 0 };

/// Whether there is a GPU; if not, says why no GPU was tested.
fn is_there() -> bool {
    let config = MinerConfig {
        device: GPU,
        ..Default::default()
    };
    let miner = Miner::new(config).expect("valid");
    let why = miner.fallback();
    why.inspect(|why| crate::skip::skip(format_args!("{why}; no GPU was tested")));
    why.is_none()
}

#[test]
fn a_gpu_gives_the_oracles_triplets() {
    if !is_there() {
        return;
    }
    for rule in Rule::ALL {
        for negative in NegativeChoice::ALL {
            check(MinerConfig {
                rule,
                negative,
                margin: 0.25,
                device: GPU,
                ..Default::default()
            });
        }
    }
}

/// Random batches by one configuration: its miner compiles the kernels once.
fn check(config: MinerConfig) {
    let miner = Miner::new(config).expect("valid");
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let ran = runner.run(&(arb_batch(300), arb_draw()), |(batch, draw)| {
        let rows = Embeddings::new(&batch.rows, batch.dim).expect("whole rows");
        let mined = miner.mine(rows, &batch.labels, draw);
        let triplets = mined.map(|mined| mined.triplets);
        prop_assert_eq!(triplets, Ok(batch.mine(&config, draw).triplets));
        Ok(())
    });
    ran.unwrap_or_else(|error| panic!("{config:?}: {error}"));
}

#[test]
fn rows_on_a_gpu_are_mined_where_they_are() {
    if !is_there() {
        return;
    }
    let values: Vec<f32> = (0..400 * 12).map(|i| ((i * 7919) % 1013) as f32).collect();
    let labels: Vec<u32> = (0..400).map(|i| i % 37).collect();
    let context = CudaContext::new(0).expect("it opened before");
    let stream = context.new_stream().expect("a stream");
    // One value before the rows: they are off their 16-byte boundaries.
    let with_one = [&[0.0], &values[..]].concat();
    let on_gpu = stream.clone_htod(&with_one).expect("room");
    let config = MinerConfig {
        device: GPU,
        margin: 1e5,
        ..Default::default()
    };
    let miner = Miner::new(config).expect("valid");
    let view = on_gpu.slice(1..);
    let mined = miner.mine_on_device(&stream, (&view, 12), &labels, Draw::default());
    let rows = Embeddings::new(&values, 12).expect("whole rows");
    assert_eq!(mined, miner.mine(rows, &labels, Draw::default()));
}
