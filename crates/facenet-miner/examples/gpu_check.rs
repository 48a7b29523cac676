//! Holds the CUDA kernels against the CPU on the first GPU, and times them against its roofline.
//!
//! `cargo xtask gpu-check` runs this. Exit code 0: all agree; 1: they do not; 3: no GPU, and
//! nothing is claimed. It takes a driver and NVRTC, and no toolkit.

use std::process::ExitCode;
use std::time::Instant;

use facenet_miner::cudarc::driver::CudaContext;
use facenet_miner::cudarc::driver::sys::CUdevice_attribute_enum as Attribute;
use facenet_miner::device::distances;
use facenet_miner::{
    CudaDevice, Draw, Embeddings, MineDevice, MineError, Mined, Miner, MinerConfig, NegativeChoice,
    Rule, sq_l2,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Exit code where there is no GPU.
const NO_GPU: u8 = 3;
const GPU: MineDevice = MineDevice::Cuda { ordinal: 0 };
/// Rows of each identity, as the reference's `--images-per-person`.
const IMAGES: usize = 40;
/// Shapes to compare at: around a tile of 64 x 128, dimensions off 4, and the paper's batch.
const SHAPES: [[usize; 2]; 9] = [
    [1, 1],
    [63, 3],
    [64, 4],
    [65, 5],
    [127, 128],
    [129, 127],
    [1_800, 128],
    [1_801, 512],
    [8_192, 64],
];
/// Sizes to time at, 128 numbers a row.
const SIZES: [usize; 3] = [1_800, 16_384, 131_072];
/// Sizes that the CPU is timed at too.
const ON_CPU: usize = 16_384;

/// Below this many rows batch-all is compared too; above, it gives too many triplets to hold.
const SMALL: usize = 200;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let miner = Miner::new(config(Rule::Violating, GPU)).expect("the default margin");
    if let Some(why) = miner.fallback() {
        println!("{why}");
        println!("nothing was compared or timed, and nothing is claimed");
        return ExitCode::from(NO_GPU);
    }
    match compare().and_then(|is_equal| time().map(|()| is_equal)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

fn config(rule: Rule, device: MineDevice) -> MinerConfig {
    MinerConfig {
        rule,
        device,
        max_triplets: 100_000_000,
        only_violating: true,
        ..Default::default()
    }
}

/// Unit rows: for each identity a uniform centre, for each row the centre plus 1.7 times uniform
/// noise.
fn rows([n, dim]: [usize; 2]) -> (Vec<f32>, Vec<u32>) {
    let mut rng = ChaCha8Rng::seed_from_u64((n * dim) as u64);
    let mut uniform = || f64::from(rng.next_u32()) / f64::from(1u32 << 31) - 1.0;
    let (mut rows, mut centre) = (Vec::with_capacity(n * dim), Vec::new());
    for row in 0..n {
        if row % IMAGES == 0 {
            centre = (0..dim).map(|_| uniform()).collect();
        }
        let values: Vec<f64> = centre.iter().map(|x| x + 1.7 * uniform()).collect();
        let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
        rows.extend(values.iter().map(|x| (x / norm) as f32));
    }
    (rows, (0..n).map(|row| (row / IMAGES) as u32).collect())
}

/// Whether every kernel agrees with the CPU at every shape.
fn compare() -> Outcome<bool> {
    let device = CudaDevice::open(0)?;
    let mut is_equal = true;
    println!("## Comparison with the CPU\n");
    for shape in SHAPES {
        let (rows, labels) = rows(shape);
        let embeddings = Embeddings::new(&rows, shape[1])?;
        let (error, bound) = (error_of(&device, embeddings)?, bound(shape[1]));
        is_equal &= error <= bound;
        println!("{shape:?} pairwise_sq_l2: largest error {error:.1e}, bound {bound:.1e}");
        let is_small = |rule: &Rule| *rule != Rule::BatchAll || shape[0] < SMALL;
        let closest = [Rule::Violating, Rule::SemiHard].map(|rule| (rule, NegativeChoice::Closest));
        let rules = Rule::ALL.into_iter().filter(is_small);
        let rules = rules.map(|rule| (rule, NegativeChoice::Random));
        for (rule, negative) in rules.chain(closest) {
            let mine = |device| -> Result<Mined, MineError> {
                let config = MinerConfig {
                    negative,
                    ..config(rule, device)
                };
                Miner::new(config)?.mine(embeddings, &labels, Draw::default())
            };
            let same = mine(GPU)? == mine(MineDevice::Cpu)?;
            is_equal &= same;
            println!(
                "{shape:?} {rule}, {negative}: {}",
                if same { "equal" } else { "DIFFERENT" }
            );
        }
    }
    Ok(is_equal)
}

/// Largest error of the first tile's f32 distances.
fn error_of(device: &CudaDevice, embeddings: Embeddings<'_>) -> Result<f64, MineError> {
    let (n, anchors) = (embeddings.len(), embeddings.len().min(65));
    let found = distances(device, embeddings, 0..anchors)?;
    let error = |i: usize| {
        let exact = sq_l2(embeddings.row(i / n), embeddings.row(i % n));
        (f64::from(found[i]) - exact).abs()
    };
    Ok((0..anchors * n).map(error).fold(0.0, f64::max))
}

/// Of `|x|^2 + |y|^2 - 2 x y` for unit rows: three sums of `dim` products in f32, each within
/// `dim` half units in the last place of at most 2, and two additions.
fn bound(dim: usize) -> f64 {
    f64::from(f32::EPSILON) * (2 * dim + 8) as f64
}

/// What the GPU could do at best.
struct Peak {
    flops: f64,
    bytes: f64,
}

impl Peak {
    /// From the attributes that the driver gives; prints them.
    fn of(context: &CudaContext) -> Outcome<Self> {
        let attribute = |which| -> Outcome<f64> { Ok(f64::from(context.attribute(which)?)) };
        let (major, minor) = context.compute_capability()?;
        let multiprocessors = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let clock = 1e3 * attribute(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?;
        let memory_clock = 1e3 * attribute(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)?;
        let bus = attribute(Attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)? / 8.0;
        // NVIDIA's programming guide: FP32 lanes of a multiprocessor by compute capability.
        let lanes = if matches!((major, minor), (7, _) | (8, 0)) {
            64.0
        } else {
            128.0
        };
        let peak = Self {
            flops: 2.0 * lanes * multiprocessors * clock,
            bytes: 2.0 * memory_clock * bus,
        };
        println!(
            "{}, compute capability {major}.{minor}, {multiprocessors} multiprocessors: {:.1} \
             TFLOP/s in FP32, {:.2} TB/s\n",
            context.name()?,
            peak.flops / 1e12,
            peak.bytes / 1e12
        );
        Ok(peak)
    }

    /// Least time of one pass of distances over `n` rows that stay on the device, in seconds.
    fn one_pass(&self, n: usize, dim: usize) -> f64 {
        let (n, dim) = (n as f64, dim as f64);
        (2.0 * n * n * dim / self.flops).max(4.0 * n * dim / self.bytes)
    }
}

/// Best time of a few calls of [`Miner::mine`], copies and draws included.
fn time() -> Outcome<()> {
    println!("\n## Times of `mine`, 128 numbers a row, {IMAGES} rows an identity\n");
    let peak = Peak::of(&*CudaContext::new(0)?)?;
    for n in SIZES {
        let (rows, labels) = rows([n, 128]);
        let embeddings = Embeddings::new(&rows, 128)?;
        let roofline = 1e3 * peak.one_pass(n, 128);
        for rule in [Rule::Violating, Rule::SemiHard, Rule::BatchHard] {
            let best = |device| best_ms(config(rule, device), embeddings, &labels);
            let gpu = best(GPU)?;
            let cpu = if n <= ON_CPU {
                format!("{:.2} ms", best(MineDevice::Cpu)?)
            } else {
                "not timed".to_owned()
            };
            println!(
                "{n} {rule}: {gpu:.3} ms; one pass at the roofline {roofline:.3} ms; CPU {cpu}"
            );
        }
    }
    Ok(())
}

fn best_ms(
    config: MinerConfig,
    embeddings: Embeddings<'_>,
    labels: &[u32],
) -> Result<f64, MineError> {
    let miner = Miner::new(config)?;
    miner.mine(embeddings, labels, Draw::default())?;
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        miner.mine(embeddings, labels, Draw::default())?;
        best = best.min(1e3 * start.elapsed().as_secs_f64());
    }
    Ok(best)
}
