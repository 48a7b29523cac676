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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_pictures_where_there_are_some_and_names_that_are_no_html() {
        let mut pair = HardPair {
            images: ["Ann/<1>.png", "Bob/2.png"].map(str::to_owned),
            sq_l2: 0.25,
            threshold: 0.5,
            fold: 3,
            thumbnails: Vec::new(),
        };
        let html =
            |pair: &HardPair| table(&["Squared L2", "Threshold", "Fold", "Images"], &[row(pair)]);
        let bare = html(&pair);
        for part in ["0.2500", "0.50", "Ann/&lt;1&gt;.png, Bob/2.png"] {
            assert!(bare.contains(part), "{bare} lacks {part}");
        }
        assert!(!bare.contains("<img"), "{bare}");
        pair.thumbnails = vec![vec![1], vec![2]];
        let shown = html(&pair);
        assert_eq!(
            shown.matches("<img src=\"data:image/png;base64,").count(),
            2
        );
        assert!(shown.contains("alt=\"Ann/&lt;1&gt;.png\""), "{shown}");
    }
}
