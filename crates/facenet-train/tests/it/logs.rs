//! The log folder of a scored run: text files, and TensorBoard's events read by a reader that
//! shares nothing with the writer.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use facenet_train::{Leftover, Outcome, ResumeOverrides, STEPS_FILE, read_events};
use serde_json::Value;

use crate::one_pass::one_pass;
use crate::runs::{Scratch, go_on, names, run, run_dir};
use crate::tfevents::{Scalar, scalars};

/// A scored run of two epochs of four steps.
fn scored() -> (Scratch, Outcome) {
    let scratch = Scratch::new();
    let outcome = run(scratch.scored_config());
    (scratch, outcome)
}

fn read(outcome: &Outcome, name: &str) -> String {
    fs::read_to_string(outcome.log_dir.join(name)).expect("a text file")
}

/// Values of each tag with their steps, over all event files of the run.
fn by_tag(log_dir: &Path) -> BTreeMap<String, Vec<(i64, f32)>> {
    let mut tags: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for name in names(log_dir) {
        if name.starts_with("events.out.tfevents.") {
            let bytes = fs::read(log_dir.join(name)).expect("readable");
            for Scalar { step, tag, value } in scalars(&bytes) {
                tags.entry(tag).or_default().push((step, value));
            }
        }
    }
    tags
}

fn steps(values: &[(i64, f32)]) -> Vec<i64> {
    values.iter().map(|(step, _)| *step).collect()
}

#[test]
fn arguments_have_a_line_for_every_field() {
    let (scratch, outcome) = scored();
    let text = read(&outcome, "arguments.txt");
    let lines: BTreeMap<_, _> = text
        .lines()
        .map(|line| line.split_once(": ").expect("name: value"))
        .collect();
    let config = serde_json::to_value(scratch.scored_config()).expect("plain fields");
    let Value::Object(fields) = config else {
        panic!("a struct is an object");
    };
    let expected: Vec<_> = fields.keys().map(String::as_str).collect();
    assert_eq!(lines.keys().copied().collect::<Vec<_>>(), expected);
    assert_eq!(lines["seed"], "666");
    assert_eq!(lines["keep_probability"], "0.8");
    assert_eq!(lines["leftover"], "carry");
    assert_eq!(lines["data_dir"], "none");
}

#[test]
fn the_revision_names_command_and_version() {
    let (_scratch, outcome) = scored();
    let text = read(&outcome, "revision_info.txt");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "command line: facenet train");
    assert_eq!(lines[1], concat!("version: ", env!("CARGO_PKG_VERSION")));
    assert!(lines[2].starts_with("git hash: ") && lines[3].starts_with("git dirty: "));
    assert!(lines[4].starts_with("git folder: "));
    assert_eq!(lines.len(), 5);
}

/// The lines of a results file: step, accuracy and validation rate, each with five decimals.
fn results(outcome: &Outcome, name: &str) -> Vec<(u64, f64)> {
    let text = read(outcome, name);
    let line = |line: &str| {
        let fields: Vec<_> = line.split('\t').collect();
        let [step, accuracy, val] = fields[..] else {
            panic!("{line:?} is not three columns");
        };
        for number in [accuracy, val] {
            let decimals = number.split_once('.').map(|(_, decimals)| decimals.len());
            assert!(number == "NaN" || decimals == Some(5), "{line:?}");
        }
        (
            step.parse().expect("a step"),
            accuracy.parse().expect("a share"),
        )
    };
    text.lines().map(line).collect()
}

#[test]
fn a_score_is_logged_before_training_and_after_every_epoch() {
    let (_scratch, outcome) = scored();
    let raw = results(&outcome, "lfw_result.txt");
    assert_eq!(
        raw.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
        [0, 4, 8]
    );
    let five = |accuracy: Option<f64>| format!("{:.5}", accuracy.expect("it is scored"));
    assert_eq!(format!("{:.5}", raw[0].1), five(outcome.accuracy_before));
    assert_eq!(format!("{:.5}", raw[2].1), five(outcome.accuracy_after));
    let ema = results(&outcome, "lfw_result_ema.txt");
    assert_eq!(
        ema.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
        [4, 8]
    );
    assert_eq!(format!("{:.5}", ema[1].1), five(outcome.ema_accuracy));
}

