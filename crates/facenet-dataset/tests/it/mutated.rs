//! Damaged pictures through the loader: no panic, memory within bounds, each bad one named.

use std::collections::BTreeMap;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use facenet_dataset::{
    Area, Augment, DatasetError, DecodeLimits, ImageId, Loader, LoaderConfig, Pictures, Portion,
    Preprocess, Quarantined, Recipe, Rgb8, decode_bytes, decode_bytes_part,
};

use crate::fuzz::check::damaged;
use crate::memory::{figure, given, in_a_child, peak};
use crate::test_data::{files, golden, real};

/// Says how many pictures there are; `cargo xtask prove images` asks for more.
const COUNT: &str = "FACENET_MUTATIONS";
/// Damaged pictures unless [`COUNT`] says another number.
const DEFAULT_COUNT: u32 = 1000;
/// Loader threads.
const WORKERS: usize = 4;
/// Small, so that what a decoder takes beside its picture would show.
const LIMITS: DecodeLimits = DecodeLimits {
    max_side: 8192,
    max_bytes: 16 << 20,
};
/// Headers end before this; half of the damage is done there.
const HEADER: usize = 700;
/// People of LFW whose first picture is damaged.
const PEOPLE: usize = 40;

/// Damaged copies of files, made when they are asked for: no photograph is written anywhere.
struct Damaged {
    seeds: Vec<(String, Vec<u8>)>,
    count: u32,
}

impl Damaged {
    fn new() -> Self {
        let count = std::env::var(COUNT).map_or(DEFAULT_COUNT, |text| {
            text.parse().expect("a number of pictures")
        });
        let read = |path: &PathBuf| std::fs::read(path).expect("a readable file");
        let seeds = sources().into_iter().map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            (name.into_owned(), read(&path))
        });
        Self {
            seeds: seeds.collect(),
            count,
        }
    }

    fn bytes(&self, image: u32) -> Vec<u8> {
        let (_, seed) = &self.seeds[image as usize % self.seeds.len()];
        let (turn, copy) = (image as usize / self.seeds.len(), u64::from(image));
        if turn.is_multiple_of(2) {
            return damaged(seed, copy);
        }
        let (header, rest) = seed.split_at(seed.len().min(HEADER));
        [&damaged(header, copy), rest].concat()
    }
}

impl Pictures for Damaged {
    fn load(&self, image: ImageId) -> Result<Rgb8, DatasetError> {
        decode_bytes(
            &self.bytes(image.image),
            Path::new(&self.name(image)),
            &LIMITS,
        )
    }

    /// As a folder does, which is what training reads.
    fn load_part(
        &self,
        image: ImageId,
        select: &dyn Fn(Area) -> Area,
    ) -> Result<Portion, DatasetError> {
        let (bytes, name) = (self.bytes(image.image), self.name(image));
        decode_bytes_part(&bytes, Path::new(&name), &LIMITS, select)
    }

    fn sizes(&self) -> Vec<u32> {
        vec![self.count]
    }

    fn name(&self, image: ImageId) -> String {
        let (name, _) = &self.seeds[image.image as usize % self.seeds.len()];
        format!("{name}, damaged {}", image.image)
    }

    fn identity_name(&self, _: u32) -> String {
        "damaged".to_owned()
    }
}

/// The drawn golden pictures; with test data the hostile files and some of LFW too.
fn sources() -> Vec<PathBuf> {
    let mut paths = files(&golden("image"));
    paths.retain(|path| {
        let ending = path.extension().unwrap_or_default();
        ending == "jpg" || ending == "png"
    });
    if let Some(folder) = real("hostile") {
        paths.extend(files(&folder.join("broken")));
        paths.extend(files(&folder.join("odd_valid")));
        let people = files(&real("lfw").expect("beside hostile"));
        let first = people
            .iter()
            .filter(|path| path.is_dir())
            .filter_map(|path| files(path).into_iter().next());
        paths.extend(first.take(PEOPLE));
    }
    assert!(!paths.is_empty(), "no picture to damage");
    paths
}

/// By picture, why it cannot be read; nobody but this loop decodes.
fn bad_in_a_loop(pictures: &Damaged) -> BTreeMap<u32, String> {
    let load = |image| pictures.load(ImageId { identity: 0, image });
    (0..pictures.count)
        .filter_map(|image| Some((image, load(image).err()?.to_string())))
        .collect()
}

/// Counts panics, those that are caught too: a decoder of others may have some.
fn counting_panics() -> Arc<AtomicUsize> {
    let n_panics = Arc::new(AtomicUsize::new(0));
    let (counted, speak) = (Arc::clone(&n_panics), panic::take_hook());
    panic::set_hook(Box::new(move |what| {
        counted.fetch_add(1, Ordering::Relaxed);
        speak(what);
    }));
    n_panics
}

/// Loads all of them, and says how many are bad and by how much memory has grown, in KiB.
fn load_all() -> (usize, Option<u64>) {
    let (pictures, n_panics) = (Damaged::new(), counting_panics());
    let before = peak();
    let bad = bad_in_a_loop(&pictures);
    let ids = (0..pictures.count).map(|image| ImageId { identity: 0, image });
    let ids: Vec<_> = ids.collect();
    let config = LoaderConfig {
        threads: WORKERS,
        prefetch: WORKERS,
        max_bad_share: 1.0,
        seed: 1,
    };
    let preprocess = Preprocess {
        recipe: Recipe::named("facenet-fixed-160").expect("a known name"),
        side: 32,
        augment: Augment::default(),
    };
    let pictures = Arc::new(pictures);
    let loader = Loader::new(Arc::clone(&pictures) as Arc<dyn Pictures>, config);
    let loader = loader.expect("sound settings");
    let batches = loader.stream(0, 0, ids.clone(), 64, &preprocess);
    let good: Vec<_> = batches
        .flat_map(|batch| batch.expect("all may be bad").ids)
        .collect();
    let listed = loader.quarantined();
    assert_eq!(n_panics.load(Ordering::Relaxed), 0, "a decoder panicked");
    let told = listed.iter().map(|one| one.image.image);
    assert!(
        told.eq(bad.keys().copied()),
        "the loader lists what a plain loop finds"
    );
    let is_told = |one: &Quarantined| one.reason.starts_with(&bad[&one.image.image]);
    assert!(listed.iter().all(is_told), "and for the same reason");
    assert!(listed.iter().all(|one| one.reason.contains(&one.name)));
    assert_eq!(good.len() + listed.len(), ids.len());
    let growth = peak().zip(before).map(|(after, before)| after - before);
    (bad.len(), growth)
}

/// Works where a parent asks for it.
#[test]
fn child_loads_damaged_pictures() {
    if given().is_none() {
        return;
    }
    let (bad, growth) = load_all();
    let growth = growth.map_or("untold".to_owned(), |growth| growth.to_string());
    println!("bad {bad} growth {growth}");
}

#[test]
fn damaged_pictures_are_listed_and_do_not_fill_memory() {
    let child = "mutated::child_loads_damaged_pictures";
    let text = in_a_child(child, "damaged".as_ref());
    let bad = figure(&text, "bad");
    assert!(bad > 0, "damage that nothing notices is none");
    if peak().is_none() {
        crate::skip::skip(format_args!(
            "{bad} pictures refused; no /proc here, so memory is not measured"
        ));
        return;
    }
    let growth = figure(&text, "growth");
    eprintln!("{bad} pictures refused, {} MiB", growth >> 10);
    let bound = WORKERS as u64 * (LIMITS.max_bytes >> 10);
    assert!(growth <= bound, "{growth} KiB, expected {bound} at most");
}
