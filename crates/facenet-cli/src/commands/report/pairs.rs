//! The pairs that a model is most wrong about.

use facenet_train::{HardPair, HeldOut};

use super::tables::{Cell, table};
use crate::page::{Page, data_uri, escape};

/// Writes both kinds.
pub(super) fn write(page: &mut Page, held_out: &HeldOut) {
    let hardest = &held_out.hardest;
    let kinds = [
        (
            "Hardest false accepts",
            "two people taken for one",
            hardest.n_false_accepts,
            &hardest.false_accepts,
        ),
        (
            "Hardest false rejects",
            "one person taken for two",
            hardest.n_false_rejects,
            &hardest.false_rejects,
        ),
    ];
    for (title, what, n_wrong, pairs) in kinds {
        page.push(&format!("<h3>{title}</h3>\n"));
        if pairs.is_empty() {
            page.push("<p class=\"note\">None.</p>\n");
            continue;
        }
        page.push(&format!(
            "<p class=\"note\">{} of {n_wrong}, {what}; the furthest beyond its threshold first.</p>\n",
            pairs.len()
        ));
        let rows: Vec<_> = pairs.iter().map(row).collect();
        page.push(&table(
            &["Squared L2", "Threshold", "Fold", "Images"],
            &rows,
        ));
    }
}

fn row(pair: &HardPair) -> Vec<Cell> {
    let pictures = pair
        .thumbnails
        .iter()
        .zip(&pair.images)
        .map(|(bytes, name)| {
            let uri = data_uri("image/png", bytes);
            format!("<img src=\"{uri}\" alt=\"{}\">", escape(name))
        });
    let names = pair
        .images
        .iter()
        .map(|name| escape(name))
        .collect::<Vec<_>>()
        .join(", ");
    vec![
        Cell::figure(format!("{:.4}", pair.sq_l2)),
        Cell::figure(format!("{:.2}", pair.threshold)),
        Cell::figure(pair.fold.to_string()),
        Cell::html(pictures.collect::<String>() + &names),
    ]
}
