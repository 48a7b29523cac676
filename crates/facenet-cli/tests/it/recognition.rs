//! `calibrate`, `verify`, `enroll`, `identify`, `forget`: from images to answers.

use std::fs;

use serde_json::Value;

use crate::support::{DATA, MODEL, Scratch, USAGE, example};

/// 20 people make 190 pairs of people: enough for a FAR of 10 / 190 and above.
const PEOPLE: &str =
    "synth people --identities 20 --images 3 --side 32 --folds 2 --pairs-per-fold 6 --seed 7";
const CALIBRATE: &str = "calibrate --model run/model --data-dir people --far 0.1,0.06";

/// With a trained model in `run/model`, and 20 people with 3 images each in `people`.
fn with_people() -> Scratch {
    let scratch = Scratch::with_run();
    scratch.run(PEOPLE).done();
    scratch
}

/// Identity and row of each embedded image of a folder, by `embed`.
fn embedded(scratch: &Scratch, folder: &str) -> Vec<(String, Vec<f64>)> {
    scratch
        .run(&format!(
            "embed {folder} --model run/model --output rows.csv"
        ))
        .done();
    let text = scratch.read("rows.csv");
    let parse = |line: &str| {
        let mut fields = line.split(',');
        let path = fields.next().expect("a path");
        let name = path.split('/').nth(1).expect("<folder>/<identity>/<image>");
        let row = fields.map(|value| f64::from(value.parse::<f32>().expect("a number")));
        (name.to_owned(), row.collect())
    };
    text.lines().skip(1).map(parse).collect()
}

fn sq_l2(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum()
}

#[track_caller]
fn number(object: &Value, key: &str) -> f64 {
    object[key]
        .as_f64()
        .unwrap_or_else(|| panic!("{key} in {object}"))
}

#[test]
fn the_examples_run() {
    let scratch = Scratch::with_run();
    scratch.copy("run/model", "models/published");
    // 143 people make 10,153 pairs, enough for the example's 0.001.
    let many = "synth data/lfw --identities 143 --images 2 --side 32 --folds 2 --pairs-per-fold 6";
    fs::create_dir(scratch.path("data")).expect("writable");
    scratch.run(many).done();
    scratch.copy("faces", "people");
    scratch.copy("faces/synth_00001", "people/Ann");
    for name in ["a.jpg", "b.jpg", "visitor.jpg"] {
        let face = fs::read(scratch.path("faces/synth_00002/synth_00002_0001.png"));
        scratch.write(name, face.expect("drawn"));
    }
    for command in ["calibrate", "verify", "enroll", "identify", "forget"] {
        let line = example(&scratch, command);
        scratch.run(&format!("{line} --json")).done().json();
    }
}

#[test]
fn a_threshold_is_the_one_that_a_naive_count_finds() {
    let scratch = with_people();
    let found = scratch.run(&format!("{CALIBRATE} --json")).done().json();
    assert_eq!(
        (&found["people"], &found["images"]),
        (&20.into(), &60.into())
    );
    let stored: Value =
        serde_json::from_str(&scratch.read("run/model/calibration.json")).expect("JSON");
    assert_eq!(stored["points"], found["points"]);
    let rows = embedded(&scratch, "people");
    let (mut same, mut different) = (vec![], vec![]);
    for (at, (name, row)) in rows.iter().enumerate() {
        for (other, other_row) in &rows[..at] {
            let into = if name == other {
                &mut same
            } else {
                &mut different
            };
            into.push(sq_l2(row, other_row));
        }
    }
    different.sort_by(f64::total_cmp);
    for (point, far) in found["points"]
        .as_array()
        .expect("two")
        .iter()
        .zip([0.1, 0.06])
    {
        assert_eq!(number(point, "far_target"), far);
        let may = (far * different.len() as f64 + 1e-9) as usize;
        // Only the order of sums differs.
        assert!((number(point, "threshold") - different[may]).abs() < 1e-12);
        assert_eq!(point["accepted_different"], may);
        assert_eq!(point["n_people_pairs"], 190);
        let accepted = same.iter().filter(|&&d| d < different[may]).count();
        assert_eq!(
            (&point["accepted_same"], &point["n_same"]),
            (&accepted.into(), &60.into())
        );
        for (figure, interval) in [("far", "far_interval"), ("threshold", "threshold_interval")] {
            let [low, high] = [0, 1].map(|end| point[interval][end].as_f64().expect("a bound"));
            let value = number(point, figure);
            assert!(low <= value && value <= high && low < high, "{point}");
        }
    }
    let text = scratch.run(CALIBRATE).done().stdout;
    assert!(text.contains("FAR 0.06: threshold"), "{text}");
    let one = scratch
        .run(&format!("{CALIBRATE} --threads 1 --json"))
        .done();
    assert_eq!(one.json(), found, "no bit depends on the threads");
}

