//! `evaluate`: of a model, and of embeddings that were stored.

use std::fs;

use serde_json::json;

use crate::support::{DATA, Run, Scratch, USAGE};

/// Scores the run's model on the synthetic faces.
const SCORE: &str = "evaluate --model run/model --lfw-dir faces --lfw-nrof-folds 2";

/// Scores with `flags` more; the result.
#[track_caller]
fn check(scratch: &Scratch, flags: &str) -> Run {
    scratch.run(&format!("{SCORE} --json {flags}")).done()
}

#[test]
fn a_score_has_the_figures_of_the_protocol_and_says_the_same_to_people() {
    let scratch = Scratch::with_run();
    let json = check(&scratch, "").json();
    for key in [
        "accuracy_mean",
        "accuracy_std",
        "val",
        "val_std",
        "far",
        "auc",
        "eer",
    ] {
        let value = json[key]
            .as_f64()
            .unwrap_or_else(|| panic!("no number {key}: {json}"));
        assert!((0.0..=1.0).contains(&value), "{key}: {json}");
    }
    for key in ["accuracy", "best_thresholds", "val_thresholds", "interval"] {
        assert_eq!(json[key].as_array().map(Vec::len), Some(2), "{key}: {json}");
    }
    assert!(
        json["val_status"].is_string() && json["exact"].is_object(),
        "{json}"
    );
    assert_eq!(json["missing_pairs"], 0, "{json}");
    let text = scratch.run(SCORE).done().stdout;
    let mean = json["accuracy_mean"].as_f64().expect("checked above");
    let std = json["accuracy_std"].as_f64().expect("checked above");
    assert!(
        text.contains(&format!("Accuracy: {mean:.5}+-{std:.5}")),
        "{text}"
    );
}

#[test]
fn the_protocols_flags_have_their_aliases_and_act() {
    let scratch = Scratch::with_run();
    let plain = check(&scratch, "").stdout;
    scratch.copy("faces", "elsewhere");
    fs::rename(
        scratch.path("elsewhere/pairs.txt"),
        scratch.path("list.txt"),
    )
    .expect("copied");
    let model = "evaluate --json --model run/model --lfw_dir elsewhere";
    for flags in [
        "--pairs list.txt --nrof-folds 2",
        "--lfw_pairs list.txt --lfw_nrof_folds 2",
    ] {
        assert_eq!(
            scratch.run(&format!("{model} {flags}")).done().stdout,
            plain,
            "{flags}"
        );
    }
    for same in [
        "--distance 0",
        "--distance-metric 0",
        "--far-target 0.001",
        "--lfw-folds 1,2",
    ] {
        assert_eq!(check(&scratch, same).stdout, plain, "{same}");
    }
    let flipped = "--use-flipped-images";
    assert_eq!(
        check(&scratch, flipped).stdout,
        check(&scratch, &format!("{flipped}=concat")).stdout
    );
    for other in ["--distance 1", flipped, "--use-flipped-images=sum"] {
        assert_ne!(check(&scratch, other).stdout, plain, "{other}");
    }
    // A shift changes angles, not the distances between points.
    let angle = check(&scratch, "--distance 1").stdout;
    assert_ne!(
        check(&scratch, "--distance 1 --subtract-mean").stdout,
        angle
    );
    for wrong in [
        "--distance 2",
        "--far-target 2",
        "--use-flipped-images=both",
        "--lfw-folds 0",
    ] {
        assert_eq!(
            scratch.run(&format!("{SCORE} {wrong}")).code,
            USAGE,
            "{wrong}"
        );
    }
}

#[test]
fn forms_are_scored_side_by_side_with_and_without_mirror_images() {
    let scratch = Scratch::with_run();
    let plain = check(&scratch, "").json();
    let flipped = check(&scratch, "--use-flipped-images").json();
    assert!(plain.get("stored").is_none(), "{plain}");
    let forms = "--stored-as f32,f16,int8";
    let json = check(&scratch, &format!("{forms} --use-flipped-images")).json();
    let stored = json["stored"].as_array().expect("a list");
    let row = |score: &serde_json::Value| {
        let bytes = score["bytes"].as_u64().expect("a number");
        (
            score["stored_as"].clone(),
            score["is_flipped"].clone(),
            bytes,
        )
    };
    // The run's embeddings have 16 numbers, and twice as many beside those of mirror images.
    let expected = [
        (json!("f32"), json!(false), 64),
        (json!("f16"), json!(false), 32),
        (json!("int8"), json!(false), 20),
        (json!("f32"), json!(true), 128),
        (json!("f16"), json!(true), 64),
        (json!("int8"), json!(true), 36),
    ];
    assert_eq!(stored.iter().map(row).collect::<Vec<_>>(), expected);
    for key in ["accuracy_mean", "val", "exact", "interval"] {
        assert_eq!(stored[0][key], plain[key], "{key}");
        assert_eq!(stored[3][key], flipped[key], "{key}");
        assert_eq!(json[key], flipped[key], "{key}");
    }
    // The first form asked for is the one that the result is of.
    let json = check(&scratch, "--stored-as int8,f32").json();
    assert_eq!(json["exact"], json["stored"][0]["exact"]);
    assert_eq!(json["stored"][1]["exact"], plain["exact"]);
    let text = scratch.run(&format!("{SCORE} {forms}")).done().stdout;
    let lines: Vec<_> = text
        .lines()
        .skip_while(|line| !line.starts_with("stored"))
        .collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(
        lines[3].starts_with("int8       no               20  0."),
        "{text}"
    );
    let wrong = scratch.run(&format!("{SCORE} --stored-as int4"));
    assert_eq!(wrong.code, USAGE);
}

