//! Times of a training step, of embedding and of loading: `cargo bench -p facenet-train`.
//!
//! On the current number of threads (`RAYON_NUM_THREADS`), random images, synthetic pictures as
//! PNG files for loading. `facenet bench` times the same with more figures, and LFW's own files.

use divan::Bencher;
use divan::counter::ItemsCount;
use facenet_train::bench::{ForwardBench, LoadBench, StepBench};
use facenet_train::dataset::Synthetic;
use facenet_train::lfw::PairsConfig;
use facenet_train::model::Architecture;
use facenet_train::{TrainConfig, write_synthetic};

/// What is timed; the number is that of a batch's images.
#[derive(Clone, Copy, Debug)]
enum Case {
    Inception30,
    MobileFaceNet90,
}

const CASES: [Case; 2] = [Case::Inception30, Case::MobileFaceNet90];

/// People whose pictures are loaded, and pictures of each.
const PEOPLE: u32 = 20;
const PICTURES: u32 = 10;

fn main() {
    divan::main();
}

fn config(case: Case) -> TrainConfig {
    let (model_def, image_size, batch_size) = match case {
        Case::Inception30 => (Architecture::InceptionResnetV1, 160, 30),
        Case::MobileFaceNet90 => (Architecture::MobileFaceNet, 112, 90),
    };
    TrainConfig {
        model_def,
        image_size,
        batch_size,
        ..TrainConfig::reference("none".into())
    }
}

#[divan::bench(args = CASES, sample_count = 5, sample_size = 1)]
fn train(bencher: Bencher, case: Case) {
    let config = config(case);
    let mut bench = StepBench::new(&config).expect("sizes that are usual");
    bench.step().expect("finite numbers");
    bencher
        .counter(ItemsCount::new(config.batch_size))
        .bench_local(|| bench.step().expect("finite numbers"));
}

#[divan::bench(args = CASES, sample_count = 5, sample_size = 1)]
fn forward(bencher: Bencher, case: Case) {
    let config = config(case);
    let bench = ForwardBench::new(&config).expect("sizes that are usual");
    bench.embed().expect("a batch");
    bencher
        .counter(ItemsCount::new(config.batch_size))
        .bench_local(|| bench.embed().expect("a batch"));
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn load(bencher: Bencher) {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let data_dir = scratch.path().join("faces");
    let people = Synthetic {
        identities: PEOPLE,
        images_per_identity: PICTURES,
        first_identity: 0,
        side: 250, // LFW's
        seed: 666,
    };
    let pairs = PairsConfig {
        folds: 2,
        pairs_per_kind: 1,
        seed: 666,
    };
    write_synthetic(&people, &pairs, &data_dir).expect("writable");
    let config = TrainConfig {
        loader_threads: std::thread::available_parallelism().map_or(1, usize::from),
        random_crop: true,
        random_flip: true,
        ..TrainConfig::reference(data_dir)
    };
    let bench = LoadBench::new(&config).expect("pictures, just written");
    bencher
        .counter(ItemsCount::new(bench.images()))
        .bench_local(|| bench.load().expect("readable"));
}
