//! What is drawn in a plot's field.

use std::fmt::Write as _;

use super::axis::Axis;
use super::{BOTTOM, TOP, across, short, up};
use crate::page::escape;

/// Values with a name and a style.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// In the legend; nothing where it is empty.
    name: String,
    /// Number of colour and dashes.
    style: usize,
    points: Vec<(f64, f64)>,
}

/// A mark. Values without a place on the axes, such as NaN, are left out: a line is broken there.
#[derive(Clone, Debug)]
pub(crate) enum Mark {
    /// Straight from point to point.
    Line(Series),
    /// A step function: each value holds up to the next point.
    Steps(Series),
    /// Between a lower and an upper value at each x.
    Band {
        style: usize,
        points: Vec<(f64, [f64; 2])>,
    },
    /// Counts over bins of one width that begin at 0, as a filled outline.
    Bins { series: Series, width: f64 },
    /// Points, each with what is told where it is pointed at.
    Dots {
        series: Series,
        told: Vec<String>,
        is_hollow: bool,
    },
    /// A vertical line.
    Rule { name: String, style: usize, x: f64 },
    /// Points of one kind among many, by colour and shape.
    Crowd { series: Series, shape: Shape },
    /// Points that are the ground for others.
    Ground(Series),
}

/// How a point of a crowd looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Circle,
    Square,
    Triangle,
}

impl Series {
    pub(crate) fn new(name: &str, style: usize, points: Vec<(f64, f64)>) -> Self {
        Self {
            name: name.to_owned(),
            style,
            points,
        }
    }

    /// Places in the field, `None` where a value has none.
    fn places<'a>(
        &'a self,
        x: &'a Axis,
        y: &'a Axis,
    ) -> impl Iterator<Item = Option<(f64, f64)>> + 'a {
        let points = self.points.iter();
        points.map(|point| Some((across(x.place(point.0)?), up(y.place(point.1)?))))
    }
}

impl Mark {
    /// As elements of SVG; empty where nothing has a place.
    pub(super) fn svg(&self, x: &Axis, y: &Axis) -> String {
        match self {
            Self::Line(series) => path("line s", series.style, &line(series, x, y, false)),
            Self::Steps(series) => path("line s", series.style, &line(series, x, y, true)),
            Self::Band { style, points } => path("area f", *style, &band(points, x, y)),
            Self::Bins { series, width } => {
                let outline = bins(series, *width, x, y);
                let area = path("area f", series.style, &closed(&outline));
                area + &path("line s", series.style, &outline)
            }
            Self::Dots {
                series,
                told,
                is_hollow,
            } => dots(series, told, *is_hollow, x, y),
            Self::Rule { style, x: at, .. } => rule(*at, *style, x),
            Self::Crowd { series, shape } => crowd(series, *shape, x, y),
            Self::Ground(series) => ground(series, x, y),
        }
    }

    /// Name and look for the legend.
    pub(super) fn legend(&self) -> Option<(&str, String)> {
        let middle = "M2 6H24";
        let (name, key) = match self {
            Self::Line(series) | Self::Steps(series) => {
                (&series.name, path("line s", series.style, middle))
            }
            Self::Bins { series, .. } => {
                let area = path("area f", series.style, "M2 11V3H24V11z");
                (
                    &series.name,
                    area + &path("line s", series.style, "M2 11V3H24V11"),
                )
            }
            Self::Dots {
                series, is_hollow, ..
            } => (&series.name, dot(series.style, (13.0, 6.0), *is_hollow, "")),
            Self::Rule { name, style, .. } => (name, path("rule s", *style, middle)),
            Self::Crowd { series, shape } => (
                &series.name,
                path("f", series.style, &shape.at((13.0, 6.0))),
            ),
            Self::Ground(series) => (
                &series.name,
                "<path class=\"others\" d=\"M9 6h0M17 6h0\"/>".to_owned(),
            ),
            Self::Band { .. } => return None,
        };
        (!name.is_empty()).then_some((name.as_str(), key))
    }
}

