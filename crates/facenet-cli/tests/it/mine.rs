//! `facenet mine`: the reference's lists, drawn triplets, files of other programs and bad ones.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;

use crate::support::{DATA, Run, Scratch, USAGE};

/// Three identities on a line: 0 and 1; 0.5 and 1.75; 3.
const POINTS: [f32; 5] = [0.0, 1.0, 0.5, 1.75, 3.0];

/// A tensor of a test's file.
struct Tensor {
    name: &'static str,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn tensor(name: &'static str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Tensor {
    Tensor {
        name,
        dtype,
        shape: shape.to_vec(),
        bytes,
    }
}

fn embeddings(shape: [usize; 2], values: &[f32]) -> Tensor {
    let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    tensor("embeddings", Dtype::F32, &shape, bytes)
}

fn i64s(name: &'static str, values: &[i64]) -> Tensor {
    let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    tensor(name, Dtype::I64, &[values.len()], bytes)
}

fn bytes_of(tensors: &[Tensor]) -> Vec<u8> {
    let views = tensors.iter().map(|tensor| {
        let shape = tensor.shape.clone();
        let view = TensorView::new(tensor.dtype, shape, &tensor.bytes).expect("a sound tensor");
        (tensor.name, view)
    });
    safetensors::serialize(views, None).expect("writable")
}

/// A folder with the file `e.safetensors`.
fn with(tensors: &[Tensor]) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("e.safetensors", bytes_of(tensors));
    scratch
}

fn points(labels: &[i64]) -> Scratch {
    with(&[embeddings([5, 1], &POINTS), i64s("labels", labels)])
}

fn mine(scratch: &Scratch, flags: &str) -> Run {
    scratch.run(&format!("mine --embeddings e.safetensors {flags}"))
}

fn triplets(run: Run) -> Vec<[u64; 3]> {
    let object = run.done().json();
    let rows = object["triplets"].as_array().expect("a list").iter();
    let row = |t: &Value| [0, 1, 2].map(|i| t[i].as_u64().expect("a row's number"));
    rows.map(row).collect()
}

#[test]
fn the_hardest_negatives_are_the_nearest_rows_of_other_labels() {
    let scratch = points(&[7, 7, 8, 8, 9]);
    let line = "mine --embeddings e.safetensors --json";
    let object = scratch
        .run(&format!("{line} --hardest-negatives 2"))
        .done()
        .json();
    let expected = serde_json::json!([[2, 3], [2, 3], [0, 1], [1, 4], [3, 1]]);
    assert_eq!(object["hardest_negatives"], expected);
    let object = scratch.run(line).done().json();
    assert!(object.get("hardest_negatives").is_none(), "{object}");
}

/// A line a row, then the counts; rows left out have no line.
#[test]
fn streamed_lists_are_those_of_the_collected_ones() {
    let values = [0.0, 1.0, 0.5, 1.75, f32::NAN, 3.0];
    let scratch = with(&[
        embeddings([6, 1], &values),
        i64s("labels", &[7, 7, 8, 8, 8, 9]),
    ]);
    let flags = "--hardest-negatives 2";
    let collected = mine(&scratch, &format!("{flags} --json")).done().json();
    let run = mine(&scratch, &format!("{flags} --stream --json")).done();
    let lines = run.stdout.lines();
    let mut objects: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).expect("an object a line"))
        .collect();
    let counts = objects.pop().expect("the last line");
    assert_eq!(
        (&counts["rows"], &counts["masked_rows"], &counts["dim"]),
        (&6.into(), &1.into(), &1.into())
    );
    assert_eq!(objects.len(), 5, "{run:#?}");
    for object in &objects {
        let row = object["row"].as_u64().expect("a number") as usize;
        assert_eq!(object["nearest"], collected["hardest_negatives"][row]);
    }
    assert_eq!(objects[1]["sq_l2"], serde_json::json!([0.25, 0.5625]));
    let text = mine(&scratch, &format!("{flags} --stream")).done().stdout;
    assert!(text.starts_with("0: 2 3\n1: 2 3\n2: 0 1\n3: 1 "), "{text}");
    assert!(text.contains("6 rows, 1 of them left out"), "{text}");
}

