//! Holds the networks' native route on the first GPU against the CPU, mines candle's memory where
//! it lies, and times both and cuBLAS.
//!
//! `cargo xtask gpu-check` runs this. Exit code 0: all agree; 1: they do not; 3: no GPU, and
//! nothing is claimed. It is built with candle's feature `cuda`, so it takes NVIDIA's toolkit.

use std::process::ExitCode;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use facenet_train::mine_tensor;
use facenet_train::miner::{Draw, MineDevice, Miner, MinerConfig};
use facenet_train::model::{Architecture, Mode, Model, ModelConfig, TrainPass, triplet_loss};

/// Exit code where there is no GPU.
const NO_GPU: u8 = 3;
/// Images of a step, as the reference's `--batch-size`.
const BATCH: usize = 90;
/// Images to compare with.
const FEW: usize = 6;
/// Largest difference of two unit embeddings' numbers: some hundred layers in f32, summed in
/// another order. An estimate: no GPU has been compared. cuBLAS must not use TF32.
const EMBEDDING_BOUND: f64 = 1e-4;
/// Largest difference of a gradient, of its largest number: as above, through batch statistics.
const GRADIENT_BOUND: f64 = 1e-2;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let gpu = match Device::new_cuda(0) {
        Ok(gpu) => gpu,
        Err(why) => {
            println!("no cuda:0 ({why})");
            println!("nothing was compared or timed, and nothing is claimed");
            return ExitCode::from(NO_GPU);
        }
    };
    match check(&gpu) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all agrees.
fn check(gpu: &Device) -> Outcome<bool> {
    let mut is_equal = true;
    println!("## Networks, native route on the GPU against the CPU\n");
    for (architecture, side) in [
        (Architecture::InceptionResnetV1, 160),
        (Architecture::MobileFaceNet, 112),
    ] {
        let config = ModelConfig::new(architecture, side, 512);
        let cpu = Model::new(config.clone(), 666, DType::F32, &Device::Cpu)?;
        let (model, _) = Model::from_tensors(config, cpu.state(), DType::F32, gpu)?;
        is_equal &= compare(architecture, &cpu, &model, side)?;
        time(architecture, &model, side)?;
    }
    is_equal &= mine(gpu)?;
    cublas(gpu)?;
    Ok(is_equal)
}

/// Pictures of a wave a channel, different for each image.
fn images(n: usize, side: usize) -> candle_core::Result<Tensor> {
    let value = |i: usize| ((i % 9973) as f32 * 0.37 + (i / (side * side)) as f32).sin();
    let values: Vec<f32> = (0..n * 3 * side * side).map(value).collect();
    Tensor::from_vec(values, (n, 3, side, side), &Device::Cpu)
}

/// Largest difference of two tensors' numbers.
fn difference(a: &Tensor, b: &Tensor) -> candle_core::Result<f64> {
    let b = b.to_device(a.device())?;
    let largest = (a - b)?.abs()?.flatten_all()?.max(0)?;
    Ok(f64::from(largest.to_vec0::<f32>()?))
}

fn compare(name: Architecture, cpu: &Model, gpu: &Model, side: usize) -> Outcome<bool> {
    let images = images(FEW, side)?;
    let on_gpu = images.to_device(gpu.device())?;
    let embedding = difference(&cpu.embed(&images)?, &gpu.embed(&on_gpu)?)?;
    println!("{name} embeddings: largest difference {embedding:.1e}, bound {EMBEDDING_BOUND:.0e}");
    let gradient = gradient_difference(cpu, gpu, &images)?;
    println!("{name} gradients: largest difference {gradient:.1e}, bound {GRADIENT_BOUND:.0e}");
    Ok(embedding <= EMBEDDING_BOUND && gradient <= GRADIENT_BOUND)
}

