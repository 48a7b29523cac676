//! Real files, found through `FACENET_TEST_DATA`; without it these tests skip, aloud.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use facenet_lfw::{LfwError, MissingPolicy, Pairs, PairsConfig, Person, make_pairs, resolve};

fn data(part: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("FACENET_TEST_DATA").map(|dir| PathBuf::from(dir).join(part));
    let found = dir.filter(|dir| dir.is_dir());
    if found.is_none() {
        crate::skip::skip(format_args!(
            "FACENET_TEST_DATA names no folder with {part}/"
        ));
    }
    found
}

fn folders(root: &Path) -> Vec<Person> {
    let list = |dir: &Path| {
        let entries = fs::read_dir(dir)
            .expect("listable")
            .map(|e| e.expect("listable"));
        entries.collect::<Vec<_>>()
    };
    let name = |entry: &fs::DirEntry| entry.file_name().into_string().expect("UTF-8 name");
    let people = list(root).into_iter().filter(|entry| entry.path().is_dir());
    people
        .map(|dir| Person {
            name: name(&dir),
            files: list(&dir.path()).iter().map(name).collect(),
        })
        .collect()
}

#[test]
fn lfw_pairs_parse_resolve_and_write_back_byte_for_byte() {
    let Some(lfw) = data("lfw") else { return };
    for (file, folds, count) in [
        ("pairs.txt", Some(10), 6000),
        ("pairsDevTest.txt", None, 1000),
        ("pairsDevTrain.txt", None, 2200),
    ] {
        let path = lfw.join(file);
        let pairs = Pairs::load(&path).expect("the authors' own file");
        assert_eq!(
            (pairs.n_folds(), pairs.pairs().len()),
            (folds, count),
            "{file}"
        );
        assert_eq!(
            pairs.to_string().as_bytes(),
            fs::read(&path).expect("readable"),
            "{file}"
        );
    }
    let pairs = Pairs::load(&lfw.join("pairs.txt")).expect("the authors' own file");
    let found = resolve(&lfw, &pairs, MissingPolicy::Refuse).expect("nothing is missing");
    assert_eq!(
        (found.paths.len(), found.distinct().paths.len()),
        (6000, 7701)
    );
    assert_eq!(found.is_same.iter().filter(|&&same| same).count(), 3000);
    assert_eq!(
        pairs.only_folds(&[9, 10]).expect("ten folds").pairs().len(),
        1200
    );
}

#[test]
fn missing_lfw_images_are_counted_and_leave_the_rest() {
    let Some(lfw) = data("lfw") else { return };
    let pairs = Pairs::load(&lfw.join("pairsDevTrain.txt")).expect("the authors' own file");
    let Err(LfwError::MissingImages {
        images,
        pairs: left_out,
        ..
    }) = resolve(&lfw, &pairs, MissingPolicy::Refuse)
    else {
        panic!("527 pairs name an absent image");
    };
    assert_eq!(left_out, 527);
    let found = resolve(&lfw, &pairs, MissingPolicy::Allow).expect("most are there");
    assert_eq!(
        (found.kept.len(), found.missing_pairs, found.missing.clone()),
        (1673, 527, images)
    );
    assert!(
        found
            .caveat()
            .expect("some are left out")
            .contains("527 of 2200 pairs")
    );
}

