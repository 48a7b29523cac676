//! The lock file of `fuzz/`, which is a workspace of its own: no command of this one keeps it.

use toml::{Table, Value};

use super::finding::{Finding, line_where};
use super::tree::Tree;

const LOCK: &str = "fuzz/Cargo.lock";

/// Every dependency that our crates always have is in the lock file too.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let text = tree.text(LOCK).unwrap_or_default();
    let lock: Table = text.parse().unwrap_or_default();
    let packages = lock.get("package").and_then(Value::as_array);
    let ours = packages.into_iter().flatten().filter_map(|package| {
        let name = package.get("name")?.as_str()?;
        let manifest = tree.text(&format!("crates/{name}/Cargo.toml"))?;
        Some((name, manifest.parse().ok()?, package))
    });
    ours.flat_map(|(name, manifest, package): (_, Table, _)| {
        let locked = names(package.get("dependencies"));
        let missing = always(&manifest).filter(|wanted| !locked.contains(&wanted.as_str()));
        let line = line_where(text, |line| line == format!("name = \"{name}\""));
        let finding = |wanted| {
            let says = [
                format!("{name} lacks {wanted}"),
                "what its manifest has".into(),
                format!("run `cargo metadata --manifest-path fuzz/Cargo.toml` and commit {LOCK}"),
            ];
            Finding::new(LOCK, line, says)
        };
        missing.map(finding).collect::<Vec<_>>()
    })
    .collect()
}

/// The packages of a list of `name` or `name version`.
fn names(list: Option<&Value>) -> Vec<&str> {
    let entries = list.and_then(Value::as_array).into_iter().flatten();
    let words = entries.filter_map(|entry| entry.as_str()?.split(' ').next());
    words.collect()
}

/// The packages that a crate has whatever its features.
fn always(manifest: &Table) -> impl Iterator<Item = String> {
    let entries = manifest.get("dependencies").and_then(Value::as_table);
    let set = |value: &Value, name: &str| value.get(name).and_then(Value::as_bool) == Some(true);
    let entries = entries.into_iter().flatten();
    entries
        .filter(move |(_, value)| !set(value, "optional"))
        .map(|(name, value)| {
            let renamed = value.get("package").and_then(Value::as_str);
            renamed.unwrap_or(name).to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_lock(locked: &str, expected: &[&str]) {
        let manifest = "[dependencies]\nserde.workspace = true\n\
                        cudarc = { workspace = true, optional = true }\n\
                        [dev-dependencies]\nproptest.workspace = true\n";
        let lock = format!(
            "[[package]]\nname = \"facenet-lfw\"\ndependencies = [{locked}]\n\
             [[package]]\nname = \"serde\"\n"
        );
        let tree = Tree::of(&[("crates/facenet-lfw/Cargo.toml", manifest), (LOCK, &lock)]);
        let found = check(&tree);
        let found: Vec<_> = found.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_a_manifest_always_has_is_locked() {
        check_lock("'csv', 'serde'", &[]);
        check_lock("'serde 1.0.0'", &[]);
        check_lock("'csv'", &["facenet-lfw lacks serde"]);
    }
}
