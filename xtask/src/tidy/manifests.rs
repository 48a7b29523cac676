//! Which crate may depend on which, as STYLE.md draws it.

use toml::{Table, Value};

use super::finding::{Finding, line_where};
use super::tree::{Tree, base_name};

/// Every crate with the permitted arrows to others of ours. A new crate or arrow is a change of
/// architecture: it comes with ARCHITECTURE.md in the same commit.
const ARROWS: &[(&str, &[&str])] = &[
    ("facenet-cli", &["facenet-train"]),
    (
        "facenet-train",
        &[
            "facenet-dataset",
            "facenet-files",
            "facenet-sampler",
            "facenet-miner",
            "facenet-lfw",
            "facenet-gallery",
            "facenet-model",
        ],
    ),
    (
        "facenet-model",
        &["facenet-files", "facenet-ops", "facenet-formats"],
    ),
    ("facenet-files", &[]),
    ("facenet-formats", &[]),
    ("facenet-ops", &[]),
    ("facenet-dataset", &["facenet-files"]),
    ("facenet-sampler", &[]),
    ("facenet-gallery", &["facenet-files", "facenet-miner"]),
    ("facenet-miner", &[]),
    ("facenet-lfw", &["facenet-files"]),
    ("xtask", &["facenet-files"]),
];

/// The crates that may use candle.
const CANDLE: &[&str] = &[
    "facenet-ops",
    "facenet-model",
    "facenet-train",
    "facenet-cli",
];

/// Tables of a manifest that name dependencies.
const SECTIONS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// True where `name` is one of the workspace's crates.
pub(crate) fn is_ours(name: &str) -> bool {
    ARROWS.iter().any(|(crate_name, _)| *crate_name == name)
}

/// Members, arrows, candle, and `workspace = true` where it belongs.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = absent_crates(tree);
    for folder in tree.packages() {
        let file = format!("{folder}/Cargo.toml");
        match tree.text(&file).unwrap_or_default().parse::<Table>() {
            Ok(manifest) => findings.extend(check_one(tree, &file, &manifest)),
            Err(error) => {
                let says = [
                    error.message().to_owned(),
                    "TOML".into(),
                    "mend the manifest".into(),
                ];
                findings.push(Finding::new(&file, 1, says));
            }
        }
    }
    findings
}

fn absent_crates(tree: &Tree) -> Vec<Finding> {
    let packages = tree.packages();
    let there = |name: &str| packages.iter().any(|folder| base_name(folder) == name);
    let absent = ARROWS.iter().filter(|(name, _)| !there(name));
    let finding = |name| {
        let what = format!("crate {name} is absent");
        Finding::new(
            "Cargo.toml",
            1,
            [what.as_str(), "a folder of that name", "restore it"],
        )
    };
    absent.map(|(name, _)| finding(name)).collect()
}

fn check_one(tree: &Tree, file: &str, manifest: &Table) -> Vec<Finding> {
    let folder = base_name(file.trim_end_matches("/Cargo.toml"));
    let name = manifest
        .get("package")
        .and_then(|package| package.get("name")?.as_str());
    let mut findings = Vec::new();
    let mut add = |line, says: [String; 3]| findings.push(Finding::new(file, line, says));
    if name != Some(folder) {
        let what = format!("package name is {name:?}");
        add(
            1,
            [
                what,
                format!("{folder:?}, its folder's"),
                "rename one".into(),
            ],
        );
    }
    if !inherits(manifest.get("lints")) {
        let expected = "`[lints]` with `workspace = true`".into();
        add(
            1,
            [
                "lints are not the workspace's".into(),
                expected,
                "inherit them".into(),
            ],
        );
    }
    for (dependency, value) in dependencies(manifest) {
        if let Some(says) = fault(folder, dependency, value) {
            add(
                line_of(tree.text(file).unwrap_or_default(), dependency),
                says,
            );
        }
    }
    findings
}

/// Every dependency of any kind, those of `[target.*]` too.
fn dependencies(manifest: &Table) -> Vec<(&str, &Value)> {
    let targets = manifest
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flatten();
    let tables = targets.filter_map(|(_, target)| target.as_table());
    let all = std::iter::once(manifest).chain(tables);
    let sections = all.flat_map(|table| SECTIONS.iter().filter_map(|name| table.get(*name)));
    let entries = sections.filter_map(Value::as_table).flatten();
    entries
        .map(|(name, value)| (name.as_str(), value))
        .collect()
}