/// Largest difference of the loss's gradients, each relative to its tensor's largest number.
fn gradient_difference(cpu: &Model, gpu: &Model, images: &Tensor) -> Outcome<f64> {
    let backward = |model: &Model| -> Outcome<_> {
        let images = images.to_device(model.device())?;
        let embeddings = model.forward(&images, &Mode::Train(TrainPass::default()))?;
        Ok(triplet_loss(&embeddings, 1.0)?.loss.backward()?)
    };
    let (expected, found) = (backward(cpu)?, backward(gpu)?);
    let mut largest = 0f64;
    for (a, b) in cpu.parameters().iter().zip(gpu.parameters()) {
        let (Some(a), Some(b)) = (expected.get(a.var), found.get(b.var)) else {
            continue;
        };
        let scale = difference(a, &a.zeros_like()?)?.max(1e-6);
        largest = largest.max(difference(a, b)? / scale);
    }
    Ok(largest)
}

/// Best time of five calls, in seconds, the device's work included.
fn best(device: &Device, mut work: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    work()?;
    device.synchronize()?;
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        work()?;
        device.synchronize()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn time(name: Architecture, model: &Model, side: usize) -> Outcome<()> {
    let images = images(BATCH, side)?.to_device(model.device())?;
    let forward = best(model.device(), || {
        model.embed(&images)?;
        Ok(())
    })?;
    let step = best(model.device(), || {
        let embeddings = model.forward(&images, &Mode::Train(TrainPass::default()))?;
        triplet_loss(&embeddings, 0.2)?.loss.backward()?;
        Ok(())
    })?;
    let rate = |seconds: f64| BATCH as f64 / seconds;
    println!(
        "{name}, {BATCH} images: {:.0} images/s forward, {:.0} images/s forward and backward\n",
        rate(forward),
        rate(step)
    );
    Ok(())
}

/// Rows of no network: every 40 share a wave.
fn rows(n: usize, dim: usize, device: &Device) -> candle_core::Result<Tensor> {
    let value = |i: usize| {
        let (row, k) = (i / dim, i % dim);
        ((row / 40 * 131 + k * 17) as f32).sin() + 1.7 * ((row * 977 + k * 31) as f32 * 0.61).sin()
    };
    let rows = Tensor::from_vec(
        (0..n * dim).map(value).collect::<Vec<f32>>(),
        (n, dim),
        device,
    )?;
    facenet_train::model::l2_normalise(&rows)
}

/// Whether the miner gives the CPU's triplets for rows that lie in candle's memory.
fn mine(gpu: &Device) -> Outcome<bool> {
    let rows = rows(1_800, 128, gpu)?;
    let labels: Vec<u32> = (0..1_800).map(|row| row / 40).collect();
    let mine = |device, rows: &Tensor| -> Outcome<_> {
        let miner = Miner::new(MinerConfig {
            device,
            ..Default::default()
        })?;
        Ok(mine_tensor(&miner, rows, &labels, Draw::default())?.triplets)
    };
    let found = mine(MineDevice::Cuda { ordinal: 0 }, &rows)?;
    let expected = mine(MineDevice::Cpu, &rows.to_device(&Device::Cpu)?)?;
    let same = found == expected;
    let word = if same { "equal" } else { "DIFFERENT" };
    println!(
        "1800 x 128 mined where they lie: {} triplets, {word}\n",
        found.len()
    );
    Ok(same)
}

/// Times the product that the distances contain, by cuBLAS through candle.
fn cublas(gpu: &Device) -> Outcome<()> {
    println!("## cuBLAS, one product of n x 128 and 128 x n in f32, the result written\n");
    for n in [1_800, 16_384] {
        let rows = rows(n, 128, gpu)?;
        let turned = rows.t()?.contiguous()?;
        let seconds = best(gpu, || {
            rows.matmul(&turned)?;
            Ok(())
        })?;
        let flops = 2.0 * (n * n * 128) as f64 / seconds;
        println!("{n}: {:.3} ms, {:.1} TFLOP/s", 1e3 * seconds, flops / 1e12);
    }
    Ok(())
}
