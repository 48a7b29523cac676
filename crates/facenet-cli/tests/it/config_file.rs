//! `--config`: flags from a file, the configuration that a run leaves, and manual pages.

use std::fs;

use crate::support::{DATA, RESOURCES, Scratch, USAGE, files_below, tiny};

#[test]
fn a_file_gives_what_is_not_typed() {
    let scratch = Scratch::new();
    let text = "identities = 5\nimages = 3\nside = 24\n[synth]\nfolds = 2\npairs_per_fold = 2\n\
        [train]\nlearning_rate = 0.1\n";
    scratch.write("run.toml", text);
    let object = scratch
        .run("synth faces --config run.toml --images 4 --json")
        .done()
        .json();
    assert_eq!(
        (&object["identities"], &object["images"]),
        (&5.into(), &20.into())
    );
    let typed = "synth typed --identities 5 --images 4 --side 24 --folds 2 --pairs-per-fold 2";
    scratch.run(typed).done();
    let files = |name: &str| files_below(&scratch.path(name));
    assert!(files("faces") == files("typed"), "as if it had been typed");
    scratch.write(
        "json.toml",
        "json = true\noutput = 'p.txt'\nfolds = 2\npairs_per_fold = 2\n",
    );
    assert_eq!(
        scratch.run("pairs faces --config json.toml").done().json()["folds"],
        2
    );
}

#[test]
fn the_configuration_that_is_saved_gives_the_same_again() {
    let scratch = Scratch::new();
    scratch.write("few.toml", "images = 3\nside = 24\n");
    let line = "synth faces --identities 5 --config few.toml --folds 2 --pairs-per-fold 2";
    scratch
        .run(&format!("{line} --save-config all.toml"))
        .done();
    scratch.run("synth again --config all.toml").done();
    let files = |name: &str| files_below(&scratch.path(name));
    assert!(
        files("faces") == files("again"),
        "{}",
        scratch.read("all.toml")
    );
    let refused = scratch.run("synth third --config all.toml --save-config no/such/folder");
    assert_eq!(refused.code, RESOURCES);
    assert!(
        !scratch.path("third").exists(),
        "refused before anything is done"
    );
}

#[test]
fn the_configuration_that_a_run_leaves_gives_the_same_run() {
    let scratch = Scratch::with_faces();
    let line =
        tiny("--data-dir faces --lfw-dir faces --lfw-nrof-folds 2 --margin 0.3 --random-flip");
    let first = scratch.run(&format!("train {line} --json")).done().json();
    let path =
        |object: &serde_json::Value, name: &str| object[name].as_str().expect("a path").to_owned();
    let config = format!("{}/config.toml", path(&first, "log_dir"));
    let again = scratch
        .run(&format!("train --config {config} --json"))
        .done()
        .json();
    assert_eq!(again["accuracy_after"], first["accuracy_after"]);
    assert_eq!(
        scratch.read(&format!("{}/config.toml", path(&again, "log_dir"))),
        scratch.read(&config)
    );
    let weights = |object: &serde_json::Value| {
        let file = format!("{}/model.safetensors", path(object, "model_dir"));
        fs::read(scratch.path(&file)).expect("a model")
    };
    assert!(weights(&again) == weights(&first), "the same bytes");
}

#[test]
fn a_file_with_what_is_no_flag_is_refused() {
    let scratch = Scratch::with_faces();
    let check = |text: &str, parts: &[&str]| {
        scratch.write("x.toml", text);
        scratch.refuses("pairs faces --output p.txt --config x.toml", USAGE, parts);
    };
    check(
        "folds = 2\npair_per_fold = 3\n",
        &["x.toml:2: pair_per_fold is no flag of facenet pairs; did you mean pairs_per_fold?"],
    );
    check(
        "[pears]\nfolds = 2\n",
        &["x.toml:1: pears is no command", "did you mean [pairs]?"],
    );
    check("folds = \n", &["x.toml:1: "]);
    check(
        "[train]\nmargin = 1979-05-27\n",
        &["x.toml:2: margin: found a date"],
    );
    scratch.refuses(
        "pairs faces --config gone.toml",
        USAGE,
        &["--config: gone.toml: cannot read"],
    );
    scratch.write("x.toml", "\nfolds = 'two'\noutput = 'p.txt'\n");
    let run = scratch.run("pairs faces --config x.toml --json");
    assert_eq!(run.code, USAGE, "{run:#?}");
    let error = run.json()["error"].as_str().expect("text").to_owned();
    assert!(error.contains("invalid value 'two'"), "{error}");
    assert!(error.ends_with("; --folds is set in x.toml:2"), "{error}");
    scratch.write("x.toml", "folds = 'two'\njson = true\n");
    let run = scratch.run("pairs faces --config x.toml --output p.txt");
    assert_eq!(
        run.json()["exit_code"],
        USAGE,
        "asked for by the file: {run:#?}"
    );
    // What is wrong with data is still wrong with data.
    scratch.write("x.toml", "folds = 2\noutput = 'p.txt'\n");
    assert_eq!(
        scratch.run("pairs faces --config x.toml").code,
        DATA,
        "too many pairs asked for"
    );
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let scratch = Scratch::new();
    let help = scratch.run("man --help").done().stdout;
    let example = help
        .lines()
        .nth(2)
        .and_then(|line| line.strip_prefix("Example: facenet "));
    let example = example.unwrap_or_else(|| panic!("no example at the beginning of {help}"));
    let object = scratch.run(&format!("{example} --json")).done().json();
    let pages = files_below(&scratch.path("man/man1"));
    assert_eq!(object["pages"], pages.len());
    for (name, flag) in [
        ("facenet", "train"),
        ("facenet-train", "margin"),
        ("facenet-bench-mine", "dim"),
    ] {
        let page = String::from_utf8_lossy(&pages[&format!("{name}.1")]);
        assert!(
            page.contains(".TH") && page.contains(flag),
            "{name}: {page}"
        );
    }
    scratch.write("file", "");
    let run = scratch.run("man --output file");
    assert_eq!(run.code, crate::support::RESOURCES, "{run:#?}");
}
