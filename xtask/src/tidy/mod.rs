//! `cargo xtask tidy`: what the compiler and clippy do not check.

mod docs;
mod finding;
mod layout;
mod lengths;
mod locks;
mod manifests;
mod pictures;
mod rust;
mod texts;
mod tree;
mod words;
mod writes;

use std::path::Path;

use anyhow::{Result, bail};

use self::finding::Finding;
use self::rust::Sources;
use self::tree::Tree;

/// Prints each finding as `file:line: what; expected; remedy`, and fails if there are any.
pub(crate) fn run(root: &Path) -> Result<()> {
    let findings = check(&Tree::read(root)?);
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        Ok(())
    } else {
        bail!("tidy: {} findings", findings.len())
    }
}

/// Every check on one tree, sorted by place.
fn check(tree: &Tree) -> Vec<Finding> {
    let (sources, mut findings) = Sources::parse(tree);
    findings.extend(manifests::check(tree));
    findings.extend(locks::check(tree));
    findings.extend(layout::check(tree, &sources));
    findings.extend(docs::check(tree, &sources));
    findings.extend(lengths::check(&sources));
    findings.extend(words::check(&sources));
    findings.extend(writes::check(&sources));
    findings.extend(texts::check(tree));
    findings.extend(pictures::check(tree));
    findings.sort();
    findings
}
