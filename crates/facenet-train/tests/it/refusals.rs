//! What cannot train is refused in a line that names it, before anything is written.

use std::fs;
use std::path::Path;

use facenet_train::dataset::{Rgb8, write_png};
use facenet_train::{ExitClass, TrainConfig};

use crate::runs::{Scratch, check_error, listen, names};

/// Refused with `class` and `expected`, with nothing in the scratch folder that was not there.
#[track_caller]
fn check(
    scratch: &Scratch,
    change: impl FnOnce(&mut TrainConfig),
    class: ExitClass,
    expected: &str,
) {
    let before = scratch.names();
    let mut config = scratch.config();
    change(&mut config);
    let (outcome, told) = listen(config);
    check_error(&outcome.expect_err("this cannot train"), class, expected);
    assert_eq!(told.steps.len(), 0);
    assert_eq!(scratch.names(), before, "something was written");
}

/// A folder of identities with so many images each.
fn data(scratch: &Scratch, n_images: &[u8]) -> std::path::PathBuf {
    let root = scratch.path("people");
    fs::create_dir(&root).expect("writable");
    for (identity, &n_images) in n_images.iter().enumerate() {
        let folder = root.join(format!("person {identity}"));
        fs::create_dir(&folder).expect("writable");
        for image in 0..n_images {
            write(&folder.join(format!("{image}.png")), image);
        }
    }
    root
}

fn write(path: &Path, level: u8) {
    let pixels = (0..16 * 16 * 3)
        .map(|at| (at as u8).wrapping_mul(level + 3))
        .collect();
    let picture = Rgb8 {
        width: 16,
        height: 16,
        pixels,
    };
    write_png(path, &picture).expect("writable");
}

#[test]
fn a_missing_root_is_named() {
    let scratch = Scratch::new();
    let nowhere = scratch.path("nowhere");
    let expected = nowhere.display().to_string();
    check(
        &scratch,
        |config| config.data_dir = Some(nowhere),
        ExitClass::Data,
        &expected,
    );
}

/// A data set of identities with so many images is refused.
#[track_caller]
fn check_data(n_images: &[u8], expected: &str) {
    let scratch = Scratch::new();
    let root = data(&scratch, n_images);
    check(
        &scratch,
        |config| config.data_dir = Some(root),
        ExitClass::Data,
        expected,
    );
}

#[test]
fn a_data_set_too_small_to_make_a_triplet_is_refused() {
    check_data(&[], "people: no identity with an image found");
    check_data(&[5], "the 1 identities offer 3");
    check_data(&[1; 20], "none of the 20 identities has 2 images");
}

#[test]
fn fewer_identities_than_a_round_asks_for_are_refused_with_the_number() {
    check_data(&[3, 3, 3], "need 12 images, but the 3 identities offer 9");
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let scratch = Scratch::new();
    check(
        &scratch,
        |config| config.batch_size = 20,
        ExitClass::Usage,
        "--batch-size: found 20",
    );
    // 4 people x 3 images: 12 anchors x 2 positives x 9 negatives.
    let all = |config: &mut TrainConfig| {
        config.only_violating = false;
        config.max_triplets = 215;
    };
    check(
        &scratch,
        all,
        ExitClass::Usage,
        "the batch has 216 triplets, above the limit of 215",
    );
    check(
        &scratch,
        |config| config.people_per_batch = 13,
        ExitClass::Data,
        "12",
    );
    check(
        &scratch,
        |config| config.image_size = 20,
        ExitClass::Usage,
        "20",
    );
    check(
        &scratch,
        |config| config.embedding_size = 0,
        ExitClass::Usage,
        "--embedding-size",
    );
    check(
        &scratch,
        |config| config.device = "tpu".to_owned(),
        ExitClass::Usage,
        "--device",
    );
}

/// A schedule file with these lines is refused.
#[track_caller]
fn check_schedule(lines: Option<&str>, expected: &str) {
    let scratch = Scratch::new();
    let path = scratch.path("rates.txt");
    if let Some(lines) = lines {
        fs::write(&path, lines).expect("writable");
    }
    let change = |config: &mut TrainConfig| {
        config.learning_rate = 0.0;
        config.learning_rate_schedule_file = path;
    };
    check(&scratch, change, ExitClass::Usage, expected);
}

#[test]
fn a_schedule_file_that_leaves_epochs_without_a_rate_is_refused_with_its_line() {
    check_schedule(None, "rates.txt: cannot read");
    check_schedule(Some("# nothing\n"), "rates.txt: found no entry");
    check_schedule(
        Some("# late\n1: 0.1\n"),
        "rates.txt:2: begins at epoch 1, expected 0",
    );
    check_schedule(Some("0: 0.1\n2: 0.2\n1: 0.3\n"), "rates.txt:3: ");
    check_schedule(Some("0: fast\n"), "rates.txt:1: found rate \"fast\"");
}

#[test]
fn a_file_where_a_folder_should_be_is_named() {
    let scratch = Scratch::new();
    let file = scratch.path("file");
    fs::write(&file, "in the way").expect("writable");
    let expected = file.display().to_string();
    let logs = |config: &mut TrainConfig| config.logs_base_dir = file.join("logs");
    check(&scratch, logs, ExitClass::Resources, &expected);
    let logs = |config: &mut TrainConfig| config.logs_base_dir.clone_from(&file);
    check(&scratch, logs, ExitClass::Resources, &expected);
    assert_eq!(fs::read(&file).expect("still there"), b"in the way");
}

#[test]
fn a_file_where_the_models_should_be_leaves_no_log() {
    let scratch = Scratch::new();
    fs::write(scratch.path("models"), "in the way").expect("writable");
    let (outcome, told) = listen(scratch.config());
    let error = outcome.expect_err("there is nowhere to save");
    let expected = scratch.path("models").display().to_string();
    check_error(&error, ExitClass::Resources, &expected);
    assert_eq!(told.steps.len(), 0);
    assert!(names(&scratch.path("logs")).is_empty());
}

#[test]
fn a_bad_pairs_file_is_refused_before_training() {
    let scratch = Scratch::new();
    let pairs = scratch.people("people", 6, 4);
    fs::write(&pairs, "2\t10\nno such person\t1\t2\n").expect("writable");
    let expected = pairs.display().to_string();
    let change = |config: &mut TrainConfig| {
        config.lfw_dir = Some(pairs.with_file_name(""));
        config.lfw_pairs = pairs;
    };
    check(&scratch, change, ExitClass::Data, &expected);
}

#[test]
fn a_missing_folder_to_score_on_is_named_before_its_pairs_file() {
    let scratch = Scratch::new();
    let nowhere = scratch.path("nowhere");
    let expected = format!("{}: found no folder of that name", nowhere.display());
    let change = |config: &mut TrainConfig| config.lfw_dir = Some(nowhere);
    check(&scratch, change, ExitClass::Data, &expected);
}
