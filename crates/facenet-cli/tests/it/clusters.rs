//! `cluster` and `evaluate --identification`: who belongs together, who is found again.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::support::{DATA, MODEL, Scratch, USAGE, example, files_below};

/// Lists of paths below a key.
fn lists(found: &Value) -> Vec<Vec<String>> {
    let list = |images: &Value| -> Vec<String> {
        let images = images.as_array().expect("a list").iter();
        images
            .map(|image| image.as_str().expect("a path").to_owned())
            .collect()
    };
    let clusters = found["clusters"].as_array().expect("a list").iter();
    clusters.chain([&found["unclustered"]]).map(list).collect()
}

/// Folder of an image.
fn person(image: &str) -> &str {
    image.rsplit_once('/').expect("in a folder").0
}

#[test]
fn clusters_come_as_json_a_table_and_folders() {
    let scratch = Scratch::with_run();
    scratch.copy("run/model", "models/published");
    scratch.copy("faces", "photos");
    let line = example(&scratch, "cluster").replace("0.6", "0.2");
    let line = format!("{line} --csv clusters.csv --score --json");
    let found = scratch.run(&line).done().json();
    assert_eq!(
        (&found["n_images"], &found["calibration"]),
        (&48.into(), &Value::Null)
    );
    let lists = lists(&found);
    let (none, clusters) = lists.split_last().expect("one at least");
    assert_eq!(found["n_clusters"], clusters.len());
    let sizes: Vec<_> = clusters.iter().map(Vec::len).collect();
    assert!(
        sizes.is_sorted_by(|a, b| a >= b) && sizes.iter().all(|&n| n >= 2),
        "{sizes:?}"
    );
    assert_eq!(sizes.iter().sum::<usize>() + none.len(), 48);
    // The table has the same lines.
    let numbered = (1..).map(|n: usize| n.to_string()).zip(clusters);
    let rest = [(String::new(), none)];
    let lines = numbered
        .chain(rest)
        .flat_map(|(n, images)| images.iter().map(move |i| format!("{n},{i}\n")));
    assert_eq!(
        scratch.read("clusters.csv"),
        format!("cluster,path\n{}", lines.collect::<String>())
    );
    // The folders have the same images, byte for byte.
    let mut sorted = BTreeMap::new();
    for (name, bytes) in files_below(&scratch.path("clusters")) {
        sorted
            .entry(name.split_once('/').expect("a folder").0.to_owned())
            .or_insert(vec![])
            .push(bytes);
    }
    let read = |image: &String| fs::read(scratch.path(image)).expect("there");
    for (number, images) in clusters.iter().enumerate() {
        let expected: Vec<_> = images.iter().map(read).collect();
        assert_eq!(sorted[&format!("cluster_{:04}", number + 1)], expected);
    }
    check_score(&found["score"], clusters, none);
    scratch.refuses(
        &line.replace(" --json", ""),
        USAGE,
        &["--output: clusters exists"],
    );
}

/// Counts pair by pair.
#[track_caller]
fn check_score(score: &Value, clusters: &[Vec<String>], none: &[String]) {
    let mut images = Vec::new();
    for (number, cluster) in clusters.iter().enumerate() {
        images.extend(cluster.iter().map(|image| (Some(number), image)));
    }
    images.extend(none.iter().map(|image| (None, image)));
    let (mut together, mut same, mut right) = (0, 0, 0);
    for (at, (cluster, image)) in images.iter().enumerate() {
        for (other_cluster, other) in &images[..at] {
            let is_together = cluster.is_some() && cluster == other_cluster;
            let is_same = person(image) == person(other);
            together += u64::from(is_together);
            same += u64::from(is_same);
            right += u64::from(is_together && is_same);
        }
    }
    assert_eq!(
        (&score["n_together"], &score["n_same"]),
        (&together.into(), &same.into())
    );
    assert_eq!((&score["n_right"], same), (&right.into(), 12 * 6));
    let f1 = score["f1"].as_f64().expect("both kinds are there");
    assert!((f1 - 2.0 * right as f64 / (together + same) as f64).abs() < 1e-15);
}

