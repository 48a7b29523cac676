//! `facenet doctor`.

mod suspects;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use facenet_train::dataset::CheckConfig;
use facenet_train::{Diagnosis, DoctorRequest, Separation, doctor};
use serde::Serialize;

use crate::args::DoctorArgs;
use crate::commands::embed::{limits, model_source};
use crate::failure::Failure;
use crate::progress::Console;
use crate::report::Output;

/// Lines of a kind that people are shown; programs and the page get more.
const SHOWN: usize = 20;

/// What `doctor --json` prints.
#[derive(Debug, Serialize)]
struct Told<'a> {
    folder: &'a Path,
    identities: usize,
    images: usize,
    readable: usize,
    /// How many there are of each kind.
    counts: BTreeMap<&'static str, usize>,
    grave: usize,
    separation: Option<Separation>,
    html: Option<&'a Path>,
    findings: Vec<Row<'a>>,
    /// Why training on it would be wrong, where it would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    exit_code: u8,
}

/// One thing that is wrong or suspicious.
#[derive(Debug, Serialize)]
struct Row<'a> {
    kind: &'static str,
    is_grave: bool,
    identities: &'a [String],
    images: Vec<String>,
    what: &'a str,
    /// The median that makes it suspicious, of those by embedding.
    sq_l2: Option<f64>,
}

pub(crate) fn run(args: &DoctorArgs, output: Output) -> Result<(), Failure> {
    let request = request(args)?;
    let mut console = Console::new(output);
    let diagnosis = doctor(&request, &mut console)?;
    drop(console);
    if args.model.is_some() && diagnosis.separation.is_none() {
        output.remark("--model is of no use here: there are no pairs of one identity and of two");
    }
    let rows = rows(&diagnosis);
    if let Some(file) = &args.html {
        suspects::write(file, &args.folder, &rows, request.limits)?;
    }
    let error = verdict(args, diagnosis.n_grave());
    let told = Told {
        folder: &args.folder,
        identities: diagnosis.identities,
        images: diagnosis.images,
        readable: diagnosis.readable,
        counts: counts(&rows),
        grave: diagnosis.n_grave(),
        separation: diagnosis.separation,
        html: args.html.as_deref(),
        exit_code: if error.is_some() { Failure::DATA } else { 0 },
        error,
        findings: rows,
    };
    output.result(&text(&told), &told)?;
    told.error.map_or(Ok(()), |error| Err(Failure::told(error)))
}

fn request(args: &DoctorArgs) -> Result<DoctorRequest, Failure> {
    let model = args.model.clone();
    Ok(DoctorRequest {
        folder: args.folder.clone(),
        against: args.against.clone(),
        model: model
            .map(|model| model_source(model, &args.source))
            .transpose()?,
        check: CheckConfig {
            min_side: args.min_side,
            max_bad_share: args.max_bad_share,
            threads: args.source.loader_threads,
        },
        limits: limits(args.source.limits),
        same_below: args.same_below,
        other_above: args.other_above,
    })
}

fn rows(diagnosis: &Diagnosis) -> Vec<Row<'_>> {
    let names = |paths: &[std::path::PathBuf]| -> Vec<String> {
        paths
            .iter()
            .map(|path| path.display().to_string())
            .collect()
    };
    let findings = diagnosis.findings.iter().map(|one| Row {
        kind: one.fault.name(),
        is_grave: one.is_grave,
        identities: &one.identities,
        images: names(&one.images),
        what: &one.what,
        sq_l2: None,
    });
    let suspects = diagnosis.suspects.iter().map(|one| Row {
        kind: one.kind.name(),
        is_grave: one.is_grave,
        identities: &one.identities,
        images: names(&one.images),
        what: &one.what,
        sq_l2: Some(one.sq_l2),
    });
    findings.chain(suspects).collect()
}

fn counts(rows: &[Row<'_>]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row.kind).or_default() += 1;
    }
    counts
}

fn verdict(args: &DoctorArgs, n_grave: usize) -> Option<String> {
    (n_grave > 0).then(|| {
        format!(
            "{}: training on it would be wrong for {n_grave} reason(s), marked with ! in the list; \
             mend or leave out what they name",
            args.folder.display()
        )
    })
}

/// The table of kinds, then what was found, the grave with a mark.
fn text(told: &Told<'_>) -> String {
    let mut text = format!(
        "{}: {} identities, {} images, {} readable\n",
        told.folder.display(),
        told.identities,
        told.images,
        told.readable
    );
    if let Some(separation) = &told.separation {
        let _ = writeln!(text, "{}", measured(separation));
    }
    if told.findings.is_empty() {
        text.push_str("Nothing found\n");
        return text;
    }
    let _ = writeln!(text, "\n{:<16}{:>7}{:>7}", "kind", "found", "grave");
    let kinds: Vec<&[Row<'_>]> = told.findings.chunk_by(|a, b| a.kind == b.kind).collect();
    for rows in &kinds {
        let n_grave = rows.iter().filter(|row| row.is_grave).count();
        let _ = writeln!(text, "{:<16}{:>7}{n_grave:>7}", rows[0].kind, rows.len());
    }
    text.push('\n');
    for rows in kinds {
        list(rows, &mut text);
    }
    text
}

fn measured(separation: &Separation) -> String {
    let doubt = if separation.is_reliable() {
        ""
    } else {
        " (too few for its word to be grave)"
    };
    format!(
        "The model tells {:.1} % of pairs apart{doubt}: {} same, {} different; one person below a \
         median of {:.3}, an outlier from {:.3}",
        100.0 * separation.accuracy,
        separation.same_pairs,
        separation.different_pairs,
        separation.same_below,
        separation.other_above
    )
}

/// The rows of one kind, the grave ones first.
fn list(rows: &[Row<'_>], text: &mut String) {
    let mut rows: Vec<&Row<'_>> = rows.iter().collect();
    rows.sort_by_key(|row| !row.is_grave);
    for row in rows.iter().take(SHOWN) {
        let mark = if row.is_grave { "!" } else { " " };
        let images = row.images.join(", ");
        let _ = writeln!(text, "{mark} {}: {images}: {}", row.kind, row.what);
    }
    if rows.len() > SHOWN {
        let more = rows.len() - SHOWN;
        let _ = writeln!(text, "  {}: {more} more; --json has all", rows[0].kind);
    }
}
