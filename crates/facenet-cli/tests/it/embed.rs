//! `embed`: three formats that agree, what is skipped, and what is refused.

use std::fs;

use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::support::{DATA, Scratch, USAGE};

/// Paths and rows, whatever file they came from.
#[derive(Debug, PartialEq)]
struct Rows {
    paths: Vec<String>,
    rows: Vec<Vec<f32>>,
}

fn floats(bytes: &[u8], dim: usize) -> Vec<Vec<f32>> {
    let (values, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty(), "whole numbers of 4 bytes");
    let values: Vec<_> = values
        .iter()
        .map(|&bytes| f32::from_le_bytes(bytes))
        .collect();
    values.chunks(dim).map(<[f32]>::to_vec).collect()
}

fn bytes(scratch: &Scratch, name: &str) -> Vec<u8> {
    fs::read(scratch.path(name)).expect("written before")
}

fn read_safetensors(scratch: &Scratch, name: &str) -> Rows {
    let bytes = bytes(scratch, name);
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("a header");
    let metadata = header.metadata().as_ref().expect("metadata");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let tensor = tensors.tensor("embeddings").expect("the embeddings");
    Rows {
        paths: serde_json::from_str(&metadata["paths"]).expect("a list"),
        rows: floats(tensor.data(), tensor.shape()[1]),
    }
}

/// NumPy's format 1.0: ten bytes, of which the last two are the header's length, the header, the
/// values.
fn read_npy(scratch: &Scratch, name: &str) -> Rows {
    let bytes = bytes(scratch, name);
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + length]).expect("ASCII");
    assert!(
        header.contains("'descr': '<f4', 'fortran_order': False"),
        "{header}"
    );
    assert_eq!((10 + length) % 64, 0, "values are aligned");
    let shape = header.split(['(', ')']).nth(1).expect("a shape");
    let dim = shape
        .split(", ")
        .nth(1)
        .expect("two dimensions")
        .parse()
        .expect("a number");
    Rows {
        paths: scratch
            .read(&format!("{name}.paths.txt"))
            .lines()
            .map(str::to_owned)
            .collect(),
        rows: floats(&bytes[10 + length..], dim),
    }
}

/// Without quotes: synthetic names need none.
fn read_csv(scratch: &Scratch, name: &str) -> Rows {
    let text = scratch.read(name);
    let mut lines = text.lines();
    let names: Vec<_> = (0..16).map(|k| format!("e{k}")).collect();
    assert_eq!(
        lines.next(),
        Some(format!("path,{}", names.join(",")).as_str())
    );
    let split = |line: &str| {
        let (path, row) = line.split_once(',').expect("a path and numbers");
        let row = row
            .split(',')
            .map(|value| value.parse().expect("a number"))
            .collect();
        (path.to_owned(), row)
    };
    let (paths, rows) = lines.map(split).unzip();
    Rows { paths, rows }
}

#[test]
fn the_three_formats_agree_to_the_last_bit() {
    let scratch = Scratch::with_run();
    for name in ["x.safetensors", "x.npy", "x.csv"] {
        let run = scratch
            .run(&format!(
                "embed faces --model run/model --output {name} --json"
            ))
            .done();
        let expected = json!({ "output": name, "embeddings": 48, "dim": 16, "skipped": [] });
        assert_eq!(run.json(), expected, "pairs.txt is nothing skipped");
    }
    let stored = read_safetensors(&scratch, "x.safetensors");
    assert_eq!(read_npy(&scratch, "x.npy"), stored);
    assert_eq!(read_csv(&scratch, "x.csv"), stored);
    assert_eq!(stored.paths[4], "faces/synth_00001/synth_00001_0001.png");
    assert!(stored.paths.is_sorted() && stored.rows.len() == 48);
    for row in &stored.rows {
        let norm: f32 = row.iter().map(|value| value * value).sum();
        assert!(
            (norm - 1.0).abs() < 1e-5,
            "a unit row, but for rounding: {norm}"
        );
    }
    assert!(
        !scratch.names().iter().any(|name| name.starts_with('.')),
        "no scratch file stays"
    );
}

#[test]
fn files_come_in_the_order_given_and_twice_where_given_twice() {
    let scratch = Scratch::with_run();
    let file = |person: u32| format!("faces/synth_{person:05}/synth_{person:05}_0001.png");
    let (a, b) = (file(3), file(1));
    let line = format!("embed {a} {b} {a} --model run/model --output x.csv --batch-size 2");
    scratch.run(&line).done();
    let found = read_csv(&scratch, "x.csv");
    assert_eq!(found.paths, [a.as_str(), b.as_str(), a.as_str()]);
    assert_eq!(found.rows[0], found.rows[2]);
    assert_ne!(found.rows[0], found.rows[1]);
}