#[test]
fn folds_of_the_pairs_file_are_scored_alone() {
    let scratch = Scratch::new();
    scratch
        .run("synth faces --identities 24 --images 4 --side 32 --folds 4 --pairs-per-fold 6")
        .done();
    let run = Scratch::with_run();
    scratch.write("model/config.json", run.read("run/model/config.json"));
    let weights = fs::read(run.path("run/model/model.safetensors")).expect("saved");
    scratch.write("model/model.safetensors", weights);
    let pairs = scratch.read("faces/pairs.txt");
    let lines: Vec<_> = pairs.lines().collect();
    // Fold 4 is the last 12 of 48 lines after the header, fold 2 the second 12.
    let chosen = [&["2\t6"], &lines[13..25], &lines[37..49]]
        .concat()
        .join("\n");
    scratch.write("chosen.txt", chosen);
    let score = "evaluate --json --model model --lfw-dir faces";
    let folds = scratch.run(&format!("{score} --lfw-folds 2,4")).done();
    let alone = scratch
        .run(&format!("{score} --pairs chosen.txt --nrof-folds 2"))
        .done();
    let (mut folds, mut alone) = (folds.json(), alone.json());
    let numbers = [&mut folds, &mut alone].map(|object| object["folds"].take());
    assert_eq!(numbers, [json!([2, 4]), json!([1, 2])]);
    assert_eq!(folds, alone);
}

#[test]
fn missing_images_are_counted_and_the_result_is_not_lfw() {
    let scratch = Scratch::with_run();
    fs::remove_file(scratch.path("faces/synth_00000/synth_00000_0002.png")).expect("in pair 1");
    let text = scratch
        .run(&format!("{SCORE} --allow-missing"))
        .done()
        .stdout;
    let json = check(&scratch, "--allow-missing").json();
    let missing = json["missing_pairs"].as_u64().expect("a count");
    assert!(missing >= 1, "{json}");
    assert!(
        text.contains(&format!(
            "{missing} pairs missing: this is not an LFW result"
        )),
        "{text}"
    );
}

#[test]
fn stored_embeddings_score_as_the_model_that_wrote_them() {
    let scratch = Scratch::with_run();
    scratch
        .run("embed faces --model run/model --output rows.safetensors")
        .done();
    let stored =
        "evaluate --json --embeddings rows.safetensors --pairs faces/pairs.txt --nrof-folds 2";
    for flags in ["", "--distance 1", "--subtract-mean", "--lfw-folds 1,2"] {
        let found = scratch.run(&format!("{stored} {flags}")).done();
        assert_eq!(found.stdout, check(&scratch, flags).stdout, "{flags}");
    }
}

#[test]
fn stored_embeddings_that_do_not_serve_are_refused() {
    let scratch = Scratch::with_run();
    let line = "evaluate --lfw-nrof-folds 2 --embeddings";
    scratch
        .run("embed faces --model run/model --output rows.safetensors")
        .done();
    scratch.refuses(
        &format!("{line} rows.safetensors"),
        DATA,
        &[
            "rows.safetensors: found no `issame`, and no --pairs",
            "expected",
        ],
    );
    scratch.refuses(
        &format!("{line} gone.safetensors"),
        DATA,
        &["gone.safetensors: cannot be read", "`facenet embed` wrote"],
    );
    let bytes = fs::read(scratch.path("rows.safetensors")).expect("just written");
    scratch.write("cut.safetensors", &bytes[..bytes.len() - 4]);
    scratch.write("none.safetensors", "");
    for name in ["cut.safetensors", "none.safetensors"] {
        let parts = [name, "expected", "`facenet embed` wrote"];
        scratch.refuses(&format!("{line} {name}"), DATA, &parts);
    }
    scratch.refuses(
        &format!("{line} run/model/model.safetensors"),
        DATA,
        &["model.safetensors: found no tensor `embeddings`"],
    );
    fs::remove_file(scratch.path("faces/synth_00003/synth_00003_0001.png"))
        .expect("named in pairs");
    scratch
        .run("embed faces --model run/model --output fewer.safetensors")
        .done();
    let pairs = format!("{line} fewer.safetensors --pairs faces/pairs.txt");
    scratch.refuses(
        &pairs,
        DATA,
        &[
            "fewer.safetensors: ",
            "name an image without a row",
            "synth_00003_0001",
            "--allow-missing",
        ],
    );
    let allowed = scratch
        .run(&format!("{pairs} --allow-missing --json"))
        .done()
        .json();
    assert!(allowed["missing_pairs"].as_u64() >= Some(1), "{allowed}");
    let both = scratch.run("evaluate --embeddings rows.safetensors --model run/model");
    assert_eq!(both.code, USAGE, "{both:#?}");
}

