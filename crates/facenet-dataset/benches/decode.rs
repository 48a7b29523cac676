//! Microseconds of CPU time an image, on one thread: decoding alone, and from file to network input.
//!
//! `cargo bench -p facenet-dataset --bench decode -- FOLDER [IMAGES]`, where `FOLDER` holds
//! identity folders; the first 1,000 images, unless `IMAGES` says otherwise. Linux: CPU time is
//! read from `/proc/thread-self/schedstat`.

use std::error::Error;
use std::path::Path;

use facenet_dataset::{
    Area, Augment, DatasetError, DecodeLimits, Folder, ImageId, Loader, LoaderConfig, Pictures,
    Preprocess, Recipe, decode_bytes, decode_file_part, prepare,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The network's input, in pixels: Inception-ResNet-v1's.
const SIDE: usize = 160;
/// Times over all images, of which the median counts.
const SAMPLES: usize = 7;
const IMAGES: usize = 1000;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    // `cargo bench` adds `--bench`.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let Some(root) = args.next() else {
        println!("SKIPPED: no folder of identity folders given");
        return Ok(());
    };
    let n = args.next().map_or(Ok(IMAGES), |n| n.parse())?;
    let limits = DecodeLimits::default();
    let folder = Folder::scan(Path::new(&root), &limits)?;
    let paths = || folder.identities.iter().flat_map(|one| &one.images).take(n);
    let files: Vec<Vec<u8>> = paths().map(std::fs::read).collect::<std::io::Result<_>>()?;
    let ids: Vec<ImageId> = (0..)
        .zip(folder.sizes())
        .flat_map(|(identity, n)| (0..n).map(move |image| ImageId { identity, image }))
        .take(files.len())
        .collect();

    measure("decode, from memory", files.len(), || {
        for (bytes, path) in files.iter().zip(paths()) {
            decode_bytes(bytes, path, &limits)?;
        }
        Ok(())
    })?;
    // One pixel is all but the codes and the file.
    for (name, side) in [
        ("decode the centre, from file", SIDE),
        ("walk the codes, from file", 1),
    ] {
        measure(name, files.len(), || {
            for path in paths() {
                decode_file_part(path, &limits, &|whole| centre(whole, side))?;
            }
            Ok(())
        })?;
    }
    prepared("crop, flip, standardise", "reference", &folder, &ids)?;
    let name = "cut to 150, resize to 160 besides";
    prepared(name, "facenet-fixed-160", &folder, &ids)?;
    load(folder, &ids)
}

fn centre(whole: Area, side: usize) -> Area {
    Area {
        top: whole.height.saturating_sub(side) / 2,
        left: whole.width.saturating_sub(side) / 2,
        height: whole.height.min(side),
        width: whole.width.min(side),
    }
}

fn preprocess(recipe: &str) -> Result<Preprocess> {
    Ok(Preprocess {
        recipe: Recipe::from_name_or_file(recipe)?,
        side: SIDE,
        augment: Augment {
            random_crop: true,
            random_flip: true,
            max_rotation_degrees: 0.0,
        },
    })
}

/// A recipe alone, on pictures in memory.
fn prepared(name: &str, recipe: &str, folder: &Folder, ids: &[ImageId]) -> Result<()> {
    let Preprocess {
        recipe,
        side,
        augment,
    } = preprocess(recipe)?;
    let pictures = ids.iter().take(100).map(|&id| folder.load(id));
    let pictures = pictures.collect::<std::result::Result<Vec<_>, _>>()?;
    let mut out = vec![0.0; 3 * side * side];
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    measure(name, 10 * pictures.len(), || {
        for _ in 0..10 {
            for picture in &pictures {
                prepare(picture, &recipe, side, &augment, &mut rng, &mut out)?;
            }
        }
        Ok(())
    })
}

/// Everything, as a run has it: the loader's thread and the taker's.
fn load(folder: Folder, ids: &[ImageId]) -> Result<()> {
    let config = LoaderConfig {
        threads: 1,
        ..LoaderConfig::default()
    };
    let (n, preprocess) = (ids.len(), preprocess("reference")?);
    let loader = Loader::new(std::sync::Arc::new(folder), config)?;
    let mut times = Vec::with_capacity(SAMPLES);
    for epoch in 0..SAMPLES as u64 {
        let start = process_seconds()?;
        for batch in loader.stream(epoch, 0, ids.to_vec(), 30, &preprocess) {
            batch?;
        }
        times.push(process_seconds()? - start);
    }
    report("loader, batches of 30 included", n, times);
    Ok(())
}

fn measure(
    name: &str,
    n: usize,
    mut f: impl FnMut() -> std::result::Result<(), DatasetError>,
) -> Result<()> {
    f()?;
    let mut times = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let start = thread_seconds()?;
        f()?;
        times.push(thread_seconds()? - start);
    }
    report(name, n, times);
    Ok(())
}

fn report(name: &str, n: usize, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let [least, median] = [times[0], times[times.len() / 2]].map(|time| time / n as f64);
    println!(
        "{name:34} {:7.1} us an image (least {:.1}), {:6.0} images/s",
        median * 1e6,
        least * 1e6,
        1.0 / median
    );
}

/// CPU seconds of this thread.
fn thread_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split_whitespace().next().unwrap_or_default();
    Ok(nanoseconds.parse::<f64>()? * 1e-9)
}

/// CPU seconds of all threads, those that ended too; the clock steps by 10 ms.
fn process_seconds() -> Result<f64> {
    const TICKS_A_SECOND: f64 = 100.0;
    let text = std::fs::read_to_string("/proc/self/stat")?;
    // The name, in parentheses, may hold spaces; user and system time are fields 14 and 15.
    let (_, fields) = text.rsplit_once(") ").ok_or("/proc/self/stat: no name")?;
    let ticks: std::result::Result<Vec<f64>, _> =
        fields.split(' ').skip(11).take(2).map(str::parse).collect();
    Ok(ticks?.iter().sum::<f64>() / TICKS_A_SECOND)
}
