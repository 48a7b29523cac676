//! Every case of the golden folder's `image/`: TensorFlow's decoding, cropping, flipping and
//! standardisation; and the pictures that a published model was scored on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use facenet_dataset::{
    Augment, DecodeLimits, Recipe, Rgb8, Standardisation, crop_or_pad, decode_file,
    flip_horizontal, prepare,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::test_data::{files, golden, real};

/// Largest difference of a progressive JPEG from libjpeg's, in levels; measured 2. The inverse DCTs
/// may differ by 1 in luma and chroma: 1 + 1.772 = 2.8 in blue, rounded.
const PROGRESSIVE_MAX: u8 = 3;
/// Mean difference over a file, in levels; measured 0.174.
const PROGRESSIVE_MEAN: f64 = 0.25;
/// TF's own float32 result may be off by a few times what it was seen to be.
const TF_FACTOR: f64 = 4.0;

/// The tensors of one file; each must be asked for.
struct Case {
    u8s: BTreeMap<String, (Vec<usize>, Vec<u8>)>,
    floats: BTreeMap<String, Vec<f64>>,
    walked: BTreeSet<String>,
}

impl Case {
    fn open(path: &Path) -> Self {
        let bytes = std::fs::read(path).expect("a readable case");
        let tensors = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        let mut case = Self {
            u8s: BTreeMap::new(),
            floats: BTreeMap::new(),
            walked: BTreeSet::new(),
        };
        for (name, view) in tensors.tensors() {
            let data = view.data();
            match view.dtype() {
                Dtype::U8 => {
                    let shape = view.shape().to_vec();
                    case.u8s.insert(name, (shape, data.to_vec()));
                }
                Dtype::F32 => {
                    let values = data.chunks_exact(4);
                    let values = values.map(|b| f32::from_le_bytes(b.try_into().expect("four")));
                    case.floats.insert(name, values.map(f64::from).collect());
                }
                Dtype::F64 => {
                    let values = data.chunks_exact(8);
                    let values = values.map(|b| f64::from_le_bytes(b.try_into().expect("eight")));
                    case.floats.insert(name, values.collect());
                }
                other => panic!("{name}: unexpected {other:?}"),
            }
        }
        case
    }

    fn has(&self, name: &str) -> bool {
        self.u8s.contains_key(name) || self.floats.contains_key(name)
    }

    fn picture(&mut self, name: &str) -> Rgb8 {
        self.walked.insert(name.to_owned());
        let (shape, pixels) = self
            .u8s
            .get(name)
            .unwrap_or_else(|| panic!("{name}: absent"));
        assert_eq!(
            (shape.len(), shape[2]),
            (3, 3),
            "{name} is [height, width, 3]"
        );
        Rgb8 {
            width: shape[1],
            height: shape[0],
            pixels: pixels.clone(),
        }
    }

    fn values(&mut self, name: &str) -> Vec<f64> {
        self.walked.insert(name.to_owned());
        let values = self.floats.get(name);
        values.unwrap_or_else(|| panic!("{name}: absent")).clone()
    }

    /// Walks `kind.0`, `kind.1`, ... of which `description` has an entry each.
    fn each(&mut self, description: &Value, kind: &str, walk: impl Fn(&mut Self, &str, &Value)) {
        let Some(entries) = description[kind].as_array() else {
            return;
        };
        for (i, entry) in entries.iter().enumerate() {
            walk(self, &format!("{kind}.{i}"), entry);
        }
    }
}

/// `[3, height, width]` of `[height, width, 3]`.
fn planar<T: Copy>(interleaved: &[T]) -> Vec<T> {
    let channel = |c: usize| interleaved.iter().skip(c).step_by(3).copied();
    (0..3).flat_map(channel).collect()
}

fn largest(xs: &[f64], ys: &[f64]) -> f64 {
    assert_eq!(xs.len(), ys.len());
    let differences = xs.iter().zip(ys).map(|(x, y)| (x - y).abs());
    differences.fold(0.0, f64::max)
}

fn walk_standardize(case: &mut Case, name: &str, _: &Value) {
    let picture = case.picture(&format!("{name}.input"));
    let exact = case.values(&format!("{name}.formula_f64"));
    let tf = case.values(&format!("{name}.tf_f32"));
    let found: Vec<f64> = Standardisation::PerImage
        .apply(&picture.pixels)
        .into_iter()
        .map(f64::from)
        .collect();
    let one_rounding = f64::from(f32::EPSILON) * largest(&exact, &vec![0.0; exact.len()]);
    let difference = largest(&found, &exact);
    assert!(
        difference <= one_rounding,
        "{name}: {difference} from the formula"
    );
    let slack = TF_FACTOR * largest(&tf, &exact) + one_rounding;
    let difference = largest(&found, &tf);
    assert!(difference <= slack, "{name}: {difference} from TF");
    if picture.width == picture.height {
        let prepared = prepared(&picture, "reference", picture.width);
        assert_eq!(found, prepared, "{name}: the pipeline's");
    }
}

/// A recipe's output, as `[side, side, 3]`.
fn prepared(picture: &Rgb8, recipe: &str, side: usize) -> Vec<f64> {
    let recipe = Recipe::named(recipe).expect("a known name");
    let mut out = vec![f32::NAN; 3 * side * side];
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    prepare(
        picture,
        &recipe,
        side,
        &Augment::default(),
        &mut rng,
        &mut out,
    )
    .expect("sizes fit");
    let plane = side * side;
    let pixel = |at: usize| [out[at], out[plane + at], out[2 * plane + at]];
    (0..plane).flat_map(pixel).map(f64::from).collect()
}