#[test]
fn a_pairs_file_limits_what_is_compared() {
    let scratch = with_people();
    scratch
        .run("pairs people --output pairs.txt --folds 1 --pairs-per-fold 60")
        .done();
    let line = "calibrate --model run/model --data-dir people --pairs pairs.txt --far 0.1";
    scratch.refuses(line, DATA, &["a FAR of 0.1", "expected 100", "10 / FAR"]);
    scratch
        .run("synth more --identities 40 --images 3 --side 32 --folds 2 --pairs-per-fold 6")
        .done();
    scratch
        .run("pairs more --output pairs.txt --folds 1 --pairs-per-fold 120")
        .done();
    let line = line.replace("people", "more");
    let point = scratch.run(&format!("{line} --json")).done().json()["points"][0].clone();
    assert_eq!(
        (&point["n_same"], &point["n_different"]),
        (&120.into(), &120.into())
    );
    assert_eq!(point["accepted_different"], 12);
}

#[test]
fn what_the_data_cannot_support_is_refused() {
    let scratch = with_people();
    let line = |far: &str| CALIBRATE.replace("0.1,0.06", far);
    let says = [
        "190 pairs of different people",
        "expected 10000",
        "0.053 or more",
    ];
    scratch.refuses(&line("0.001"), DATA, &says);
    scratch.refuses(&line("0.2"), USAGE, &["far 0.2", "at most 0.1"]);
    assert_eq!(scratch.run(&line("0")).code, USAGE);
    let nowhere = CALIBRATE.replace("people", "nowhere");
    scratch.refuses(&nowhere, DATA, &["nowhere: cannot read"]);
    scratch.write("broken/Ann/1.jpg", "no picture");
    let broken = CALIBRATE.replace("people", "broken");
    scratch.refuses(&broken, DATA, &["broken: not one readable image"]);
    let model = CALIBRATE.replace("run/model", "nowhere");
    scratch.refuses(&model, MODEL, &["nowhere/config.json: cannot read"]);
}

#[test]
fn a_distance_comes_with_what_it_is_worth() {
    let scratch = with_people();
    let verify = "verify people/synth_00000/synth_00000_0001.png \
        people/synth_00000/synth_00000_0002.png --model run/model";
    let bare = scratch.run(verify).done().stdout;
    assert!(bare.contains("the model is not calibrated"), "{bare}");
    let bare = scratch.run(&format!("{verify} --json")).done().json();
    assert_eq!(
        (&bare["is_below"], &bare["threshold"]),
        (&Value::Null, &Value::Null)
    );
    let rows = embedded(&scratch, "people");
    // Two images a batch in place of sixty: Winograd's algorithm is chosen by the batch, and moves the
    // last digits.
    assert!((number(&bare, "sq_l2") - sq_l2(&rows[0].1, &rows[1].1)).abs() < 1e-5);

    let points = scratch.run(&format!("{CALIBRATE} --json")).done().json()["points"].clone();
    let told = scratch.run(verify).done().stdout;
    for part in [
        "below the threshold",
        "FAR 0.1",
        "95 %",
        "pairs of different people",
    ] {
        assert!(told.contains(part), "lacks {part}: {told}");
    }
    let json = |line: &str| {
        scratch
            .run(&format!("{verify} {line} --json"))
            .done()
            .json()
    };
    assert_eq!(
        json("")["calibration"],
        points[0],
        "the first is the default"
    );
    assert_eq!(json("--far 0.06")["calibration"], points[1]);
    let given = json("--threshold 4");
    assert_eq!(
        (&given["is_below"], &given["calibration"]),
        (&true.into(), &Value::Null)
    );
    let far = format!("{verify} --far 0.05");
    scratch.refuses(
        &far,
        USAGE,
        &["--far: found 0.05", "calibrated for 0.1, 0.06"],
    );
}