#[test]
fn the_closest_violating_negative_of_each_pair() {
    // Squared distances: (0, 1) 1, its negatives of 0: 0.25, 3.06, 9. (2, 3) 1.5625, its
    // negatives of 2: 0.25 (both 0 and 1, and 0 is the smaller), 6.25.
    let scratch = points(&[7, 7, 8, 8, 9]);
    let run = mine(&scratch, "--negative closest --margin 0.2 --json");
    assert_eq!(run.stdout.lines().count(), 1, "{run:#?}");
    let object = run.json();
    assert_eq!((&object["pairs"], &object["rows"]), (&2.into(), &5.into()));
    assert_eq!(object["active_share"], 1.0);
    assert_eq!(object["quantiles"]["d_ap"]["max"], 1.5625);
    assert_eq!(object["quantiles"]["d_an"]["min"], 0.25);
    assert_eq!(triplets(run), [[0, 1, 2], [2, 3, 0]]);
}

#[test]
fn without_json_people_read_the_counts() {
    let run = mine(&points(&[7, 7, 8, 8, 9]), "").done();
    assert!(
        run.stdout.contains("5 rows, 0 of them left out"),
        "{run:#?}"
    );
    assert!(
        run.stdout.contains("2 triplets by violating of 2 pairs"),
        "{run:#?}"
    );
}

#[test]
fn counts_are_labels_in_order() {
    let flags = "--negative closest --json";
    let rows = || embeddings([5, 1], &POINTS);
    let expected = triplets(mine(&points(&[0, 0, 1, 1, 2]), flags));
    assert!(!expected.is_empty());
    let counts = with(&[rows(), i64s("counts", &[2, 0, 2, 1])]);
    assert_eq!(triplets(mine(&counts, flags)), expected);
    // Other integer types, and numbers beyond 32 bits.
    let bytes = tensor("labels", Dtype::U8, &[5], vec![4, 4, 0, 0, 255]);
    assert_eq!(triplets(mine(&with(&[rows(), bytes]), flags)), expected);
    let wide = i64s("labels", &[i64::MAX, i64::MAX, 1 << 40, 1 << 40, 2]);
    assert_eq!(triplets(mine(&with(&[rows(), wide]), flags)), expected);
}

#[test]
fn the_seed_alone_decides_the_draws() {
    let n = 24;
    let values: Vec<f32> = (0..n).map(|i| ((i * 7) % 12) as f32 / 12.0).collect();
    let labels: Vec<i64> = (0..n).map(|i| i / 6).collect();
    let scratch = with(&[
        embeddings([n as usize, 1], &values),
        i64s("labels", &labels),
    ]);
    let drawn = |flags: &str| triplets(mine(&scratch, &format!("--json {flags}")));
    let first = drawn("--seed 1 --threads 1");
    assert!(first.len() > 20, "{first:?}");
    assert_eq!(first, drawn("--seed 1 --threads 2"));
    assert_ne!(first, drawn("--seed 2"));
}

/// 1.25 and 1.5 from the anchor 0: the upper cutoff decides which of the two is ever drawn.
#[test]
fn nothing_at_the_upper_cutoff_is_drawn() {
    let values = [0.0, 0.1, 1.25, -1.5];
    let scratch = with(&[embeddings([4, 1], &values), i64s("labels", &[7, 7, 8, 9])]);
    let drawn = |cutoffs: &str| -> Vec<u64> {
        let mined = |seed: u32| {
            let flags = format!("--rule distance-weighted {cutoffs} --seed {seed} --json");
            triplets(mine(&scratch, &flags))[0][2]
        };
        let mut negatives: Vec<u64> = (0..12).map(mined).collect();
        negatives.sort_unstable();
        negatives.dedup();
        negatives
    };
    assert_eq!(drawn(""), [2]);
    assert_eq!(drawn("--cutoff 1.75 --nonzero-loss-cutoff 1.8"), [2, 3]);
}

