//! `cargo xtask ci`: the quick list of `.ci/run`, then every slower check.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{cuda, demo, deny, fuzz, outside, peers};

/// A check too slow for `.ci/run`.
struct Slow {
    name: &'static str,
    what: &'static str,
    run: fn(&Path) -> Result<()>,
}

/// Every slower check; a later one adds its line here.
const SLOW: &[Slow] = &[
    Slow {
        name: "outside",
        what: "each leaf crate's README example, in a crate outside the workspace",
        run: outside::run,
    },
    Slow {
        name: "kernels",
        what: "the CUDA kernels through NVRTC and ptxas: no spill, registers below their ceilings",
        run: cuda::kernels::run,
    },
    Slow {
        name: "demo",
        what: "`facenet train` on three seeds: untrained below 70 %, trained 85 % or more",
        run: demo::run,
    },
    Slow {
        name: "peers",
        what: "exported models in ONNX Runtime and facenet-pytorch, where FACENET_PYTHON (or \
               python3) has them",
        run: peers::run,
    },
    Slow {
        name: "published",
        what: "the published model on all of LFW, in f32, bf16 and each form of storage, where both \
               are there",
        run: peers::published,
    },
    Slow {
        name: "fuzz",
        what: "every fuzz target on 20,000 inputs that libFuzzer makes of its seeds",
        run: |root| fuzz::run(root, fuzz::RUNS),
    },
    Slow {
        name: "deny",
        what: "licences and sources of every dependency, by cargo deny",
        run: deny::run,
    },
];

/// What [`run`] does, a step a line.
pub(crate) fn list() -> String {
    let quick = "quick: .ci/run (fmt, clippy, doc, test, tidy)\n".to_owned();
    SLOW.iter().fold(quick, |text, step| {
        text + &format!("{}: {}\n", step.name, step.what)
    })
}

/// Runs `.ci/run`, which has the quick list, and the slower checks; stops at the first failure.
pub(crate) fn run(root: &Path) -> Result<()> {
    timed("quick", || quick(root))?;
    SLOW.iter()
        .try_for_each(|step| timed(step.name, || (step.run)(root)))
}

fn quick(root: &Path) -> Result<()> {
    let mut script = Command::new("bash");
    let status = script
        .arg(".ci/run")
        .current_dir(root)
        .status()
        .context("cannot start bash")?;
    if !status.success() {
        bail!("found {status}, expected success; the step that failed is the last one above");
    }
    Ok(())
}

fn timed(name: &str, step: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    step().with_context(|| format!("ci step `{name}`"))?;
    eprintln!("ci: {name} took {} s", start.elapsed().as_secs());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_every_step_on_a_line_of_its_own() {
        let text = list();
        assert_eq!(text.lines().count(), 1 + SLOW.len());
        assert!(
            SLOW.iter()
                .all(|step| text.contains(&format!("\n{}: ", step.name)))
        );
    }

    #[test]
    fn a_failing_step_is_named() {
        let error = timed("outside", || bail!("reason")).expect_err("the step failed");
        assert_eq!(format!("{error:#}"), "ci step `outside`: reason");
    }
}
