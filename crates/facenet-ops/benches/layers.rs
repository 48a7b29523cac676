//! GF/s of CPU time of each convolution, one thread, beside the peak of a core.
//!
//! `cargo bench -p facenet-ops --bench layers -- [BATCH] [avx512|avx2|portable] [bf16]
//! [winograd [NAME]]`; the last goes through the layers that Winograd's algorithm is for, those whose
//! name begins so, by both. Nominal
//! operations, padding counted; each call packs its weights and makes its output. A layer with
//! padding may pass the peak, since zeros are not multiplied. Linux: CPU time is read from
//! `/proc/thread-self/schedstat`.

use candle_core::{Result, bail};
use facenet_ops::{Algorithm, Bf16, ConvConfig, Isa, NhwcConv, Precision, with_isa};

/// Name, times, side, channels in and out, kernel, stride, padding.
type Layer = (
    &'static str,
    usize,
    usize,
    (usize, usize),
    (usize, usize),
    usize,
    (usize, usize),
);

/// Inception-ResNet-v1 at 160 pixels.
const INCEPTION: [Layer; 25] = [
    ("1a 3x3s2 3-32 @160", 1, 160, (3, 32), (3, 3), 2, (0, 0)),
    ("2a 3x3 32-32 @79", 1, 79, (32, 32), (3, 3), 1, (0, 0)),
    ("2b 3x3p1 32-64 @77", 1, 77, (32, 64), (3, 3), 1, (1, 1)),
    ("3b 1x1 64-80 @38", 1, 38, (64, 80), (1, 1), 1, (0, 0)),
    ("4a 3x3 80-192 @38", 1, 38, (80, 192), (3, 3), 1, (0, 0)),
    ("4b 3x3s2 192-256 @36", 1, 36, (192, 256), (3, 3), 2, (0, 0)),
    ("b35 1x1 256-32 @17", 15, 17, (256, 32), (1, 1), 1, (0, 0)),
    ("b35 3x3p1 32-32 @17", 15, 17, (32, 32), (3, 3), 1, (1, 1)),
    ("b35 1x1 96-256 @17", 5, 17, (96, 256), (1, 1), 1, (0, 0)),
    ("m6 3x3s2 256-384 @17", 1, 17, (256, 384), (3, 3), 2, (0, 0)),
    ("m6 1x1 256-192 @17", 1, 17, (256, 192), (1, 1), 1, (0, 0)),
    ("m6 3x3p1 192-192 @17", 1, 17, (192, 192), (3, 3), 1, (1, 1)),
    ("m6 3x3s2 192-256 @17", 1, 17, (192, 256), (3, 3), 2, (0, 0)),
    ("b17 1x1 896-128 @8", 20, 8, (896, 128), (1, 1), 1, (0, 0)),
    ("b17 1x7p3 128-128 @8", 10, 8, (128, 128), (1, 7), 1, (0, 3)),
    ("b17 7x1p3 128-128 @8", 10, 8, (128, 128), (7, 1), 1, (3, 0)),
    ("b17 1x1 256-896 @8", 10, 8, (256, 896), (1, 1), 1, (0, 0)),
    ("m7 1x1 896-256 @8", 3, 8, (896, 256), (1, 1), 1, (0, 0)),
    ("m7 3x3s2 256-384 @8", 1, 8, (256, 384), (3, 3), 2, (0, 0)),
    ("m7 3x3s2 256-256 @8", 2, 8, (256, 256), (3, 3), 2, (0, 0)),
    ("m7 3x3p1 256-256 @8", 1, 8, (256, 256), (3, 3), 1, (1, 1)),
    ("b8 1x1 1792-192 @3", 12, 3, (1792, 192), (1, 1), 1, (0, 0)),
    ("b8 1x3p1 192-192 @3", 6, 3, (192, 192), (1, 3), 1, (0, 1)),
    ("b8 3x1p1 192-192 @3", 6, 3, (192, 192), (3, 1), 1, (1, 0)),
    ("b8 1x1 384-1792 @3", 6, 3, (384, 1792), (1, 1), 1, (0, 0)),
];