#[test]
fn rows_with_a_nan_are_counted_and_left_out() {
    let values = [0.0, 1.0, f32::NAN, 0.5, f32::INFINITY];
    let scratch = with(&[embeddings([5, 1], &values), i64s("counts", &[3, 2])]);
    let run = mine(&scratch, "--json");
    assert_eq!(
        (&run.json()["rows"], &run.json()["masked_rows"]),
        (&5.into(), &2.into())
    );
    assert_eq!(triplets(run), [[0, 1, 3]]);
}

/// A machine with a GPU in a build with `cuda` uses it; any other says why not.
#[test]
fn a_gpu_that_cannot_be_had_is_named_and_the_cpu_mines() {
    let scratch = points(&[7, 7, 8, 8, 9]);
    let cpu = mine(&scratch, "--json");
    let gpu = mine(&scratch, "--json --device cuda:0");
    let mined_on = gpu.json()["device"].clone();
    let said = gpu.stderr.contains("no cuda:0") && gpu.stderr.contains("mining on the CPU");
    assert!(
        (mined_on == "cpu") == said && (said || mined_on == "cuda:0"),
        "{gpu:#?}"
    );
    assert_eq!(triplets(gpu), triplets(cpu));
}

#[test]
fn no_row_gives_no_triplet() {
    let scratch = with(&[embeddings([0, 8], &[]), i64s("labels", &[])]);
    assert_eq!(triplets(mine(&scratch, "--json")), [[0; 3]; 0]);
}

#[test]
fn flags_that_cannot_be_are_usage() {
    let scratch = points(&[7, 7, 8, 8, 9]);
    let refuses = |flags: &str, parts: &[&str]| {
        scratch.refuses(
            &format!("mine --embeddings e.safetensors {flags}"),
            USAGE,
            parts,
        );
    };
    refuses("--margin 0", &["margin is 0", "positive"]);
    refuses("--max-triplets 1", &["has 2 triplets", "the limit of 1"]);
    for flags in ["--cutoff 1.5", "--nonzero-loss-cutoff 2", "--cutoff 0"] {
        refuses(
            flags,
            &["cutoffs are", "0 < cutoff < nonzero_loss_cutoff < 2"],
        );
    }
    for flags in [
        "--stream",
        "--rule hardest",
        "--threads 0",
        "--negative far",
        "--seed -1",
        "--device gpu",
    ] {
        assert_eq!(mine(&scratch, flags).code, USAGE, "{flags}");
    }
    assert_eq!(scratch.run("mine").code, USAGE);
}

#[track_caller]
fn refuses(bytes: impl AsRef<[u8]>, part: &str) {
    let scratch = Scratch::new();
    scratch.write("e.safetensors", bytes);
    let parts = ["e.safetensors: ", part, "give a safetensors file"];
    scratch.refuses("mine --embeddings e.safetensors", DATA, &parts);
    scratch.refuses("bench mine --embeddings e.safetensors", DATA, &parts);
}

