//! `report`: what a run has to show, on a page, as an object, and in a browser.

use std::fs;
use std::sync::OnceLock;

use serde_json::Value;

use crate::browser::{Browser, Seen};
use crate::support::{DATA, Files, MODEL, Scratch, USAGE, example, files_below, tiny};

/// The name of the run in the example of `report --help`.
const RUN: &str = "20260102-030405";
/// Less of a plot's ink, in coloured pixels, is no plot.
const LEAST_INK: usize = 60;
/// Smallest text of a plot, in pixels.
const LEAST_TEXT: f64 = 11.0;

/// `faces`, and a run of three epochs that was trained and scored on them.
fn with_run() -> Scratch {
    static FILES: OnceLock<[Files; 2]> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let scratch = Scratch::with_faces();
        let flags = tiny("--data-dir faces --lfw-dir faces --lfw-nrof-folds 2 --max-nrof-epochs 3");
        scratch.run(&format!("train --json {flags}")).done();
        ["logs", "models"].map(|base| {
            let mut runs = fs::read_dir(scratch.path(base)).expect("a folder");
            let run = runs.next().expect("one run").expect("listable");
            files_below(&run.path())
        })
    });
    let scratch = Scratch::with_faces();
    for (base, files) in ["logs", "models"].into_iter().zip(files) {
        for (name, bytes) in files {
            scratch.write(&format!("{base}/{RUN}/{name}"), bytes);
        }
    }
    scratch
}

/// Titles of the plots of a page.
fn plots(page: &str) -> Vec<&str> {
    let figures = page.split("<figcaption><h3>").skip(1);
    figures
        .filter_map(|rest| rest.split_once("</h3>"))
        .map(|(title, _)| title)
        .collect()
}

const PLOTS: [&str; 10] = [
    "Loss",
    "Learning rate",
    "Active share",
    "Distances: median, 10 to 90 %",
    "Spread of the embeddings",
    "Gradient norm",
    "Scores while it ran",
    "ROC",
    "Distances of pairs",
    "Embeddings, principal components",
];

/// A page loads nothing and runs nothing.
#[track_caller]
fn check_offline(page: &str) {
    for loads in [
        "http:",
        "https:",
        "<script",
        "<link rel=\"stylesheet",
        "url(",
        "@import",
        "<iframe",
        " on",
    ] {
        // Words such as "on" stand in texts; as an attribute they would be followed by a name.
        let is_there = match loads {
            " on" => page.contains(" onload") || page.contains(" onclick"),
            other => page.contains(other),
        };
        assert!(!is_there, "{loads}");
    }
    let sources = page.matches("src=\"").count();
    assert_eq!(
        sources,
        page.matches("src=\"data:image/png;base64,").count()
    );
    assert!(page.contains("content=\"default-src 'none'; "));
}

#[test]
fn the_example_runs_and_the_page_has_every_part() {
    let scratch = with_run();
    let told = scratch.run(&example(&scratch, "report")).done();
    assert!(told.stdout.contains("Accuracy: "), "{told:#?}");
    assert!(told.stdout.ends_with("\nreport.html\n"), "{told:#?}");
    let page = scratch.read("report.html");
    assert_eq!(plots(&page), PLOTS);
    assert!(!page.contains("nothing to draw"));
    for part in [
        "<title>Training run 20260102-030405</title>",
        "<h3>Validation rate at round false accept rates</h3>",
        "<h3>Folds</h3>",
        "<h3>Hardest false accepts</h3>",
        "<h3>Hardest false rejects</h3>",
        "cannot be calibrated on ",
        "This page has names of people",
        "<td class=\"name\">embedding_size</td><td class=\"wrap\">16</td>",
    ] {
        assert!(page.contains(part), "lacks {part}");
    }
    check_offline(&page);
    assert!(
        !page.contains("<img"),
        "pictures only where they are asked for"
    );
}

