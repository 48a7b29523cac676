//! Pages for a browser: one file each, which loads nothing and needs no script.

use std::path::Path;

use facenet_train::TrainError;
use facenet_train::files::{Disk, replace};

use crate::failure::Failure;

/// Colours for light and dark rooms, and what every page is made of.
const STYLE: &str = ":root{color-scheme:light dark;--back:#fff;--text:#1a1a1a;--line:#d5d5d5;--bad:#b00020}\
    @media(prefers-color-scheme:dark){:root{--back:#16181b;--text:#e6e6e6;--line:#43474d;--bad:#ff8a80}}\
    body{background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif;margin:0 auto;\
    max-width:72rem;padding:1rem}h1{font-size:1.5rem;overflow-wrap:anywhere}h3{font-size:1rem;margin:.2rem 0;\
    overflow-wrap:anywhere}p{margin:.2rem 0;overflow-wrap:anywhere}";

/// A page in the making.
#[derive(Debug)]
pub(crate) struct Page {
    html: String,
}

impl Page {
    /// - `style`: CSS beside that of every page
    pub(crate) fn new(title: &str, style: &str) -> Self {
        let title = escape(title);
        Self {
            html: format!(
                "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
                 <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
                 <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
                 style-src 'unsafe-inline'; img-src data:\">\n\
                 <link rel=\"icon\" href=\"data:,\">\n\
                 <title>{title}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
            ),
        }
    }

    /// HTML as it is.
    pub(crate) fn push(&mut self, html: &str) {
        self.html.push_str(html);
    }

    /// Text as a paragraph.
    pub(crate) fn paragraph(&mut self, text: &str) {
        self.push(&format!("<p>{}</p>\n", escape(text)));
    }

    /// Writes the page whole, or leaves the file that was there.
    ///
    /// # Errors
    /// A [`Failure`] of class resources, naming the file.
    pub(crate) fn write(mut self, file: &Path) -> Result<(), Failure> {
        self.push("</main>\n</body>\n</html>\n");
        let written = replace(&Disk, file, self.html.as_bytes());
        Ok(written.map_err(TrainError::from)?)
    }
}

/// Text as it may stand in HTML, also within quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Control characters are no HTML at all.
            c if c.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Bytes as an address that holds them.
pub(crate) fn data_uri(media_type: &str, bytes: &[u8]) -> String {
    format!("data:{media_type};base64,{}", base64(bytes))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| chunk.get(i).copied().map_or(0, u32::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > chunk.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of RFC 4648, section 10.
    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn names_of_files_are_no_html() {
        let name = "<img src=x onerror=\"alert('&')\">\n";
        let expected = "&lt;img src=x onerror=&quot;alert(&#39;&amp;&#39;)&quot;&gt;\u{fffd}";
        assert_eq!(escape(name), expected);
    }
}