#[test]
fn hostile_pairs_files_end_in_pairs_or_a_line() {
    let Some(dir) = data("hostile/pairs") else {
        return;
    };
    let expected: BTreeMap<&str, &str> = [
        (
            "bad_number_pairs.txt",
            ":2: image is \"one\", expected a whole number",
        ),
        ("bom_pairs.txt", "2 pairs"),
        ("crlf_pairs.txt", "4 pairs"),
        (
            "empty_pairs.txt",
            ": empty file, expected a header and pairs",
        ),
        ("five_columns_pairs.txt", ":2: 5 columns, expected 3"),
        (
            "huge_header_pairs.txt",
            ": 1 pair lines, but the header promises 18446744073709551615 fold(s)",
        ),
        ("missing_image_pairs.txt", "2 pairs"),
        (
            "path_escape_pairs.txt",
            ":2: name is \"../../lfw/Aaron_Peirsol\"",
        ),
        (
            "short_pairs.txt",
            ": 1 pair lines, but the header promises 10 fold(s) of 300",
        ),
    ]
    .into();
    for entry in fs::read_dir(&dir).expect("listable") {
        let path = entry.expect("listable").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("UTF-8 name");
        let told = match Pairs::load(&path) {
            Ok(pairs) => format!("{} pairs", pairs.pairs().len()),
            Err(error) => error.to_string(),
        };
        let expected = expected
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not pinned: {told}"));
        assert!(told.contains(expected), "{name}: {told}");
        assert!(!told.contains('\n'), "{name}: one line");
    }
}

#[test]
fn hostile_pairs_that_parse_resolve_or_name_what_is_missing() {
    let (Some(dir), Some(lfw)) = (data("hostile/pairs"), data("lfw")) else {
        return;
    };
    let resolved = |file: &str| {
        let pairs = Pairs::load(&dir.join(file)).expect("parses");
        resolve(&lfw, &pairs, MissingPolicy::Refuse)
    };
    assert_eq!(
        resolved("bom_pairs.txt")
            .expect("images are there")
            .paths
            .len(),
        2
    );
    assert_eq!(
        resolved("crlf_pairs.txt")
            .expect("images are there")
            .paths
            .len(),
        4
    );
    let told = resolved("missing_image_pairs.txt")
        .expect_err("two are missing")
        .to_string();
    assert!(
        told.contains("Aaron_Peirsol/Aaron_Peirsol_9999, Nobody_Here/Nobody_Here_0001"),
        "{told}"
    );
}

#[test]
fn orl_pairs_are_made_by_file_name() {
    let Some(orl) = data("orl") else { return };
    let config = PairsConfig {
        folds: 5,
        pairs_per_kind: 300,
        seed: 1,
    };
    let pairs = make_pairs(&folders(&orl), &config).expect("40 people of 45 same pairs each");
    assert!(pairs.to_string().contains(".pgm"));
    let found = resolve(&orl, &pairs, MissingPolicy::Refuse).expect("made from what is there");
    assert_eq!(found.paths.len(), 3000);
    let most = PairsConfig {
        folds: 5,
        pairs_per_kind: 361,
        seed: 1,
    };
    assert!(matches!(
        make_pairs(&folders(&orl), &most),
        Err(LfwError::TooFewSame { same: 1800, .. })
    ));
}

#[test]
fn lfw_pairs_of_folds_nine_and_ten_are_made_by_number() {
    let Some(lfw) = data("lfw") else { return };
    let chosen = people_of_folds(&lfw.join("people.txt"), &[9, 10]);
    let people: Vec<_> = folders(&lfw)
        .into_iter()
        .filter(|p| chosen.contains(&p.name))
        .collect();
    let config = PairsConfig {
        folds: 5,
        pairs_per_kind: 300,
        seed: 0,
    };
    let pairs = make_pairs(&people, &config).expect("1,953 same pairs are there");
    assert_eq!(pairs.pairs().len(), 3000);
    assert!(!pairs.to_string().contains(".jpg"));
    resolve(&lfw, &pairs, MissingPolicy::Refuse).expect("made from what is there");
}

fn people_of_folds(path: &Path, folds: &[usize]) -> BTreeSet<String> {
    let text = fs::read_to_string(path).expect("the authors' own file");
    let mut fold = 0;
    let mut names = BTreeSet::new();
    for line in text.lines().skip(1) {
        match line.split_once('\t') {
            Some((name, _)) if folds.contains(&fold) => drop(names.insert(name.to_owned())),
            Some(_) => {}
            None => fold += 1,
        }
    }
    names
}
