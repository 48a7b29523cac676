//! Plots as SVG within a page: axes, marks and a legend, coloured by the page's style.
//!
//! A plot is [`WIDTH`] units wide and is shown about as wide in pixels, alone on a narrow window and
//! beside others on a wide one, so that its text has one size everywhere.

mod axis;
mod mark;

use std::fmt::Write as _;

pub(crate) use axis::Axis;
pub(crate) use mark::{Mark, Series, Shape};

use crate::page::escape;

/// Units of a plot, of which one is shown as about a pixel.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 240.0;
/// Edges of the field that marks are drawn in.
const LEFT: f64 = 52.0;
const RIGHT: f64 = WIDTH - 12.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = HEIGHT - 40.0;

/// Colours that are told apart by those who see no red or no green (Okabe and Ito's, darker on light
/// ground), with dashes for those who see none.
pub(crate) const STYLE: &str = ":root{--c0:#0067a5;--c1:#c94f00;--c2:#007a5e;--c3:#a8408f;--c4:#b07800;--c5:#2f93cf;--c6:#333;\
    --dim:#6b6b6b;--grid:#e4e4e4}\
    @media(prefers-color-scheme:dark){:root{--c0:#62b8f0;--c1:#ff9350;--c2:#35c79f;--c3:#e79ad0;--c4:#efbd4a;--c5:#9fb0ff;\
    --c6:#e6e6e6;--dim:#a3a8ae;--grid:#2c3035}}\
    .plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20.5rem),1fr));gap:1.2rem 1.5rem}\
    .plot{margin:0;max-width:30rem;min-width:0}.plot svg.field{display:block;width:100%;height:auto}\
    .plot text{font:12.5px system-ui,sans-serif;fill:var(--text)}.plot .unit{fill:var(--dim)}\
    .plot .grid{stroke:var(--grid);fill:none}.plot .edge{stroke:var(--dim);fill:none}\
    .legend{display:flex;flex-wrap:wrap;gap:.1rem .9rem;margin:.2rem 0 0;padding:0;list-style:none;font-size:.82rem}\
    .legend li{display:flex;align-items:center;gap:.35rem}.key{width:26px;height:12px;flex:none}\
    .line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}.area{stroke:none;fill-opacity:.2}\
    .hollow{fill:var(--back);stroke-width:1.8}.rule{stroke-width:1.4}.others{stroke:var(--dim);stroke-opacity:.45;stroke-width:2.6;\
    stroke-linecap:round;fill:none}\
    .s0{stroke:var(--c0)}.s1{stroke:var(--c1);stroke-dasharray:7 4}.s2{stroke:var(--c2);stroke-dasharray:2 4}\
    .s3{stroke:var(--c3);stroke-dasharray:9 3 2 3}.s6{stroke:var(--c6);stroke-dasharray:4 3}\
    .f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}.f3{fill:var(--c3)}.f4{fill:var(--c4)}.f5{fill:var(--c5)}\
    .f6{fill:var(--c6)}";

/// A plot with its title and legend.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub(crate) title: String,
    /// What it shows, for those who do not see it.
    pub(crate) description: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// Drawn in this order.
    pub(crate) marks: Vec<Mark>,
}

impl Plot {
    /// The plot as a figure of a page; one without anything to draw says so.
    pub(crate) fn html(&self) -> String {
        let (title, description) = (escape(&self.title), escape(&self.description));
        let mut html = format!(
            "<figure class=\"plot\"><figcaption><h3>{title}</h3></figcaption>\n\
             <svg class=\"field\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{title}: {description}\">\n"
        );
        self.draw_axes(&mut html);
        let drawn: Vec<_> = self
            .marks
            .iter()
            .map(|mark| mark.svg(&self.x, &self.y))
            .collect();
        let is_empty = drawn.iter().all(String::is_empty);
        html.extend(drawn);
        if is_empty {
            let (x, y) = (f64::midpoint(LEFT, RIGHT), f64::midpoint(TOP, BOTTOM));
            let _ = writeln!(
                html,
                "<text class=\"unit\" x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">nothing to draw</text>"
            );
        }
        html.push_str("</svg>\n");
        self.write_legend(&mut html);
        html.push_str("</figure>\n");
        html
    }

