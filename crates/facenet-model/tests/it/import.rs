//! The published model 20180408-102900, found through `FACENET_PRETRAINED` or as `cargo xtask
//! fixtures --pretrained` leaves it; photographs through `FACENET_TEST_DATA`. Without them these
//! tests skip, aloud.

use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use facenet_model::{Arithmetic, Imported, Precision, import_file, load_tensors};

/// TensorFlow's sums run in another order; its own two convolution algorithms differ by as much.
const OTHER_ORDER: f32 = 1e-4;
/// bf16 has 8 bits of mantissa: on the golden cases nothing is off by more than 3.4e-3.
const BF16: f32 = 5e-3;

/// The published frozen graph; without it a message, and `None`.
fn published() -> Option<PathBuf> {
    let fetched =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/pretrained/graph_final.pb");
    let path = std::env::var_os("FACENET_PRETRAINED").map_or(fetched, PathBuf::from);
    if path.is_file() {
        return Some(path);
    }
    crate::skip::skip(format_args!(
        "no published model; run `cargo xtask fixtures --pretrained`, or set \
         FACENET_PRETRAINED to its file"
    ));
    None
}

/// Pictures after crop and resize with TensorFlow's embeddings of them.
fn inputs() -> Option<(Tensor, Tensor)> {
    let root = std::env::var_os("FACENET_TEST_DATA").map(PathBuf::from);
    let path = root.map(|root| root.join("pretrained/inputs.safetensors"));
    let Some(path) = path.filter(|path| path.is_file()) else {
        crate::skip::skip(format_args!(
            "FACENET_TEST_DATA names no folder with pretrained/inputs.safetensors"
        ));
        return None;
    };
    let tensors = load_tensors(&path).expect("whole");
    let nhwc = tensors["input_u8"].to_dtype(DType::F32).expect("small");
    let scaled = ((nhwc - 127.5).expect("small") / 128.0).expect("small");
    let images = scaled.permute((0, 3, 1, 2)).expect("NHWC").contiguous();
    Some((images.expect("small"), tensors["embeddings"].clone()))
}

fn import(path: &Path) -> Imported {
    import_file(path, 160).expect("the published model")
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    let rows = |t: &Tensor| {
        t.flatten_all()
            .and_then(|t| t.to_vec1::<f32>())
            .expect("f32")
    };
    let (a, b) = (rows(a), rows(b));
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(&b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn the_published_model_embeds_as_tensorflow_does() {
    let (Some(path), Some((images, expected))) = (published(), inputs()) else {
        return;
    };
    let Imported { model, report, .. } = import(&path);
    assert!(report.tolerated.is_empty(), "{report:?}");
    let config = model.config();
    assert_eq!((config.embedding_size, config.bn_eps), (512, 1e-3));
    assert!(config.has_folded_norms);
    let ways = [
        (Arithmetic::default(), OTHER_ORDER),
        (Arithmetic::of_inference(), OTHER_ORDER),
        (
            Arithmetic {
                precision: Precision::Bf16,
                ..Arithmetic::default()
            },
            BF16,
        ),
    ];
    let mut model = model;
    for (arithmetic, tolerance) in ways {
        model = model.with_arithmetic(arithmetic);
        let found = model.embed(&images).expect("they fit");
        let off = largest_difference(&found, &expected);
        println!("{arithmetic:?}: off by {off:e}");
        assert!(off <= tolerance, "{arithmetic:?}: off by {off}");
    }
}