#[test]
fn images_and_calibrations_that_cannot_be_used() {
    let scratch = with_people();
    scratch.write("text.jpg", "no picture");
    let face = "people/synth_00000/synth_00000_0001.png";
    let verify = |other: &str| format!("verify {face} {other} --model run/model");
    scratch.refuses(&verify("nowhere.jpg"), DATA, &["nowhere.jpg"]);
    scratch.refuses(&verify("text.jpg"), DATA, &["text.jpg"]);
    scratch.refuses(&verify("people"), DATA, &["people"]);
    scratch.run(CALIBRATE).done();
    // The same calibration beside other weights.
    scratch.copy("run/model-ema", "other");
    let stored = scratch.read("run/model/calibration.json");
    scratch.write("other/calibration.json", &stored);
    let other = verify(face).replace("run/model", "other");
    scratch.refuses(
        &other,
        MODEL,
        &["other/calibration.json", "other weights", "anew"],
    );
    let recipe = format!(
        "{} --recipe facenet-fixed-160 --allow-recipe-mismatch",
        verify(face)
    );
    scratch.refuses(&recipe, MODEL, &["pictures prepared by"]);
    scratch.write("run/model/calibration.json", &stored[..stored.len() / 2]);
    scratch.refuses(&verify(face), MODEL, &["calibration.json: is no JSON"]);
    let again = scratch.run(CALIBRATE);
    assert_eq!(again.code, 0, "calibrating anew mends it: {again:#?}");
    // A model that is written anew takes the former one's calibration with it.
    scratch
        .run("export other --safetensors x.safetensors")
        .done();
    scratch
        .run("import x.safetensors --output run/model")
        .done();
    assert!(!scratch.path("run/model/calibration.json").exists());
}

#[test]
fn people_are_enrolled_in_steps_identified_and_forgotten() {
    let scratch = with_people();
    scratch.run(CALIBRATE).done();
    let enroll = |rest: &str| {
        let run = scratch.run(&format!("enroll g.faces --model run/model --json {rest}"));
        let found = run.done().json();
        ["added", "already", "n_identities", "n_templates"]
            .map(|key| found[key].as_u64().expect("a count"))
    };
    let one = "people/synth_00003/synth_00003_0001.png";
    assert_eq!(enroll(&format!("--name Ann {one}")), [1, 0, 1, 1]);
    assert_eq!(enroll("--name Ann people/synth_00003"), [2, 1, 1, 3]);
    assert_eq!(enroll("--data-dir faces"), [48, 0, 13, 51]);
    assert_eq!(enroll("--data-dir faces"), [0, 48, 13, 51]);

    let identify = |rest: &str| {
        let run = scratch.run(&format!("identify g.faces --model run/model --json {rest}"));
        run.done().json()
    };
    let found = identify(&format!("{one} faces/synth_00005 --top 2"));
    let [first, second] = [0, 1].map(|at| &found["images"][at]);
    assert_eq!(
        (&first["name"], &first["image"]),
        (&"Ann".into(), &one.into())
    );
    assert_eq!(second["name"], "synth_00005");
    let nearest = first["nearest"].as_array().expect("a list");
    assert_eq!((nearest.len(), number(&nearest[0], "sq_l2")), (2, 0.0));
    assert!(number(&nearest[1], "sq_l2") > 0.0 && nearest[1]["name"] != "Ann");
    assert_eq!(found["calibration"]["far_target"], 0.1);
    assert_eq!(
        found["false_alarms_at_most"], 1.0,
        "51 templates at 0.1 each"
    );
    // Nothing is below zero: the set is open.
    let strict = identify(&format!("{one} --threshold 0"));
    assert_eq!(strict["images"][0]["name"], Value::Null);
    let text = scratch.run(&format!(
        "identify g.faces {one} --model run/model --threshold 0"
    ));
    assert!(
        text.done()
            .stdout
            .contains(": unknown (nearest: Ann 0.0000")
    );

    let bytes = || fs::read(scratch.path("g.faces")).expect("there");
    let holds = |needle: &[u8]| bytes().windows(needle.len()).any(|part| part == needle);
    assert!(holds(b"Ann"));
    let gone = scratch.run("forget g.faces Ann --json").done().json();
    let counts = ["templates", "n_identities", "n_templates"].map(|key| gone[key].as_u64());
    assert_eq!(counts, [Some(3), Some(12), Some(48)]);
    assert!(!holds(b"Ann"));
    assert_ne!(identify(one)["images"][0]["nearest"][0]["name"], "Ann");
    let told = scratch.run("forget g.faces synth_00005").done().stdout;
    assert!(
        told.contains("the file was read again, and neither the name nor"),
        "{told}"
    );
    assert_eq!(enroll("--data-dir faces"), [4, 44, 12, 48]);
}