#[test]
fn the_object_has_the_figures_of_the_page_and_of_evaluate() {
    let scratch = with_run();
    let object = scratch
        .run(&format!("report logs/{RUN} --json"))
        .done()
        .json();
    let html = object["html"].as_str().expect("a path");
    assert!(html.ends_with(&format!("logs/{RUN}/report.html")), "{html}");
    let page = scratch.read(&format!("logs/{RUN}/report.html"));
    let held_out = &object["held_out"];
    let accuracy = held_out["report"]["accuracy_mean"]
        .as_f64()
        .expect("scored");
    assert!(
        page.contains(&format!("<dd>{accuracy:.4}<small>")),
        "{accuracy}"
    );
    assert_eq!(object["run"], RUN);
    assert_eq!(object["course"]["last_step"], 6);
    let points = object["course"]["points"].as_array().expect("a list");
    assert!(points.len() == 6 && points.iter().all(|point| point["loss"].is_f64()));
    // Before the first step, and after each epoch.
    assert_eq!(
        object["scores"]["weights"].as_array().map(Vec::len),
        Some(4)
    );
    let notes = object["notes"].as_array().expect("a list");
    let known = "have the name of one whom the run trained on";
    assert!(
        matches!(&notes[..], [note] if note.as_str().is_some_and(|note| note.contains(known))),
        "{notes:?}"
    );
    let line =
        format!("evaluate --model models/{RUN}/best --lfw-dir faces --lfw-nrof-folds 2 --json");
    let evaluated = scratch.run(&line).done().json();
    for (name, figure) in held_out["report"].as_object().expect("figures") {
        assert_eq!(&evaluated[name], figure, "{name}");
    }
    check_held_out(held_out);
}

/// What belongs together adds up.
#[track_caller]
fn check_held_out(held_out: &Value) {
    let report = &held_out["report"];
    let sum = |list: &Value| -> u64 {
        list.as_array()
            .expect("a list")
            .iter()
            .filter_map(Value::as_u64)
            .sum()
    };
    let histogram = &held_out["histogram"];
    assert_eq!(Some(sum(&histogram["same"])), report["n_same"].as_u64());
    assert_eq!(
        Some(sum(&histogram["different"])),
        report["n_different"].as_u64()
    );
    let hardest = &held_out["hardest"];
    let wrong =
        ["n_false_accepts", "n_false_rejects"].map(|kind| hardest[kind].as_u64().expect("a count"));
    let folds = report["accuracy"].as_array().expect("a list");
    let pairs_of_a_fold = 12.0;
    let by_folds: f64 = folds
        .iter()
        .filter_map(Value::as_f64)
        .map(|share| (1.0 - share) * pairs_of_a_fold)
        .sum();
    assert!(
        (by_folds - wrong.iter().sum::<u64>() as f64).abs() < 1e-9,
        "{by_folds} {wrong:?}"
    );
    let curve = held_out["curve"].as_array().expect("a list");
    let ends =
        [curve.first(), curve.last()].map(|point| point.and_then(|point| point["far"].as_f64()));
    assert_eq!(ends, [Some(0.0), Some(1.0)]);
    let fars = held_out["far_points"].as_array().expect("a list");
    assert!(
        fars.len() == 3
            && fars
                .iter()
                .all(|far| far["point"].is_null() && far["refusal"].is_string())
    );
}

#[test]
fn pictures_are_on_the_page_where_they_are_asked_for() {
    let scratch = with_run();
    let line = format!("report models/{RUN} --with-images --json --output p.html");
    let hardest = scratch.run(&line).done().json()["held_out"]["hardest"].clone();
    let listed = ["false_accepts", "false_rejects"]
        .map(|kind| hardest[kind].as_array().expect("a list").len());
    let page = scratch.read("p.html");
    assert_eq!(
        page.matches("<img src=").count(),
        2 * listed.iter().sum::<usize>()
    );
    assert!(listed.iter().sum::<usize>() > 0 && page.contains("names and pictures of people"));
    check_offline(&page);
}

#[test]
fn a_run_is_found_by_any_of_its_folders_and_another_model_is_shown() {
    let scratch = with_run();
    let of = |run: &str, flags: &str| {
        scratch
            .run(&format!("report {run} --json {flags}"))
            .done()
            .json()
    };
    let by_logs = of(&format!("logs/{RUN}"), "");
    for folder in ["", "/best", "/model", "/checkpoint-00000004"] {
        let by_models = of(&format!("models/{RUN}{folder}"), "");
        assert_eq!(
            by_models["held_out"]["report"], by_logs["held_out"]["report"],
            "{folder}"
        );
        assert_eq!(by_models["course"], by_logs["course"], "{folder}");
    }
    assert_eq!(by_logs["held_out"]["is_chosen_by_score"], true);
    let average = of(&format!("logs/{RUN}"), "--model model-ema --threads 1");
    let shown = &average["held_out"];
    assert!(
        shown["model"]
            .as_str()
            .expect("a path")
            .ends_with("/model-ema")
    );
    assert_eq!(
        (&shown["is_chosen_by_score"], &shown["model_steps"]),
        (&false.into(), &6.into())
    );
    let by_path = of(
        &format!("logs/{RUN}"),
        &format!("--model models/{RUN}/model-ema --lfw-dir faces"),
    );
    assert_eq!(by_path["held_out"]["report"], shown["report"]);
    assert_eq!(
        by_path["notes"].as_array().map(Vec::len),
        Some(1),
        "{by_path}"
    );
}