/// The dense convolutions of `MobileFaceNet` at 112 pixels.
const MOBILEFACENET: [Layer; 13] = [
    ("conv1 3x3s2p1 3-64", 1, 112, (3, 64), (3, 3), 2, (1, 1)),
    ("0 expand 64-128 @56", 1, 56, (64, 128), (1, 1), 1, (0, 0)),
    (
        "0-4 project 128-64 @28",
        5,
        28,
        (128, 64),
        (1, 1),
        1,
        (0, 0),
    ),
    ("1-4 expand 64-128 @28", 4, 28, (64, 128), (1, 1), 1, (0, 0)),
    ("5 expand 64-256 @28", 1, 28, (64, 256), (1, 1), 1, (0, 0)),
    (
        "5 project 256-128 @14",
        1,
        14,
        (256, 128),
        (1, 1),
        1,
        (0, 0),
    ),
    ("6-11 expand 128-256", 6, 14, (128, 256), (1, 1), 1, (0, 0)),
    ("6-11 project 256-128", 6, 14, (256, 128), (1, 1), 1, (0, 0)),
    (
        "12 expand 128-512 @14",
        1,
        14,
        (128, 512),
        (1, 1),
        1,
        (0, 0),
    ),
    ("12 project 512-128 @7", 1, 7, (512, 128), (1, 1), 1, (0, 0)),
    ("13-14 expand 128-256", 2, 7, (128, 256), (1, 1), 1, (0, 0)),
    ("13-14 project 256-128", 2, 7, (256, 128), (1, 1), 1, (0, 0)),
    ("last 1x1 128-512 @7", 1, 7, (128, 512), (1, 1), 1, (0, 0)),
];

/// Samples of each pass.
const SAMPLES: usize = 3;
/// CPU time of a sample, in seconds: the clock steps by 4 ms, so that is 2 % at most.
const SAMPLE_SECONDS: f64 = 0.2;

/// CPU seconds of this thread.
fn cpu_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    match text.split_whitespace().next().map(str::parse::<f64>) {
        Some(Ok(nanoseconds)) => Ok(nanoseconds * 1e-9),
        _ => bail!("/proc/thread-self/schedstat: expected nanoseconds first, found {text:?}"),
    }
}

/// CPU seconds of `f`, the median of [`SAMPLES`].
fn median(mut f: impl FnMut() -> Result<()>) -> Result<f64> {
    f()?;
    let mut times = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let (start, mut n_calls) = (cpu_seconds()?, 0.0);
        let mut spent = 0.0;
        while spent < SAMPLE_SECONDS {
            f()?;
            n_calls += 1.0;
            spent = cpu_seconds()? - start;
        }
        times.push(spent / n_calls);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[SAMPLES / 2])
}