/// What is wrong with a dependency of crate `of`, if anything.
fn fault(of: &str, dependency: &str, value: &Value) -> Option<[String; 3]> {
    // A renamed dependency is judged by the package that it is.
    let package = value
        .get("package")
        .and_then(Value::as_str)
        .unwrap_or(dependency);
    let arrows = ARROWS
        .iter()
        .find(|(name, _)| *name == of)
        .map_or(&[][..], |(_, to)| to);
    let what = format!("{of} depends on {package}");
    if is_ours(package) && !arrows.contains(&package) {
        let expected = format!("arrows to {arrows:?} only");
        return Some([
            what,
            expected,
            "remove it, or change the architecture".into(),
        ]);
    }
    if package.starts_with("candle") && !CANDLE.contains(&of) {
        let expected = format!("candle in {CANDLE:?} only");
        return Some([what, expected, "remove it".into()]);
    }
    let expected = "`workspace = true`".to_owned();
    let remedy = "state the version in the workspace's manifest".to_owned();
    (!inherits(Some(value))).then(|| [format!("{what} on its own terms"), expected, remedy])
}

fn inherits(value: Option<&Value>) -> bool {
    value
        .and_then(|value| value.get("workspace"))
        .and_then(Value::as_bool)
        == Some(true)
}

fn line_of(text: &str, dependency: &str) -> usize {
    line_where(text, |line| {
        line.trim_start()
            .strip_prefix(dependency)
            .is_some_and(|rest| rest.starts_with([' ', '.', '=']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_dependency(of: &str, line: &str, expected: &[&str]) {
        let text = format!("[package]\nname = '{of}'\n[lints]\nworkspace = true\n{line}\n");
        let file = format!("crates/{of}/Cargo.toml");
        let manifest = text.parse().expect("sound TOML");
        let found = check_one(&Tree::of(&[(&file, &text)]), &file, &manifest);
        let found: Vec<_> = found.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn arrows_are_those_drawn_in_every_section() {
        check_dependency(
            "facenet-cli",
            "[dependencies]\nfacenet-train.workspace = true",
            &[],
        );
        for section in [
            "dependencies",
            "dev-dependencies",
            "target.'cfg(unix)'.dependencies",
        ] {
            let line = format!("[{section}]\nfacenet-lfw.workspace = true");
            check_dependency(
                "facenet-miner",
                &line,
                &["facenet-miner depends on facenet-lfw"],
            );
        }
        let second = "[dependencies]\nserde.workspace = true\n\
                      [dev-dependencies]\nfacenet-ops.workspace = true";
        check_dependency(
            "facenet-lfw",
            second,
            &["facenet-lfw depends on facenet-ops"],
        );
        let renamed = "[dependencies]\nx = { workspace = true, package = 'facenet-ops' }";
        check_dependency(
            "facenet-cli",
            renamed,
            &["facenet-cli depends on facenet-ops"],
        );
    }

    #[test]
    fn candle_stays_out_of_the_leaves() {
        let line = "[dependencies]\ncandle-core.workspace = true";
        check_dependency("facenet-ops", line, &[]);
        check_dependency("facenet-lfw", line, &["facenet-lfw depends on candle-core"]);
    }

    #[test]
    fn versions_are_the_workspaces() {
        let what = "facenet-lfw depends on serde on its own terms";
        check_dependency("facenet-lfw", "[dependencies]\nserde = '1'", &[what]);
    }

    #[test]
    fn name_and_lints_are_checked() {
        let tree = Tree::of(&[("crates/facenet-lfw/Cargo.toml", "[package]\nname = 'lfw'\n")]);
        let findings = check(&tree);
        let of_it: Vec<_> = findings
            .iter()
            .filter(|finding| finding.file != "Cargo.toml")
            .collect();
        assert_eq!(
            (of_it.len(), findings.len()),
            (2, ARROWS.len() - 1 + 2),
            "{findings:?}"
        );
    }

    #[test]
    fn a_finding_names_the_line_of_the_dependency() {
        assert_eq!(line_of("a = 1\nab.workspace = true\nb = 2\n", "ab"), 2);
        assert_eq!(line_of("abc = 1\nab = 2\n", "ab"), 2);
    }
}
