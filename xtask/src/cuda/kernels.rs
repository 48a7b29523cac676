//! `cargo xtask kernels`: do NVIDIA's compilers take the kernels, and what do these cost?

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cuda::ceilings::Ceilings;
use crate::cuda::ptxas::{Usage, parse};
use crate::cuda::wheels::Toolkit;

/// Where the ceilings are pinned.
const CEILINGS: &str = "crates/facenet-miner/kernels/registers.toml";

/// Every generation from Turing to consumer Blackwell.
const ARCHS: [u32; 6] = [75, 80, 86, 90, 100, 120];

/// Tests of facenet-miner that compile by NVRTC have this in their names.
const TESTS: &str = "nvrtc";

/// Compiles the kernels by NVRTC, assembles them for every architecture, and fails on a spill or
/// on registers above their ceiling. Says so where the compilers cannot be had.
pub(crate) fn run(root: &Path) -> Result<()> {
    let toolkit = match Toolkit::install(&root.join("target/cuda-wheels")) {
        Ok(toolkit) => toolkit,
        Err(error) => {
            println!("kernels: SKIPPED, nothing is claimed: no compilers: {error:#}");
            return Ok(());
        }
    };
    let folder = root.join("target/ptx");
    compile(root, &toolkit, &folder)?;
    let usages = assemble(&toolkit, &Ptx::read_all(&folder)?)?;
    print!("{}", table(&usages));
    let ceilings = fs::read_to_string(root.join(CEILINGS)).context(CEILINGS)?;
    let held = Ceilings::parse(&ceilings).and_then(|ceilings| ceilings.hold(&usages));
    held.context(CEILINGS)?;
    println!("kernels: compiled and assembled, no spill, registers within {CEILINGS}");
    Ok(())
}

/// Has the tests of facenet-miner write the PTX of every kernel into `folder`.
fn compile(root: &Path, toolkit: &Toolkit, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let status = Command::new(env!("CARGO"))
        .args([
            "test",
            "--locked",
            "--package",
            "facenet-miner",
            "--features",
            "cuda",
            TESTS,
            "--",
            "--nocapture",
        ])
        .current_dir(root)
        .env("LD_LIBRARY_PATH", toolkit.lib())
        .env("FACENET_PTX_DIR", folder)
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("the tests named {TESTS:?}: found {status}, expected success");
    }
    Ok(())
}

/// One compiled file.
#[derive(Debug)]
struct Ptx {
    path: PathBuf,
    /// The number in `.target sm_NN`.
    target: u32,
    /// The kernels in it.
    entries: BTreeSet<String>,
}

impl Ptx {
    fn read_all(folder: &Path) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            all.push(Self::parse(path, &text)?);
        }
        all.sort_by(|a, b| a.path.cmp(&b.path));
        if all.is_empty() {
            bail!("no test of facenet-miner named {TESTS:?} wrote PTX into $FACENET_PTX_DIR");
        }
        Ok(all)
    }

    fn parse(path: PathBuf, text: &str) -> Result<Self> {
        let word = |line: &str, key: &str| {
            let rest = line.trim().strip_prefix(key)?;
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            Some(rest[..end.unwrap_or(rest.len())].to_owned())
        };
        let target = text.lines().find_map(|line| word(line, ".target sm_"));
        let target = target.and_then(|digits| digits.parse().ok());
        let target = target.with_context(|| format!("{}: no `.target sm_NN`", path.display()))?;
        let entries = text
            .lines()
            .filter_map(|line| word(line, ".visible .entry "));
        Ok(Self {
            path,
            target,
            entries: entries.collect(),
        })
    }
}

/// For each architecture the files of the nearest one below, which must hold every kernel.
fn assemble(toolkit: &Toolkit, all: &[Ptx]) -> Result<Vec<Usage>> {
    let mut usages = Vec::new();
    for arch in ARCHS {
        for ptx in nearest(all, arch)? {
            let found = toolkit.ptxas(&format!("sm_{arch}"), &ptx.path)?;
            usages.extend(parse(&found)?);
        }
    }
    usages.sort_by(|a, b| a.kernel.cmp(&b.kernel));
    Ok(usages)
}

fn nearest(all: &[Ptx], arch: u32) -> Result<Vec<&Ptx>> {
    let targets = all.iter().map(|ptx| ptx.target);
    let target = targets.filter(|target| *target <= arch).max();
    let target = target.with_context(|| format!("sm_{arch}: no PTX for it or an older one"))?;
    let files: Vec<_> = all.iter().filter(|ptx| ptx.target == target).collect();
    let there: BTreeSet<_> = files.iter().flat_map(|ptx| &ptx.entries).collect();
    let every: BTreeSet<_> = all.iter().flat_map(|ptx| &ptx.entries).collect();
    match every.difference(&there).next() {
        Some(kernel) => bail!("compute_{target}: {kernel} is missing; it is there for others"),
        None => Ok(files),
    }
}

fn table(usages: &[Usage]) -> String {
    let header = format!(
        "{:32} {:7} {:>9} {:>12} {:>11} {:>12}\n",
        "kernel", "arch", "registers", "shared bytes", "stack bytes", "spill bytes"
    );
    usages.iter().fold(header, |mut text, usage| {
        let _ = writeln!(
            text,
            "{:32} {:7} {:>9} {:>12} {:>11} {:>12}",
            usage.kernel, usage.arch, usage.registers, usage.shared, usage.stack, usage.spills
        );
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ptx(target: u32, kernel: &str) -> Ptx {
        let text = format!(
            ".version 9.5\n.target sm_{target}\n.address_size 64\n\n.visible .entry {kernel}(\n\
             \t.param .u64 {kernel}_param_0\n)\n{{\n}}\n"
        );
        Ptx::parse(format!("{kernel}.{target}.ptx").into(), &text).expect("sound PTX")
    }

    #[test]
    fn target_and_entries_are_read() {
        let found = ptx(90, "facenet_pairs");
        assert_eq!(found.target, 90);
        assert!(found.entries.iter().eq(["facenet_pairs"]));
        assert!(Ptx::parse("x".into(), "no target").is_err());
    }

    #[test]
    fn the_nearest_older_architecture_is_assembled() -> Result<()> {
        let all = [
            ptx(75, "a"),
            ptx(80, "a"),
            ptx(90, "a"),
            ptx(75, "b"),
            ptx(80, "b"),
            ptx(90, "b"),
        ];
        let targets = |arch| -> Result<Vec<_>> {
            Ok(nearest(&all, arch)?.iter().map(|ptx| ptx.target).collect())
        };
        assert_eq!(targets(86)?, [80, 80]);
        assert_eq!(targets(120)?, [90, 90]);
        assert!(targets(70).is_err());
        Ok(())
    }

    #[test]
    fn a_kernel_that_one_architecture_lacks_is_named() {
        let all = [ptx(75, "a"), ptx(75, "b"), ptx(90, "a")];
        assert!(nearest(&all, 80).is_ok());
        let error = nearest(&all, 90).expect_err("b is missing").to_string();
        assert!(error.starts_with("compute_90: b is missing"), "{error}");
    }
}
