//! `cargo deny`: what licences the dependencies have, and where they come from.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Holds the dependencies of both workspaces to `deny.toml`, as their lock files have them.
///
/// Advisories are left to the workflow: they take the net, and change without a commit.
pub(crate) fn run(root: &Path) -> Result<()> {
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let status = Command::new(env!("CARGO"))
            .args(["deny", "--locked", "--manifest-path", manifest])
            .args(["--config", "deny.toml"])
            .args(["check", "licenses", "bans", "sources"])
            .current_dir(root)
            .status()
            .context("cannot start cargo")?;
        if !status.success() {
            bail!(
                "{manifest}: found {status}, expected success; see above, and where there is no \
                 such command, `cargo install cargo-deny --locked`"
            );
        }
    }
    Ok(())
}
