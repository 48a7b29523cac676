//! What `ptxas -v` says about each kernel.

use anyhow::{Context, Result, bail};

/// What one kernel takes on one architecture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// The entry function's name.
    pub(crate) kernel: String,
    /// Such as `sm_90`.
    pub(crate) arch: String,
    /// Registers a thread.
    pub(crate) registers: u32,
    /// Static shared memory a block, in bytes.
    pub(crate) shared: u32,
    /// Local memory a thread, in bytes.
    pub(crate) stack: u32,
    /// Bytes of spill stores and loads a thread.
    pub(crate) spills: u32,
}

/// Reads the output for one file: a block of lines an entry function.
///
/// # Errors
/// A block without its registers or spills: then ptxas has changed, and nothing may be claimed.
pub(crate) fn parse(output: &str) -> Result<Vec<Usage>> {
    let mut usages = Vec::new();
    // What comes before the first entry function is about the file.
    for block in output.split("Compiling entry function").skip(1) {
        let usage = parse_block(block);
        usages.push(usage.with_context(|| format!("ptxas -v: found {block:?}"))?);
    }
    if usages.is_empty() {
        bail!("ptxas -v: found no entry function; expected one a kernel, in: {output}");
    }
    Ok(usages)
}

fn parse_block(block: &str) -> Result<Usage> {
    let mut quoted = block.split('\'').skip(1).step_by(2);
    let mut name = || {
        quoted
            .next()
            .context("expected a kernel and its architecture")
    };
    let (kernel, arch) = (name()?.to_owned(), name()?.to_owned());
    let number = |unit: &str| before(block, unit);
    let must = |unit: &str| number(unit).with_context(|| format!("expected a number of{unit}"));
    Ok(Usage {
        kernel,
        arch,
        registers: must(" registers")?,
        shared: number(" bytes smem").unwrap_or(0),
        stack: must(" bytes stack frame")?,
        spills: must(" bytes spill stores")? + must(" bytes spill loads")?,
    })
}

/// The number right before the first `unit`.
fn before(text: &str, unit: &str) -> Option<u32> {
    let (head, _) = text.split_once(unit)?;
    head.rsplit([' ', ',', '\n']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of ptxas 13.5.37, on a kernel that must spill and one that need not.
    const OUTPUT: &str = "\
ptxas warning : Value of threads per SM for entry spilling is out of range. .minnctapersm will be ignored
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'spilling' for 'sm_75'
ptxas info    : Function properties for spilling
    528 bytes stack frame, 1084 bytes spill stores, 2132 bytes spill loads
ptxas info    : Used 64 registers, used 0 barriers, 528 bytes cumulative stack size, 372 bytes cmem[0]
ptxas info    : Compile time = 2747.670 ms
ptxas info    : Compiling entry function 'plain' for 'sm_75'
ptxas info    : Function properties for plain
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 8 registers, used 1 barriers, 1024 bytes smem, 372 bytes cmem[0]
ptxas info    : Compile time = 8.262 ms
";

    #[test]
    fn every_entry_function_is_read() -> Result<()> {
        let spilling = Usage {
            kernel: "spilling".to_owned(),
            arch: "sm_75".to_owned(),
            registers: 64,
            shared: 0,
            stack: 528,
            spills: 3216,
        };
        let plain = Usage {
            kernel: "plain".to_owned(),
            arch: "sm_75".to_owned(),
            registers: 8,
            shared: 1024,
            ..Usage::default()
        };
        assert_eq!(parse(OUTPUT)?, [spilling, plain]);
        Ok(())
    }

    #[test]
    fn output_of_another_form_is_no_success() {
        for wrong in ["", "ptxas info    : 0 bytes gmem\n"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        for lost in ["8 registers", "0 bytes spill loads", "'plain'"] {
            let error = parse(&OUTPUT.replace(lost, "?")).expect_err(lost);
            assert!(error.to_string().starts_with("ptxas -v: found"), "{error}");
        }
    }
}