#[test]
fn stored_embeddings_give_the_same_clusters_whatever_the_threads() {
    let scratch = Scratch::with_run();
    scratch
        .run("embed faces --model run/model --output e.safetensors")
        .done();
    let json = |line: &str| {
        scratch
            .run(&format!("{line} --threshold 0.25 --json"))
            .done()
            .json()
    };
    let found = json("cluster faces --model run/model");
    assert_eq!(json("cluster e.safetensors"), found);
    assert_eq!(json("cluster e.safetensors --model run/model"), found);
    assert_eq!(json("cluster faces --model run/model --threads 1"), found);
    assert_eq!(found["score"], Value::Null);
    assert_eq!(found["method"], "average");
    let n_clusters = found["n_clusters"].as_u64().expect("a number");
    assert!((2..24).contains(&n_clusters), "{n_clusters}");
    // Chains are longer than what is near on average.
    let chained = json("cluster e.safetensors --method dbscan");
    assert_eq!(chained["method"], "dbscan");
    let longest = |found: &Value| lists(found)[0].len();
    assert!(longest(&chained) > longest(&found), "{chained}");
    let text = scratch
        .run("cluster e.safetensors --threshold 0.25 --score")
        .done()
        .stdout;
    assert!(
        text.contains("48 images: ") && text.contains("Pairs of images: precision"),
        "{text}"
    );
}

#[test]
fn the_first_calibrated_threshold_is_taken_and_by_dbscan_that_of_the_lowest_rate() {
    let scratch = Scratch::with_run();
    scratch
        .run("synth people --identities 20 --images 3 --side 32 --folds 2 --pairs-per-fold 6")
        .done();
    let line = "cluster faces --model run/model";
    let bare = ["--threshold: no threshold is known", "facenet calibrate"];
    scratch.refuses(line, USAGE, &bare);
    scratch
        .run("calibrate --model run/model --data-dir people --far 0.1,0.06")
        .done();
    let far = |rest: &str| {
        let found = scratch.run(&format!("{line} --json {rest}")).done().json();
        found["calibration"]["far_target"]
            .as_f64()
            .expect("calibrated")
    };
    assert_eq!((far(""), far("--far 0.06")), (0.1, 0.06));
    let dbscan = "--method dbscan";
    assert_eq!(
        (far(dbscan), far(&format!("{dbscan} --far 0.1"))),
        (0.06, 0.1)
    );
}

#[test]
fn what_cannot_be_clustered() {
    let scratch = Scratch::with_run();
    scratch.write("text.jpg", "no picture");
    fs::create_dir(scratch.path("empty")).expect("writable");
    let cluster = |rest: &str| format!("cluster {rest} --threshold 0.5");
    scratch.refuses(
        &cluster("text.jpg --model run/model"),
        DATA,
        &["not one readable image"],
    );
    scratch.refuses(
        &cluster("empty --model run/model"),
        DATA,
        &["no image found"],
    );
    scratch.refuses(
        &cluster("nowhere.safetensors"),
        DATA,
        &["nowhere.safetensors"],
    );
    scratch.refuses(&cluster("text.jpg"), DATA, &["text.jpg"]);
    scratch.refuses(
        &cluster("faces --model nowhere"),
        MODEL,
        &["nowhere/config.json"],
    );
    scratch.refuses("cluster faces", USAGE, &["--threshold"]);
    assert_eq!(
        scratch.run(&cluster("faces --model run/model --copy")).code,
        USAGE
    );
    for wrong in ["--min-images 0", "--method nonsense"] {
        let line = cluster(&format!("faces --model run/model {wrong}"));
        assert_eq!(scratch.run(&line).code, USAGE, "{wrong}");
    }
}

/// 30 people, of whom some have one picture only.
fn with_strangers() -> Scratch {
    let scratch = Scratch::with_run();
    scratch
        .run("synth people --identities 30 --images 4 --side 32 --folds 2 --pairs-per-fold 6 --seed 5")
        .done();
    for number in 0..20 {
        for image in 2..=4 {
            let name = format!("people/synth_{number:05}/synth_{number:05}_{image:04}.png");
            fs::remove_file(scratch.path(&name)).expect("drawn");
        }
    }
    scratch
}

#[test]
fn identification_is_what_a_naive_search_finds() {
    let scratch = with_strangers();
    let line = "evaluate --identification --false-alarm-rate 0.5 --json";
    let found = scratch
        .run(&format!("{line} --model run/model --lfw-dir people"))
        .done()
        .json();
    scratch
        .run("embed people --model run/model --output e.csv")
        .done();
    scratch
        .run("embed people --model run/model --output e.safetensors")
        .done();
    let stored = scratch
        .run(&format!("{line} --embeddings e.safetensors"))
        .done()
        .json();
    assert_eq!(stored, found);
    let (expected, open) = naive(&scratch.read("e.csv"), 0.5);
    for (key, value) in expected {
        assert_eq!(found[key].as_f64(), Some(value), "{key} in {found}");
    }
    for (key, value) in open {
        // Only the order of sums differs, in the threshold.
        let figure = found["open_set"][key]
            .as_f64()
            .expect("20 strangers are enough for 0.5");
        assert!((figure - value).abs() < 1e-12, "{key} in {found}");
    }
}

