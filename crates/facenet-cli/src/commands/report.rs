//! `facenet report`.

mod course;
mod held_out;
mod pairs;
mod tables;

use std::path::{Path, PathBuf};

use facenet_train::model::Arithmetic;
use facenet_train::{HeldOut, ReportRequest, RunReport, run_report};
use serde::Serialize;

use crate::args::ReportArgs;
use crate::failure::Failure;
use crate::page::{Page, escape};
use crate::plot;
use crate::progress::Console;
use crate::report::Output;

/// Longer side of a picture on the page, in pixels.
const THUMBNAIL_SIDE: usize = 96;
/// File that is written where none is named.
const FILE: &str = "report.html";

const STYLE: &str = "h2{font-size:1.2rem;border-top:1px solid var(--line);padding-top:1rem;margin:1.8rem 0 .6rem}\
    h3{margin:0 0 .2rem}.plots+h3,.scroll+h3,.note+h3{margin-top:1.2rem}.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:.6rem;margin:1rem 0}\
    .tiles div{border:1px solid var(--line);border-radius:.4rem;padding:.4rem .6rem}.tiles dt{color:var(--dim);font-size:.8rem}\
    .tiles dd{margin:0;font-size:1.25rem;overflow-wrap:anywhere}.tiles small{display:block;font-size:.75rem;color:var(--dim)}\
    .scroll{overflow-x:auto;margin:.4rem 0 1rem}table{border-collapse:collapse;font-size:.85rem}\
    th,td{padding:.2rem .7rem .2rem 0;text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums;border-bottom:1px solid \
    var(--line)}th{font-weight:600;color:var(--dim)}.name{text-align:left}.wrap{white-space:normal;min-width:20rem;text-align:left}\
    .note{color:var(--dim);font-size:.9rem;max-width:46rem}summary{cursor:pointer}td img{width:64px;height:64px;object-fit:contain;\
    background:var(--line);margin-right:.3rem;vertical-align:middle}";

/// What `report --json` prints: all that the page shows.
#[derive(Debug, Serialize)]
struct Told<'a> {
    html: &'a Path,
    #[serde(flatten)]
    report: &'a RunReport,
}

pub(crate) fn run(args: &ReportArgs, output: Output) -> Result<(), Failure> {
    let mut console = Console::new(output);
    let report = run_report(&request(args), &mut console)?;
    drop(console);
    let own = || report.log_dir.join(FILE);
    let html: PathBuf = args.output.clone().unwrap_or_else(own);
    page(&report, args.with_images).write(&html)?;
    let told = Told {
        html: &html,
        report: &report,
    };
    output.result(&text(&told), &told)
}

fn request(args: &ReportArgs) -> ReportRequest {
    ReportRequest {
        run: args.run.clone(),
        model: args.model.clone(),
        lfw_dir: args.lfw_dir.clone(),
        lfw_pairs: args.lfw_pairs.clone(),
        thumbnail_side: args.with_images.then_some(THUMBNAIL_SIDE),
        device: args.device.clone(),
        threads: args.compute.threads,
        arithmetic: args.compute.arithmetic(Arithmetic::of_inference()),
        loader_threads: args.loader_threads,
        batch_size: args.batch_size,
    }
}

fn text(told: &Told<'_>) -> String {
    let RunReport {
        run,
        course,
        held_out,
        notes,
        ..
    } = told.report;
    let mut lines = vec![format!("Run {run}: {} steps", course.last_step)];
    if let Some(held_out) = held_out {
        let report = &held_out.report;
        lines.push(format!("Model {}", held_out.model.display()));
        lines.extend([report.accuracy_line(), report.validation_line()]);
    }
    lines.extend(notes.iter().cloned());
    lines.push(told.html.display().to_string());
    lines.join("\n")
}

fn page(report: &RunReport, has_images: bool) -> Page {
    let style = [plot::STYLE, STYLE].concat();
    let mut page = Page::new(&format!("Training run {}", report.run), &style);
    page.push(&tiles(report));
    page.push(&notes(report, has_images));
    course::write(&mut page, report);
    if let Some(held_out) = &report.held_out {
        held_out::write(&mut page, held_out);
    }
    page.push(&settings(&report.settings));
    page
}

/// The figures that are asked for first.
fn tiles(report: &RunReport) -> String {
    let course = &report.course;
    let mut tiles = vec![("Steps", course.last_step.to_string(), String::new())];
    if let Some(loss) = course.points.iter().rev().find_map(|point| point.loss) {
        tiles.push((
            "Last loss",
            format!("{loss:.4}"),
            last_loss_of(course.steps_per_point),
        ));
    }
    if let Some(held_out) = &report.held_out {
        tiles.extend(tiles_of(held_out));
    }
    let tiles = tiles.iter().map(|(name, value, below)| {
        let below = if below.is_empty() {
            String::new()
        } else {
            format!("<small>{}</small>", escape(below))
        };
        format!(
            "<div><dt>{name}</dt><dd>{}{below}</dd></div>",
            escape(value)
        )
    });
    format!("<dl class=\"tiles\">{}</dl>\n", tiles.collect::<String>())
}

fn last_loss_of(steps: usize) -> String {
    if steps == 1 {
        return String::new();
    }
    format!("mean of up to {steps} steps")
}

fn tiles_of(held_out: &HeldOut) -> Vec<(&'static str, String, String)> {
    let report = &held_out.report;
    let [low, high] = report.interval;
    let exact = &report.exact;
    let figure = |value: Option<f64>| value.map_or("undefined".to_owned(), |x| format!("{x:.4}"));
    vec![
        (
            "Accuracy",
            format!("{:.4}", report.accuracy_mean),
            format!(
                "± {:.4} over folds; 95 %: {low:.4} to {high:.4}",
                report.accuracy_std
            ),
        ),
        ("AUC", figure(exact.auc), "all thresholds".to_owned()),
        ("EER", figure(exact.eer), "all thresholds".to_owned()),
        (
            "Pairs",
            (report.n_same + report.n_different).to_string(),
            format!("{} same, {} different", report.n_same, report.n_different),
        ),
        (
            "Held out",
            format!("{} people", held_out.people),
            format!("{} images", held_out.images),
        ),
    ]
}

/// What is missing, and what whoever passes the page on passes on.
fn notes(report: &RunReport, has_images: bool) -> String {
    let mut notes: Vec<String> = report.notes.clone();
    if report.course.returns > 0 {
        notes.push(format!(
            "The run went back to an earlier step {} time(s), by a resume or a rollback; steps that were given up \
             are not shown.",
            report.course.returns
        ));
    }
    if report.held_out.is_some() {
        let pictures = if has_images { " and pictures" } else { "" };
        notes.push(format!(
            "This page has names{pictures} of people: whoever gets it gets those."
        ));
    }
    let notes = notes
        .iter()
        .map(|note| format!("<p class=\"note\">{}</p>\n", escape(note)));
    notes.collect()
}

fn settings(settings: &[(String, String)]) -> String {
    if settings.is_empty() {
        return String::new();
    }
    let row = |(name, value): &(String, String)| {
        vec![tables::Cell::name(name), tables::Cell::wrapped(value)]
    };
    let rows: Vec<_> = settings.iter().map(row).collect();
    let table = tables::table(&["Setting", "Value"], &rows);
    format!(
        "<h2>Settings</h2>\n<details><summary>What the run was asked to do</summary>\n{table}</details>\n"
    )
}
