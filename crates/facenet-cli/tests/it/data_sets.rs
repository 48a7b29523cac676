//! `synth` and `pairs`: data sets to train and to score on.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{DATA, Scratch, USAGE, files_below};

/// The people of each fold of a pairs file whose counts, kinds and distinct lines are checked.
fn folds(text: &str) -> Vec<BTreeSet<String>> {
    let mut lines = text.lines();
    let header: Vec<usize> = lines
        .next()
        .expect("a header")
        .split('\t')
        .map(|number| number.parse().expect("a number"))
        .collect();
    let lines: Vec<Vec<&str>> = lines.map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines.len(), header[0] * 2 * header[1]);
    assert_eq!(
        lines.iter().collect::<BTreeSet<_>>().len(),
        lines.len(),
        "no pair twice"
    );
    lines
        .chunks(2 * header[1])
        .map(|fold| {
            let (same, different) = fold.split_at(header[1]);
            assert!(
                same.iter().all(|line| line.len() == 3),
                "same pairs first: {same:?}"
            );
            assert!(
                different
                    .iter()
                    .all(|line| line.len() == 4 && line[0] != line[2])
            );
            let second = different.iter().map(|line| line[2]);
            fold.iter()
                .map(|line| line[0])
                .chain(second)
                .map(str::to_owned)
                .collect()
        })
        .collect()
}

#[track_caller]
fn check_disjoint(folds: &[BTreeSet<String>]) {
    let mut seen = BTreeMap::new();
    for (number, fold) in folds.iter().enumerate() {
        for person in fold {
            let other = *seen.entry(person).or_insert(number);
            assert_eq!(other, number, "{person} is in two folds");
        }
    }
}

#[test]
fn synthetic_identities_are_a_function_of_the_seed() {
    let scratch = Scratch::new();
    let line = "synth --identities 6 --images 3 --side 24 --folds 2 --pairs-per-fold 2";
    for (name, seed) in [("a", 1), ("b", 1), ("c", 2)] {
        let run = scratch
            .run(&format!("{line} {name} --seed {seed} --json"))
            .done();
        let pairs = format!("{name}/pairs.txt");
        let expected =
            serde_json::json!({ "folder": name, "identities": 6, "images": 18, "pairs": pairs });
        assert_eq!(run.json(), expected);
    }
    let files = |name: &str| files_below(&scratch.path(name));
    let (a, c) = (files("a"), files("c"));
    assert!(a == files("b"), "same seed, same bytes");
    assert!(a.keys().eq(c.keys()) && a != c, "another seed, other faces");
    assert_eq!(a.len(), 6 * 3 + 1);
    assert!(a["synth_00005/synth_00005_0003.png"].starts_with(b"\x89PNG"));
    check_disjoint(&folds(&scratch.read("a/pairs.txt")));
}

#[test]
fn synthetic_identities_replace_nothing() {
    let scratch = Scratch::with_faces();
    scratch.refuses(
        "synth faces",
        USAGE,
        &["faces exists; give a folder that does not"],
    );
    let few = "synth other --identities 3 --images 2";
    scratch.refuses(
        few,
        DATA,
        &[
            "10 fold(s) of 30",
            "3 people",
            "ask for fewer folds or pairs",
        ],
    );
}

#[test]
fn pairs_of_any_folder_share_no_person_between_folds() {
    let scratch = Scratch::with_faces();
    let line = "pairs faces --folds 3 --pairs-per-fold 5";
    for (name, seed) in [("a.txt", 1), ("b.txt", 1), ("c.txt", 2)] {
        let run = scratch
            .run(&format!("{line} --output {name} --seed {seed} --json"))
            .done()
            .json();
        assert_eq!(
            (&run["folds"], &run["same"], &run["different"]),
            (&3.into(), &15.into(), &15.into())
        );
        check_disjoint(&folds(&scratch.read(name)));
    }
    assert_eq!(
        scratch.read("a.txt"),
        scratch.read("b.txt"),
        "same seed, same pairs"
    );
    assert_ne!(scratch.read("a.txt"), scratch.read("c.txt"));
}

#[test]
fn pairs_hold_only_the_people_of_the_list() {
    let scratch = Scratch::with_faces();
    scratch.write(
        "four.txt",
        "synth_00001\nsynth_00003\nsynth_00005\nsynth_00007\nnobody\n",
    );
    let line = "pairs faces --folds 2 --pairs-per-fold 4 --people four.txt --output p.txt --json";
    assert_eq!(scratch.run(line).done().json()["people"], 4);
    let folds = folds(&scratch.read("p.txt"));
    let people: BTreeSet<_> = folds.iter().flatten().map(String::as_str).collect();
    let listed = ["synth_00001", "synth_00003", "synth_00005", "synth_00007"];
    assert!(people.iter().copied().eq(listed), "{people:?}");
}

#[test]
fn pairs_of_files_named_anyhow_can_be_scored() {
    let scratch = Scratch::with_run();
    for person in 0..6 {
        for (number, name) in ["left side", "Right", "x_1", "0007"].iter().enumerate() {
            let from = format!(
                "faces/synth_{person:05}/synth_{person:05}_{:04}.png",
                number + 1
            );
            let bytes = std::fs::read(scratch.path(&from)).expect("synthetic");
            scratch.write(&format!("own/Ann {person}/{name}.png"), bytes);
        }
    }
    scratch
        .run("pairs own --folds 2 --pairs-per-fold 8 --output own/pairs.txt")
        .done();
    check_disjoint(&folds(&scratch.read("own/pairs.txt")));
    let score = "evaluate --model run/model --lfw-dir own --nrof-folds 2 --json";
    let score = scratch.run(score).done().json();
    assert_eq!(
        (&score["n_same"], &score["n_different"]),
        (&16.into(), &16.into()),
        "{score}"
    );
}

#[test]
fn pairs_that_cannot_be_had_are_refused() {
    let scratch = Scratch::with_faces();
    let line = "pairs faces --output p.txt";
    scratch.refuses(
        line,
        DATA,
        &[
            "10 fold(s) of 300 same pairs",
            "72 same pairs",
            "ask for fewer",
        ],
    );
    for nothing in ["--folds 0", "--folds 2 --pairs-per-fold 0"] {
        scratch.refuses(
            &format!("{line} {nothing}"),
            USAGE,
            &["expected at least 1 of both"],
        );
    }
    scratch.write("nobody.txt", "Nobody\n");
    scratch.refuses(
        &format!("{line} --folds 2 --people nobody.txt"),
        DATA,
        &["0 people", "ask for"],
    );
    scratch.refuses(
        &format!("{line} --people gone.txt"),
        DATA,
        &["gone.txt: cannot read"],
    );
}