impl Shape {
    /// All of them, in the order that they are given out.
    pub(crate) const ALL: [Self; 3] = [Self::Circle, Self::Square, Self::Triangle];

    /// A path around a place.
    fn at(self, (x, y): (f64, f64)) -> String {
        let from = |dx: f64, dy: f64| format!("M{} {}", short(x + dx), short(y + dy));
        match self {
            Self::Circle => from(-3.0, 0.0) + "a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
            Self::Square => from(-2.7, -2.7) + "h5.4v5.4h-5.4z",
            Self::Triangle => from(0.0, -3.6) + "l3.4 6h-6.8z",
        }
    }
}

/// A path of a class with a style's number behind it; nothing of no data.
fn path(class: &str, style: usize, data: &str) -> String {
    if data.is_empty() {
        return String::new();
    }
    format!("<path class=\"{class}{style}\" d=\"{data}\"/>\n")
}

/// A line, broken where a point has no place; a point alone is a dot as wide as the line.
fn line(series: &Series, x: &Axis, y: &Axis, is_step: bool) -> String {
    let mut data = String::new();
    let places: Vec<_> = series.places(x, y).collect();
    for piece in places.split(Option::is_none) {
        for (i, (x, y)) in piece.iter().flatten().enumerate() {
            let (x, y) = (short(*x), short(*y));
            let _ = match i {
                0 => write!(data, "M{x} {y}"),
                _ if is_step => write!(data, "H{x}V{y}"),
                _ => write!(data, "L{x} {y}"),
            };
        }
        if piece.len() == 1 {
            data.push_str("h0");
        }
    }
    data
}

/// Along the upper values and back along the lower ones.
fn band(points: &[(f64, [f64; 2])], x: &Axis, y: &Axis) -> String {
    let place = |at: f64, value: f64| Some((across(x.place(at)?), up(y.place(value)?)));
    let places = points
        .iter()
        .filter_map(|&(at, [low, high])| Some([place(at, low)?, place(at, high)?]));
    let places: Vec<_> = places.collect();
    let around = places
        .iter()
        .map(|ends| ends[1])
        .chain(places.iter().rev().map(|ends| ends[0]));
    let corners: Vec<_> = around
        .map(|(x, y)| format!("{} {}", short(x), short(y)))
        .collect();
    if corners.is_empty() {
        return String::new();
    }
    format!("M{}z", corners.join("L"))
}

/// Along the tops of the bins, from the ground and back to it; bins beyond the axis are left out.
///
/// - `series`: number and value of each bin
fn bins(series: &Series, width: f64, x: &Axis, y: &Axis) -> String {
    let mut data = String::new();
    for &(bin, value) in &series.points {
        let (Some(from), Some(to)) = (x.place(bin * width), x.place((bin + 1.0) * width)) else {
            continue;
        };
        let Some(top) = y.place(value).filter(|_| from < to) else {
            continue;
        };
        if data.is_empty() {
            let _ = write!(data, "M{} {BOTTOM}", short(across(from)));
        }
        let _ = write!(data, "V{}H{}", short(up(top)), short(across(to)));
    }
    if !data.is_empty() {
        let _ = write!(data, "V{BOTTOM}");
    }
    data
}

fn closed(data: &str) -> String {
    if data.is_empty() {
        return String::new();
    }
    format!("{data}z")
}

fn dots(series: &Series, told: &[String], is_hollow: bool, x: &Axis, y: &Axis) -> String {
    let texts = told.iter().map(String::as_str).chain(std::iter::repeat(""));
    let places = series.places(x, y).zip(texts);
    let drawn = places.filter_map(|(place, text)| Some(dot(series.style, place?, is_hollow, text)));
    drawn.collect()
}

fn dot(style: usize, (x, y): (f64, f64), is_hollow: bool, told: &str) -> String {
    let class = if is_hollow {
        format!("hollow s{style}")
    } else {
        format!("f{style}")
    };
    let (x, y) = (short(x), short(y));
    let title = if told.is_empty() {
        String::new()
    } else {
        format!("<title>{}</title>", escape(told))
    };
    format!("<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"4\">{title}</circle>\n")
}

