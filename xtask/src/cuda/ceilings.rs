//! `kernels/registers.toml`: what each kernel may take.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::cuda::ptxas::Usage;

/// What a kernel may take at most, on every architecture.
#[derive(Debug, Clone, Copy)]
struct Ceiling {
    registers: u32,
    shared: u32,
}

/// The ceilings by kernel.
#[derive(Debug)]
pub(crate) struct Ceilings(BTreeMap<String, Ceiling>);

impl Ceilings {
    /// Reads a table a kernel: `registers` a thread, `shared_bytes` a block.
    ///
    /// # Errors
    /// Text of another form.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let kernels = text.parse::<Table>()?.into_iter();
        kernels
            .map(|(kernel, table)| {
                let ceiling = ceiling(&table).with_context(|| {
                    format!("[{kernel}]: expected the numbers `registers` and `shared_bytes` only")
                })?;
                Ok((kernel, ceiling))
            })
            .collect::<Result<_>>()
            .map(Self)
    }

    /// Holds every usage against its ceiling, and every ceiling against a usage.
    ///
    /// # Errors
    /// All that is wrong, a line each: spills, more than the ceiling, a kernel without a ceiling,
    /// a ceiling without a kernel.
    pub(crate) fn hold(&self, usages: &[Usage]) -> Result<()> {
        let mut wrong: Vec<_> = usages.iter().flat_map(|usage| self.faults(usage)).collect();
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

    fn faults(&self, usage: &Usage) -> Vec<String> {
        let at = format!("{} on {}", usage.kernel, usage.arch);
        let Some(ceiling) = self.0.get(&usage.kernel) else {
            return vec![format!(
                "{at}: no ceiling; write one under [{}]",
                usage.kernel
            )];
        };
        let taken = [
            ("registers", usage.registers, ceiling.registers),
            ("bytes of shared memory", usage.shared, ceiling.shared),
            ("bytes of spills", usage.spills, 0),
        ];
        let above = taken.iter().filter(|(_, found, ceiling)| found > ceiling);
        above
            .map(|(what, found, ceiling)| {
                format!("{at}: {found} {what}, expected {ceiling} or less")
            })
            .collect()
    }
}

fn ceiling(table: &Value) -> Option<Ceiling> {
    let table = table.as_table().filter(|table| table.len() == 2)?;
    let number = |name| u32::try_from(table.get(name)?.as_integer()?).ok();
    Some(Ceiling {
        registers: number("registers")?,
        shared: number("shared_bytes")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(kernel: &str, [registers, shared, spills]: [u32; 3]) -> Usage {
        Usage {
            kernel: kernel.to_owned(),
            arch: "sm_90".to_owned(),
            registers,
            shared,
            spills,
            ..Usage::default()
        }
    }

    #[track_caller]
    fn check(usages: &[Usage], expected: &[&str]) {
        let text = "[a]\nregisters = 32\nshared_bytes = 1024\n";
        let ceilings = Ceilings::parse(text).expect("sound ceilings");
        match ceilings.hold(usages) {
            Ok(()) => assert!(expected.is_empty(), "{usages:?}"),
            Err(error) => assert_eq!(error.to_string(), expected.join("\n")),
        }
    }

    #[test]
    fn the_ceiling_itself_is_allowed() {
        check(&[usage("a", [32, 1024, 0])], &[]);
        check(
            &[usage("a", [33, 1025, 0])],
            &[
                "a on sm_90: 33 registers, expected 32 or less",
                "a on sm_90: 1025 bytes of shared memory, expected 1024 or less",
            ],
        );
    }

    #[test]
    fn a_spill_is_a_fault_below_the_ceiling_too() {
        check(
            &[usage("a", [8, 0, 4])],
            &["a on sm_90: 4 bytes of spills, expected 0 or less"],
        );
    }

    #[test]
    fn kernels_and_ceilings_must_be_the_same_set() {
        check(
            &[usage("b", [7, 0, 0])],
            &[
                "b on sm_90: no ceiling; write one under [b]",
                "a: a ceiling, but no such kernel",
            ],
        );
    }

    #[test]
    fn ceilings_of_another_form_are_refused() {
        let sound = "[a]\nregisters = 1\nshared_bytes = 0\n";
        assert!(Ceilings::parse(sound).is_ok());
        for wrong in [
            "a = 3",
            "[a]\nregisters = 1",
            "[",
            "[a]\nregisters = 1\nshared = 1",
        ] {
            assert!(Ceilings::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Ceilings::parse(&sound.replace('1', "-1")).is_err());
        assert!(Ceilings::parse(&format!("{sound}spills = 1")).is_err());
    }
}
