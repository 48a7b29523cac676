//! The loader against a plain loop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use facenet_dataset::{
    Area, Augment, Batch, DatasetError, DecodeLimits, Folder, ImageId, Loader, LoaderConfig,
    Pictures, Portion, Preprocess, Recipe, Rgb8, Standardisation, prepare,
};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::test_data::golden;

const SIDE: usize = 5;

/// Random pictures of 1 to 9 pixels a side; some cannot be read.
#[derive(Default)]
struct Drawn {
    n_images: u32,
    bad: BTreeSet<u32>,
    panics: BTreeSet<u32>,
    n_loads: AtomicUsize,
}

/// Whatever a picture is cut from lies elsewhere, so that nothing but the part can be read.
struct InParts(Drawn);

impl Pictures for InParts {
    fn load(&self, _: ImageId) -> Result<Rgb8, DatasetError> {
        unreachable!("a loader asks for parts")
    }

    fn load_part(
        &self,
        image: ImageId,
        select: &dyn Fn(Area) -> Area,
    ) -> Result<Portion, DatasetError> {
        let Rgb8 {
            width,
            height,
            pixels,
        } = self.0.load(image)?;
        let area = select(Area::whole(height, width));
        let rows = pixels.chunks_exact(3 * width).skip(area.top);
        let rows = rows.map(|row| &row[3 * area.left..][..3 * area.width]);
        Ok(Portion {
            height,
            width,
            area,
            pixels: rows.take(area.height).collect::<Vec<_>>().concat(),
        })
    }

    fn sizes(&self) -> Vec<u32> {
        self.0.sizes()
    }

    fn name(&self, image: ImageId) -> String {
        self.0.name(image)
    }

    fn identity_name(&self, identity: u32) -> String {
        self.0.identity_name(identity)
    }
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

proptest! {
    #[test]
    fn parts_give_what_whole_pictures_give(
        centre_crop in prop::option::of(1u32..10),
        resize in prop::option::weighted(0.3, 1u32..10),
        side in 1usize..9,
        [random_crop, random_flip, is_turned]: [bool; 3],
        seed: u64,
    ) {
        let preprocess = Preprocess {
            recipe: Recipe { centre_crop, resize, standardisation: Standardisation::PerImage },
            side,
            augment: Augment {
                random_crop,
                random_flip,
                max_rotation_degrees: if is_turned { 10.0 } else { 0.0 },
            },
        };
        let load = |pictures: Arc<dyn Pictures>| -> Result<Vec<Batch>, _> {
            let config = LoaderConfig { seed, ..config(1, 4, 0.0) };
            Loader::new(pictures, config)?.stream(0, 0, ids(0..8), 8, &preprocess).collect()
        };
        let drawn = || Drawn { n_images: 8, ..Drawn::default() };
        prop_assert_eq!(load(Arc::new(InParts(drawn())))?, load(Arc::new(drawn()))?);
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

/// FNV-1a of the bits of all values.
fn hash(values: &[f32]) -> u64 {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What a loader makes of the golden pictures that decode to the same bits everywhere, all but
/// the progressive one, three times each.
fn of_golden_pictures(recipe: &str, side: usize, augment: Augment) -> Vec<f32> {
    let root = golden("");
    let mut folder = Folder::scan(&root, &DecodeLimits::default()).expect("golden pictures");
    folder.keep(&["image".to_owned()].into());
    assert_eq!(folder.sizes(), [8]);
    let preprocess = Preprocess {
        recipe: Recipe::parse(recipe, "r").expect("a recipe"),
        side,
        augment,
    };
    let loader = Loader::new(Arc::new(folder), config(2, 4, 0.0)).expect("good settings");
    let ids = ids([0, 1, 2, 4, 5, 6, 7].repeat(3));
    let batches: Result<Vec<Batch>, _> = loader.stream(1, 2, ids, 21, &preprocess).collect();
    batches.expect("good pictures").swap_remove(0).images
}

/// The numbers were printed by this test where the loader still decoded whole pictures
/// (commit 063b4f6): runs are resumed and repeated across versions.
#[test]
fn a_seed_gives_the_bits_it_always_gave() {
    let augmented = Augment {
        random_crop: true,
        random_flip: true,
        max_rotation_degrees: 0.0,
    };
    let per_image = "standardisation = \"per-image\"";
    let cropped = "centre_crop = 30\nstandardisation = \"fixed\"";
    for (recipe, side, augment, expected) in [
        (per_image, 24, augmented, 0x73b3_6ca3_af81_55dc),
        (per_image, 34, augmented, 0xfc83_7c1f_2769_9e3e),
        (per_image, 60, augmented, 0xce6b_3c56_f12c_55d0),
        (per_image, 24, Augment::default(), 0x84e6_6f13_c6b2_376b),
        (cropped, 24, augmented, 0x11df_1728_748c_2d58),
        (cropped, 40, Augment::default(), 0x6c71_e088_534e_359a),
    ] {
        let found = hash(&of_golden_pictures(recipe, side, augment));
        assert_eq!(
            found, expected,
            "{recipe} {side} {augment:?}: {found:#018x}"
        );
    }
}
