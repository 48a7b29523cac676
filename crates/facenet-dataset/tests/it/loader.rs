//! The loader against a plain loop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use facenet_dataset::{
    Augment, Batch, DatasetError, ImageId, Loader, LoaderConfig, Pictures, Preprocess, Recipe,
    Rgb8, prepare,
};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

const SIDE: usize = 5;

/// Random pictures of 1 to 9 pixels a side; some cannot be read.
#[derive(Default)]
struct Drawn {
    n_images: u32,
    bad: BTreeSet<u32>,
    panics: BTreeSet<u32>,
    n_loads: AtomicUsize,
}

impl Pictures for Drawn {
    fn load(&self, image: ImageId) -> Result<Rgb8, DatasetError> {
        self.n_loads.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics.contains(&image.image), "told to panic");
        if self.bad.contains(&image.image) {
            return Err(DatasetError::NoSuchImage { image });
        }
        let mut rng = ChaCha8Rng::seed_from_u64(image.image.into());
        let side = |draw: u32| 1 + draw as usize % 9;
        let (width, height) = (side(rng.next_u32()), side(rng.next_u32()));
        let mut pixels = vec![0; 3 * width * height];
        rng.fill_bytes(&mut pixels);
        Ok(Rgb8 {
            width,
            height,
            pixels,
        })
    }

    fn sizes(&self) -> Vec<u32> {
        vec![self.n_images]
    }

    fn name(&self, image: ImageId) -> String {
        format!("drawn {}", image.image)
    }

    fn identity_name(&self, _: u32) -> String {
        "drawn".to_owned()
    }
}

fn ids(images: impl IntoIterator<Item = u32>) -> Vec<ImageId> {
    let id = |image| ImageId { identity: 0, image };
    images.into_iter().map(id).collect()
}

fn augmented() -> Preprocess {
    Preprocess {
        recipe: Recipe::named("reference").expect("a known name"),
        side: SIDE,
        augment: Augment {
            random_crop: true,
            random_flip: true,
            max_rotation_degrees: 10.0,
        },
    }
}

/// What the loader must yield: one image after another, each with its own keyed draws.
fn in_a_loop(pictures: &Drawn, seed: u64, [epoch, step]: [u64; 2], ids: &[ImageId]) -> Batch {
    let Preprocess {
        recipe,
        side,
        augment,
    } = augmented();
    let mut all = Batch::default();
    for (i, &image) in ids.iter().enumerate() {
        let Ok(picture) = pictures.load(image) else {
            continue;
        };
        let words = [seed, u64::from_le_bytes(*b"augment\0"), epoch, step];
        let key: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut rng = ChaCha8Rng::from_seed(key.try_into().expect("32 bytes"));
        rng.set_stream(i as u64);
        let mut out = vec![0.0; 3 * side * side];
        prepare(&picture, &recipe, side, &augment, &mut rng, &mut out).expect("sizes fit");
        all.images.extend(out);
        all.ids.push(image);
        all.positions.push(i);
    }
    all
}

/// All batches of a stream in one.
fn joined(batches: &[Batch]) -> Batch {
    let mut all = Batch::default();
    for batch in batches {
        all.images.extend(&batch.images);
        all.ids.extend(&batch.ids);
        all.positions.extend(&batch.positions);
    }
    all
}