fn rule(at: f64, style: usize, x: &Axis) -> String {
    let place = x.place(at).map(|place| short(across(place)));
    let data = place.map(|x| format!("M{x} {TOP}V{BOTTOM}"));
    path("rule s", style, &data.unwrap_or_default())
}

/// Points as wide as a line, which need few letters each.
fn ground(series: &Series, x: &Axis, y: &Axis) -> String {
    let mut data = String::new();
    for (x, y) in series.places(x, y).flatten() {
        let _ = write!(data, "M{} {}h0", short(x), short(y));
    }
    if data.is_empty() {
        return data;
    }
    format!("<path class=\"others\" d=\"{data}\"/>\n")
}

fn crowd(series: &Series, shape: Shape, x: &Axis, y: &Axis) -> String {
    let data: String = series
        .places(x, y)
        .flatten()
        .map(|place| shape.at(place))
        .collect();
    if data.is_empty() {
        return data;
    }
    let (style, name) = (series.style, escape(&series.name));
    format!("<path class=\"f{style}\" d=\"{data}\"><title>{name}</title></path>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::axis::Scale;

    fn axes() -> (Axis, Axis) {
        let axis = || Axis::fixed("", Scale::Linear, 0.0, 1.0);
        (axis(), axis())
    }

    fn drawn(mark: &Mark) -> String {
        let (x, y) = axes();
        mark.svg(&x, &y)
    }

    #[test]
    fn a_line_is_broken_where_there_is_no_number() {
        let points = vec![(0.0, 0.0), (0.5, f64::NAN), (0.75, 1.0), (1.0, 0.0)];
        let found = drawn(&Mark::Line(Series::new("", 1, points.clone())));
        assert!(found.contains("class=\"line s1\""), "{found}");
        assert!(found.contains("d=\"M52 200h0M274 24L348 200\""), "{found}");
        let found = drawn(&Mark::Steps(Series::new("", 1, points)));
        assert!(found.contains("M274 24H348V200"), "{found}");
    }

    #[test]
    fn bins_stand_on_the_ground() {
        let series = Series::new("", 0, vec![(0.0, 0.5), (1.0, 1.0), (2.0, 0.7)]);
        let found = drawn(&Mark::Bins { series, width: 0.5 });
        let outline = "M52 200V112H200V24H348V200";
        assert_eq!(found.matches(outline).count(), 2, "area and line: {found}");
    }

    #[test]
    fn a_band_goes_up_one_side_and_down_the_other() {
        let points = vec![(0.0, [0.0, 0.5]), (1.0, [0.5, 1.0])];
        let found = drawn(&Mark::Band { style: 2, points });
        assert!(
            found.contains("class=\"area f2\" d=\"M52 112L348 24L348 112L52 200z\""),
            "{found}"
        );
    }

    #[test]
    fn marks_without_a_place_are_nothing() {
        let nothing = || Series::new("", 0, vec![(f64::NAN, 1.0)]);
        let marks = [
            Mark::Line(nothing()),
            Mark::Bins {
                series: nothing(),
                width: 1.0,
            },
            Mark::Band {
                style: 0,
                points: vec![(0.0, [f64::NAN, 1.0])],
            },
            Mark::Dots {
                series: nothing(),
                told: vec![],
                is_hollow: false,
            },
            Mark::Rule {
                name: String::new(),
                style: 0,
                x: f64::NAN,
            },
            Mark::Crowd {
                series: nothing(),
                shape: Shape::Circle,
            },
            Mark::Ground(nothing()),
        ];
        for mark in marks {
            assert_eq!(drawn(&mark), "", "{mark:?}");
        }
    }

    #[test]
    fn what_is_told_is_no_html() {
        let series = Series::new("", 0, vec![(0.5, 0.5)]);
        let told = vec!["a < b".to_owned()];
        let found = drawn(&Mark::Dots {
            series,
            told,
            is_hollow: true,
        });
        assert!(found.contains("class=\"hollow s0\"") && found.contains("<title>a &lt; b</title>"));
    }
}
