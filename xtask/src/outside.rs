//! `cargo xtask outside`: can each leaf crate be used alone, by a crate of another workspace?

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::snippet::{Snippet, first_example, program};

/// The crates that people use alone: those without candle.
pub(crate) const LEAVES: [&str; 7] = [
    "facenet-dataset",
    "facenet-files",
    "facenet-formats",
    "facenet-sampler",
    "facenet-miner",
    "facenet-lfw",
    "facenet-gallery",
];

/// Builds and runs each leaf's README example in a crate outside the workspace.
pub(crate) fn run(root: &Path) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("facenet-outside-")
        .tempdir()?;
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?.parse::<Table>()?;
    let mut failures = 0;
    for leaf in LEAVES {
        match try_leaf(&folder.path().join(leaf), root, leaf, &manifest) {
            Ok(()) => println!("outside: {leaf}: the README's example runs in a crate of its own"),
            Err(error) => {
                failures += 1;
                eprintln!("outside: {error:#}");
            }
        }
    }
    if failures == 0 {
        Ok(())
    } else {
        bail!("outside: {failures} of {} fail", LEAVES.len())
    }
}

fn try_leaf(folder: &Path, root: &Path, leaf: &str, workspace: &Table) -> Result<()> {
    let readme = format!("crates/{leaf}/README.md");
    let text = fs::read_to_string(root.join(&readme)).with_context(|| readme.clone())?;
    let Some(example) = first_example(&text) else {
        bail!("{readme}:1: no example that rustdoc runs; expected a ```rust block; write one");
    };
    write_crate(folder, root, leaf, &example, workspace)?;
    cargo_run(folder, &root.join("target/outside"))
        .with_context(|| format!("{readme}:{}: the example", example.line))
}

fn write_crate(
    folder: &Path,
    root: &Path,
    leaf: &str,
    example: &Snippet,
    workspace: &Table,
) -> Result<()> {
    fs::create_dir_all(folder.join("src"))?;
    let manifest = outside_manifest(root, leaf, &example.code, workspace);
    fs::write(folder.join("Cargo.toml"), manifest.to_string())?;
    fs::write(folder.join("src/main.rs"), program(&example.code))?;
    // The same versions as the workspace's, so that nothing has to be looked up.
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    Ok(())
}

/// The manifest: the leaf by its path, and the workspace's version of whatever else is named.
fn outside_manifest(root: &Path, leaf: &str, code: &str, workspace: &Table) -> Table {
    let mut dependencies = named_dependencies(code, workspace);
    let path = root.join("crates").join(leaf).display().to_string();
    dependencies.insert(
        leaf.to_owned(),
        Value::Table(table([("path", Value::String(path))])),
    );
    let package = table([
        ("name", Value::String(format!("outside-{leaf}"))),
        ("edition", Value::String("2024".to_owned())),
    ]);
    table([
        ("package", Value::Table(package)),
        ("workspace", Value::Table(Table::new())),
        ("dependencies", Value::Table(dependencies)),
    ])
}

/// The workspace's foreign dependencies whose name stands before a `::` in `code`.
fn named_dependencies(code: &str, workspace: &Table) -> Table {
    let all = workspace
        .get("workspace")
        .and_then(|table| table.get("dependencies"));
    let named = all
        .and_then(Value::as_table)
        .into_iter()
        .flatten()
        .filter(|(name, value)| {
            let foreign = value.get("path").is_none();
            foreign && code.contains(&format!("{}::", name.replace('-', "_")))
        });
    named
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn cargo_run(folder: &Path, target: &Path) -> Result<()> {
    let cargo = || {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(folder).env("CARGO_TARGET_DIR", target);
        command
    };
    let mut probe = cargo();
    probe.args(["metadata", "--offline", "--format-version", "1"]);
    let offline = probe.output().is_ok_and(|output| output.status.success());
    let mut run = cargo();
    run.args(["run", "--quiet"])
        .args(offline.then_some("--offline"));
    match run.status().context("cannot start cargo")? {
        status if status.success() => Ok(()),
        status => bail!("found {status}, expected success; mend the example or the crate"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> Table {
        "[workspace.dependencies]\n\
         facenet-lfw = { path = 'crates/facenet-lfw' }\n\
         rand_chacha = '0.9'\n\
         serde = { version = '1', features = ['derive'] }\n\
         serde_json = '1'\n"
            .parse()
            .expect("sound TOML")
    }

    #[test]
    fn the_crate_is_its_own_workspace_and_takes_the_leaf_by_path() {
        let manifest = outside_manifest(Path::new("root"), "facenet-lfw", "", &workspace());
        assert!(
            manifest["workspace"]
                .as_table()
                .is_some_and(Table::is_empty)
        );
        let leaf = &manifest["dependencies"]["facenet-lfw"];
        assert_eq!(
            leaf["path"].as_str(),
            Path::new("root/crates/facenet-lfw").to_str()
        );
    }

    #[test]
    fn crates_that_the_example_names_come_in_the_workspaces_version() {
        let code = "use facenet_lfw::Pairs;\nuse rand_chacha::ChaCha8Rng;\nserde_json::json!(1);";
        let named = named_dependencies(code, &workspace());
        assert!(named.keys().eq(["rand_chacha", "serde_json"]), "{named:?}");
    }
}