fn config(threads: usize, prefetch: usize, max_bad_share: f64) -> LoaderConfig {
    LoaderConfig {
        threads,
        prefetch,
        max_bad_share,
        seed: 666,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn batches_are_those_of_a_loop(
        images in prop::collection::vec(0u32..30, 0..40),
        bad in prop::collection::btree_set(0u32..30, 0..6),
        threads in 1usize..5,
        prefetch in 1usize..9,
        batch in 1usize..12,
        [epoch, step] in prop::array::uniform2(0u64..4),
    ) {
        let drawn = || Drawn { n_images: 30, bad: bad.clone(), ..Drawn::default() };
        let ids = ids(images);
        let expected = in_a_loop(&drawn(), 666, [epoch, step], &ids);
        let loader = Loader::new(Arc::new(drawn()), config(threads, prefetch, 1.0))?;
        for _ in 0..2 {
            // The second time the bad ones are known, and the result is the same.
            let batches = loader.stream(epoch, step, ids.clone(), batch, &augmented());
            let batches: Vec<Batch> = batches.collect::<Result<_, _>>()?;
            prop_assert_eq!(&joined(&batches), &expected);
            for one in &batches {
                prop_assert!(!one.ids.is_empty());
                let turns: BTreeSet<_> = one.positions.iter().map(|at| at / batch).collect();
                prop_assert_eq!(turns.len(), 1, "one stretch of the request");
            }
        }
        let met: BTreeSet<_> = ids.iter().map(|id| id.image).filter(|i| bad.contains(i)).collect();
        let found: BTreeSet<_> = loader.quarantined().iter().map(|one| one.image.image).collect();
        prop_assert_eq!(found, met);
    }
}

#[test]
fn no_more_is_loaded_than_prefetch_allows() {
    const PREFETCH: usize = 3;
    let pictures = Arc::new(Drawn {
        n_images: 60,
        ..Drawn::default()
    });
    let loader = Loader::new(pictures.clone(), config(4, PREFETCH, 0.0)).expect("good settings");
    let mut batches = loader.stream(0, 0, ids(0..60), 1, &augmented());
    for taken in 0..60 {
        let n_loads = pictures.n_loads.load(Ordering::SeqCst);
        assert!(
            n_loads <= taken + PREFETCH,
            "{n_loads} loads for {taken} taken"
        );
        assert!(batches.next().is_some_and(|batch| batch.is_ok()));
    }
    assert!(batches.next().is_none());
    assert_eq!(pictures.n_loads.load(Ordering::SeqCst), 60);
}

#[test]
fn a_stream_can_be_left() {
    let pictures = Arc::new(Drawn {
        n_images: 100,
        ..Drawn::default()
    });
    let loader = Loader::new(pictures.clone(), config(3, 2, 0.0)).expect("good settings");
    let mut batches = loader.stream(0, 0, ids(0..100), 1, &augmented());
    assert!(batches.next().is_some());
    drop(batches); // joins the threads: this would hang
    assert!(pictures.n_loads.load(Ordering::SeqCst) <= 3);
    drop(loader);
    assert_eq!(Arc::strong_count(&pictures), 1);
}

#[test]
fn too_many_bad_images_stop_the_stream_for_any_thread_count() {
    for threads in [1, 4] {
        let pictures = Drawn {
            n_images: 20,
            bad: [3, 8, 12].into(),
            ..Drawn::default()
        };
        let config = config(threads, 4, 0.01);
        let loader = Loader::new(Arc::new(pictures), config).expect("good settings");
        let mut batches = loader.stream(0, 0, ids(0..20), 5, &augmented());
        let first = batches
            .next()
            .expect("a batch")
            .expect("one bad image is passed over");
        assert_eq!(first.positions, [0, 1, 2, 4]);
        let error = batches.next().expect("an end").expect_err("two of twenty");
        let text = error.to_string();
        assert!(
            text.starts_with("2 of 9 images cannot be read, expected at most 1: "),
            "{text}"
        );
        assert!(batches.next().is_none(), "an error ends the stream");
        assert_eq!(loader.take_newly_quarantined().len(), 2);
        assert!(loader.take_newly_quarantined().is_empty());
    }
}

#[test]
fn a_panic_is_an_unreadable_image() {
    let pictures = Drawn {
        n_images: 9,
        panics: [4].into(),
        ..Drawn::default()
    };
    let loader = Loader::new(Arc::new(pictures), config(2, 2, 0.5)).expect("good settings");
    let batches = loader.stream(0, 0, ids(0..9), 9, &augmented());
    let batches: Vec<Batch> = batches.collect::<Result<_, _>>().expect("one of nine");
    assert_eq!(batches[0].positions, [0, 1, 2, 3, 5, 6, 7, 8]);
    assert!(loader.quarantined()[0].reason.contains("panicked"));
}

#[test]
fn empty_requests_and_empty_batches() {
    let loader = || {
        let pictures = Drawn {
            n_images: 1,
            ..Drawn::default()
        };
        Loader::new(Arc::new(pictures), config(2, 2, 0.5)).expect("good settings")
    };
    assert!(
        loader()
            .stream(0, 0, Vec::new(), 3, &augmented())
            .next()
            .is_none()
    );
    let error = loader().stream(0, 0, ids(0..1), 0, &augmented()).next();
    assert!(matches!(error, Some(Err(DatasetError::Config { .. }))));
}