#[test]
fn tensors_that_lack_or_do_not_fit_are_data() {
    let rows = || embeddings([2, 2], &[0.0; 4]);
    let labels = || i64s("labels", &[1, 2]);
    refuses(bytes_of(&[labels()]), "found no tensor `embeddings`");
    refuses(bytes_of(&[rows()]), "neither `labels` nor `counts`");
    refuses(
        bytes_of(&[rows(), labels(), i64s("counts", &[2])]),
        "found both",
    );
    refuses(
        bytes_of(&[embeddings([2, 0], &[]), labels()]),
        "`embeddings` [2, 0]",
    );
    refuses(
        bytes_of(&[rows(), i64s("labels", &[1])]),
        "found 1 `labels`, expected 2",
    );
    refuses(
        bytes_of(&[rows(), i64s("labels", &[1, -2])]),
        "a negative number in `labels`",
    );
    refuses(
        bytes_of(&[rows(), i64s("counts", &[1, 2])]),
        "another sum, expected 2",
    );
    refuses(
        bytes_of(&[rows(), i64s("counts", &[i64::MAX, i64::MAX])]),
        "another sum",
    );
    let halves = tensor("embeddings", Dtype::F16, &[2, 1], vec![0; 4]);
    refuses(bytes_of(&[halves, labels()]), "`embeddings` [2, 1] in F16");
    let floats = tensor("labels", Dtype::F32, &[2], vec![0; 8]);
    refuses(bytes_of(&[rows(), floats]), "`labels` [2] in F32");
    let square = tensor("labels", Dtype::U8, &[2, 1], vec![0; 2]);
    refuses(bytes_of(&[rows(), square]), "`labels` [2, 1] in U8");
}

#[test]
fn files_of_another_form_are_data() {
    let sound = bytes_of(&[embeddings([2, 2], &[0.0; 4]), i64s("labels", &[1, 2])]);
    refuses("", "cannot be read");
    refuses(&sound[..40], "found a header of");
    refuses(&sound[..sound.len() - 1], "found no `");
    refuses(
        [&u64::MAX.to_le_bytes()[..], b"{}"].concat(),
        "found a header of",
    );
    refuses(
        [&(1u64 << 26).to_le_bytes()[..], b"{}"].concat(),
        "found a header of",
    );
    refuses(b"\x08\0\0\0\0\0\0\0[[[[[[[[", "found no header of tensors");
    let huge = r#"{"embeddings":{"dtype":"F32","shape":[1073741824,1048576],"data_offsets":[0,8]},
        "labels":{"dtype":"U8","shape":[1073741824],"data_offsets":[8,8]}}"#;
    refuses(
        [
            &(huge.len() as u64).to_le_bytes()[..],
            huge.as_bytes(),
            &[0; 8],
        ]
        .concat(),
        "e.safetensors: found no",
    );
    Scratch::new().refuses(
        "mine --embeddings nowhere",
        DATA,
        &["nowhere: cannot be read"],
    );
}

#[test]
fn values_that_cannot_be_mapped_are_data() {
    let header = r#"{"labels":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
        "embeddings":{"dtype":"F32","shape":[2,1],"data_offsets":[2,10]}}"#;
    let size = (header.len() as u64).to_le_bytes();
    let scratch = Scratch::new();
    let bytes = [&size[..], header.as_bytes(), &[0, 1], &[0; 8]].concat();
    scratch.write("e.safetensors", bytes);
    mine(&scratch, "--hardest-negatives 1").done();
    let line = "mine --embeddings e.safetensors --hardest-negatives 1 --stream";
    scratch.refuses(
        line,
        DATA,
        &["e.safetensors: rows begin at byte", "multiple of 4"],
    );
}