type Figures = Vec<(&'static str, f64)>;

/// Every probe against everyone, from the table that `embed` wrote.
fn naive(table: &str, target: f64) -> (Figures, Figures) {
    let mut people: BTreeMap<String, Vec<Vec<f64>>> = BTreeMap::new();
    for line in table.lines().skip(1) {
        let (path, row) = line.split_once(',').expect("a path and numbers");
        let row = row
            .split(',')
            .map(|value| f64::from(value.parse::<f32>().expect("a number")))
            .collect();
        people.entry(person(path).to_owned()).or_default().push(row);
    }
    let sq_l2 =
        |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum() };
    let enrolled: Vec<_> = people.iter().filter(|(_, rows)| rows.len() > 1).collect();
    let distances = |probe: &[f64]| -> Vec<(f64, &str)> {
        let mut all: Vec<_> = enrolled
            .iter()
            .map(|(name, rows)| (sq_l2(probe, &rows[0]), name.as_str()))
            .collect();
        all.sort_by(|x, y| x.0.total_cmp(&y.0));
        all
    };
    let mut strangers: Vec<f64> = people
        .values()
        .filter(|rows| rows.len() == 1)
        .map(|rows| distances(&rows[0])[0].0)
        .collect();
    strangers.sort_by(f64::total_cmp);
    let threshold = strangers[(target * strangers.len() as f64) as usize];
    let share = |part: usize, of: usize| part as f64 / of as f64;
    let known: Vec<_> = enrolled
        .iter()
        .flat_map(|(name, rows)| rows[1..].iter().map(move |row| (name, row)))
        .collect();
    let rank = |name: &str, row: &[f64]| {
        distances(row)
            .iter()
            .position(|found| found.1 == name)
            .expect("enrolled")
    };
    let within = |n: usize| {
        known
            .iter()
            .filter(|(name, row)| rank(name, row) < n)
            .count()
    };
    let is_found =
        |name: &str, row: &[f64]| rank(name, row) == 0 && distances(row)[0].0 < threshold;
    let detected = known
        .iter()
        .filter(|(name, row)| is_found(name, row))
        .count();
    let passed = strangers.iter().filter(|&&d| d < threshold).count();
    let closed = vec![
        ("gallery", enrolled.len() as f64),
        ("known_probes", known.len() as f64),
        ("unknown_probes", strangers.len() as f64),
        ("rank_1", share(within(1), known.len())),
        ("rank_5", share(within(5), known.len())),
    ];
    let open = vec![
        ("threshold", threshold),
        ("detected", share(detected, known.len())),
        ("false_alarm_rate", share(passed, strangers.len())),
    ];
    (closed, open)
}

#[test]
fn identification_that_cannot_be_measured() {
    let scratch = with_strangers();
    let line = "evaluate --identification --model run/model --lfw-dir people";
    let text = scratch.run(line).done().stdout;
    for part in [
        "Gallery: 10 people",
        "rank 1: ",
        "rank 5: ",
        "expected 1000 or more",
    ] {
        assert!(text.contains(part), "lacks {part}: {text}");
    }
    scratch.copy("people/synth_00003", "single/Ann");
    let single = line.replace("people", "single");
    scratch.refuses(&single, DATA, &["none of the people of 1 images has two"]);
    scratch.refuses(
        "evaluate --identification --model run/model",
        USAGE,
        &["--lfw-dir"],
    );
    scratch.refuses(&line.replace("people", "nowhere"), DATA, &["nowhere"]);
    for flag in [
        "--subtract-mean",
        "--stored-as int8",
        "--false-alarm-rate 0",
    ] {
        assert_eq!(scratch.run(&format!("{line} {flag}")).code, USAGE, "{flag}");
    }
    scratch
        .run("embed people --model run/model --output e.npy")
        .done();
    let stored = "evaluate --identification --embeddings e.npy";
    scratch.refuses(stored, DATA, &["e.npy"]);
}
