//! Words that code may not say: unfinished or skipped work, and `unsafe` outside its files.

use proc_macro2::{TokenStream, TokenTree};

use super::finding::Finding;
use super::rust::Sources;

/// Macros of unfinished work.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Attributes of tests that do not say what they claim.
const SKIPPED: [&str; 2] = ["ignore", "should_panic"];

/// Files of any crate that may hold `unsafe`, below its folder.
const UNSAFE_FILES: [&str; 2] = ["/src/cuda.rs", "/src/mmap.rs"];

/// Further places that may: files and folders by their beginning.
const UNSAFE_PLACES: [&str; 3] = [
    "crates/facenet-miner/src/simd.rs",
    "crates/facenet-ops/src/kernels/",
    "crates/facenet-ops/src/microkernels/",
];

/// Every forbidden word in code; strings and comments may say them.
pub(crate) fn check(sources: &Sources) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &sources.0 {
        let mut scan = Scan {
            file: &source.path,
            findings: &mut findings,
        };
        scan.stream(source.tokens.clone());
    }
    findings
}

fn may_be_unsafe(file: &str) -> bool {
    UNSAFE_FILES.iter().any(|name| file.ends_with(name))
        || UNSAFE_PLACES.iter().any(|place| file.starts_with(place))
}

struct Scan<'a> {
    file: &'a str,
    findings: &'a mut Vec<Finding>,
}

impl Scan<'_> {
    /// Tokens, not syntax, so that the arguments of macros such as `proptest!` are seen too.
    fn stream(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        for (index, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => {
                    if is_punct(
                        index.checked_sub(1).and_then(|before| tokens.get(before)),
                        '#',
                    ) {
                        self.attribute(group.stream());
                    }
                    self.stream(group.stream());
                }
                TokenTree::Ident(word) => {
                    let is_macro = is_punct(tokens.get(index + 1), '!');
                    self.word(word, is_macro);
                }
                _ => {}
            }
        }
    }

    fn attribute(&mut self, tokens: TokenStream) {
        if let Some(TokenTree::Ident(name)) = tokens.into_iter().next()
            && SKIPPED.iter().any(|word| name == word)
        {
            let remedy = "let the test run, and check the error as a value";
            self.add(
                &name,
                [&format!("#[{name}]"), "tests that always run", remedy],
            );
        }
    }

    fn word(&mut self, word: &proc_macro2::Ident, is_macro: bool) {
        if is_macro && UNFINISHED.iter().any(|name| word == name) {
            self.add(word, [&format!("{word}!"), "finished code", "finish it"]);
        }
        if word == "unsafe" && !may_be_unsafe(self.file) {
            let expected = "`unsafe` in cuda.rs, mmap.rs, simd.rs and microkernels only";
            self.add(
                word,
                ["`unsafe`", expected, "write it safely, or move it there"],
            );
        }
    }

    fn add(&mut self, word: &proc_macro2::Ident, says: [&str; 3]) {
        self.findings
            .push(Finding::new(self.file, word.span().start().line, says));
    }
}

fn is_punct(token: Option<&TokenTree>, punct: char) -> bool {
    matches!(token, Some(TokenTree::Punct(found)) if found.as_char() == punct)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::Tree;

    #[track_caller]
    fn check_text(file: &str, text: &str, expected: &[(usize, &str)]) {
        let (sources, broken) = Sources::parse(&Tree::of(&[(file, text)]));
        assert_eq!(broken, []);
        let found = check(&sources);
        let found: Vec<_> = found.iter().map(|f| (f.line, f.what.as_str())).collect();
        assert_eq!(found, expected);
    }

    const FILE: &str = "crates/facenet-miner/src/rules.rs";

    #[test]
    fn unfinished_work_is_found_inside_macros_too() {
        check_text(FILE, "fn f() {\n    todo!()\n}\n", &[(2, "todo!")]);
        check_text(
            FILE,
            "m! {\n    fn f() { unimplemented!() }\n}\n",
            &[(2, "unimplemented!")],
        );
    }

    #[test]
    fn skipped_tests_are_found_in_any_form() {
        check_text(FILE, "#[test]\n#[ignore]\nfn f() {}\n", &[(2, "#[ignore]")]);
        check_text(
            FILE,
            "#[ignore = \"slow\"]\nfn f() {}\n",
            &[(1, "#[ignore]")],
        );
        let text = "m! {\n#[should_panic(expected = \"x\")]\nfn f() {}\n}\n";
        check_text(FILE, text, &[(2, "#[should_panic]")]);
    }

    #[test]
    fn strings_comments_and_other_names_may_say_the_words() {
        let text =
            "// todo!\nconst A: &str = \"todo!() #[ignore] unsafe\";\nfn ignore(todo: u8) {}";
        check_text(FILE, text, &[]);
    }

    #[test]
    fn unsafe_has_its_files() {
        let text = "fn f() {\n    unsafe { g() }\n}\n";
        check_text(FILE, text, &[(2, "`unsafe`")]);
        for file in [
            "crates/facenet-miner/src/cuda.rs",
            "crates/facenet-miner/src/simd.rs",
            "crates/facenet-model/src/mmap.rs",
            "crates/facenet-ops/src/kernels/gemm.rs",
        ] {
            check_text(file, text, &[]);
        }
        check_text("crates/facenet-lfw/src/simd.rs", text, &[(2, "`unsafe`")]);
    }
}