#[test]
fn nobody_is_judged_without_a_threshold() {
    let scratch = with_people();
    scratch
        .run("enroll g --model run/model --data-dir faces")
        .done();
    let line = "identify g faces/synth_00001 --model run/model";
    let told = scratch.run(line).done().stdout;
    assert!(
        told.contains("not calibrated") && !told.contains("unknown"),
        "{told}"
    );
    let found = scratch.run(&format!("{line} --json")).done().json();
    let first = &found["images"][0];
    assert_eq!(
        (&first["name"], &found["threshold"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(first["nearest"][0]["name"], "synth_00001");
}

#[test]
fn images_left_out_of_a_gallery_are_named() {
    let scratch = with_people();
    scratch.copy("faces/synth_00001", "some/Ann");
    scratch.write("some/Ann/broken.jpg", "no picture");
    scratch.write("some/Bob/1.png", "no picture");
    let run = scratch
        .run("enroll g --model run/model --data-dir some --json")
        .done();
    let found = run.json();
    assert_eq!((&found["people"], &found["added"]), (&1.into(), &4.into()));
    assert_eq!(found["skipped"].as_array().expect("a list").len(), 2);
    assert!(
        run.stderr.contains("skipped some/Ann/broken.jpg"),
        "{run:#?}"
    );
}

#[test]
fn galleries_and_people_that_cannot_be_used() {
    let scratch = with_people();
    scratch.copy("run/model-ema", "other");
    scratch
        .run("enroll g --model run/model --data-dir faces")
        .done();
    scratch.write("text.jpg", "no picture");
    scratch.write("junk", "no gallery");
    let face = "faces/synth_00001/synth_00001_0001.png";
    let enroll = |rest: &str| format!("enroll {rest} --model run/model");
    let identify = |rest: &str| format!("identify {rest} --model run/model");
    let of_other = ["embeddings are of model", "use that model"];
    scratch.refuses("enroll g --model other --data-dir faces", MODEL, &of_other);
    scratch.refuses(
        &format!("identify g {face} --model other"),
        MODEL,
        &of_other,
    );
    scratch.refuses(
        &enroll("g --data-dir nowhere"),
        DATA,
        &["nowhere: cannot read"],
    );
    scratch.refuses(
        &enroll("g --name Ann text.jpg"),
        DATA,
        &["not one readable image"],
    );
    scratch.refuses(
        &enroll(&format!("junk --name Ann {face}")),
        DATA,
        &["not a gallery"],
    );
    for rest in ["g", "g --name Ann", &format!("g {face}")] {
        assert_eq!(scratch.run(&enroll(rest)).code, USAGE, "{rest}");
    }
    scratch.refuses(
        &identify(&format!("nowhere {face}")),
        DATA,
        &["nowhere: cannot read"],
    );
    scratch.refuses(&identify("g text.jpg"), DATA, &["not one readable image"]);
    scratch.refuses("forget g Ann", DATA, &["nobody named \"Ann\"", "among 12"]);
    scratch.refuses("forget nowhere Ann", DATA, &["nowhere: cannot read"]);
    scratch.refuses("forget junk Ann", DATA, &["not a gallery"]);
    let words = ["enroll", "g", "--model", "run/model", "--name", "", face];
    assert_eq!(scratch.run_words(words).code, USAGE);
    assert_eq!(
        scratch.run("forget g synth_00001").code,
        0,
        "all else is as it was"
    );
}