#[test]
fn flags_that_stored_embeddings_have_no_use_for_are_refused_by_name() {
    let scratch = Scratch::with_run();
    scratch
        .run("embed faces --model run/model --output rows.safetensors")
        .done();
    let line = "evaluate --embeddings rows.safetensors";
    for flag in [
        "--use-flipped-images",
        "--recipe reference",
        "--centre-crop 20",
        "--resize 32",
        "--standardisation fixed",
        "--allow-recipe-mismatch",
        "--device cuda:7",
        "--threads 1",
        "--precision f32",
        "--winograd off",
        "--batch-size 3",
        "--loader-threads 1",
        "--max-image-side 9",
        "--max-image-mib 9",
    ] {
        let name = flag.split(' ').next().expect("a flag");
        let pairs = format!("{line} --pairs faces/pairs.txt {flag}");
        scratch.refuses(
            &pairs,
            USAGE,
            &["--embeddings", "cannot be used with", name],
        );
    }
    for flag in ["--lfw-folds 1,2", "--allow-missing"] {
        let name = flag.split(' ').next().expect("a flag");
        scratch.refuses(&format!("{line} {flag}"), USAGE, &[name, "give --pairs"]);
    }
}

#[test]
fn without_a_number_the_folds_are_those_of_the_pairs_file() {
    let scratch = Scratch::with_run();
    let own = "evaluate --model run/model --lfw-dir faces --json";
    let given = check(&scratch, "");
    assert_eq!(scratch.run(own).done().stdout, given.stdout);
    scratch
        .run("embed faces --model run/model --output rows.safetensors")
        .done();
    // The pairs file beside the images serves stored embeddings too.
    for pairs in ["--pairs faces/pairs.txt", "--lfw-dir faces"] {
        let stored = format!("evaluate --embeddings rows.safetensors --json {pairs}");
        assert_eq!(scratch.run(&stored).done().stdout, given.stdout, "{pairs}");
    }
    // A file without folds is cut into the reference's ten.
    let pairs = scratch.read("faces/pairs.txt");
    let lines: Vec<_> = pairs.lines().skip(1).collect();
    let (same, different): (Vec<&str>, Vec<&str>) = lines
        .into_iter()
        .partition(|line| line.split('\t').count() == 3);
    let text = format!("12\n{}\n{}\n", same.join("\n"), different.join("\n"));
    scratch.write("dev.txt", text);
    let run = scratch.run(&format!("{own} --pairs dev.txt")).done();
    assert_eq!(run.json()["accuracy"].as_array().map(Vec::len), Some(10));
    assert!(
        !run.stderr.contains("warning"),
        "both kinds in each: {run:#?}"
    );
}

#[test]
fn folds_of_one_kind_are_scored_with_a_warning() {
    let scratch = Scratch::with_run();
    scratch
        .run("embed faces --model run/model --output rows.safetensors")
        .done();
    for line in [
        "evaluate --model run/model --lfw-dir faces",
        "evaluate --embeddings rows.safetensors --lfw-dir faces",
    ] {
        // 24 pairs, by six same and six different: blocks of three and two have one kind.
        let run = scratch
            .run(&format!("{line} --lfw-nrof-folds 10 --quiet"))
            .done();
        let warning = "warning: faces/pairs.txt: 10 of the folds scored hold same pairs only";
        assert!(run.stderr.starts_with(warning), "{run:#?}");
        assert!(run.stderr.contains("--lfw-nrof-folds"), "{run:#?}");
        let run = scratch.run(&format!("{line} --lfw-nrof-folds 2")).done();
        assert!(!run.stderr.contains("warning"), "{run:#?}");
    }
}

#[test]
fn images_beyond_the_limits_are_not_scored() {
    let scratch = Scratch::with_run();
    scratch.refuses(
        &format!("{SCORE} --max-image-side 31"),
        DATA,
        &["image is 32x32", "at most 31 a side"],
    );
    check(&scratch, "--max-image-side 32 --max-image-mib 1");
    for wrong in ["--max-image-side 0", "--max-image-mib 0"] {
        assert_eq!(scratch.run(&format!("{SCORE} {wrong}")).code, USAGE);
    }
    check(
        &scratch,
        "--max-image-side 4294967295 --max-image-mib 1073741824",
    );
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_device_that_is_not_there_is_a_resource() {
    let scratch = Scratch::with_run();
    scratch.refuses(
        &format!("{SCORE} --device cuda:0"),
        crate::support::RESOURCES,
        &["--device: cuda:0 is not in this build", "--features cuda"],
    );
}
