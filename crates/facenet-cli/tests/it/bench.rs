//! `bench train`, `forward` and `load`: what they print and what they refuse.

use serde_json::Value;

use crate::support::{DATA, Scratch, USAGE};

/// The smallest network and no more calls than must be.
const SMALL: &str = "--model-def mobilefacenet --image-size 16 --embedding-size 8 --batch-size 6 \
    --threads 1 --repeats 2 --seconds 0";

/// What every mode tells.
const RATES: [&str; 3] = ["images_per_s_worst", "images_per_s", "images_per_s_best"];

/// Runs a mode with `flags`; its figures must be there and agree with each other.
#[track_caller]
fn check(scratch: &Scratch, mode: &str, flags: &str) -> Value {
    let run = scratch.run(&format!("bench {mode} --json {flags}")).done();
    let object = run.json();
    let number = |key: &str| object[key].as_f64();
    assert_eq!(object["bench"], mode);
    let rates = RATES.map(|key| number(key).expect("a rate"));
    assert!(rates[0] > 0.0 && rates.is_sorted(), "{object}");
    let rate = number("images").expect("a count") / number("median_s").expect("a time");
    // Both are the same quotient.
    assert_eq!(rates[1], rate, "{object}");
    assert!(number("repeats") >= Some(2.0), "{object}");
    if cfg!(target_os = "linux") {
        assert!(number("peak_rss_mib") > Some(1.0), "{object}");
        assert!(number("cores_used").is_some(), "{object}");
    }
    object
}

/// Operations over the time of the median call, and that over the peak.
#[track_caller]
fn check_operations(object: &Value, operations_of_an_image: f64) {
    let number = |key: &str| object[key].as_f64().expect(key);
    let expected = operations_of_an_image * number("images_per_s") / 1e9;
    let (found, share) = (number("gflops"), number("share_of_peak"));
    // The printed numbers are exact; three operations round by 2^-53 each.
    assert!((found / expected - 1.0).abs() < 1e-12, "{object}");
    assert!(
        (share * number("peak_gflops") / found - 1.0).abs() < 1e-12,
        "{object}"
    );
}

/// Nominal operations of [`SMALL`]'s network forward: table 1 of arXiv:1804.07573 from 16 pixels
/// on, its bottlenecks 8, 4, 2, 2 and 1 pixels wide before, and 8 numbers; of its first layer.
const FORWARD: f64 = 9_024_512.0;
const FIRST: f64 = 2.0 * 8.0 * 8.0 * 64.0 * 27.0;

#[test]
fn a_pass_and_a_step_are_timed_with_their_operations() {
    let scratch = Scratch::new();
    let forward = check(&scratch, "forward", SMALL);
    check_operations(&forward, FORWARD);
    assert_eq!(
        (&forward["winograd"], &forward["threads"]),
        (&true.into(), &1.into())
    );
    assert_eq!(forward["optimizer"], Value::Null);
    let step = check(&scratch, "train", &format!("{SMALL} --optimizer adam"));
    check_operations(&step, 3.0 * FORWARD - FIRST);
    assert_eq!(
        (&step["optimizer"], &step["winograd"]),
        (&"ADAM".into(), &true.into())
    );
    for (key, expected) in [
        ("model_def", Value::from("mobilefacenet")),
        ("image_size", 16.into()),
        ("embedding_size", 8.into()),
        ("batch_size", 6.into()),
        ("precision", "f32".into()),
    ] {
        assert_eq!((&forward[key], &step[key]), (&expected, &expected));
    }
}

#[test]
fn a_pass_and_a_step_are_timed_in_bf16() {
    let scratch = Scratch::new();
    for (mode, operations) in [("forward", FORWARD), ("train", 3.0 * FORWARD - FIRST)] {
        let timed = check(&scratch, mode, &format!("{SMALL} --precision bf16"));
        check_operations(&timed, operations);
        assert_eq!(timed["precision"], "bf16");
    }
}

#[test]
fn loading_is_timed_on_the_images_of_a_folder() {
    let scratch = Scratch::with_faces();
    let flags = format!("{SMALL} --optimizer mom --winograd on --data-dir faces");
    let loaded = check(&scratch, "load", &flags);
    assert_eq!(loaded["images"], 48);
    for key in ["gflops", "share_of_peak", "optimizer"] {
        assert_eq!(loaded[key], Value::Null, "{key}");
    }
}

#[test]
fn people_read_a_table() {
    let scratch = Scratch::new();
    let text = scratch.run(&format!("bench forward {SMALL}")).done().stdout;
    let subject = "forward: mobilefacenet, 8 numbers, 16 x 16 pixels, batch 6, f32";
    assert!(text.starts_with(subject), "{text}");
    for figure in ["images/s", "GFLOP/s", "cores used", "peak memory"] {
        assert!(text.contains(figure), "lacks {figure}: {text}");
    }
}

#[test]
fn what_cannot_be_timed_is_refused() {
    let scratch = Scratch::with_faces();
    let batch = ["--batch-size: found 7, expected a multiple of 3"];
    scratch.refuses(
        &format!("bench train {SMALL} --batch-size 7"),
        USAGE,
        &batch,
    );
    let size = ["found 20, expected a multiple of 16"];
    scratch.refuses(
        &format!("bench forward {SMALL} --image-size 20"),
        USAGE,
        &size,
    );
    let folder = ["--data-dir: found none, expected a folder"];
    scratch.refuses(&format!("bench load {SMALL}"), USAGE, &folder);
    let missing = ["no/such"];
    scratch.refuses("bench load --data-dir no/such", DATA, &missing);
}

#[test]
fn flags_that_say_nothing_are_usage() {
    let scratch = Scratch::new();
    for flag in [
        "--threads 0",
        "--threads 1025",
        "--precision f16",
        "--winograd maybe",
        "--optimizer SGD",
        "--batch-size 0",
        "--repeats 0",
        "--seconds -1",
        "--model-def vgg",
    ] {
        for mode in ["train", "forward", "load"] {
            let run = scratch.run(&format!("bench {mode} {flag}"));
            assert_eq!(run.code, USAGE, "{mode} {flag}: {run:#?}");
        }
    }
}
