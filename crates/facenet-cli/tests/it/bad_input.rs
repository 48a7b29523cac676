//! What cannot be used: one line with what was found, what was expected and what to do, the
//! right exit code, and not one file written.

use std::fs;

use crate::support::{DATA, RESOURCES, Scratch, USAGE, check_train};

#[test]
fn a_root_that_is_missing() {
    let scratch = Scratch::new();
    let parts = ["nowhere", "cannot read", "check that the path exists"];
    check_train(&scratch, "--data-dir nowhere", DATA, &parts);
    scratch.refuses("pairs nowhere --output p.txt", DATA, &parts);
}

#[test]
fn a_root_without_identities() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("empty")).expect("writable");
    let parts = ["empty: no identity", "<root>/<identity>/<image>"];
    check_train(&scratch, "--data-dir empty", DATA, &parts);
    scratch.refuses("pairs empty --output p.txt", DATA, &parts);
}

#[test]
fn a_single_identity() {
    let scratch = Scratch::with_faces();
    scratch.copy("faces/synth_00000", "one/synth_00000");
    let parts = [
        "4 people x 3 images",
        "the 1 identities offer 3",
        "add images",
    ];
    check_train(&scratch, "--data-dir one", DATA, &parts);
}

#[test]
fn fewer_identities_or_images_than_a_round_takes() {
    let scratch = Scratch::with_faces();
    let people = "--data-dir faces --people-per-batch 40";
    check_train(&scratch, people, DATA, &["12", "40", "--people-per-batch"]);
    let images = "--data-dir faces --people-per-batch 12 --images-per-person 40";
    check_train(
        &scratch,
        images,
        DATA,
        &["48", "480", "--images-per-person"],
    );
}

#[test]
fn sizes_that_do_not_divide() {
    let scratch = Scratch::with_faces();
    let parts = ["--batch-size: found 7", "a multiple of 3", "give 6 or 9"];
    check_train(&scratch, "--data-dir faces --batch-size 7", USAGE, &parts);
}

#[test]
fn a_pairs_file_that_is_malformed() {
    let scratch = Scratch::with_run();
    let score = "evaluate --model run/model --lfw-dir faces --lfw-nrof-folds 2 --pairs p.txt";
    let train = "--data-dir faces --lfw-dir faces --lfw-pairs p.txt";
    let pair = "synth_00000\t1\t2\n";
    let cases = [
        (
            "ten pairs\n".to_owned(),
            "p.txt:1: header is \"ten pairs\", expected",
        ),
        (
            format!("2\n{pair}synth_00001\t1\n"),
            "p.txt:3: 2 columns, expected 3",
        ),
        (
            format!("2\n{pair}synth_00001\t1\tx\n"),
            "p.txt:3: image is \"x\", expected",
        ),
        (
            format!("2\n{pair}..\t1\t2\n"),
            "p.txt:3: name is \"..\", expected",
        ),
        (
            format!("2\t2\n{pair}"),
            "p.txt: 1 pair lines, but the header promises 2",
        ),
        (String::new(), "p.txt: empty file, expected a header"),
    ];
    for (text, part) in cases {
        scratch.write("p.txt", text);
        scratch.refuses(score, DATA, &[part]);
        check_train(&scratch, train, DATA, &[part]);
    }
    fs::remove_file(scratch.path("p.txt")).expect("just written");
    scratch.refuses(
        score,
        DATA,
        &["p.txt: cannot read the pairs file; check the path"],
    );
}

#[test]
fn pairs_that_name_absent_images_are_named_all_at_once() {
    let scratch = Scratch::with_run();
    for image in [
        "synth_00000/synth_00000_0002",
        "synth_00003/synth_00003_0001",
    ] {
        fs::remove_file(scratch.path(&format!("faces/{image}.png"))).expect("pairs.txt names it");
    }
    let parts = [
        "2 image(s)",
        "synth_00000_0002",
        "synth_00003_0001",
        "allow missing",
    ];
    let score = "evaluate --model run/model --lfw-dir faces --lfw-nrof-folds 2";
    scratch.refuses(score, DATA, &parts);
    check_train(&scratch, "--data-dir faces --lfw-dir faces", DATA, &parts);
}

#[test]
fn folds_that_cannot_be_had() {
    let scratch = Scratch::with_run();
    let score = "evaluate --model run/model --lfw-dir faces";
    scratch.refuses(
        &format!("{score} --lfw-nrof-folds 1"),
        DATA,
        &["1 fold(s)", "expected from 2"],
    );
    scratch.refuses(
        &format!("{score} --lfw-folds 1,3"),
        DATA,
        &["no fold 3", "folds 1 to 2"],
    );
    scratch.refuses(
        &format!("{score} --lfw-folds 2"),
        USAGE,
        &["--lfw-folds: found one fold"],
    );
}

#[test]
fn a_schedule_file_with_gaps() {
    let scratch = Scratch::with_faces();
    let line = "--data-dir faces --learning-rate -1 --learning-rate-schedule-file rates.txt";
    check_train(
        &scratch,
        line,
        USAGE,
        &["rates.txt: cannot read", "--learning-rate"],
    );
    for (text, part) in [
        (
            "3: 0.1\n5: 0.01\n",
            "rates.txt:1: begins at epoch 3, expected 0",
        ),
        ("0: 0.1\n5 0.01\n", "rates.txt:2: "),
        ("0: 0.1\n5: fast\n", "rates.txt:2: "),
    ] {
        scratch.write("rates.txt", text);
        check_train(&scratch, line, USAGE, &[part, "expected"]);
    }
}

#[test]
fn an_output_folder_that_cannot_be_written() {
    let scratch = Scratch::with_run();
    scratch.write("file", "in the way");
    // The base folders are made one after the other; an empty one does no harm.
    fs::create_dir(scratch.path("logs")).expect("writable");
    let parts = ["file/x", "cannot", "check that"];
    check_train(
        &scratch,
        "--data-dir faces --models-base-dir file/x",
        RESOURCES,
        &parts,
    );
    check_train(
        &scratch,
        "--data-dir faces --logs-base-dir file/x",
        RESOURCES,
        &parts,
    );
    let embed = "embed faces --model run/model --output file/x.csv";
    scratch.refuses(embed, RESOURCES, &parts);
    scratch.refuses(
        "synth file/x --folds 2 --pairs-per-fold 6",
        RESOURCES,
        &["file", "cannot"],
    );
    let pairs = "pairs faces --folds 2 --pairs-per-fold 6 --output file/x.txt";
    scratch.refuses(pairs, RESOURCES, &parts);
}
