//! The published model 20180408-102900 on LFW, from the JPEG files. It is found through
//! `FACENET_PRETRAINED` or as `cargo xtask fixtures --pretrained` leaves it, photographs through
//! `FACENET_TEST_DATA`; without them these tests skip, aloud. `cargo xtask ci` sets
//! `FACENET_WHOLE_LFW`, and all ten folds are scored; else a few pairs of two.

use std::fs;
use std::path::{Path, PathBuf};

use facenet_train::dataset::DecodeLimits;
use facenet_train::lfw::Flip;
use facenet_train::model::{Arithmetic, Precision};
use facenet_train::{
    Evaluation, ImportRequest, ModelSource, PairsSource, Protocol, Silent, Storage, evaluate,
    import,
};

use crate::runs::Scratch;

/// TensorFlow's accuracy by fold and VAL of the same graph, pictures and pairs.
const TENSORFLOW: ([f64; 10], f64) = (
    [
        0.97667, 0.97833, 0.97, 0.95167, 0.97, 0.96833, 0.98167, 0.98, 0.99, 0.98,
    ],
    0.875,
);
/// What another order of sums, or halves for floats, may cost on the same pixels: a pair of a fold, two
/// of all, three of VAL's 3,000. Nothing is off as measured.
const EXACT: Off = Off {
    fold: 1.0 / 600.0,
    mean: 2.0 / 6000.0,
    val: 3.0 / 3000.0,
};
/// What rounding to bf16 or int8 may cost: six pairs of a fold, nine of all; VAL hangs on the nearest
/// three or four of a fold's 2,700 impostors.
const ROUNDED: Off = Off {
    fold: 6.0 / 600.0,
    mean: 9.0 / 6000.0,
    val: 45.0 / 3000.0,
};
/// TensorFlow's figures are rounded to five digits.
const ROUNDING: f64 = 5e-6;
/// Pairs of each kind of a fold, where not all are scored.
const FEW: usize = 12;
/// Rights of 48 pairs that a model at 0.975 falls below in one of 3,000 draws.
const FEW_LEAST: f64 = 0.89;

/// The published graph and LFW's folder; without one of them a message, and `None`.
fn fixtures() -> Option<(PathBuf, PathBuf)> {
    let fetched =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/pretrained/graph_final.pb");
    let graph = std::env::var_os("FACENET_PRETRAINED").map_or(fetched, PathBuf::from);
    let lfw = std::env::var_os("FACENET_TEST_DATA").map(|root| PathBuf::from(root).join("lfw"));
    let lfw = lfw.filter(|lfw| lfw.join("pairs.txt").is_file());
    if let (true, Some(lfw)) = (graph.is_file(), lfw) {
        return Some((graph, lfw));
    }
    crate::skip::skip(format_args!(
        "the published model is scored where `cargo xtask fixtures --pretrained` has \
         fetched it (or FACENET_PRETRAINED names its file) and FACENET_TEST_DATA names a folder \
         with lfw/pairs.txt"
    ));
    None
}

/// The model as a folder of ours.
fn imported(scratch: &Scratch, graph: PathBuf) -> PathBuf {
    let output = scratch.path("published");
    let request = ImportRequest {
        file: graph,
        output: output.clone(),
        recipe: None,
        image_size: None,
    };
    import(&request).expect("the published model");
    output
}

/// The score in each form, by pairs as they are and with their mirror images.
fn scored(model: &Path, pairs: &PairsSource, precision: Precision) -> Evaluation {
    let source = ModelSource {
        model: model.to_owned(),
        recipe: None,
        allow_recipe_mismatch: false,
        device: "cpu".to_owned(),
        threads: None,
        arithmetic: Arithmetic {
            precision,
            ..Arithmetic::of_inference()
        },
        loader_threads: 2,
        batch_size: 90,
        limits: DecodeLimits::default(),
    };
    let protocol = Protocol {
        flip: (precision == Precision::F32).then_some(Flip::Concat),
        stored_as: Storage::ALL.to_vec(),
        ..Protocol::default()
    };
    let evaluation = evaluate(&source, pairs, &protocol, &mut Silent).expect("LFW is whole");
    for score in &evaluation.stored {
        let report = &score.report;
        println!(
            "{precision:?}, {}{}, {} bytes: {}, {}",
            score.stored_as,
            if score.is_flipped {
                ", mirrored too"
            } else {
                ""
            },
            score.bytes,
            report.accuracy_line(),
            report.validation_line(),
        );
    }
    evaluation
}

/// The first pairs of each kind of the first two folds, as a file.
fn few_pairs(scratch: &Scratch, lfw: &Path) -> PathBuf {
    let text = fs::read_to_string(lfw.join("pairs.txt")).expect("readable");
    let lines: Vec<_> = text.lines().skip(1).collect();
    let mut chosen = format!("2\t{FEW}\n");
    for block in lines.chunks(300).take(4) {
        for line in &block[..FEW] {
            chosen += line;
            chosen.push('\n');
        }
    }
    let path = scratch.path("few.txt");
    fs::write(&path, chosen).expect("writable");
    path
}

#[test]
fn the_published_model_scores_what_tensorflow_scores() {
    let Some((graph, lfw)) = fixtures() else {
        return;
    };
    let scratch = Scratch::new();
    let model = imported(&scratch, graph);
    let is_whole = std::env::var_os("FACENET_WHOLE_LFW").is_some();
    let pairs = PairsSource {
        pairs: if is_whole {
            lfw.join("pairs.txt")
        } else {
            few_pairs(&scratch, &lfw)
        },
        dir: lfw,
        folds: None,
        allow_missing: false,
    };
    for precision in [Precision::F32, Precision::Bf16] {
        let evaluation = scored(&model, &pairs, precision);
        let plain = &evaluation.stored[0].report;
        if is_whole {
            check_whole(&evaluation, precision);
        } else {
            assert_eq!(plain.n_same, 2 * FEW);
            assert!(plain.accuracy_mean >= FEW_LEAST, "{precision:?}: {plain}");
        }
    }
}

/// How far figures may be from TensorFlow's.
struct Off {
    fold: f64,
    mean: f64,
    val: f64,
}

/// Every form's figures are TensorFlow's, but for what the tolerances allow.
#[track_caller]
fn check_whole(evaluation: &Evaluation, precision: Precision) {
    for score in evaluation.stored.iter().filter(|score| !score.is_flipped) {
        let (report, (folds, val)) = (&score.report, TENSORFLOW);
        assert_eq!((report.n_same, report.n_different), (3000, 3000));
        let is_exact = precision == Precision::F32 && score.stored_as != Storage::Int8;
        let off = if is_exact { EXACT } else { ROUNDED };
        let near = |found: f64, expected: f64, off: f64| {
            assert!(
                (found - expected).abs() <= off + ROUNDING,
                "{precision:?}, {}: {found}, expected {expected}: {report}",
                score.stored_as
            );
        };
        assert_eq!(report.accuracy.len(), folds.len());
        for (&found, expected) in report.accuracy.iter().zip(folds) {
            near(found, expected, off.fold);
        }
        near(
            report.accuracy_mean,
            folds.iter().sum::<f64>() / 10.0,
            off.mean,
        );
        near(report.val.expect("it has both kinds"), val, off.val);
    }
}
