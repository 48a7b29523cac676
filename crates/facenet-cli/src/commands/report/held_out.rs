//! A model of the run on people whom it was not trained on: plots and tables.

use facenet_train::lfw::ERRORS_WANTED;
use facenet_train::{FarPoint, HeldOut, Projection};

use super::pairs;
use super::tables::{Cell, table};
use crate::page::{Page, escape};
use crate::plot::{Axis, Mark, Plot, Series, Shape};

/// Colours that points of people are given, each in every shape.
const COLOURS: usize = 7;

/// Writes what there is.
pub(super) fn write(page: &mut Page, held_out: &HeldOut) {
    page.push("<h2>Held-out people</h2>\n");
    page.push(&format!(
        "<p class=\"note\">{}</p>\n",
        escape(&introduction(held_out))
    ));
    page.push("<div class=\"plots\">\n");
    page.push(&roc(held_out).html());
    page.push(&histogram(held_out).html());
    if let Some(projection) = &held_out.projection {
        page.push(&projected(projection).html());
    }
    page.push("</div>\n");
    page.push("<h3>Validation rate at round false accept rates</h3>\n");
    page.push(&far_table(&held_out.far_points));
    page.push("<h3>Folds</h3>\n");
    page.push(&fold_table(held_out));
    pairs::write(page, held_out);
}

/// Which model on what, and what to make of it.
fn introduction(held_out: &HeldOut) -> String {
    let steps = held_out.model_steps;
    let steps = steps.map_or(String::new(), |steps| format!(", after {steps} steps"));
    let flattered = if held_out.is_chosen_by_score {
        " The model was kept for its score on these very pairs, which flatters it a little here."
    } else {
        ""
    };
    let missing = match held_out.missing_pairs {
        0 => String::new(),
        n => format!(" {n} pairs are left out for want of an image: this is not an LFW result."),
    };
    format!(
        "Model {}{steps}. {}. A pair is accepted below its fold's threshold, which comes from the other \
         folds.{flattered}{missing}",
        held_out.model.display(),
        held_out.report.validation_line()
    )
}

fn roc(held_out: &HeldOut) -> Plot {
    let curve = &held_out.curve;
    // FAR 0 has no place on the axis: the curve begins at the left edge.
    let lowest = curve.iter().map(|point| point.far).find(|&far| far > 0.0);
    let x = Axis::log(
        "FAR, logarithmic",
        lowest.into_iter().map(|far| far / 2.0).chain([1.0]),
    );
    let points = curve
        .iter()
        .map(|point| (point.far.max(x.low()), point.val));
    let measured = held_out
        .far_points
        .iter()
        .filter_map(|one| one.point.as_ref());
    let (mut dots, mut told) = (Vec::new(), Vec::new());
    for point in measured {
        let val = point.val.unwrap_or(f64::NAN);
        dots.push((point.far_target, val));
        told.push(format!("VAL {val:.4} at FAR {}", point.far_target));
    }
    let described = if told.is_empty() {
        "the people support no round FAR".to_owned()
    } else {
        told.join("; ")
    };
    Plot {
        title: "ROC".to_owned(),
        description: described,
        y: Axis::over("VAL", [0.0, 1.0]),
        marks: vec![
            Mark::Steps(Series::new("all pairs", 0, points.collect())),
            Mark::Dots {
                series: Series::new("FAR points", 1, dots),
                told,
                is_hollow: false,
            },
            Mark::Rule {
                name: "too few people for a FAR to its left".to_owned(),
                style: 6,
                x: ERRORS_WANTED / held_out.people_pairs.max(1) as f64,
            },
        ],
        x,
    }
}

/// Shares of either kind of pair, over the bins that are not empty.
fn histogram(held_out: &HeldOut) -> Plot {
    let histogram = &held_out.histogram;
    let kinds = [
        ("same", 0, &histogram.same),
        ("different", 1, &histogram.different),
    ];
    let n_bins = |counts: &Vec<u64>| {
        counts
            .iter()
            .rposition(|&n| n > 0)
            .map_or(0, |last| last + 1)
    };
    let last = kinds
        .iter()
        .map(|(_, _, counts)| n_bins(counts))
        .max()
        .unwrap_or(0)
        .max(1);
    let shares = |counts: &Vec<u64>| -> Vec<(f64, f64)> {
        let all = counts.iter().sum::<u64>().max(1) as f64;
        let bins = counts.iter().take(last).enumerate();
        bins.map(|(bin, &n)| (bin as f64, n as f64 / all)).collect()
    };
    let mut marks: Vec<_> = kinds
        .iter()
        .map(|(name, style, counts)| Mark::Bins {
            series: Series::new(name, *style, shares(counts)),
            width: histogram.width,
        })
        .collect();
    let highest: Vec<_> = kinds
        .iter()
        .flat_map(|kind| shares(kind.2))
        .map(|(_, share)| share)
        .collect();
    let threshold = held_out.threshold;
    marks.push(Mark::Rule {
        name: format!("threshold {threshold:.2}"),
        style: 6,
        x: threshold,
    });
    Plot {
        title: "Distances of pairs".to_owned(),
        description: format!("shares of same and different pairs; threshold {threshold:.2}"),
        x: Axis::from_zero("squared L2", [last as f64 * histogram.width]),
        y: Axis::from_zero("share of its kind", highest),
        marks,
    }
}