#[test]
fn what_a_run_lacks_is_said_and_the_rest_is_shown() {
    let scratch = Scratch::with_faces();
    scratch
        .run(&format!("train {}", tiny("--data-dir faces")))
        .done();
    let names = scratch.names();
    let steps = names
        .iter()
        .find(|name| name.ends_with("/steps.jsonl"))
        .expect("a log");
    let logs = steps.trim_end_matches("/steps.jsonl");
    let without = "The run has no pairs, so nothing is shown of held-out people.";
    scratch.write(steps, scratch.read(steps) + "{\"step\":3,\"lo");
    let told = scratch
        .run(&format!("report {logs} --output page.html"))
        .done();
    assert!(told.stdout.contains(without), "{told:#?}");
    let page = scratch.read("page.html");
    let cut = "Line 3 of steps.jsonl is broken or cut off and was passed over.";
    assert!(page.contains(without) && page.contains(cut) && !page.contains("names of people"));
    assert_eq!(plots(&page), PLOTS[..6]);
    let object = scratch.run(&format!("report {logs} --json")).done().json();
    assert!(object["held_out"].is_null());
    assert_eq!(object["notes"], serde_json::json!([cut, without]));
    // Pairs that are named are pairs.
    let line = format!("report {logs} --lfw-dir faces --json");
    assert_eq!(
        scratch.run(&line).done().json()["held_out"]["report"]["n_same"],
        12
    );
    scratch.refuses(
        &format!("report {logs} --lfw-pairs faces/pairs.txt"),
        USAGE,
        &["--lfw-pairs: found no folder"],
    );
    let models = scratch.path("models");
    fs::rename(&models, scratch.path("elsewhere")).expect("movable");
    let told = scratch.run(&format!("report {logs}")).done();
    assert!(
        told.stdout.contains("No model of the run was found"),
        "{told:#?}"
    );
}

#[test]
fn what_is_no_run_is_refused() {
    let scratch = with_run();
    scratch.refuses("report gone", DATA, &["gone: found no run here"]);
    scratch.refuses("report faces", DATA, &["faces: found no run here"]);
    let line = format!("report logs/{RUN} --model gone");
    scratch.refuses(&line, MODEL, &["gone"]);
    let line = format!("report logs/{RUN} --lfw-dir gone");
    scratch.refuses(&line, DATA, &["gone: found no folder"]);
    let line = format!("report logs/{RUN} --output no/such/folder/x.html");
    assert_eq!(scratch.run(&line).code, crate::support::RESOURCES);
    fs::rename(scratch.path("logs"), scratch.path("moved")).expect("movable");
    let line = format!("report models/{RUN}");
    scratch.refuses(&line, DATA, &["found no log folder", "give the log folder"]);
}

/// Everything is drawn, nothing is complained of, and nothing is wider than the window.
#[test]
fn a_browser_draws_the_page_on_wide_and_narrow_windows() {
    let scratch = with_run();
    let Some(browser) = Browser::find(&scratch) else {
        crate::skip::skip(format_args!(
            "a_browser_draws_the_page_on_wide_and_narrow_windows: no Chromium or Chrome on PATH; name \
             one in FACENET_BROWSER"
        ));
        return;
    };
    scratch
        .run(&format!(
            "report logs/{RUN} --with-images --output page.html"
        ))
        .done();
    for width in [1280, 400] {
        let Seen {
            window,
            content,
            plots,
        } = browser.look("page.html", width);
        assert_eq!(window, width);
        assert!(content <= window, "{content} in {window}");
        let titles: Vec<_> = plots.iter().map(|plot| plot.title.as_str()).collect();
        assert_eq!(titles, PLOTS);
        for plot in plots {
            assert!(plot.ink >= LEAST_INK, "{width}: {plot:?}");
            assert!(plot.smallest_text >= LEAST_TEXT, "{width}: {plot:?}");
            assert!(plot.overhang <= 0.0, "{width}: {plot:?}");
            assert!(
                plot.width <= f64::from(window) && plot.width >= 250.0,
                "{width}: {plot:?}"
            );
        }
    }
}
