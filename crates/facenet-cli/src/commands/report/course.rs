//! What the steps of a run logged, as plots.

use facenet_train::{CoursePoint, RunReport, Score};

use crate::page::Page;
use crate::plot::{Axis, Mark, Plot, Series};

/// Writes the plots of all that the run logged.
pub(super) fn write(page: &mut Page, report: &RunReport) {
    let points = &report.course.points;
    page.push("<h2>Course</h2>\n");
    if report.course.steps_per_point > 1 {
        page.push(&format!(
            "<p class=\"note\">Each point is the mean of {} steps.</p>\n",
            report.course.steps_per_point
        ));
    }
    page.push("<div class=\"plots\">\n");
    let mut plots = vec![loss(points), learning_rate(points), shares(points)];
    if points.iter().any(|point| point.d_ap.is_some()) {
        plots.push(distances(points));
    }
    plots.extend([spread(points), gradient(points)]);
    if !report.scores.weights.is_empty() {
        plots.push(scores(&report.scores.weights, &report.scores.average));
    }
    for plot in plots {
        page.push(&plot.html());
    }
    page.push("</div>\n");
}

/// A figure of each point; NaN, which is not drawn, where it has none.
fn series(points: &[CoursePoint], figure: impl Fn(&CoursePoint) -> Option<f64>) -> Vec<(f64, f64)> {
    let place = |point: &CoursePoint| (point.step as f64, figure(point).unwrap_or(f64::NAN));
    points.iter().map(place).collect()
}

fn steps(points: &[CoursePoint]) -> Axis {
    Axis::tight("step", points.iter().map(|point| point.step as f64))
}

fn values(series: &[(f64, f64)]) -> impl Iterator<Item = f64> + '_ {
    series.iter().map(|point| point.1)
}

/// From which value to which, in words.
fn course_of(series: &[(f64, f64)]) -> String {
    let mut known = values(series).filter(|value| value.is_finite());
    let Some(first) = known.next() else {
        return "not logged".to_owned();
    };
    let last = known.last().unwrap_or(first);
    format!("from {} to {}", figure(first), figure(last))
}

/// A number with four digits that count.
fn figure(value: f64) -> String {
    if value == 0.0 || (1e-3..1e4).contains(&value.abs()) {
        return format!("{value:.4}");
    }
    format!("{value:.3e}")
}

fn loss(points: &[CoursePoint]) -> Plot {
    let means = series(points, |point| point.loss);
    let ranges: Vec<_> = points
        .iter()
        .filter_map(|point| Some((point.step as f64, point.loss_range?)))
        .collect();
    let all = ranges.iter().flat_map(|(_, range)| *range);
    Plot {
        title: "Loss".to_owned(),
        description: course_of(&means),
        x: steps(points),
        y: Axis::from_zero("loss with regularisation", all),
        marks: vec![
            Mark::Band {
                style: 0,
                points: ranges,
            },
            Mark::Line(Series::new("loss", 0, means)),
        ],
    }
}

fn learning_rate(points: &[CoursePoint]) -> Plot {
    let rates = series(points, |point| point.learning_rate);
    Plot {
        title: "Learning rate".to_owned(),
        description: course_of(&rates),
        x: steps(points),
        y: Axis::from_zero("learning rate", values(&rates)),
        marks: vec![Mark::Line(Series::new("learning rate", 0, rates))],
    }
}

/// Shares of triplets that still teach, or of images that a classifier names.
fn shares(points: &[CoursePoint]) -> Plot {
    let named = [
        (
            "pairs with a negative when mined",
            series(points, |point| point.mined_active_share),
        ),
        (
            "triplets within the margin at the step",
            series(points, |point| point.active_share),
        ),
        (
            "images that the classifier names",
            series(points, |point| point.accuracy),
        ),
    ];
    let is_known = |series: &Vec<(f64, f64)>| values(series).any(f64::is_finite);
    let known = named
        .into_iter()
        .enumerate()
        .filter(|(_, (_, series))| is_known(series));
    let marks: Vec<_> = known
        .map(|(style, (name, series))| {
            (
                course_of(&series),
                Mark::Line(Series::new(name, style, series)),
            )
        })
        .collect();
    let described: Vec<_> = marks.iter().map(|(text, _)| text.as_str()).collect();
    Plot {
        title: "Active share".to_owned(),
        description: described.join("; "),
        x: steps(points),
        y: Axis::over("share", [0.0, 1.0]),
        marks: marks.into_iter().map(|(_, mark)| mark).collect(),
    }
}

