//! A stand-in for NVIDIA's compiler, for type checks.
//!
//! candle's `cuda` feature compiles its kernels in a build script, which takes a toolkit and most
//! of an hour; their text is of no interest to a type checker. For `check-cuda` this very program
//! is the `nvcc` that the script calls: it writes the files that were asked for, without content.
//! So nothing of the dependencies is replaced, and the lock file stays as it is.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The environment variable that makes this program the stand-in.
pub(crate) const SWITCH: &str = "FACENET_XTASK_IS_NVCC";

/// What the files hold, for whoever finds one.
const CONTENT: &str = "// Not a kernel: written by `cargo xtask check-cuda` for type checks.\n";

/// Whether `check-cuda` has this process started as the compiler.
pub fn is_nvcc() -> bool {
    std::env::var_os(SWITCH).is_some()
}

/// Writes what the compiler would: the file after `-o`, or with `--ptx` a file a source in the
/// `--output-directory`.
///
/// # Errors
/// A file that cannot be written.
pub fn nvcc(arguments: impl IntoIterator<Item = OsString>) -> Result<()> {
    for path in outputs(arguments) {
        fs::write(&path, CONTENT).with_context(|| format!("{}: cannot write", path.display()))?;
    }
    Ok(())
}

fn outputs(arguments: impl IntoIterator<Item = OsString>) -> Vec<PathBuf> {
    let mut arguments = arguments.into_iter();
    let (mut output, mut folder, mut sources) = (None, PathBuf::new(), Vec::new());
    while let Some(argument) = arguments.next() {
        let path = Path::new(&argument);
        if argument == "-o" {
            output = arguments.next().map(PathBuf::from);
        } else if argument == "--output-directory" {
            folder = arguments.next().map(PathBuf::from).unwrap_or_default();
        } else if path.extension().is_some_and(|ending| ending == "cu") {
            sources.extend(path.with_extension("ptx").file_name().map(OsString::from));
        }
    }
    match output {
        Some(output) => vec![output],
        None => sources.iter().map(|name| folder.join(name)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[&str]) {
        let found = outputs(line.split_whitespace().map(OsString::from));
        let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn the_forms_that_build_scripts_use_give_their_files() {
        let flags = "-gencode=arch=compute_90a,code=sm_90a";
        check(
            &format!("{flags} -c -o out/a.o -std=c++17 src/a.cu"),
            &["out/a.o"],
        );
        check("--lib -o out/liba.a out/a.o out/b.o", &["out/liba.a"]);
        let ptx = "--ptx --default-stream per-thread --output-directory out src/a.cu src/b.cu";
        check(&format!("{flags} {ptx}"), &["out/a.ptx", "out/b.ptx"]);
        check("--version", &[]);
    }

    #[test]
    fn the_file_says_that_it_is_no_kernel() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("a.o");
        nvcc([OsString::from("-o"), file.clone().into_os_string()])?;
        assert!(fs::read_to_string(file)?.contains("Not a kernel"));
        Ok(())
    }
}
