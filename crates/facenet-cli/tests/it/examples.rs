//! The examples that `--help` begins with, of commands whose own tests do not run them: as they
//! stand, with flags behind them that make the work small.

use safetensors::tensor::{Dtype, TensorView};

use crate::support::{Run, Scratch, example};

/// Runs a command's example with more flags behind it.
#[track_caller]
fn run(scratch: &Scratch, command: &str, more: &str) -> Run {
    let line = example(scratch, command);
    let first = line.split(' ').next();
    assert_eq!(first, Some(command), "an example is of its command");
    scratch.run(&format!("{line} {more}")).done()
}

#[test]
fn a_model_is_trained() {
    let scratch = Scratch::with_faces();
    scratch.copy("faces", "lfw");
    let small = "--people-per-batch 4 --epoch-size 1 --max-nrof-epochs 1 --models-base-dir models \
        --logs-base-dir logs --json";
    let object = run(&scratch, "train", small).json();
    assert_eq!(
        (&object["status"], &object["steps"]),
        (&"done".into(), &1.into())
    );
    assert!(object["accuracy_after"].is_number(), "{object}");
}

#[test]
fn a_model_is_scored_and_used() {
    let scratch = Scratch::with_run();
    scratch.copy("run/model", "models/published");
    scratch.copy("faces", "lfw");
    scratch.copy("faces", "photos");
    let told = run(&scratch, "evaluate", "").stdout;
    assert!(told.starts_with("Accuracy: "), "{told}");
    assert!(told.contains("\nAccuracy by fold: 1: "), "{told}");
    run(&scratch, "embed", "");
    let rows = std::fs::read(scratch.path("photos.npy")).expect("written");
    // 48 rows of 16 numbers, behind a header.
    assert!(rows.len() > 48 * 16 * 4, "{}", rows.len());
}

#[test]
fn pairs_and_drawn_people_are_written() {
    let scratch = Scratch::with_faces();
    run(&scratch, "pairs", "");
    assert!(scratch.read("pairs.txt").starts_with("2\t6\n"));
    run(&scratch, "synth", "");
    assert!(scratch.read("drawn/pairs.txt").starts_with("2\t20\n"));
}

#[test]
fn triplets_are_mined() {
    let scratch = Scratch::new();
    // Two identities on a line: 0 and 0.5; 0.6.
    let bytes = |values: [f32; 3]| values.map(f32::to_le_bytes).concat();
    let (rows, labels) = (
        bytes([0.0, 0.5, 0.6]),
        [0i64, 0, 1].map(i64::to_le_bytes).concat(),
    );
    let views = [
        ("embeddings", TensorView::new(Dtype::F32, vec![3, 1], &rows)),
        ("labels", TensorView::new(Dtype::I64, vec![3], &labels)),
    ];
    let views = views.map(|(name, view)| (name, view.expect("a sound tensor")));
    let file = safetensors::serialize(views, None).expect("writable");
    scratch.write("rows.safetensors", file);
    let told = run(&scratch, "mine", "--json").json();
    // 0 and 0.5 are 0.25 apart, 0 and 0.6 are 0.36: within the margin of 0.2.
    assert_eq!(told["triplets"].as_array().map(Vec::len), Some(1), "{told}");
}

#[test]
fn a_part_of_the_work_is_timed() {
    let scratch = Scratch::new();
    let small = "--image-size 16 --batch-size 6 --repeats 1 --seconds 0 --json";
    let told = run(&scratch, "bench", small).json();
    assert_eq!(told["bench"], "forward");
}

#[test]
fn a_shell_is_told_the_commands() {
    let script = run(&Scratch::new(), "completions", "").stdout;
    assert!(script.contains("evaluate") && script.contains("embed"));
}

#[test]
fn a_run_is_killed_and_goes_on() {
    let scratch = Scratch::new();
    let line = example(&scratch, "prove");
    // Fewer kills, and a folder that is there.
    let line = line.replace("100", "2").replace("/mnt/where/runs/go", ".");
    let told = scratch.run(&format!("{line} --json")).done().json();
    assert_eq!(told["status"], "proven");
}