#[test]
fn a_timing_has_its_counts_and_settings() {
    let scratch = Scratch::new();
    let flags = "--people 4 --images 5 --dim 16 --rule batch-hard --threads 1 --seed 3 --repeats 2";
    let run = scratch.run(&format!("bench mine {flags} --json")).done();
    let object = run.json();
    let number = |name: &str| {
        object[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {object}"))
    };
    let counts = ["n", "dim", "threads", "pairs", "triplets"].map(number);
    assert_eq!(counts, [20.0, 16.0, 1.0, 20.0, 20.0]);
    assert!(
        0.0 < number("best_s") && number("best_s") <= number("median_s"),
        "{object}"
    );
    assert!(
        number("median_s") <= number("worst_s") && number("repeats") >= 2.0,
        "{object}"
    );
    if cfg!(target_os = "linux") {
        assert!(number("peak_rss_mib") > 1.0, "{object}");
    }
    let text = scratch.run(&format!("bench mine {flags}")).done().stdout;
    assert!(
        text.starts_with("batch-hard on 20 x 16, cpu, 1 threads"),
        "{text}"
    );
}

#[test]
fn drawn_rows_that_no_memory_holds_are_usage() {
    let line = "bench mine --people 4000000000 --images 4000000000";
    Scratch::new().refuses(
        line,
        USAGE,
        &["--people, --images, --dim", "lower one of them"],
    );
    assert_eq!(Scratch::new().run("bench mine --people 0").code, USAGE);
    assert_eq!(Scratch::new().run("bench").code, USAGE);
}

/// A case's lists: the admissible negatives of each pair with one or more, by rule.
fn golden_lists(path: &Path, rule: &str) -> (usize, HashMap<[u64; 2], Vec<u64>>) {
    let bytes = fs::read(path).expect("readable case");
    let tensors = SafeTensors::deserialize(&bytes).expect("a case is safetensors");
    let list = |name: &str| -> Vec<u64> {
        let tensor = tensors.tensor(name).expect("the case has it");
        let (words, _) = tensor.data().as_chunks::<4>();
        words
            .iter()
            .map(|&word| u32::from_le_bytes(word).into())
            .collect()
    };
    let (anchors, positives) = (list("anchor"), list("positive"));
    let (offsets, negatives) = (
        list(&format!("{rule}.offsets")),
        list(&format!("{rule}.negatives")),
    );
    let of = |i: usize| negatives[offsets[i] as usize..offsets[i + 1] as usize].to_vec();
    let lists = (0..anchors.len()).map(|i| ([anchors[i], positives[i]], of(i)));
    (
        anchors.len(),
        lists
            .filter(|(_, negatives)| !negatives.is_empty())
            .collect(),
    )
}

fn golden_dir() -> PathBuf {
    let default = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/golden").into();
    let dir = std::env::var_os("FACENET_GOLDEN_DIR").map_or_else(default, PathBuf::from);
    dir.join("mining")
}

#[track_caller]
fn check_golden(scratch: &Scratch, case: &Path, rule: &str, list: &str) {
    let text = fs::read_to_string(case.with_extension("json")).expect("case has its JSON");
    let margin = serde_json::from_str::<Value>(&text).expect("JSON")["alpha"].to_string();
    let file = case
        .canonicalize()
        .expect("it is there")
        .display()
        .to_string();
    let words = [
        "mine",
        "--json",
        "--embeddings",
        &file,
        "--rule",
        rule,
        "--margin",
        &margin,
    ];
    let run = scratch.run_words(words).done();
    let (pairs, mut lists) = golden_lists(case, list);
    assert_eq!(run.json()["pairs"], pairs, "{file}");
    let active = lists.len() as f64 / pairs.max(1) as f64;
    assert_eq!(run.json()["active_share"], active, "{file}");
    for [anchor, positive, negative] in triplets(run) {
        let negatives = lists
            .remove(&[anchor, positive])
            .expect("a pair with negatives, once");
        assert!(
            negatives.contains(&negative),
            "{file}: {anchor} {positive} {negative}"
        );
    }
    assert!(
        lists.is_empty(),
        "{file}: pairs without their triplet: {lists:?}"
    );
}

#[test]
fn golden_mining_cases_are_all_met_through_the_command() {
    let Ok(entries) = fs::read_dir(golden_dir()) else {
        crate::skip::skip(format_args!(
            "golden mining: no folder {}",
            golden_dir().display()
        ));
        return;
    };
    let paths = entries.map(|entry| entry.expect("listable").path());
    let is_case = |path: &PathBuf| {
        path.extension()
            .is_some_and(|ending| ending == "safetensors")
    };
    let scratch = Scratch::new();
    let mut walked = 0;
    for case in paths.filter(is_case) {
        check_golden(&scratch, &case, "violating", "vgg");
        check_golden(&scratch, &case, "semi-hard", "semihard");
        walked += 1;
    }
    eprintln!("golden mining through the command: {walked} cases");
}
