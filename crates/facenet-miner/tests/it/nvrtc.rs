//! The kernels through NVRTC, where its library can be loaded; no driver and no GPU is needed.

use std::fs;
use std::path::PathBuf;

use facenet_miner::compile;
use facenet_miner::device::Kernel;

/// Virtual architectures that every kernel compiles for.
const ARCHITECTURES: [&str; 4] = ["compute_75", "compute_80", "compute_90", "compute_100"];

/// Writes `<kernel>-<arch>.ptx` where `FACENET_PTX_DIR` says, for `ptxas` to assemble.
#[test]
fn every_kernel_compiles_for_every_architecture() {
    let folder = std::env::var_os("FACENET_PTX_DIR").map(PathBuf::from);
    for kernel in Kernel::ALL {
        for arch in ARCHITECTURES {
            let ptx = match compile(kernel, arch) {
                Err(missing) if missing.starts_with("no NVRTC library") => {
                    crate::skip::skip(format_args!("{missing}; no kernel was compiled to PTX"));
                    return;
                }
                compiled => compiled.unwrap_or_else(|log| panic!("{kernel:?} for {arch}: {log}")),
            };
            assert!(
                ptx.contains(&format!(".visible .entry {}(", kernel.name())),
                "{arch}"
            );
            let fused_by_chance = ptx.matches("fma.rn.f64").count();
            assert_eq!(fused_by_chance, 0, "{kernel:?} for {arch}");
            if let Some(folder) = &folder {
                let file = folder.join(format!("{}-{arch}.ptx", kernel.name()));
                fs::write(&file, ptx).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            }
        }
    }
}
