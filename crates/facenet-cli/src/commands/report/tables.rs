//! Tables that scroll in a box of their own where a window is narrow.

use crate::page::escape;

/// A cell, as HTML.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    class: &'static str,
    html: String,
}

impl Cell {
    /// A figure.
    pub(super) fn figure(text: impl AsRef<str>) -> Self {
        Self::of("", text.as_ref())
    }

    /// Text on one line.
    pub(super) fn name(text: &str) -> Self {
        Self::of("name", text)
    }

    /// Text on as many lines as it needs.
    pub(super) fn wrapped(text: &str) -> Self {
        Self::of("wrap", text)
    }

    /// HTML as it is.
    pub(super) fn html(html: String) -> Self {
        Self {
            class: "name",
            html,
        }
    }

    fn of(class: &'static str, text: &str) -> Self {
        Self {
            class,
            html: escape(text),
        }
    }
}

/// A table; the first row names the columns, each as the cells below it are set.
pub(super) fn table(columns: &[&str], rows: &[Vec<Cell>]) -> String {
    let class = |cell: &Cell| match cell.class {
        "" => String::new(),
        class => format!(" class=\"{class}\""),
    };
    let head = columns.iter().enumerate().map(|(i, column)| {
        let class = rows.first().and_then(|row| row.get(i)).map(class);
        format!(
            "<th scope=\"col\"{}>{}</th>",
            class.unwrap_or_default(),
            escape(column)
        )
    });
    let row = |cells: &Vec<Cell>| {
        let cells = cells
            .iter()
            .map(|cell| format!("<td{}>{}</td>", class(cell), cell.html));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    format!(
        "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>{}</tr></thead>\n<tbody>{}</tbody></table></div>\n",
        head.collect::<String>(),
        rows.iter().map(row).collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_set_as_their_cells_and_text_is_no_html() {
        let rows = [vec![Cell::name("<b>"), Cell::figure("1")]];
        let found = table(&["Name", "n"], &rows);
        assert!(
            found.contains("<th scope=\"col\" class=\"name\">Name</th><th scope=\"col\">n</th>")
        );
        assert!(
            found.contains("<td class=\"name\">&lt;b&gt;</td><td>1</td>"),
            "{found}"
        );
        assert!(table(&["a"], &[]).contains("<tbody></tbody>"));
    }
}