fn projected(projection: &Projection) -> Plot {
    let of = |person: Option<usize>| -> Vec<(f64, f64)> {
        let points = projection
            .points
            .iter()
            .filter(|point| point.person == person);
        points.map(|point| (point.x, point.y)).collect()
    };
    let mut marks = vec![Mark::Ground(Series::new("others", 0, of(None)))];
    for (i, name) in projection.people.iter().enumerate() {
        marks.push(Mark::Crowd {
            series: Series::new(name, i % COLOURS, of(Some(i))),
            shape: Shape::ALL[i / COLOURS % Shape::ALL.len()],
        });
    }
    let [first, second] = projection.explained.map(|share| 100.0 * share);
    let axis = |label: String, value: fn(&(f64, f64)) -> f64| {
        let all = projection
            .points
            .iter()
            .map(|point| value(&(point.x, point.y)));
        Axis::over(&label, all)
    };
    Plot {
        title: "Embeddings, principal components".to_owned(),
        description: format!(
            "{} images of the {} people with the most, and others; {:.1} % of the variance",
            projection
                .points
                .iter()
                .filter(|point| point.person.is_some())
                .count(),
            projection.people.len(),
            first + second
        ),
        x: axis(format!("first, {first:.1} % of the variance"), |point| {
            point.0
        }),
        y: axis(format!("second, {second:.1} %"), |point| point.1),
        marks,
    }
}

fn far_table(points: &[FarPoint]) -> String {
    let row = |one: &FarPoint| {
        let target = Cell::figure(one.far_target.to_string());
        let Some(point) = &one.point else {
            let refusal = one.refusal.as_deref().unwrap_or_default();
            let none = || Cell::figure("–");
            return vec![
                target,
                Cell::figure("undefined"),
                none(),
                none(),
                Cell::wrapped(refusal),
            ];
        };
        let with =
            |value: f64, [low, high]: [f64; 2]| format!("{value:.4} ({low:.4} to {high:.4})");
        let val = point
            .val
            .zip(point.val_interval)
            .map_or("undefined".to_owned(), |(val, interval)| {
                with(val, interval)
            });
        vec![
            target,
            Cell::figure(val),
            Cell::figure(with(point.far, point.far_interval)),
            Cell::figure(format!("{:.4}", point.threshold)),
            Cell::wrapped(&format!(
                "{} of {} different pairs accepted",
                point.accepted_different, point.n_different
            )),
        ]
    };
    let rows: Vec<_> = points.iter().map(row).collect();
    table(
        &[
            "FAR asked for",
            "VAL (95 %)",
            "FAR measured (95 %)",
            "Squared L2",
            "Evidence",
        ],
        &rows,
    )
}

fn fold_table(held_out: &HeldOut) -> String {
    let report = &held_out.report;
    let rate = |rate: Option<f64>| rate.map_or("undefined".to_owned(), |rate| format!("{rate:.4}"));
    let row = |(i, fold): (usize, &u32)| {
        vec![
            Cell::figure(fold.to_string()),
            Cell::figure(format!("{:.4}", report.accuracy[i])),
            Cell::figure(format!("{:.2}", report.best_thresholds[i])),
            Cell::figure(rate(report.val_per_fold[i])),
            Cell::figure(rate(report.far_per_fold[i])),
            Cell::figure(format!("{:.3}", report.val_thresholds[i])),
        ]
    };
    let rows: Vec<_> = report.folds.iter().enumerate().map(row).collect();
    let columns = [
        "Fold",
        "Accuracy",
        "at squared L2",
        "VAL",
        "FAR",
        "at squared L2",
    ];
    table(&columns, &rows)
}
