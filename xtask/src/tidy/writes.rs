//! Who may write files: facenet-files, tests, and automation that is run by hand.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};

use super::finding::Finding;
use super::rust::Sources;

/// Where files are made, renamed and removed.
const WRITER: &str = "crates/facenet-files/";

/// Functions of the standard library that do so, by what comes before `::`.
const FUNCTIONS: [(&str, &[&str]); 2] = [
    (
        "fs",
        &[
            "write",
            "rename",
            "remove_file",
            "remove_dir",
            "remove_dir_all",
            "create_dir",
            "create_dir_all",
            "copy",
            "hard_link",
            "set_permissions",
        ],
    ),
    ("File", &["create", "create_new", "options"]),
];

/// The type that does so under any name of its functions.
const TYPE: &str = "OpenOptions";

/// Every such call in what is compiled into libraries and programs.
pub(crate) fn check(sources: &Sources) -> Vec<Finding> {
    let mut findings = Vec::new();
    let judged = sources.0.iter().filter(|source| is_judged(&source.path));
    for source in judged {
        let mut words = Vec::new();
        collect(source.tokens.clone(), &mut words);
        findings.extend(words.iter().map(|word| {
            let what = format!("`{word}` writes past facenet-files");
            let says = [what.as_str(), "a `FileSystem`", "take one as an argument"];
            Finding::new(&source.path, word.span().start().line, says)
        }));
    }
    findings
}

fn is_judged(path: &str) -> bool {
    let of_a_crate = path.starts_with("crates/") && path.contains("/src/");
    (of_a_crate && !path.starts_with(WRITER)) || path.starts_with("xtask/src/fixtures/")
}

/// Tokens, not syntax, so that macros are seen too; those below `#[cfg(test)]` are tests'.
fn collect(tokens: TokenStream, words: &mut Vec<Ident>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut is_test = false;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) if is_attribute(&tokens, at) => {
                is_test |= group.stream().to_string().replace(' ', "") == "cfg(test)";
            }
            TokenTree::Group(group) => {
                let is_body = group.delimiter() == Delimiter::Brace;
                if !(is_body && std::mem::take(&mut is_test)) {
                    collect(group.stream(), words);
                }
            }
            TokenTree::Ident(word) => words.extend(forbidden(word, &tokens[at + 1..])),
            // An item without a body ends here, and what its attribute says.
            TokenTree::Punct(end) if end.as_char() == ';' => is_test = false,
            _ => {}
        }
    }
}

fn is_attribute(tokens: &[TokenTree], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| tokens.get(before));
    matches!(before, Some(TokenTree::Punct(found)) if found.as_char() == '#')
}

/// What a word, with what follows it, names of the forbidden things.
fn forbidden(word: &Ident, rest: &[TokenTree]) -> Vec<Ident> {
    if word == TYPE {
        return vec![word.clone()];
    }
    let Some((_, functions)) = FUNCTIONS.iter().find(|(name, _)| word == name) else {
        return vec![];
    };
    let [TokenTree::Punct(_), TokenTree::Punct(_), named, ..] = rest else {
        return vec![];
    };
    let named = match named {
        TokenTree::Group(group) => group.stream(),
        one => one.clone().into(),
    };
    let words = named.into_iter().filter_map(|token| match token {
        TokenTree::Ident(word) => Some(word),
        _ => None,
    });
    let is_one = |word: &Ident| functions.iter().any(|name| word == name);
    words.filter(is_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::Tree;

    #[track_caller]
    fn check_text(file: &str, text: &str, expected: &[(usize, &str)]) {
        let (sources, broken) = Sources::parse(&Tree::of(&[(file, text)]));
        assert_eq!(broken, []);
        let found: Vec<_> = check(&sources)
            .into_iter()
            .map(|finding| {
                let word = finding
                    .what
                    .split('`')
                    .nth(1)
                    .unwrap_or_default()
                    .to_owned();
                (finding.line, word)
            })
            .collect();
        let found: Vec<_> = found
            .iter()
            .map(|(line, word)| (*line, word.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    const FILE: &str = "crates/facenet-lfw/src/pairs.rs";

    #[test]
    fn every_way_to_write_is_found() {
        check_text(
            FILE,
            "fn f() {\n    std::fs::write(a, b);\n}\n",
            &[(2, "write")],
        );
        check_text(FILE, "fn f() { File::create(a); }\n", &[(1, "create")]);
        check_text(
            FILE,
            "fn f() { OpenOptions::new(); }\n",
            &[(1, "OpenOptions")],
        );
        let text = "use std::fs::{self, rename, File};\nuse std::fs::copy;\n";
        check_text(FILE, text, &[(1, "rename"), (2, "copy")]);
        check_text(
            FILE,
            "m! { fs::remove_dir_all(a) }\n",
            &[(1, "remove_dir_all")],
        );
    }

    #[test]
    fn reading_is_free_and_so_are_tests() {
        check_text(
            FILE,
            "fn f() { fs::read(a); File::open(b); io::copy(c, d); }\n",
            &[],
        );
        let text = "#[cfg(test)]\nmod tests {\n    fn f() { fs::write(a, b); }\n}\n\
                    fn g() { fs::write(a, b) }\n";
        check_text(FILE, text, &[(5, "write")]);
    }

    #[test]
    fn the_writer_writes_and_so_does_automation() {
        let text = "fn f() { fs::write(a, b) }\n";
        for file in [
            "crates/facenet-files/src/system.rs",
            "crates/facenet-lfw/tests/it/main.rs",
            "xtask/src/outside.rs",
        ] {
            check_text(file, text, &[]);
        }
        check_text("xtask/src/fixtures/store.rs", text, &[(1, "write")]);
    }
}