fn walk_crop_or_pad(case: &mut Case, name: &str, _: &Value) {
    let picture = case.picture(&format!("{name}.input"));
    let expected = case.picture(&format!("{name}.expected"));
    let found = crop_or_pad(&picture, expected.height, expected.width);
    assert_eq!(found, expected, "{name}");
}

fn walk_flip(case: &mut Case) {
    if !case.has("flip.input") {
        return;
    }
    let (picture, expected) = (case.picture("flip.input"), case.picture("flip.expected"));
    let as_floats = |picture: &Rgb8| -> Vec<f32> {
        let levels = picture.pixels.iter().map(|&level| f32::from(level));
        planar(&levels.collect::<Vec<_>>())
    };
    let mut found = as_floats(&picture);
    flip_horizontal(&mut found, picture.width);
    assert_eq!(found, as_floats(&expected));
}

fn walk_decode(case: &mut Case, folder: &Path, name: &str, entry: &Value) {
    let file = entry["file"].as_str().expect("a file name");
    let found = decode_file(&folder.join(file), &DecodeLimits::default());
    let found = found.unwrap_or_else(|error| panic!("{error}"));
    let tf = case.picture(&format!("{name}.tf"));
    assert_eq!((found.width, found.height), (tf.width, tf.height), "{file}");
    let is_jpeg = case.has(&format!("{name}.tf_accurate"));
    if !is_jpeg {
        assert_eq!(found, tf, "{file}");
        return;
    }
    let bytes = std::fs::read(folder.join(file)).expect("a readable file");
    let is_progressive = bytes.windows(2).any(|pair| pair == [0xff, 0xc2]);
    for accurate in ["tf_accurate", "libjpeg_turbo"] {
        let accurate = case.picture(&format!("{name}.{accurate}"));
        let pairs = found.pixels.iter().zip(&accurate.pixels);
        let differences: Vec<u8> = pairs.map(|(x, y)| x.abs_diff(*y)).collect();
        let max = *differences.iter().max().expect("pixels");
        let sum: u64 = differences.iter().map(|&x| u64::from(x)).sum();
        let mean = sum as f64 / differences.len() as f64;
        eprintln!("{file}: at most {max} levels, {mean:.3} on average");
        let (limit, mean_limit) = if is_progressive {
            (PROGRESSIVE_MAX, PROGRESSIVE_MEAN)
        } else {
            (0, 0.0)
        };
        assert!(max <= limit && mean <= mean_limit, "{file}: {max}, {mean}");
    }
}

#[test]
fn golden_images_are_tensorflows() {
    let folder = golden("image");
    let mut unknown: BTreeSet<_> = files(&folder).into_iter().collect();
    let cases: Vec<_> = unknown
        .iter()
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "safetensors")
        })
        .cloned()
        .collect();
    for path in cases {
        let beside = path.with_extension("json");
        let text = std::fs::read_to_string(&beside).expect("a description beside the case");
        let description: Value = serde_json::from_str(&text).expect("JSON");
        let mut case = Case::open(&path);
        case.each(&description, "standardize", walk_standardize);
        case.each(&description, "crop_or_pad", walk_crop_or_pad);
        case.each(&description, "decode", |case, name, entry| {
            walk_decode(case, &folder, name, entry);
        });
        walk_flip(&mut case);
        let all: BTreeSet<_> = case.u8s.keys().chain(case.floats.keys()).cloned().collect();
        assert_eq!(all, case.walked, "{}: not walked", path.display());
        for entry in description["decode"].as_array().into_iter().flatten() {
            unknown.remove(&folder.join(entry["file"].as_str().expect("a file name")));
        }
        unknown.remove(&path);
        unknown.remove(&beside);
    }
    assert!(unknown.is_empty(), "not walked: {unknown:?}");
}

/// The recipe's crop and resize, Pillow's, of libjpeg's pixels.
#[test]
fn photographs_become_a_published_models_inputs() {
    let (Some(published), Some(lfw)) = (real("pretrained"), real("lfw")) else {
        return;
    };
    let names = std::fs::read(published.join("inputs.json")).expect("beside the inputs");
    let names: Value = serde_json::from_slice(&names).expect("JSON");
    let names = names["names"].as_array().expect("an array");
    let inputs = Case::open(&published.join("inputs.safetensors"));
    let (shape, levels) = &inputs.u8s["input_u8"];
    assert_eq!((names.len(), &shape[..]), (12, &[12, 160, 160, 3][..]));
    for (name, expected) in names.iter().zip(levels.chunks_exact(160 * 160 * 3)) {
        let path = lfw.join(name.as_str().expect("a file name"));
        let picture = decode_file(&path, &DecodeLimits::default()).expect("a photograph");
        let expected: Vec<_> = expected.iter().map(|&level| f64::from(level)).collect();
        let found = prepared(&picture, "facenet-fixed-160", 160);
        let levels = found.iter().map(|x| (x * 128.0 + 127.5).round());
        assert!(levels.eq(expected), "{name}: other levels");
    }
}
