//! `kernels/registers.toml`: how many registers each kernel may take.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::cuda::ptxas::Usage;

/// Registers a thread at most, by kernel and architecture.
#[derive(Debug)]
pub(crate) struct Ceilings(BTreeMap<String, BTreeMap<String, u32>>);

impl Ceilings {
    /// Reads a table a kernel, with a number an architecture: `[pairwise_sq_l2]`, `sm_90 = 64`.
    ///
    /// # Errors
    /// Text of another form.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let kernels = text.parse::<Table>()?.into_iter();
        kernels
            .map(|(kernel, ceilings)| {
                let ceilings = by_arch(&ceilings).with_context(|| {
                    format!("[{kernel}]: expected a number of registers an architecture")
                })?;
                Ok((kernel, ceilings))
            })
            .collect::<Result<_>>()
            .map(Self)
    }

    /// Holds every usage against its ceiling, and every ceiling against a usage.
    ///
    /// # Errors
    /// All that is wrong, a line each: spills, registers above the ceiling, a kernel without a
    /// ceiling, a ceiling without a kernel.
    pub(crate) fn hold(&self, usages: &[Usage]) -> Result<()> {
        let mut wrong: Vec<_> = usages
            .iter()
            .filter_map(|usage| self.fault(usage))
            .collect();
        let seen: BTreeSet<_> = usages.iter().map(|usage| usage.kernel.as_str()).collect();
        let stale = self
            .0
            .keys()
            .filter(|kernel| !seen.contains(kernel.as_str()));
        wrong.extend(stale.map(|kernel| format!("{kernel}: a ceiling, but no such kernel")));
        if wrong.is_empty() {
            return Ok(());
        }
        bail!("{}", wrong.join("\n"))
    }

    fn fault(&self, usage: &Usage) -> Option<String> {
        let Usage {
            kernel,
            arch,
            registers,
            spills,
            ..
        } = usage;
        if *spills > 0 {
            return Some(format!(
                "{kernel} on {arch}: {spills} bytes of spills, expected 0"
            ));
        }
        let ceiling = self.0.get(kernel).and_then(|ceilings| ceilings.get(arch));
        match ceiling {
            None => Some(format!(
                "{kernel} on {arch}: no ceiling; write {arch} = {registers} under [{kernel}]"
            )),
            Some(ceiling) if registers > ceiling => Some(format!(
                "{kernel} on {arch}: {registers} registers, expected {ceiling} or fewer"
            )),
            Some(_) => None,
        }
    }
}

fn by_arch(ceilings: &Value) -> Option<BTreeMap<String, u32>> {
    let number = |(arch, ceiling): (&String, &Value)| {
        let ceiling = u32::try_from(ceiling.as_integer()?).ok()?;
        Some((arch.clone(), ceiling))
    };
    ceilings.as_table()?.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(kernel: &str, registers: u32, spills: u32) -> Usage {
        Usage {
            kernel: kernel.to_owned(),
            arch: "sm_90".to_owned(),
            registers,
            spills,
            ..Usage::default()
        }
    }

    #[track_caller]
    fn check(usages: &[Usage], expected: &[&str]) {
        let ceilings = Ceilings::parse("[a]\nsm_90 = 32\n").expect("sound ceilings");
        match ceilings.hold(usages) {
            Ok(()) => assert!(expected.is_empty(), "{usages:?}"),
            Err(error) => assert_eq!(error.to_string(), expected.join("\n")),
        }
    }

    #[test]
    fn the_ceiling_itself_is_allowed() {
        check(&[usage("a", 32, 0)], &[]);
        check(
            &[usage("a", 33, 0)],
            &["a on sm_90: 33 registers, expected 32 or fewer"],
        );
    }

    #[test]
    fn a_spill_is_a_fault_below_the_ceiling_too() {
        check(
            &[usage("a", 8, 4)],
            &["a on sm_90: 4 bytes of spills, expected 0"],
        );
    }

    #[test]
    fn kernels_and_ceilings_must_be_the_same_set() {
        check(
            &[usage("b", 7, 0)],
            &[
                "b on sm_90: no ceiling; write sm_90 = 7 under [b]",
                "a: a ceiling, but no such kernel",
            ],
        );
    }

    #[test]
    fn ceilings_of_another_form_are_refused() {
        for wrong in ["a = 3", "[a]\nsm_90 = -1", "[a]\nsm_90 = 'x'", "["] {
            assert!(Ceilings::parse(wrong).is_err(), "{wrong}");
        }
    }
}
