//! `cargo xtask check-cuda`: does the workspace type-check with its `cuda` features?

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use toml::Table;

use crate::cuda::nvcc;

/// The CUDA release whose headers cudarc follows, where it would ask a toolkit: 12.8.
const CUDA_VERSION: &str = "12080";

/// No GPU has this compute capability, so a build script that has run with it runs again for
/// every real one: a build on a machine with a toolkit never finds the stand-in's files.
const COMPUTE_CAP: &str = "9990";

/// Lints every crate and target with the `cuda` feature of each crate that has one; no toolkit
/// and no driver is needed, and the lock file stays as it is.
pub(crate) fn run(root: &Path) -> Result<()> {
    let features = features(root)?;
    println!("check-cuda: {}", features.join(" "));
    let this = std::env::current_exe().context("cannot find this program's own file")?;
    let status = Command::new(env!("CARGO"))
        .args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--features",
        ])
        .arg(features.join(","))
        .args(["--", "-D", "warnings"])
        .current_dir(root)
        .env("NVCC", this)
        .env(nvcc::SWITCH, "1")
        .env("CUDA_COMPUTE_CAP", COMPUTE_CAP)
        .env("CUDARC_CUDA_VERSION", CUDA_VERSION)
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("check-cuda: found {status}, expected success; mend what is reported above");
    }
    println!("check-cuda: types and lints are right with `cuda`; nothing was compiled for a GPU");
    Ok(())
}

/// `crate/cuda` for every crate that has the feature, in order of names.
fn features(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join("crates"))? {
        let path = entry?.path().join("Cargo.toml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let manifest = text
            .parse::<Table>()
            .with_context(|| path.display().to_string())?;
        found.extend(feature(&manifest));
    }
    found.sort();
    Ok(found)
}

fn feature(manifest: &Table) -> Option<String> {
    manifest.get("features")?.get("cuda")?;
    let name = manifest.get("package")?.get("name")?.as_str()?;
    Some(format!("{name}/cuda"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn crates_with_the_feature_are_found() -> Result<()> {
        let found = features(&workspace::root())?;
        for name in ["facenet-cli/cuda", "facenet-model/cuda", "facenet-ops/cuda"] {
            assert!(found.iter().any(|feature| feature == name), "{found:?}");
        }
        assert!(
            !found
                .iter()
                .any(|feature| feature.starts_with("facenet-lfw"))
        );
        Ok(())
    }

    #[test]
    fn a_crate_without_features_has_none() {
        let manifest = "[package]\nname = 'a'\n".parse().expect("sound TOML");
        assert_eq!(feature(&manifest), None);
    }
}
