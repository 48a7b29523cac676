//! The page of suspects: one file, thumbnails within it.

use std::fmt::Write as _;
use std::path::Path;

use facenet_train::dataset::{DecodeLimits, decode_file, thumbnail};

use super::Row;
use crate::failure::Failure;
use crate::page::{Page, data_uri, escape};

/// Findings on the page; a page of more is no longer looked through.
const MAX_FINDINGS: usize = 500;
/// Pictures of a finding.
const MAX_IMAGES: usize = 4;
/// Longer side of a thumbnail, in pixels.
const SIDE: usize = 96;

const STYLE: &str = ".finding{border-top:1px solid var(--line);padding:.6rem 0}\
    .finding img{width:96px;height:96px;object-fit:contain;background:var(--line);margin:0 .4rem .4rem 0}\
    .grave h3{color:var(--bad)}figure{display:inline-block;margin:0;max-width:16rem;vertical-align:top}\
    figcaption{font-size:.8rem;overflow-wrap:anywhere}";

/// Writes the page; a file of that name is replaced.
pub(super) fn write(
    file: &Path,
    folder: &Path,
    rows: &[Row<'_>],
    limits: DecodeLimits,
) -> Result<(), Failure> {
    let mut page = Page::new(&format!("Suspects in {}", folder.display()), STYLE);
    let n_grave = rows.iter().filter(|row| row.is_grave).count();
    let shown = rows.len().min(MAX_FINDINGS);
    page.paragraph(&format!(
        "{} found, {n_grave} of them grave; {shown} shown, the grave ones first. \
         Whoever gets this page gets the pictures on it.",
        rows.len()
    ));
    let mut order: Vec<&Row<'_>> = rows.iter().collect();
    order.sort_by_key(|row| !row.is_grave);
    for row in order.into_iter().take(MAX_FINDINGS) {
        page.push(&finding(row, limits));
    }
    page.write(file)
}

fn finding(row: &Row<'_>, limits: DecodeLimits) -> String {
    let class = if row.is_grave {
        "finding grave"
    } else {
        "finding"
    };
    let names = row.identities.join(", ");
    let title = if names.is_empty() {
        row.kind.to_owned()
    } else {
        format!("{}: {names}", row.kind)
    };
    let mut html = format!(
        "<section class=\"{class}\"><h3>{}</h3><p>{}</p>\n",
        escape(&title),
        escape(row.what)
    );
    for path in row.images.iter().take(MAX_IMAGES) {
        let _ = writeln!(html, "{}", figure(path, limits));
    }
    if row.images.len() > MAX_IMAGES {
        let _ = writeln!(html, "<p>and {} more</p>", row.images.len() - MAX_IMAGES);
    }
    html.push_str("</section>\n");
    html
}

/// The path, below its picture where there is one.
fn figure(path: &str, limits: DecodeLimits) -> String {
    let path_text = escape(path);
    let image = small(Path::new(path), limits).map_or(String::new(), |bytes| {
        let uri = data_uri("image/png", &bytes);
        format!("<img src=\"{uri}\" alt=\"{path_text}\">")
    });
    format!("<figure>{image}<figcaption>{path_text}</figcaption></figure>")
}

/// A small PNG; `None` of what is no readable image, which the text says already.
fn small(path: &Path, limits: DecodeLimits) -> Option<Vec<u8>> {
    thumbnail(&decode_file(path, &limits).ok()?, SIDE).ok()
}
