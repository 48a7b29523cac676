//! NVIDIA's compilers from Python wheels: no driver, no GPU, no system packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::python::{Venv, output, run};

/// Exact versions: another compiler counts registers differently.
const WHEELS: [&str; 5] = [
    "nvidia-cuda-crt==13.5.37",
    "nvidia-cuda-nvcc==13.5.37",
    "nvidia-cuda-nvrtc==13.5.37",
    "nvidia-cuda-runtime==13.5.37",
    "nvidia-nvvm==13.5.37",
];

/// Where the wheels put a toolkit, below the site packages.
const TOOLKIT: &str = "nvidia/cu13";

/// An installed toolkit.
#[derive(Debug)]
pub(crate) struct Toolkit(PathBuf);

impl Toolkit {
    /// Installs the wheels into a virtual environment at `venv`; what is there stays.
    ///
    /// # Errors
    /// Where there is no Python with `venv` and `pip`, or no wheel for this machine.
    pub(crate) fn install(venv: &Path) -> Result<Self> {
        let venv = Venv::at(venv)?;
        output(venv.pip("install").args(WHEELS))?;
        let site = "import sysconfig; print(sysconfig.get_path('purelib'))";
        let site = output(&mut venv.python(&["-c", site]))?;
        let toolkit = Path::new(site.trim()).join(TOOLKIT);
        if !toolkit.join("bin/ptxas").is_file() {
            bail!(
                "{}: no bin/ptxas; expected it in {}",
                toolkit.display(),
                WHEELS[1]
            );
        }
        name_nvrtc(&toolkit.join("lib"))?;
        Ok(Self(toolkit))
    }

    /// The folder of libnvrtc.
    pub(crate) fn lib(&self) -> PathBuf {
        self.0.join("lib")
    }

    /// What `ptxas -v` says about a PTX file on `arch`.
    ///
    /// # Errors
    /// Where it does not assemble.
    pub(crate) fn ptxas(&self, arch: &str, ptx: &Path) -> Result<String> {
        let scratch = tempfile::NamedTempFile::new()?;
        let mut command = Command::new(self.0.join("bin/ptxas"));
        command
            .args(["-v", "-arch", arch, "-o"])
            .arg(scratch.path())
            .arg(ptx);
        let found = run(&mut command)?;
        Ok(String::from_utf8_lossy(&found.stderr).into_owned())
    }
}

/// Gives NVRTC the name that programs of every CUDA release look for; the wheel has it under its
/// own release's only.
fn name_nvrtc(lib: &Path) -> Result<()> {
    let plain = lib.join("libnvrtc.so");
    if plain.is_file() {
        return Ok(());
    }
    for entry in fs::read_dir(lib)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("libnvrtc.so.") {
            return Ok(fs::hard_link(&path, &plain)?);
        }
    }
    bail!(
        "{}: no libnvrtc.so.*; expected it in {}",
        lib.display(),
        WHEELS[2]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nvrtc_gets_its_plain_name_once() -> Result<()> {
        let lib = tempfile::tempdir()?;
        assert!(name_nvrtc(lib.path()).is_err());
        fs::write(lib.path().join("libnvrtc.so.13"), "a library")?;
        for _ in 0..2 {
            name_nvrtc(lib.path())?;
            assert_eq!(
                fs::read_to_string(lib.path().join("libnvrtc.so"))?,
                "a library"
            );
        }
        Ok(())
    }

    #[test]
    fn every_wheel_is_pinned_to_a_version() {
        assert!(WHEELS.iter().all(|wheel| wheel.contains("==")));
    }
}
