//! `facenet bench train`, `forward` and `load`.

use std::time::Duration;

use facenet_train::bench::{ForwardBench, LoadBench, StepBench};
use facenet_train::model::Arithmetic;
use facenet_train::{TrainConfig, TrainError, on_threads, peak, peak_rss_mib, precision_name};
use serde::Serialize;

use super::text::table;
use crate::args::BenchWorkArgs;
use crate::clock::{Timing, time_for};
use crate::failure::Failure;
use crate::report::Output;

/// What these print with `--json`; `None`, `null` there, for what a mode has not.
#[derive(Debug, Serialize)]
pub(super) struct Timed {
    pub(super) bench: &'static str,
    #[serde(flatten)]
    pub(super) network: Option<NetworkOf>,
    pub(super) optimizer: Option<String>,
    pub(super) image_size: usize,
    pub(super) batch_size: usize,
    pub(super) seed: u64,
    pub(super) threads: usize,
    /// Images of a call.
    pub(super) images: usize,
    /// Of the median call.
    pub(super) images_per_s: f64,
    pub(super) images_per_s_best: f64,
    pub(super) images_per_s_worst: f64,
    /// Nominal, of the median call, over wall time.
    pub(super) gflops: Option<f64>,
    /// Multiplications and additions in registers, on as many threads.
    pub(super) peak_gflops: Option<f64>,
    pub(super) share_of_peak: Option<f64>,
    #[serde(flatten)]
    pub(super) timing: Timing,
    /// Of the whole process.
    pub(super) peak_rss_mib: Option<f64>,
}

/// The network that was timed, and its arithmetic.
#[derive(Debug, Serialize)]
pub(super) struct NetworkOf {
    pub(super) model_def: String,
    pub(super) embedding_size: usize,
    pub(super) precision: &'static str,
    pub(super) winograd: bool,
}

/// What a clock was held beside.
struct Measured {
    images: usize,
    threads: usize,
    /// Nominal operations of an image.
    operations: Option<f64>,
    /// Operations a second in registers.
    peak: Option<f64>,
    timing: Timing,
}

pub(crate) fn train(args: &BenchWorkArgs, output: Output) -> Result<(), Failure> {
    let config = config(args);
    let measured = on_threads(config.threads, || {
        let mut bench = StepBench::new(&config)?;
        let operations = bench.operations()?;
        computed(args, operations, || bench.step())
    })?;
    let optimizer = Some(config.optimizer.to_string());
    report(
        &Timed {
            optimizer,
            ..timed("train", &config, Some(network(&config)), measured)
        },
        output,
    )
}

pub(crate) fn forward(args: &BenchWorkArgs, output: Output) -> Result<(), Failure> {
    let config = config(args);
    let measured = on_threads(config.threads, || {
        let bench = ForwardBench::new(&config)?;
        computed(args, bench.operations()?, || bench.embed())
    })?;
    let timed = timed("forward", &config, Some(network(&config)), measured);
    report(&timed, output)
}

pub(crate) fn load(args: &BenchWorkArgs, output: Output) -> Result<(), Failure> {
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.compute.threads.unwrap_or_else(all);
    let config = TrainConfig {
        data_dir: args.data_dir.clone(),
        loader_threads: threads,
        random_crop: true,
        random_flip: true,
        ..config(args)
    };
    let bench = LoadBench::new(&config)?;
    let (images, timing) = clocked(args, || bench.load())?;
    for (path, reason) in bench.unreadable() {
        output.remark(&format!("left out {path}: {reason}"));
    }
    let measured = Measured {
        images,
        threads,
        operations: None,
        peak: None,
        timing,
    };
    report(&timed("load", &config, None, measured), output)
}

/// The configuration of a run with these settings.
fn config(args: &BenchWorkArgs) -> TrainConfig {
    let arithmetic = args.compute.arithmetic(Arithmetic::of_inference());
    TrainConfig {
        model_def: args.model_def,
        image_size: args.image_size,
        embedding_size: args.embedding_size,
        batch_size: args.batch_size,
        optimizer: args.optimizer,
        seed: args.seed,
        threads: args.compute.threads,
        precision: arithmetic.precision,
        winograd: arithmetic.is_winograd,
        ..TrainConfig::reference(args.data_dir.clone().unwrap_or_default())
    }
}

/// Times `work` on a batch, between two measurements of the peak: the higher one counts.
fn computed<T>(
    args: &BenchWorkArgs,
    operations: f64,
    work: impl FnMut() -> Result<T, TrainError>,
) -> Result<Measured, TrainError> {
    let precision = args.compute.precision.unwrap_or_default();
    let before = peak(precision)?;
    let (_, timing) = clocked(args, work)?;
    Ok(Measured {
        images: args.batch_size,
        threads: rayon::current_num_threads(),
        operations: Some(operations),
        peak: Some(peak(precision)?.max(before)),
        timing,
    })
}

fn clocked<T>(
    args: &BenchWorkArgs,
    work: impl FnMut() -> Result<T, TrainError>,
) -> Result<(T, Timing), TrainError> {
    time_for(args.repeats, Duration::from_secs_f64(args.seconds), work)
}

fn network(config: &TrainConfig) -> NetworkOf {
    NetworkOf {
        model_def: config.model_def.to_string(),
        embedding_size: config.embedding_size,
        precision: precision_name(config.precision),
        winograd: config.winograd,
    }
}

fn timed(
    bench: &'static str,
    config: &TrainConfig,
    network: Option<NetworkOf>,
    measured: Measured,
) -> Timed {
    let Measured {
        images,
        threads,
        operations,
        peak,
        timing,
    } = measured;
    let rate = |seconds: f64| images as f64 / seconds;
    let flops = operations.map(|operations| operations * rate(timing.median_s));
    Timed {
        bench,
        network,
        optimizer: None,
        image_size: config.image_size,
        batch_size: config.batch_size,
        seed: config.seed,
        threads,
        images,
        images_per_s: rate(timing.median_s),
        images_per_s_best: rate(timing.best_s),
        images_per_s_worst: rate(timing.worst_s),
        gflops: flops.map(|flops| flops / 1e9),
        peak_gflops: peak.map(|peak| peak / 1e9),
        share_of_peak: flops.zip(peak).map(|(flops, peak)| flops / peak),
        timing,
        peak_rss_mib: peak_rss_mib(),
    }
}

fn report(timed: &Timed, output: Output) -> Result<(), Failure> {
    output.result(&table(timed), timed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_median_and_operations_over_wall_time() {
        let timing = Timing {
            median_s: 2.0,
            best_s: 1.0,
            worst_s: 4.0,
            repeats: 3,
            cpu_s: None,
            cores_used: None,
        };
        let measured = Measured {
            images: 8,
            threads: 2,
            operations: Some(5e9),
            peak: Some(80e9),
            timing,
        };
        let config = TrainConfig::demo();
        let timed = timed("train", &config, Some(network(&config)), measured);
        let rates = [
            timed.images_per_s,
            timed.images_per_s_best,
            timed.images_per_s_worst,
        ];
        assert_eq!(rates, [4.0, 8.0, 2.0]);
        assert_eq!((timed.gflops, timed.peak_gflops), (Some(20.0), Some(80.0)));
        assert_eq!(timed.share_of_peak, Some(0.25));
    }
}