#[test]
fn events_have_every_tag_at_every_step_it_belongs_to() {
    let (_scratch, outcome) = scored();
    let tags = by_tag(&outcome.log_dir);
    let every: Vec<_> = (1..=8).collect();
    for tag in [
        "loss",
        "learning_rate",
        "train/active_share",
        "train/d_ap",
        "train/d_an",
        "train/d_ap_10",
        "train/d_ap_50",
        "train/d_ap_90",
        "train/d_an_10",
        "train/d_an_50",
        "train/d_an_90",
        "train/spread",
        "train/gradient_norm",
    ] {
        assert_eq!(steps(&tags[tag]), every, "{tag}");
    }
    // Checkpoints each third step and at both epochs' ends.
    assert_eq!(steps(&tags["time/save_variables"]), [3, 4, 6, 8]);
    for tag in ["lfw/accuracy", "lfw/val_rate", "time/lfw"] {
        assert_eq!(steps(&tags[tag]), [0, 4, 8], "{tag}");
    }
    for tag in ["lfw_ema/accuracy", "lfw_ema/val_rate", "time/lfw_ema"] {
        assert_eq!(steps(&tags[tag]), [4, 8], "{tag}");
    }
    let mined = steps(&tags["time/selection"]);
    assert_eq!(mined, steps(&tags["mining/active_share"]));
    assert_eq!(mined[0], 0);
    assert_eq!(tags.len(), 22, "{:?}", tags.keys());
    let rate = 1e-3f32;
    assert_eq!(tags["learning_rate"][0].1.to_bits(), rate.to_bits());
    let accuracy = outcome.accuracy_after.expect("it is scored") as f32;
    assert_eq!(tags["lfw/accuracy"][2].1.to_bits(), accuracy.to_bits());
}

#[test]
fn every_step_has_a_line_of_its_health_and_the_outcome_has_the_last() {
    for config in [Scratch::config, |scratch: &Scratch| {
        one_pass(scratch.config())
    }] {
        let scratch = Scratch::new();
        let outcome = run(config(&scratch));
        let text = read(&outcome, STEPS_FILE);
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("an object"))
            .collect();
        let steps: Vec<_> = lines.iter().map(|line| line["step"].as_u64()).collect();
        assert_eq!(steps, (1..=8).map(Some).collect::<Vec<_>>());
        assert_eq!(lines[0]["learning_rate"], 1e-3);
        for line in &lines {
            let number = |name: &str| line[name].as_f64().expect("a number");
            for share in ["mined_active_share", "active_share", "spread"] {
                assert!(
                    number(share) > 0.0 && number(share) <= 1.0,
                    "{share}: {line}"
                );
            }
            assert!(
                number("loss") > 0.0 && number("gradient_norm") > 0.0,
                "{line}"
            );
            for distances in ["d_ap", "d_an"] {
                let three: Vec<_> = line[distances].as_array().expect("three").iter().collect();
                let three: Vec<_> = three
                    .iter()
                    .map(|x| x.as_f64().expect("a number"))
                    .collect();
                assert!(three.len() == 3 && three.is_sorted(), "{line}");
            }
        }
        let health = serde_json::to_value(outcome.health).expect("plain fields");
        for (name, value) in health.as_object().expect("an object") {
            assert_eq!(&lines[7][name], value, "{name}");
        }
    }
}

#[test]
fn the_crates_own_reader_agrees() {
    let scratch = Scratch::new();
    let outcome = run(scratch.config());
    let name = names(&outcome.log_dir)
        .into_iter()
        .find(|name| name.starts_with("events"));
    let path = outcome.log_dir.join(name.expect("an event file"));
    let ours: Vec<_> = read_events(&path)
        .expect("as written")
        .into_iter()
        .flat_map(|event| {
            let step = event.step as i64;
            let scalar = move |(tag, value)| Scalar { step, tag, value };
            event.values.into_iter().map(scalar)
        })
        .collect();
    assert_eq!(ours, scalars(&fs::read(&path).expect("readable")));
}

#[test]
fn a_resumed_run_logs_into_the_same_folder_and_repeats_no_step() {
    let scratch = Scratch::new();
    let half = run(facenet_train::TrainConfig {
        max_nrof_epochs: 1,
        leftover: Leftover::Drop,
        ..scratch.scored_config()
    });
    let overrides = ResumeOverrides {
        max_nrof_epochs: Some(2),
        ..ResumeOverrides::default()
    };
    // A path that ends in `..` has no name of its own.
    let roundabout = run_dir(&half).join("model").join("..");
    let whole = go_on(&roundabout, overrides).expect("a whole checkpoint");
    assert_eq!(names(&scratch.path("logs")).len(), 1);
    let tags = by_tag(&half.log_dir);
    assert_eq!(steps(&tags["loss"]), (1..=8).collect::<Vec<_>>());
    assert_eq!(results(&half, "lfw_result.txt").len(), 3);
    assert_eq!(whole.accuracy_before, half.accuracy_before);
}
