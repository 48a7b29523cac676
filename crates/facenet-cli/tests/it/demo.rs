//! The demo: what `facenet train` promises to somebody who types nothing else.

use crate::support::Scratch;

/// An untrained network tells these faces apart hardly better than a coin.
const BEFORE_AT_MOST: f64 = 0.70;
/// What three epochs are promised to reach, on people that were not trained on.
const AFTER_AT_LEAST: f64 = 0.85;
/// How much of it must come from training.
const GAIN_AT_LEAST: f64 = 0.20;

#[test]
fn the_demo_learns_to_tell_unseen_people_apart() {
    let scratch = Scratch::new();
    let line = "train --json --models-base-dir models --logs-base-dir logs";
    let outcome = scratch.run(line).done().json();
    let number = |key: &str| outcome[key].as_f64().expect("the demo is scored");
    let (before, after) = (number("accuracy_before"), number("accuracy_after"));
    eprintln!("demo: {before:.4} before, {after:.4} after: {outcome}");
    assert_eq!(outcome["status"], "done");
    assert!(before < BEFORE_AT_MOST, "{outcome}");
    assert!(
        after >= AFTER_AT_LEAST && after - before >= GAIN_AT_LEAST,
        "{outcome}"
    );
}
