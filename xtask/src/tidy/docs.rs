//! The project's documents: they exist, and what they name exists too.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};

use super::finding::Finding;
use super::layout::line_with;
use super::manifests::is_ours;
use super::rust::Sources;
use super::tree::{Tree, has_extension};

/// Documents at the root.
const DOCUMENTS: [&str; 6] = [
    "README.md",
    "ARCHITECTURE.md",
    "BENCHMARKS.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
];

/// README's own test command, which `.ci/run` runs too.
const TEST_COMMAND: &str = "cargo test --workspace";

/// Documents exist, README and `.ci/run` agree on the tests, names and links lead somewhere.
pub(crate) fn check(tree: &Tree, sources: &Sources) -> Vec<Finding> {
    let absent = DOCUMENTS.iter().filter(|name| !tree.has(name));
    let says = ["absent", "a document", "write it"];
    let mut findings: Vec<_> = absent.map(|name| Finding::new(name, 1, says)).collect();
    for file in ["README.md", ".ci/run"] {
        if tree
            .text(file)
            .is_some_and(|text| !text.contains(TEST_COMMAND))
        {
            let expected = format!("`{TEST_COMMAND}`");
            let says = ["the test command is absent", &expected, "state it"];
            findings.push(Finding::new(file, 1, says));
        }
    }
    findings.extend(names(tree, sources));
    let documents = tree.texts().filter(|(file, _)| has_extension(file, "md"));
    findings.extend(documents.flat_map(|(file, text)| {
        let mut found = links(tree, file, text);
        found.extend(placeholders(file, text));
        found
    }));
    findings
}

/// Crates and types that ARCHITECTURE.md names in code and that the source does not have.
fn names(tree: &Tree, sources: &Sources) -> Vec<Finding> {
    let text = tree.text("ARCHITECTURE.md").unwrap_or_default();
    let known = identifiers(sources);
    let mut findings = Vec::new();
    for span in code_spans(text) {
        for name in unknown(span, &known) {
            let what = format!("names `{name}`");
            let says = [
                what.as_str(),
                "a crate or type of the source",
                "rename or remove it",
            ];
            findings.push(Finding::new("ARCHITECTURE.md", line_with(text, span), says));
        }
    }
    findings
}

/// Every identifier in the source, so that names of other crates that it uses count as well.
fn identifiers(sources: &Sources) -> BTreeSet<String> {
    fn collect(tokens: TokenStream, into: &mut BTreeSet<String>) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => collect(group.stream(), into),
                TokenTree::Ident(word) => drop(into.insert(word.to_string())),
                _ => {}
            }
        }
    }
    let mut identifiers = BTreeSet::new();
    sources
        .0
        .iter()
        .for_each(|source| collect(source.tokens.clone(), &mut identifiers));
    identifiers
}

/// What stands between single backticks, outside code blocks.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    let prose = text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_block ^= fence;
        !in_block && !fence
    });
    prose.flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The parts of a code span that claim to be a crate or a type, and are not known.
fn unknown<'a>(span: &'a str, known: &BTreeSet<String>) -> Vec<&'a str> {
    if span.starts_with("facenet-") && span.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
        return if is_ours(span) {
            Vec::new()
        } else {
            vec![span]
        };
    }
    let parts: Vec<&str> = span.trim_end_matches("()").split("::").collect();
    let is_path = parts.iter().all(|part| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    });
    let claims = parts
        .into_iter()
        .filter(|part| is_path && is_camel_case(part));
    claims.filter(|part| !known.contains(*part)).collect()
}

/// `Tensor`, `LfwError`; not `README`, `x`, `semi_hard`, `N`.
fn is_camel_case(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.contains(|c: char| c.is_ascii_lowercase())
        && !word.contains('_')
}

/// Relative links of a document that lead nowhere.
fn links(tree: &Tree, file: &str, text: &str) -> Vec<Finding> {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let targets = line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains(':') && !target.starts_with('#')) {
            let path = target.split('#').next().unwrap_or(target);
            if resolve(folder, path).is_none_or(|path| !tree.has_path(&path)) {
                let what = format!("a link to {target}");
                let says = [what.as_str(), "a file of the project", "mend the link"];
                findings.push(Finding::new(file, index + 1, says));
            }
        }
    }
    findings
}

/// Lines that hold a place for something to come, such as a table's name in capitals.
fn placeholders(file: &str, text: &str) -> Vec<Finding> {
    let is_placeholder =
        |line: &str| line.contains('_') && line.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let lines = text.lines().enumerate();
    let held = lines.filter(|(_, line)| is_placeholder(line.trim()));
    let says = ["a placeholder", "what it stands for", "write it"];
    held.map(|(index, _)| Finding::new(file, index + 1, says))
        .collect()
}

/// `path` seen from `folder`, without `.` and `..`; nothing if it leaves the project.
fn resolve(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_names(architecture: &str, expected: &[(usize, &str)]) {
        let source = (
            "crates/facenet-lfw/src/a.rs",
            "pub struct Pair; use x::Tensor;",
        );
        let tree = Tree::of(&[("ARCHITECTURE.md", architecture), source]);
        let found = names(&tree, &Sources::parse(&tree).0);
        let found: Vec<_> = found.iter().map(|f| (f.line, f.what.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn named_types_exist_or_are_used() {
        check_names(
            "`Pair`, `Tensor`, `Pair::load()`, `README`, `x < Y`, `n`\n",
            &[],
        );
        check_names(
            "\n`Pairs` and `lfw::Pares::load`\n",
            &[(2, "names `Pairs`"), (2, "names `Pares`")],
        );
    }

    #[test]
    fn named_crates_exist() {
        check_names(
            "`facenet-lfw` and `facenet-*`\n`facenet-core`\n",
            &[(2, "names `facenet-core`")],
        );
    }

    #[test]
    fn code_blocks_and_prose_may_name_anything() {
        check_names("Pairs\n```text\n`Pairs`\n```\n", &[]);
    }

    #[test]
    fn documents_are_missed_and_the_test_command_with_them() {
        let tree = Tree::of(&[("README.md", "# A\n")]);
        let found = check(&tree, &Sources::parse(&tree).0);
        assert_eq!(found.len(), DOCUMENTS.len() - 1 + 1, "{found:?}");
    }

    #[test]
    fn a_line_in_capitals_holds_a_place() {
        let text = "SEED_ROWS\n| A_B | c |\nREADME\n`FACENET_TEST_DATA`\n";
        let found = placeholders("a.md", text);
        assert_eq!(found.iter().map(|f| f.line).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn links_lead_somewhere() {
        let tree = Tree::of(&[("a/b.md", ""), ("c.md", "")]);
        let text = "[x](b.md) [x](../c.md#top) [x](#here) [x](https://example.org) [x](..)";
        assert_eq!(links(&tree, "a/b.md", text), []);
        assert_eq!(
            links(&tree, "a/b.md", "[x](c.md)\n[x](../../c.md)").len(),
            2
        );
    }
}