/// Three quantiles of a distance, where a point has them.
type Quantiles = fn(&CoursePoint) -> Option<[f64; 3]>;

fn distances(points: &[CoursePoint]) -> Plot {
    let kinds: [(&str, usize, Quantiles); 2] = [
        ("anchor to positive", 0, |point| point.d_ap),
        ("anchor to negative", 1, |point| point.d_an),
    ];
    let (mut marks, mut texts, mut highest) = (Vec::new(), Vec::new(), Vec::new());
    for (name, style, quantiles) in kinds {
        let known = points
            .iter()
            .filter_map(|point| Some((point.step as f64, quantiles(point)?)));
        let band: Vec<_> = known
            .map(|(step, [low, _, high])| (step, [low, high]))
            .collect();
        highest.extend(band.iter().map(|(_, [_, high])| *high));
        let medians = series(points, |point| {
            quantiles(point).map(|quantiles| quantiles[1])
        });
        texts.push(format!("{name} {}", course_of(&medians)));
        marks.push(Mark::Band {
            style,
            points: band,
        });
        marks.push(Mark::Line(Series::new(name, style, medians)));
    }
    Plot {
        title: "Distances: median, 10 to 90 %".to_owned(),
        description: texts.join("; "),
        x: steps(points),
        y: Axis::from_zero("squared L2", highest),
        marks,
    }
}

fn spread(points: &[CoursePoint]) -> Plot {
    let spreads = series(points, |point| point.spread);
    Plot {
        title: "Spread of the embeddings".to_owned(),
        description: course_of(&spreads),
        x: steps(points),
        y: Axis::over("0 in a point, 1 around the origin", [0.0, 1.0]),
        marks: vec![Mark::Line(Series::new("spread", 0, spreads))],
    }
}

fn gradient(points: &[CoursePoint]) -> Plot {
    let norms = series(points, |point| point.gradient_norm);
    Plot {
        title: "Gradient norm".to_owned(),
        description: course_of(&norms),
        x: steps(points),
        y: Axis::log("L2 norm, before clipping", values(&norms)),
        marks: vec![Mark::Line(Series::new("norm", 0, norms))],
    }
}

/// Accuracy and VAL of the weights and of their average.
fn scores(weights: &[Score], average: &[Score]) -> Plot {
    let accuracy = |score: &Score| score.accuracy;
    let val = |score: &Score| score.val.unwrap_or(f64::NAN);
    let of = |scores: &[Score], figure: fn(&Score) -> f64| -> Vec<(f64, f64)> {
        scores
            .iter()
            .map(|score| (score.step as f64, figure(score)))
            .collect()
    };
    let lines = [
        ("accuracy", of(weights, accuracy)),
        ("accuracy of the moving average", of(average, accuracy)),
        ("VAL", of(weights, val)),
        ("VAL of the moving average", of(average, val)),
    ];
    let marks = lines
        .iter()
        .enumerate()
        .filter(|(_, (_, points))| !points.is_empty());
    Plot {
        title: "Scores while it ran".to_owned(),
        description: format!("accuracy {}", course_of(&lines[0].1)),
        x: Axis::tight("step", weights.iter().map(|score| score.step as f64)),
        y: Axis::over("rate", [0.0, 1.0]),
        marks: marks
            .map(|(style, (name, points))| Mark::Line(Series::new(name, style, points.clone())))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_in_words_passes_over_what_is_no_number() {
        let series = [
            (1.0, f64::NAN),
            (2.0, 0.5),
            (3.0, 12_345.0),
            (4.0, f64::NAN),
        ];
        assert_eq!(course_of(&series), "from 0.5000 to 1.234e4");
        assert_eq!(course_of(&series[..1]), "not logged");
    }

    #[test]
    fn shares_that_were_not_logged_are_not_named() {
        let point = CoursePoint {
            step: 1,
            accuracy: Some(0.5),
            ..CoursePoint::default()
        };
        let html = shares(&[point]).html();
        assert!(
            !html.contains("legend") && html.contains("line s2"),
            "{html}"
        );
        assert!(loss(&[]).html().contains("nothing to draw"));
    }
}