#[test]
fn what_cannot_be_read_is_skipped_by_name_with_a_reason() {
    let scratch = Scratch::with_run();
    scratch.write("faces/synth_00000/broken.jpg", "no picture");
    scratch.write("faces/synth_00000/notes.txt", "no picture");
    let line = "embed faces --model run/model --output x.csv";
    let run = scratch.run(line).done();
    assert_eq!(
        run.stdout,
        "x.csv: 48 embeddings of 16 numbers, 2 images skipped\n"
    );
    for part in [
        "skipped faces/synth_00000/broken.jpg: ",
        "skipped faces/synth_00000/notes.txt: ",
    ] {
        let lines: Vec<_> = run
            .stderr
            .lines()
            .filter(|line| line.starts_with(part))
            .collect();
        assert_eq!(lines.len(), 1, "{run:#?}");
        assert_eq!(
            lines[0].matches("synth_00000").count(),
            1,
            "named once: {run:#?}"
        );
    }
    let json = scratch.run(&format!("{line} --json")).done().json();
    assert_eq!(json["skipped"].as_array().map(Vec::len), Some(2), "{json}");
}

#[test]
fn a_folder_of_pictures_and_one_identitys_folder_will_do() {
    let scratch = Scratch::with_run();
    let embed = "embed --model run/model --output x.csv";
    scratch
        .run(&format!("{embed} faces/synth_00001 faces/synth_00000"))
        .done();
    let found = read_csv(&scratch, "x.csv");
    assert_eq!(found.paths.len(), 8);
    assert_eq!(found.paths[0], "faces/synth_00001/synth_00001_0001.png");
    assert_eq!(found.paths[7], "faces/synth_00000/synth_00000_0004.png");
    // Pictures beside identity folders come first; what is no picture is skipped by name.
    scratch.copy("faces/synth_00002", "mixed/one");
    let picture = bytes(&scratch, "faces/synth_00003/synth_00003_0001.png");
    scratch.write("mixed/zoe.png", picture);
    scratch.write("mixed/notes.txt", "no picture");
    let run = scratch.run(&format!("{embed} mixed")).done();
    let found = read_csv(&scratch, "x.csv");
    assert_eq!(found.paths.len(), 5, "{run:#?}");
    assert_eq!(found.paths[0], "mixed/zoe.png");
    assert!(run.stderr.contains("skipped mixed/notes.txt: "), "{run:#?}");
}

#[test]
fn images_beyond_the_limits_are_skipped_by_name() {
    let scratch = Scratch::with_run();
    let line = "embed faces --model run/model --output x.csv";
    scratch.refuses(
        &format!("{line} --max-image-side 31"),
        DATA,
        &["not one readable image"],
    );
    scratch
        .run(&format!("{line} --max-image-side 32 --max-image-mib 1"))
        .done();
    // A 16-bit grey picture of 1024 x 512: 1 MiB as stored, 1.5 MiB as RGB.
    let mut wide = b"P5 1024 512 65535\n".to_vec();
    wide.resize(wide.len() + (1 << 20), 7);
    scratch.write("faces/wide.pgm", wide);
    let limited = scratch.run(&format!("{line} --max-image-mib 1")).done();
    assert!(limited.stdout.contains(" 1 images skipped"), "{limited:#?}");
    let raised = scratch.run(&format!("{line} --max-image-mib 2")).done();
    assert!(raised.stdout.contains(" 0 images skipped"), "{raised:#?}");
}

#[test]
fn what_cannot_serve_is_refused_and_an_older_file_stays() {
    let scratch = Scratch::with_run();
    scratch.write("x.csv", "older");
    scratch.write("junk.jpg", "no picture");
    let line = "embed --model run/model --output";
    scratch.refuses(
        &format!("{line} x.csv junk.jpg"),
        DATA,
        &["junk.jpg: not one readable image", "give JPEG"],
    );
    scratch.refuses(&format!("{line} x.csv gone.jpg"), DATA, &["gone.jpg"]);
    scratch.refuses(
        &format!("{line} x.csv run"),
        DATA,
        &["run: no image found", "give JPEG"],
    );
    scratch.refuses(
        &format!("{line} x.parquet faces"),
        USAGE,
        &["--output: found x.parquet", ".npy or .csv"],
    );
    scratch.refuses(
        &format!("{line} x.csv faces --recipe no-such"),
        USAGE,
        &["no-such"],
    );
    let other = "--recipe facenet-fixed-160";
    scratch.refuses(
        &format!("{line} x.csv faces {other}"),
        USAGE,
        &["--recipe", "--allow-recipe-mismatch"],
    );
    assert_eq!(scratch.read("x.csv"), "older");
    scratch
        .run(&format!(
            "{line} x.csv faces {other} --allow-recipe-mismatch"
        ))
        .done();
    assert!(scratch.read("x.csv").starts_with("path,e0,"));
}

#[test]
fn a_name_that_csv_must_quote_comes_back_whole() {
    let scratch = Scratch::with_run();
    scratch.copy("faces/synth_00000", "faces/a, \"b\"");
    scratch
        .run("embed faces --model run/model --output x.csv")
        .done();
    let quoted = "\n\"faces/a, \"\"b\"\"/synth_00000_0001.png\",";
    assert!(scratch.read("x.csv").contains(quoted));
    scratch
        .run("embed faces --model run/model --output x.safetensors")
        .done();
    let paths = read_safetensors(&scratch, "x.safetensors").paths;
    assert_eq!(
        Value::from(paths[0].clone()),
        "faces/a, \"b\"/synth_00000_0001.png"
    );
}
