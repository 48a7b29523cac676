//! What lies where.

use super::finding::{Finding, line_where};
use super::rust::{Source, Sources};
use super::tree::{Tree, base_name, has_extension};

/// The one shell script.
const SCRIPT: &str = ".ci/run";

/// Crates that are programs: their README shows commands and needs no Rust example.
const PROGRAMS: [&str; 2] = ["xtask", "facenet-cli"];

/// Folders, test binaries, scripts and crate roots.
pub(crate) fn check(tree: &Tree, sources: &Sources) -> Vec<Finding> {
    let packages = tree.packages();
    let mut findings: Vec<_> = packages
        .into_iter()
        .flat_map(|folder| package(tree, folder))
        .collect();
    findings.extend(
        tree.files()
            .filter_map(|(path, bytes)| misplaced(path, bytes)),
    );
    for source in sources
        .0
        .iter()
        .filter(|source| base_name(&source.path) == "lib.rs")
    {
        findings.extend(logic_in_root(source));
    }
    findings
}

fn package(tree: &Tree, folder: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut require = |holds: bool, file: &str, says: [&str; 3]| {
        if !holds {
            findings.push(Finding::new(&format!("{folder}/{file}"), 1, says));
        }
    };
    for file in ["README.md", "src/lib.rs"] {
        require(
            tree.has(&format!("{folder}/{file}")),
            file,
            ["absent", "a file", "write it"],
        );
    }
    let has_tests = tree.has_path(&format!("{folder}/tests"));
    let main = "tests/it/main.rs";
    let one_binary = [
        "absent",
        "one test binary",
        "move the integration tests under it",
    ];
    require(
        !has_tests || tree.has(&format!("{folder}/{main}")),
        main,
        one_binary,
    );
    if !PROGRAMS.contains(&base_name(folder)) {
        let readme = tree
            .text(&format!("{folder}/README.md"))
            .unwrap_or_default();
        let example = crate::snippet::first_example(readme).is_some();
        let says = [
            "no example that rustdoc runs",
            "a ```rust block",
            "write one",
        ];
        require(example, "README.md", says);
        let root = tree
            .text(&format!("{folder}/src/lib.rs"))
            .unwrap_or_default();
        let says = [
            "README.md is not its doc",
            "`include_str!(\"../README.md\")`",
            "include it",
        ];
        require(
            root.contains("include_str!(\"../README.md\")"),
            "src/lib.rs",
            says,
        );
    }
    findings
}

fn misplaced(path: &str, bytes: &[u8]) -> Option<Finding> {
    let finding = |says: [&str; 3]| Some(Finding::new(path, 1, says));
    let is_script = has_extension(path, "sh") || bytes.starts_with(b"#!/");
    if is_script && path != SCRIPT {
        return finding(["a script", "automation in Rust", "move it to xtask"]);
    }
    if path.starts_with("src/") {
        return finding([
            "code at the root",
            "a virtual manifest",
            "move it to a crate",
        ]);
    }
    if path.starts_with("crates/") && !path.starts_with("crates/facenet-") {
        return finding(["a foreign folder", "crates/facenet-*/", "move it"]);
    }
    let test_root = path
        .split_once("/tests/")
        .filter(|(_, inside)| has_extension(inside, "rs"));
    if test_root.is_some_and(|(_, inside)| !inside.starts_with("it/")) {
        return finding([
            "a second test binary",
            "tests/it/ only",
            "make it a module of main.rs",
        ]);
    }
    None
}

/// A crate root has docs, `mod` lines and `use`; each other item is a finding.
fn logic_in_root(source: &Source) -> Vec<Finding> {
    let logic = source.syntax.items.iter().filter(|item| match item {
        syn::Item::Mod(module) => module.content.is_some(),
        syn::Item::Use(_) => false,
        _ => true,
    });
    let finding = |item: &syn::Item| {
        let line = syn::spanned::Spanned::span(item).start().line;
        let says = [
            "logic in a crate root",
            "docs, `mod` and `pub use`",
            "move it to a module",
        ];
        Finding::new(&source.path, line, says)
    };
    logic.map(finding).collect()
}

/// The first line of `text` with `needle`, for checks of plain text.
pub(crate) fn line_with(text: &str, needle: &str) -> usize {
    line_where(text, |line| line.contains(needle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_tree(files: &[(&str, &str)], expected: &[&str]) {
        let tree = Tree::of(files);
        let (sources, broken) = Sources::parse(&tree);
        assert_eq!(broken, []);
        let found: Vec<_> = check(&tree, &sources)
            .into_iter()
            .map(|finding| format!("{}:{}: {}", finding.file, finding.line, finding.what))
            .collect();
        assert_eq!(found, expected);
    }

    const ROOT: &str = "#![doc = include_str!(\"../README.md\")]\nmod a;\npub use a::A;\n";
    const CRATE: [(&str, &str); 3] = [
        ("crates/facenet-x/Cargo.toml", ""),
        ("crates/facenet-x/README.md", "```rust\n```\n"),
        ("crates/facenet-x/src/lib.rs", ROOT),
    ];

    #[test]
    fn a_whole_crate_has_no_findings() {
        check_tree(&CRATE, &[]);
    }

    #[test]
    fn each_part_of_a_crate_is_missed() {
        check_tree(
            &CRATE[..1],
            &[
                "crates/facenet-x/README.md:1: absent",
                "crates/facenet-x/src/lib.rs:1: absent",
                "crates/facenet-x/README.md:1: no example that rustdoc runs",
                "crates/facenet-x/src/lib.rs:1: README.md is not its doc",
            ],
        );
    }

    #[test]
    fn integration_tests_are_one_binary() {
        let stray = ("crates/facenet-x/tests/stray.rs", "");
        check_tree(
            &[CRATE[0], CRATE[1], CRATE[2], stray],
            &[
                "crates/facenet-x/tests/it/main.rs:1: absent",
                "crates/facenet-x/tests/stray.rs:1: a second test binary",
            ],
        );
    }

    #[test]
    fn scripts_and_root_code_are_out_of_place() {
        let files = [
            (".ci/run", "#!/bin/sh"),
            ("a.sh", ""),
            ("b", "#!/bin/sh"),
            ("src/c.rs", ""),
        ];
        check_tree(
            &files,
            &[
                "a.sh:1: a script",
                "b:1: a script",
                "src/c.rs:1: code at the root",
            ],
        );
    }

    #[test]
    fn a_crate_root_has_no_logic() {
        let text = format!("{ROOT}\nfn f() {{}}\nmod b {{}}\n");
        let files = [
            CRATE[0],
            CRATE[1],
            ("crates/facenet-x/src/lib.rs", text.as_str()),
        ];
        let place = "crates/facenet-x/src/lib.rs";
        let what = "logic in a crate root";
        check_tree(
            &files,
            &[&format!("{place}:5: {what}"), &format!("{place}:6: {what}")],
        );
    }
}
