//! A real browser without a window, driven by its command line: what it makes of a page.

use std::path::{Path, PathBuf};
use std::process::Command;

use facenet_train::dataset::{DecodeLimits, Rgb8, decode_file};
use serde::Deserialize;

use crate::support::Scratch;

/// Programs that are looked for.
const NAMES: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
];
/// Higher than any page of a test, in pixels, so that a picture has all of it.
const HEIGHT: u32 = 8_000;
/// Difference of a pixel's channels from which it is a colour: text and grid are grey.
const COLOURED: u8 = 50;

/// Behind a frame with a copy of the page, whose own policy forbids scripts; a window is not made as
/// narrow as a frame can be.
const MEASURE: &str = "<pre id=\"measured\"></pre><script>
    const frame = document.querySelector('iframe');
    frame.onload = () => {
        const page = frame.contentDocument, view = frame.contentWindow;
        const plots = [...page.querySelectorAll('svg.field')].map(svg => {
            const box = svg.getBoundingClientRect();
            const scale = box.width / svg.viewBox.baseVal.width;
            const size = text => parseFloat(view.getComputedStyle(text).fontSize) * scale;
            const texts = [...svg.querySelectorAll('text')];
            const smallest_text = Math.min(...texts.map(size));
            const edges = texts.map(text => text.getBoundingClientRect());
            const overhang = Math.max(...edges.flatMap(edge => [box.left - edge.left, edge.right - box.right]));
            const title = svg.closest('figure').querySelector('h3').textContent;
            return {title, x: box.x, y: box.y, width: box.width, height: box.height, smallest_text, overhang};
        });
        const content = page.documentElement.scrollWidth;
        const measured = {window: view.innerWidth, content, plots};
        document.getElementById('measured').textContent = JSON.stringify(measured);
        console.error('the page was measured');
    };
    </script>";

/// A browser, and the folder that its pages lie in.
pub(crate) struct Browser<'a> {
    program: PathBuf,
    scratch: &'a Scratch,
}

/// How a page looks.
#[derive(Debug, Deserialize)]
pub(crate) struct Seen {
    /// Width of the window's inside, in pixels.
    pub(crate) window: u32,
    /// Width of what is in it.
    pub(crate) content: u32,
    pub(crate) plots: Vec<SeenPlot>,
}

/// How a plot looks; lengths in pixels.
#[derive(Debug, Deserialize)]
pub(crate) struct SeenPlot {
    pub(crate) title: String,
    x: f64,
    y: f64,
    pub(crate) width: f64,
    height: f64,
    /// Size of the font.
    pub(crate) smallest_text: f64,
    /// How far a text goes beyond the plot's left or right edge, where it is cut off; below zero where
    /// none does.
    pub(crate) overhang: f64,
    /// Coloured pixels.
    #[serde(default)]
    pub(crate) ink: usize,
}

impl<'a> Browser<'a> {
    /// The program that `FACENET_BROWSER` names, or one on the path.
    pub(crate) fn find(scratch: &'a Scratch) -> Option<Self> {
        let named = std::env::var_os("FACENET_BROWSER").map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = || {
            let folders = std::env::split_paths(&path);
            let programs = folders.flat_map(|folder| NAMES.map(|name| folder.join(name)));
            programs.into_iter().find(|program| program.is_file())
        };
        let program = named.or_else(on_path)?;
        Some(Self { program, scratch })
    }

    /// Opens a page as it is, which must not complain, and measures a copy of it.
    #[track_caller]
    pub(crate) fn look(&self, page: &str, width: u32) -> Seen {
        let html = self.scratch.read(page);
        let copy = format!("measured-{page}");
        self.scratch.write(&copy, framed(&html, width) + MEASURE);
        let (dom, complaints) = self.open(&copy, width, "--dump-dom");
        assert!(
            complaints.contains("CONSOLE") && complaints.contains("the page was measured"),
            "the browser does not tell what a page writes to its console: {complaints}"
        );
        let measured = dom
            .split_once("<pre id=\"measured\">")
            .and_then(|(_, rest)| rest.split_once("</pre>"));
        let (json, _) = measured.unwrap_or_else(|| panic!("nothing was measured: {complaints}"));
        let mut seen: Seen =
            serde_json::from_str(&json.replace("&amp;", "&")).expect("as the script writes it");
        let picture = self.scratch.path("page.png");
        let (_, complaints) =
            self.open(page, width, &format!("--screenshot={}", picture.display()));
        assert!(!complaints.contains("CONSOLE"), "{complaints}");
        let picture =
            decode_file(&picture, &DecodeLimits::default()).expect("a picture of the page");
        assert_eq!(picture.width, width as usize);
        for plot in &mut seen.plots {
            plot.ink = ink(&picture, plot);
        }
        seen
    }

    /// What the browser prints and what it complains of.
    fn open(&self, page: &str, width: u32, what: &str) -> (String, String) {
        let url = format!("file://{}", absolute(&self.scratch.path(page)).display());
        let profile = format!("--user-data-dir={}", self.scratch.path("profile").display());
        let window = format!("--window-size={width},{HEIGHT}");
        let flags = [
            "--headless=new",
            "--disable-gpu",
            "--no-sandbox",
            "--no-first-run",
            "--disable-extensions",
            "--force-device-scale-factor=1",
            "--enable-logging=stderr",
        ];
        let output = Command::new(&self.program)
            .args(flags)
            .args([profile.as_str(), window.as_str(), what, url.as_str()])
            .output()
            .expect("the browser starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    }
}

/// The page in a frame as wide as a window would be, without the line that forbids scripts.
fn framed(html: &str, width: u32) -> String {
    let lines = html
        .lines()
        .filter(|line| !line.contains("Content-Security-Policy"));
    let page = lines.collect::<Vec<_>>().join("\n");
    let page = page.replace('&', "&amp;").replace('"', "&quot;");
    format!(
        "<!DOCTYPE html><meta charset=\"utf-8\"><style>body{{margin:0}}iframe{{border:0;width:{width}px;\
         height:{HEIGHT}px}}</style><iframe srcdoc=\"{page}\"></iframe>"
    )
}

fn absolute(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).expect("just written")
}

/// Coloured pixels within a plot.
fn ink(picture: &Rgb8, plot: &SeenPlot) -> usize {
    let within = |from: f64, length: f64, end: usize| {
        (from.max(0.0) as usize).min(end)..((from + length) as usize).min(end)
    };
    let columns = within(plot.x, plot.width, picture.width);
    let rows = within(plot.y, plot.height, picture.height);
    let is_coloured = |x: usize, y: usize| {
        let pixel = &picture.pixels[3 * (y * picture.width + x)..][..3];
        let (least, most) = (pixel.iter().min(), pixel.iter().max());
        least
            .zip(most)
            .is_some_and(|(least, most)| most - least >= COLOURED)
    };
    rows.flat_map(|y| columns.clone().map(move |x| (x, y)))
        .filter(|&(x, y)| is_coloured(x, y))
        .count()
}