/// Numbers in `[-1, 1)`.
fn numbers(n: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1_u32 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn conv(batch: usize, layer: &Layer) -> Result<NhwcConv> {
    let &(_, _, side, channels, kernel, stride, padding) = layer;
    let config = ConvConfig {
        stride: (stride, stride),
        padding,
    };
    NhwcConv::new(batch, (side, side), channels, kernel, config)
}

/// Seconds of output, data gradient and weight gradient, and the operations of each.
fn measured(
    batch: usize,
    layer: &Layer,
    conv: &NhwcConv,
    precision: Precision,
) -> Result<([f64; 3], f64)> {
    let &(_, _, side, (c_in, c_out), kernel, _, _) = layer;
    let (oh, ow) = conv.output();
    let x = numbers(batch * side * side * c_in);
    let grad = numbers(batch * oh * ow * c_out);
    let weight = numbers(c_out * c_in * kernel.0 * kernel.1);
    let bf16 = |values: &[f32]| -> Vec<_> { values.iter().map(|&v| Bf16::from_f32(v)).collect() };
    let (x_bf16, grad_bf16) = (bf16(&x), bf16(&grad));
    let seconds = match precision {
        Precision::F32 => [
            median(|| conv.forward(&x, &weight).map(drop))?,
            median(|| conv.data_gradient(&weight, &grad).map(drop))?,
            median(|| conv.weight_gradient(&x, &grad).map(drop))?,
        ],
        Precision::Bf16 => [
            median(|| conv.forward_bf16(&x_bf16, &weight).map(drop))?,
            median(|| conv.data_gradient_bf16(&weight, &grad_bf16).map(drop))?,
            median(|| conv.weight_gradient_bf16(&x_bf16, &grad_bf16).map(drop))?,
        ],
    };
    Ok((seconds, conv.operations()))
}

/// GF/s of the register loop.
fn peak(isa: Isa, precision: Precision) -> Result<f64> {
    let mut operations = 0.0;
    let seconds = median(|| {
        operations = isa.multiply_and_add(precision, 4_000_000)?;
        Ok(())
    })?;
    Ok(operations / seconds * 1e-9)
}

fn table(title: &str, batch: usize, layers: &[Layer], how: (Isa, Precision)) -> Result<()> {
    let (isa, precision) = how;
    let peak = peak(isa, precision)?;
    println!(
        "\n{title}, batch {batch}, {isa:?} {precision:?}, one thread; register peak {peak:.1} GF/s"
    );
    println!(
        "{:24} {:>2} {:>7} | {:>6} {:>6} {:>6} | share of peak",
        "layer", "x", "GF", "y", "dX", "dW"
    );
    let (mut total, mut all) = ([0.0; 3], 0.0);
    for layer in layers {
        let (seconds, operations) = measured(batch, layer, &conv(batch, layer)?, precision)?;
        let rates = seconds.map(|seconds| operations / seconds * 1e-9);
        let [y, dx, dw] = rates;
        let [a, b, c] = rates.map(|rate| 100.0 * rate / peak);
        let (name, times) = (layer.0, layer.1);
        println!(
            "{name:24} {times:>2} {:7.3} | {y:6.1} {dx:6.1} {dw:6.1} | {a:4.0} {b:4.0} {c:4.0} %",
            operations * 1e-9
        );
        for (sum, seconds) in total.iter_mut().zip(seconds) {
            *sum += times as f64 * seconds;
        }
        all += times as f64 * operations;
    }
    let rates = total.map(|seconds| all / seconds * 1e-9);
    println!(
        "{:27} {:7.3} | {:6.1} {:6.1} {:6.1}",
        "network",
        all * 1e-9,
        rates[0],
        rates[1],
        rates[2]
    );
    Ok(())
}

/// The layers that Winograd's algorithm is for, by both, first one then the other, twice.
fn winograd_table(batch: usize, isa: Isa, names: &str) -> Result<()> {
    println!("\nDirect, then Winograd, nominal; batch {batch}, {isa:?}, one thread");
    println!("{:24} | {:>6} {:>6} {:>6}", "layer", "y", "dX", "dW");
    for layer in INCEPTION.iter().filter(|layer| layer.0.starts_with(names)) {
        let direct = conv(batch, layer)?;
        let Ok(winograd) = direct.by(Algorithm::Winograd) else {
            continue;
        };
        for conv in [direct, winograd, direct, winograd] {
            let (seconds, operations) = measured(batch, layer, &conv, Precision::F32)?;
            let [y, dx, dw] = seconds.map(|seconds| operations / seconds * 1e-9);
            println!("{:24} | {y:6.1} {dx:6.1} {dw:6.1}", layer.0);
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let batch = arguments.iter().find_map(|a| a.parse().ok()).unwrap_or(8);
    let named = |isa: &Isa| arguments.contains(&format!("{isa:?}").to_lowercase());
    let isa = Isa::ALL.into_iter().find(named).unwrap_or_else(Isa::best);
    let precision = if arguments.iter().any(|a| a == "bf16") {
        Precision::Bf16
    } else {
        Precision::F32
    };
    let how = (isa, precision);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.map_err(candle_core::Error::wrap)?.install(|| {
        with_isa(isa, || {
            if let Some(at) = arguments.iter().position(|a| a == "winograd") {
                let names = arguments.get(at + 1).map_or("", String::as_str);
                return winograd_table(batch, isa, names);
            }
            table("Inception-ResNet-v1, 160 pixels", batch, &INCEPTION, how)?;
            table("MobileFaceNet, 112 pixels", batch, &MOBILEFACENET, how)
        })
    })
}