    /// Grid, ticks and labels; the label of y stands above its axis, where it need not be turned.
    fn draw_axes(&self, svg: &mut String) {
        let (mut grid, mut texts) = (String::new(), String::new());
        for (place, label) in self.x.ticks() {
            let x = across(place);
            let _ = write!(grid, "M{} {TOP}V{BOTTOM}", short(x));
            let _ = writeln!(
                texts,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                short(x),
                BOTTOM + 16.0
            );
        }
        for (place, label) in self.y.ticks() {
            let y = up(place);
            let _ = write!(grid, "M{LEFT} {}H{RIGHT}", short(y));
            let _ = writeln!(
                texts,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>",
                LEFT - 6.0,
                short(y + 4.0)
            );
        }
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"{grid}\"/><path class=\"edge\" d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\"/>\n{texts}\
             <text class=\"unit\" x=\"2\" y=\"12\">{}</text>\
             <text class=\"unit\" x=\"{RIGHT}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            escape(&self.y.label),
            HEIGHT - 6.0,
            escape(&self.x.label)
        );
    }

    /// One entry a name, with what it looks like; none where there is nothing to tell apart.
    fn write_legend(&self, html: &mut String) {
        let mut names: Vec<&str> = Vec::new();
        let named = self.marks.iter().filter_map(Mark::legend);
        let entries: Vec<_> = named
            .filter(|(name, _)| {
                let is_new = !names.contains(name);
                names.push(name);
                is_new
            })
            .collect();
        if entries.len() < 2 {
            return;
        }
        html.push_str("<ul class=\"legend\">");
        for (name, key) in entries {
            let _ = write!(
                html,
                "<li><svg class=\"key\" viewBox=\"0 0 26 12\" aria-hidden=\"true\">{key}</svg>{}</li>",
                escape(name)
            );
        }
        html.push_str("</ul>\n");
    }
}

/// From a share of the field's width to units from the left.
fn across(place: f64) -> f64 {
    LEFT + place * (RIGHT - LEFT)
}

/// From a share of the field's height to units from the top.
fn up(place: f64) -> f64 {
    BOTTOM - place * (BOTTOM - TOP)
}

/// A place with the digits that are seen.
fn short(units: f64) -> String {
    let text = format!("{units:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, f64)>) -> String {
        let ys = points.iter().map(|point| point.1);
        let xs = points.iter().map(|point| point.0);
        let plot = Plot {
            title: "Loss <of> steps".to_owned(),
            description: "falls".to_owned(),
            x: Axis::tight("step", xs),
            y: Axis::from_zero("loss", ys),
            marks: vec![Mark::Line(Series::new("loss", 0, points))],
        };
        plot.html()
    }

    #[test]
    fn a_line_runs_through_its_points_within_the_field() {
        let html = plot(vec![(0.0, 0.0), (10.0, 1.0)]);
        assert!(html.contains("d=\"M52 200L348 24\""), "{html}");
        assert!(
            html.contains("aria-label=\"Loss &lt;of&gt; steps: falls\""),
            "{html}"
        );
        assert!(!html.contains("legend"), "one line needs none");
    }

    #[test]
    fn nothing_one_point_and_a_constant_are_plots_too() {
        for points in [
            vec![],
            vec![(3.0, f64::NAN)],
            vec![(3.0, 0.5)],
            vec![(1.0, 0.5), (2.0, 0.5)],
            vec![(1.0, 0.0), (2.0, 0.0)],
        ] {
            let is_empty = points.iter().all(|point| point.1.is_nan());
            let html = plot(points);
            assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
            assert_eq!(html.contains("nothing to draw"), is_empty, "{html}");
        }
    }

    #[test]
    fn the_legend_names_each_kind_once() {
        let line = |name: &str, style| Mark::Line(Series::new(name, style, vec![(0.0, 0.0)]));
        let plot = Plot {
            title: String::new(),
            description: String::new(),
            x: Axis::over("", [0.0]),
            y: Axis::over("", [0.0]),
            marks: vec![line("a & b", 0), line("c", 1), line("c", 1), line("", 2)],
        };
        let html = plot.html();
        assert_eq!(html.matches("<li>").count(), 2, "{html}");
        assert!(html.contains("a &amp; b"), "{html}");
    }
}
