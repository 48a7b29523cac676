//! Other people's runtimes through the Python that `FACENET_PYTHON` names. Without it, or without
//! the packages, tests skip, aloud.

use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::Tensor;
use tempfile::TempDir;

/// What every script begins with.
const HEAD: &str = "
import numpy, sys
side = int(sys.argv[1])
images = numpy.fromfile('images', '<f4').reshape(-1, 3, side, side)
";

/// An interpreter, and a folder that its scripts run in.
pub(crate) struct Python {
    program: PathBuf,
    scratch: TempDir,
}

impl Python {
    /// The interpreter, if it has these packages.
    pub(crate) fn with(packages: &[&str]) -> Option<Self> {
        let imports = format!("import {}", packages.join(", "));
        let has = |program: &PathBuf| {
            let run = Command::new(program).args(["-c", &imports]).output();
            run.is_ok_and(|output| output.status.success())
        };
        let program = std::env::var_os("FACENET_PYTHON").map(PathBuf::from);
        let Some(program) = program.filter(has) else {
            crate::skip::skip(format_args!(
                "FACENET_PYTHON names no Python with {packages:?}"
            ));
            return None;
        };
        let scratch = tempfile::tempdir().expect("a scratch folder");
        Some(Self { program, scratch })
    }

    /// A file of the scripts' folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// What a script makes of the file `model` and the array `images`: it writes the file `rows`.
    pub(crate) fn embed(&self, script: &str, model: &[u8], images: &Tensor) -> Vec<f64> {
        let pixels = images.flatten_all().and_then(|t| t.to_vec1::<f32>());
        let pixels: Vec<u8> = pixels
            .expect("f32")
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        write(&self.path("images"), &pixels);
        write(&self.path("model"), model);
        let ran = Command::new(&self.program)
            .args(["-c", &format!("{HEAD}{script}")])
            .arg(images.dims()[3].to_string())
            .current_dir(self.scratch.path())
            .output()
            .expect("it started before");
        let told = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{told}");
        let rows = std::fs::read(self.path("rows")).expect("written");
        rows.chunks_exact(4)
            .map(|b| f64::from(f32::from_le_bytes(b.try_into().expect("four"))))
            .collect()
    }
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("writable");
}
